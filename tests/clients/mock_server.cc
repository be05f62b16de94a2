#include "tests/clients/mock_server.h"

#include <google/protobuf/util/time_util.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr size_t kPageSize = 2;

grpc::Status NoSuchDisplay(const std::string& name) {
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no display ", name, " is attached")};
}

std::string MakeFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "planecast-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("can't make a folder");
  return pattern;
}

}  // namespace

MockServer::MockServer(std::shared_ptr<grpc::ServerCredentials> credentials)
    : folder_(MakeFolder()), credentials_(std::move(credentials)) {
  address_ = credentials_ == nullptr ? absl::StrCat("unix:", folder_, "/socket") : "127.0.0.1:0";
  if (credentials_ == nullptr) credentials_ = grpc::InsecureServerCredentials();
  StartServing();
}

MockServer::~MockServer() {
  StopServing();
  std::filesystem::remove_all(folder_);
}

void MockServer::StopServing() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_ = nullptr;
}

void MockServer::StartServing() {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address_, credentials_, &port);
  builder.RegisterService(static_cast<v1::HostService::Service*>(this));
  builder.RegisterService(static_cast<v1::DisplayService::Service*>(this));
  builder.RegisterService(static_cast<v1::ViewerService::Service*>(this));
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) throw std::runtime_error("the mock server can't listen");
  if (!address_.starts_with("unix:")) address_ = absl::StrCat("127.0.0.1:", port);
}

void MockServer::AddDisplay(const v1::Display& display) {
  const std::lock_guard lock(mutex_);
  displays_[display.name()] = display;
}

void MockServer::FailCalls(const std::string& method, const grpc::Status& status) {
  const std::lock_guard lock(mutex_);
  failures_[method] = status;
}

void MockServer::AddStreamScript(StreamScript script) {
  const std::lock_guard lock(mutex_);
  stream_scripts_.push_back(std::move(script));
}

void MockServer::SetWatchScript(WatchScript script) {
  const std::lock_guard lock(mutex_);
  watch_script_ = std::move(script);
}

void MockServer::SetWatchedEvents(std::vector<v1::StreamDisplayResponse> events) {
  const std::lock_guard lock(mutex_);
  watched_events_ = std::move(events);
}

void MockServer::SetSnapshot(const v1::GetSnapshotResponse& snapshot) {
  const std::lock_guard lock(mutex_);
  snapshot_ = snapshot;
}

std::vector<v1::AttachDisplayRequest> MockServer::attach_requests() {
  const std::lock_guard lock(mutex_);
  return attach_requests_;
}

std::vector<v1::SetDisplayModeRequest> MockServer::mode_requests() {
  const std::lock_guard lock(mutex_);
  return mode_requests_;
}

std::vector<v1::GetSnapshotRequest> MockServer::snapshot_requests() {
  const std::lock_guard lock(mutex_);
  return snapshot_requests_;
}

int MockServer::list_calls() {
  const std::lock_guard lock(mutex_);
  return list_calls_;
}

grpc::Status MockServer::Failure(const std::string& method) {
  return failures_[method];
}

grpc::Status MockServer::GetHostInfo(grpc::ServerContext* /*context*/,
                                     const v1::GetHostInfoRequest* /*request*/,
                                     v1::GetHostInfoResponse* response) {
  const std::lock_guard lock(mutex_);
  response->set_version("1.2.3");
  v1::PlaneSourceInfo& fake = *response->add_plane_sources();
  fake.set_id("fake");
  fake.set_available(true);
  v1::PlaneSourceInfo& group = *response->add_plane_sources();
  group.set_id("vfio-group");
  group.set_reason("no /dev/vfio; load the vfio module");
  v1::EncoderInfo& encoder = *response->add_encoders();
  encoder.set_id("x264");
  encoder.set_available(true);
  encoder.add_profiles("constrained-baseline");
  response->mutable_limits()->set_displays_max(64);
  return Failure("GetHostInfo");
}

