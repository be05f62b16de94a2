#include "tests/clients/mock_server.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "planecast/rpc/v1/status.pb.h"

namespace planecast {
namespace {

constexpr size_t kPageSize = 2;

grpc::Status NoSuchDisplay(const std::string& name) {
  return MakeError(grpc::StatusCode::NOT_FOUND, absl::StrCat("no display ", name, " is attached"),
                   v1::ERROR_REASON_DISPLAY_NOT_FOUND);
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
  builder.RegisterService(static_cast<v1::AccessService::Service*>(this));
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

void MockServer::SetHostInfo(const v1::GetHostInfoResponse& more) {
  const std::lock_guard lock(mutex_);
  host_info_ = more;
}

void MockServer::AddTicket(const v1::Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  tickets_.push_back(ticket);
}

void MockServer::AddViewer(const v1::ViewerInfo& viewer) {
  const std::lock_guard lock(mutex_);
  viewers_.push_back(viewer);
}

void MockServer::SetBeforeUpdate(std::function<void(v1::Display&)> before_update) {
  const std::lock_guard lock(mutex_);
  before_update_ = std::move(before_update);
}

std::vector<v1::CreateTicketRequest> MockServer::ticket_requests() {
  const std::lock_guard lock(mutex_);
  return ticket_requests_;
}

std::vector<v1::EndViewerRequest> MockServer::end_requests() {
  const std::lock_guard lock(mutex_);
  return end_requests_;
}

std::vector<std::string> MockServer::tickets() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const v1::Ticket& ticket : tickets_) names.push_back(ticket.name());
  return names;
}

std::vector<SeenCall> MockServer::calls() {
  const std::lock_guard lock(mutex_);
  return calls_;
}

void MockServer::Note(const char* method, const grpc::ServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto find = [&metadata](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string()
                                   : std::string(found->second.data(), found->second.size());
  };
  const std::lock_guard lock(mutex_);
  calls_.push_back({method, find("authorization"), find("planecast-viewer-id")});
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

grpc::Status MockServer::GetHostInfo(grpc::ServerContext* context,
                                     const v1::GetHostInfoRequest* /*request*/,
                                     v1::GetHostInfoResponse* response) {
  Note("GetHostInfo", *context);
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
  response->MergeFrom(host_info_);
  return Failure("GetHostInfo");
}

grpc::Status MockServer::ListDisplays(grpc::ServerContext* context,
                                      const v1::ListDisplaysRequest* request,
                                      v1::ListDisplaysResponse* response) {
  Note("ListDisplays", *context);
  const std::lock_guard lock(mutex_);
  ++list_calls_;
  auto next = displays_.lower_bound(request->page_token());
  for (size_t i = 0; i < kPageSize && next != displays_.end(); ++i, ++next) {
    *response->add_displays() = next->second;
  }
  if (next != displays_.end()) response->set_next_page_token(next->first);
  return Failure("ListDisplays");
}

grpc::Status MockServer::GetDisplay(grpc::ServerContext* context,
                                    const v1::GetDisplayRequest* request,
                                    v1::GetDisplayResponse* response) {
  Note("GetDisplay", *context);
  const std::lock_guard lock(mutex_);
  const auto found = displays_.find(request->name());
  if (found == displays_.end()) return NoSuchDisplay(request->name());
  *response->mutable_display() = found->second;
  return Failure("GetDisplay");
}

grpc::Status MockServer::WatchDisplays(grpc::ServerContext* context,
                                       const v1::WatchDisplaysRequest* /*request*/,
                                       grpc::ServerWriter<v1::WatchDisplaysResponse>* writer) {
  Note("WatchDisplays", *context);
  WatchScript script;
  {
    const std::lock_guard lock(mutex_);
    script = watch_script_;
  }
  return script ? script(*context, *writer) : grpc::Status::OK;
}

grpc::Status MockServer::AttachDisplay(grpc::ServerContext* context,
                                       const v1::AttachDisplayRequest* request,
                                       v1::AttachDisplayResponse* response) {
  Note("AttachDisplay", *context);
  const std::lock_guard lock(mutex_);
  attach_requests_.push_back(*request);
  if (grpc::Status failure = Failure("AttachDisplay"); !failure.ok()) return failure;
  v1::Display display = MakeDisplay(request->display_id());
  *display.mutable_source() = request->source();
  *display.mutable_labels() = request->labels();
  // Not over what a test has put there: it says how the display fares after the attach.
  *response->mutable_display() = displays_.emplace(display.name(), display).first->second;
  return grpc::Status::OK;
}

grpc::Status MockServer::DetachDisplay(grpc::ServerContext* context,
                                       const v1::DetachDisplayRequest* request,
                                       v1::DetachDisplayResponse* /*response*/) {
  Note("DetachDisplay", *context);
  const std::lock_guard lock(mutex_);
  return displays_.erase(request->name()) == 1 ? grpc::Status::OK : NoSuchDisplay(request->name());
}

grpc::Status MockServer::SetDisplayMode(grpc::ServerContext* context,
                                        const v1::SetDisplayModeRequest* request,
                                        v1::SetDisplayModeResponse* /*response*/) {
  Note("SetDisplayMode", *context);
  const std::lock_guard lock(mutex_);
  mode_requests_.push_back(*request);
  return Failure("SetDisplayMode");
}

grpc::Status MockServer::GetSnapshot(grpc::ServerContext* context,
                                     const v1::GetSnapshotRequest* request,
                                     v1::GetSnapshotResponse* response) {
  Note("GetSnapshot", *context);
  const std::lock_guard lock(mutex_);
  snapshot_requests_.push_back(*request);
  *response = snapshot_;
  return Failure("GetSnapshot");
}

grpc::Status MockServer::UpdateDisplay(grpc::ServerContext* context,
                                       const v1::UpdateDisplayRequest* request,
                                       v1::UpdateDisplayResponse* response) {
  Note("UpdateDisplay", *context);
  const std::lock_guard lock(mutex_);
  const auto found = displays_.find(request->display().name());
  if (found == displays_.end()) return NoSuchDisplay(request->display().name());
  v1::Display& display = found->second;
  if (before_update_) before_update_(display);
  if (request->display().etag() != display.etag()) {
    return MakeError(grpc::StatusCode::ABORTED, "changed meanwhile",
                     v1::ERROR_REASON_ETAG_MISMATCH);
  }
  *display.mutable_labels() = request->display().labels();
  *response->mutable_display() = display;
  return Failure("UpdateDisplay");
}

grpc::Status MockServer::CreateTicket(grpc::ServerContext* context,
                                      const v1::CreateTicketRequest* request,
                                      v1::CreateTicketResponse* response) {
  Note("CreateTicket", *context);
  const std::lock_guard lock(mutex_);
  ticket_requests_.push_back(*request);
  if (grpc::Status failure = Failure("CreateTicket"); !failure.ok()) return failure;
  v1::Ticket& ticket = *response->mutable_ticket();
  ticket.set_name("tickets/8c1f2a3b4c5d6e7f");
  *ticket.mutable_displays() = request->displays();
  ticket.set_role(request->role().empty() ? "viewer" : request->role());
  ticket.mutable_create_time()->set_seconds(1'000'000'000);
  ticket.mutable_start_expire_time()->set_seconds(
      1'000'000'000 + (request->has_start_ttl() ? request->start_ttl().seconds() : 60));
  ticket.set_uses_left(request->uses() == 0 ? 1 : request->uses());
  ticket.set_note(request->note());
  response->set_secret(kMockTicket);
  tickets_.push_back(ticket);
  return grpc::Status::OK;
}

grpc::Status MockServer::ListTickets(grpc::ServerContext* context,
                                     const v1::ListTicketsRequest* request,
                                     v1::ListTicketsResponse* response) {
  Note("ListTickets", *context);
  const std::lock_guard lock(mutex_);
  size_t next = request->page_token().empty() ? 0 : std::stoul(request->page_token());
  for (size_t i = 0; i < kPageSize && next < tickets_.size(); ++i, ++next) {
    *response->add_tickets() = tickets_[next];
  }
  if (next < tickets_.size()) response->set_next_page_token(absl::StrCat(next));
  return Failure("ListTickets");
}

grpc::Status MockServer::RevokeTicket(grpc::ServerContext* context,
                                      const v1::RevokeTicketRequest* request,
                                      v1::RevokeTicketResponse* /*response*/) {
  Note("RevokeTicket", *context);
  const std::lock_guard lock(mutex_);
  const auto is_meant = [request](const auto& one) { return one.name() == request->name(); };
  const auto found = std::find_if(tickets_.begin(), tickets_.end(), is_meant);
  if (found == tickets_.end()) {
    return MakeError(grpc::StatusCode::NOT_FOUND, "no such ticket",
                     v1::ERROR_REASON_TICKET_NOT_FOUND);
  }
  tickets_.erase(found);
  return grpc::Status::OK;
}

grpc::Status MockServer::ListViewers(grpc::ServerContext* context,
                                     const v1::ListViewersRequest* request,
                                     v1::ListViewersResponse* response) {
  Note("ListViewers", *context);
  const std::lock_guard lock(mutex_);
  if (displays_.count(request->parent()) == 0) return NoSuchDisplay(request->parent());
  size_t next = request->page_token().empty() ? 0 : std::stoul(request->page_token());
  for (size_t i = 0; i < kPageSize && next < viewers_.size(); ++i, ++next) {
    *response->add_viewers() = viewers_[next];
  }
  if (next < viewers_.size()) response->set_next_page_token(absl::StrCat(next));
  return Failure("ListViewers");
}

grpc::Status MockServer::EndViewer(grpc::ServerContext* context,
                                   const v1::EndViewerRequest* request,
                                   v1::EndViewerResponse* /*response*/) {
  Note("EndViewer", *context);
  const std::lock_guard lock(mutex_);
  end_requests_.push_back(*request);
  const auto is_meant = [request](const auto& one) { return one.name() == request->name(); };
  if (std::none_of(viewers_.begin(), viewers_.end(), is_meant)) {
    return MakeError(grpc::StatusCode::NOT_FOUND, "no such viewer",
                     v1::ERROR_REASON_VIEWER_NOT_FOUND);
  }
  return grpc::Status::OK;
}

grpc::Status MockServer::StreamDisplay(grpc::ServerContext* context, ServerStream* stream) {
  Note("StreamDisplay", *context);
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
  Note("WatchDisplay", *context);
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

grpc::Status MakeError(grpc::StatusCode code, const std::string& message, v1::ErrorReason reason) {
  constexpr size_t kPrefixLength = std::string_view("ERROR_REASON_").size();
  rpc::v1::ErrorInfo info;
  info.set_domain("planecast");
  info.set_reason(v1::ErrorReason_Name(reason).substr(kPrefixLength));
  rpc::v1::Status status;
  status.set_code(code);
  status.set_message(message);
  google::protobuf::Any& detail = *status.add_details();
  detail.set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail.set_value(info.SerializeAsString());
  return {code, message, status.SerializeAsString()};
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