grpc::Status MockServer::ListDisplays(grpc::ServerContext* /*context*/,
                                      const v1::ListDisplaysRequest* request,
                                      v1::ListDisplaysResponse* response) {
  const std::lock_guard lock(mutex_);
  ++list_calls_;
  auto next = displays_.lower_bound(request->page_token());
  for (size_t i = 0; i < kPageSize && next != displays_.end(); ++i, ++next) {
    *response->add_displays() = next->second;
  }
  if (next != displays_.end()) response->set_next_page_token(next->first);
  return Failure("ListDisplays");
}

grpc::Status MockServer::GetDisplay(grpc::ServerContext* /*context*/,
                                    const v1::GetDisplayRequest* request,
                                    v1::GetDisplayResponse* response) {
  const std::lock_guard lock(mutex_);
  const auto found = displays_.find(request->name());
  if (found == displays_.end()) return NoSuchDisplay(request->name());
  *response->mutable_display() = found->second;
  return Failure("GetDisplay");
}

grpc::Status MockServer::WatchDisplays(grpc::ServerContext* context,
                                       const v1::WatchDisplaysRequest* /*request*/,
                                       grpc::ServerWriter<v1::WatchDisplaysResponse>* writer) {
  WatchScript script;
  {
    const std::lock_guard lock(mutex_);
    script = watch_script_;
  }
  return script ? script(*context, *writer) : grpc::Status::OK;
}

grpc::Status MockServer::AttachDisplay(grpc::ServerContext* /*context*/,
                                       const v1::AttachDisplayRequest* request,
                                       v1::AttachDisplayResponse* response) {
  const std::lock_guard lock(mutex_);
  attach_requests_.push_back(*request);
  if (grpc::Status failure = Failure("AttachDisplay"); !failure.ok()) return failure;
  v1::Display display = MakeDisplay(request->display_id());
  *display.mutable_source() = request->source();
  // Not over what a test has put there: it says how the display fares after the attach.
  *response->mutable_display() = displays_.emplace(display.name(), display).first->second;
  return grpc::Status::OK;
}

grpc::Status MockServer::DetachDisplay(grpc::ServerContext* /*context*/,
                                       const v1::DetachDisplayRequest* request,
                                       v1::DetachDisplayResponse* /*response*/) {
  const std::lock_guard lock(mutex_);
  return displays_.erase(request->name()) == 1 ? grpc::Status::OK : NoSuchDisplay(request->name());
}

grpc::Status MockServer::SetDisplayMode(grpc::ServerContext* /*context*/,
                                        const v1::SetDisplayModeRequest* request,
                                        v1::SetDisplayModeResponse* /*response*/) {
  const std::lock_guard lock(mutex_);
  mode_requests_.push_back(*request);
  return Failure("SetDisplayMode");
}

grpc::Status MockServer::GetSnapshot(grpc::ServerContext* /*context*/,
                                     const v1::GetSnapshotRequest* request,
                                     v1::GetSnapshotResponse* response) {
  const std::lock_guard lock(mutex_);
  snapshot_requests_.push_back(*request);
  *response = snapshot_;
  return Failure("GetSnapshot");
}

grpc::Status MockServer::StreamDisplay(grpc::ServerContext* /*context*/, ServerStream* stream) {
  v1::StreamDisplayRequest first;
  if (!stream->Read(&first) || !first.has_start()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "the first request is no start"};
  }
  StreamScript script;
  {
    const std::lock_guard lock(mutex_);
    if (stream_scripts_.empty()) return NoSuchDisplay(first.start().name());
    script = std::move(stream_scripts_.front());
    stream_scripts_.pop_front();
  }
  return script(first.start(), *stream);
}

grpc::Status MockServer::WatchDisplay(grpc::ServerContext* context,
                                      const v1::WatchDisplayRequest* request,
                                      grpc::ServerWriter<v1::WatchDisplayResponse>* writer) {
  std::vector<v1::StreamDisplayResponse> events;
  {
    const std::lock_guard lock(mutex_);
    if (displays_.count(request->name()) == 0) return NoSuchDisplay(request->name());
    events = watched_events_;
  }
  for (const v1::StreamDisplayResponse& event : events) {
    v1::WatchDisplayResponse response;
    *response.mutable_event() = event.event();
    writer->Write(response);
  }
  while (!context->IsCancelled()) std::this_thread::yield();
  return grpc::Status::OK;
}

v1::Display MakeDisplay(const std::string& id) {
  v1::Display display;
  display.set_name(absl::StrCat("displays/", id));
  display.mutable_source()->mutable_fake()->set_profile("ideal");
  display.set_state(v1::Display::STATE_ACTIVE);
  display.mutable_primary_plane()->set_width_px(640);
  display.mutable_primary_plane()->set_height_px(480);
  display.mutable_primary_plane()->set_fourcc("XR24");
  return display;
}

v1::StreamDisplayResponse StartedEvent(int width_px, int height_px, int64_t server_time_ns) {
  v1::StreamDisplayResponse response;
  v1::StreamStarted& started = *response.mutable_event()->mutable_started();
  started.set_name("displays/desk");
  started.set_codec("avc1.42C01F");
  started.set_visible_width_px(width_px);
  started.set_visible_height_px(height_px);
  started.set_server_monotonic_time_ns(server_time_ns);
  for (const auto permission : {v1::PERMISSION_LIST, v1::PERMISSION_WATCH, v1::PERMISSION_RECORD}) {
    started.add_permissions(permission);
  }
  return response;
}

v1::StreamDisplayResponse UnitEvent(uint64_t sequence, bool key_frame, const std::string& data,
                                    int64_t flip_time_ns) {
  v1::StreamDisplayResponse response;
  v1::AccessUnit& unit = *response.mutable_event()->mutable_access_unit();
  unit.set_sequence(sequence);
  unit.set_key_frame(key_frame);
  unit.set_data(data);
  unit.set_flip_time_ns(flip_time_ns);
  unit.set_encoded_time_ns(flip_time_ns + 1);
  return response;
}

v1::StreamDisplayResponse StateEvent(v1::Display::State state, const std::string& reason,
                                     const std::string& remedy) {
  v1::StreamDisplayResponse response;
  v1::DisplayStateChanged& changed = *response.mutable_event()->mutable_state_changed();
  changed.set_state(state);
  changed.set_reason(reason);
  changed.set_remedy(remedy);
  return response;
}

v1::StreamDisplayResponse GoodbyeEvent(v1::Goodbye::Reason reason, const std::string& message,
                                       std::optional<int> retry_after_ms) {
  v1::StreamDisplayResponse response;
  v1::Goodbye& goodbye = *response.mutable_event()->mutable_goodbye();
  goodbye.set_reason(reason);
  goodbye.set_message(message);
  if (!retry_after_ms) return response;
  *goodbye.mutable_retry_after() =
      google::protobuf::util::TimeUtil::MillisecondsToDuration(*retry_after_ms);
  return response;
}

uint64_t AcknowledgedBy(const v1::StreamDisplayRequest& request) {
  const auto& batch = request.acknowledgements().acknowledgements();
  return batch.empty() ? 0 : batch.rbegin()->sequence();
}

v1::StreamDisplayRequest ReadRequest(ServerStream& stream,
                                     v1::StreamDisplayRequest::RequestCase kind) {
  v1::StreamDisplayRequest request;
  while (stream.Read(&request)) {
    if (request.request_case() == kind) return request;
  }
  return {};
}

void ReadToEnd(ServerStream& stream) {
  v1::StreamDisplayRequest request;
  while (stream.Read(&request)) {
  }
}

}  // namespace planecast
