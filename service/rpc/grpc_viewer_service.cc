#include "service/rpc/grpc_viewer_service.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/core/display_name.h"
#include "service/core/reason.h"
#include "service/rpc/grpc_unary.h"
#include "service/rpc/proto_convert.h"

namespace planecast {
namespace {

/// How long a drain still answers viewers that come back right after their goodbye.
constexpr std::chrono::milliseconds kLateStreams{200};
/// Of what is told to a viewer that is sent away.
constexpr size_t kEndMessageMaxBytes = 200;

absl::Status ShuttingDown() {
  return WithReason(absl::UnavailableError("the server is shutting down"), "DRAINING");
}

absl::Status NoSuchViewer() {
  return WithReason(absl::NotFoundError("no such viewer is streaming"), "VIEWER_NOT_FOUND");
}

absl::Status Apply(const v1::ReportViewerRequest& request, ViewerCall& call) {
  if (auto status = call.NoteMessage(request.acknowledgements_size()); !status.ok()) return status;
  if (request.has_limits()) {
    if (auto status = call.ChangeLimits(request.limits()); !status.ok()) return status;
  }
  if (request.key_frame()) call.viewer()->RequestKeyFrame();
  return Acknowledge(request.acknowledgements(), *call.viewer());
}

/// The number in `displays/{display}/viewers/{viewer}`.
absl::StatusOr<uint64_t> NumberIn(const std::string& name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  uint64_t number = 0;
  if (parts.size() == 4 && parts[2] == "viewers" && absl::SimpleAtoi(parts[3], &number)) {
    return number;
  }
  return absl::InvalidArgumentError(
      "a viewer's name is displays/{display}/viewers/{viewer}, as ListViewers gives it");
}

}  // namespace

GrpcViewerService::GrpcViewerService(Registry& registry, GrpcEventCodec& codec,
                                     const WallClock& wall, const Logger& log)
    : registry_(registry), wall_(wall) {
  context_.service = this;
  context_.registry = &registry_;
  context_.codec = &codec;
  context_.log = &log;
  context_.wall = &wall;
  context_.find = [this](const std::string& viewer_id) { return FindCall(viewer_id); };
  context_.next_number = [this] { return next_number_++; };
  context_.on_opened = [this](ViewerCall& call) { return OnOpened(call); };
  context_.on_joined = [this](ViewerCall& call) { by_viewer_id_[call.viewer()->id()] = &call; };
  context_.on_closed = [this](ViewerCall& call) { OnClosed(call); };
}

void GrpcViewerService::AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue) {
  builder.RegisterService(this);
  queue_ = &queue;
  queue.Add("planecast.v1.ViewerService.StreamDisplay",
            [this](GrpcQueue& q, uint64_t id) { return MakeStreamCall(q, id, context_); });
  queue.Add("planecast.v1.ViewerService.WatchDisplay",
            [this](GrpcQueue& q, uint64_t id) { return MakeWatchCall(q, id, context_); });
  // All of these look at the streams, which are the queue's thread's own.
  AddUnary(
      queue, "planecast.v1.ViewerService.ReportViewer", HandlerThread::kQueue, this,
      &GrpcViewerService::RequestReportViewer,
      [this](const auto& exchange) {
        exchange->Finish(Report(exchange->request(), exchange->caller()));
      },
      [this](const v1::ReportViewerRequest& request) -> absl::StatusOr<std::string> {
        const ViewerCall* call = FindCall(request.viewer_id());
        if (call == nullptr) return NoSuchViewer();
        return call->display_id();
      });
  AddUnary(queue, "planecast.v1.ViewerService.ListViewers", HandlerThread::kQueue, this,
           &GrpcViewerService::RequestListViewers, [this](const auto& exchange) {
             exchange->Finish(List(exchange->request(), exchange->response()));
           });
  AddUnary(queue, "planecast.v1.ViewerService.EndViewer", HandlerThread::kQueue, this,
           &GrpcViewerService::RequestEndViewer, [this](const auto& exchange) {
             std::string who;
             const absl::Status status = EndOne(exchange->request(), &who);
             exchange->set_audit_detail(std::move(who));
             exchange->Finish(status);
           });
}

void GrpcViewerService::BeginDrain() {
  if (queue_ == nullptr) return;
  queue_->Post([this] {
    draining_ = true;
    for (ViewerCall* call : streams_) {
      if (call->unstarted()) call->End(ShuttingDown());
    }
  });
}

void GrpcViewerService::AwaitStreamsEnd(std::chrono::system_clock::time_point deadline) {
  std::unique_lock lock(open_mutex_);
  if (open_streams_ == 0) return;
  open_changed_.wait_until(lock, deadline, [this] { return open_streams_ == 0; });
  const auto late = std::min(deadline, std::chrono::system_clock::now() + kLateStreams);
  open_changed_.wait_until(lock, late, [] { return false; });
}

absl::Status GrpcViewerService::OnOpened(ViewerCall& call) {
  streams_.insert(&call);
  CountStreams();
  return draining_ ? ShuttingDown() : absl::OkStatus();
}

void GrpcViewerService::OnClosed(ViewerCall& call) {
  streams_.erase(&call);
  // A viewer that resumed has the id that its stream before had.
  if (call.viewer() != nullptr) {
    const auto found = by_viewer_id_.find(call.viewer()->id());
    if (found != by_viewer_id_.end() && found->second == &call) by_viewer_id_.erase(found);
  }
  CountStreams();
}

void GrpcViewerService::CountStreams() {
  {
    const std::lock_guard lock(open_mutex_);
    open_streams_ = streams_.size();
  }
  open_changed_.notify_all();
}

ViewerCall* GrpcViewerService::FindCall(const std::string& viewer_id) const {
  const auto found = by_viewer_id_.find(viewer_id);
  if (found == by_viewer_id_.end() || found->second->viewer()->closed()) return nullptr;
  return found->second;
}

absl::Status GrpcViewerService::Report(const v1::ReportViewerRequest& request,
                                       const Caller& caller) const {
  ViewerCall* call = FindCall(request.viewer_id());
  // A ticket speaks for its own viewer alone.
  const bool own = !caller.ticket.has_value() || caller.viewer_id == request.viewer_id();
  if (call == nullptr || !own) return NoSuchViewer();
  return Apply(request, *call);
}

absl::Status GrpcViewerService::List(const v1::ListViewersRequest& request,
                                     v1::ListViewersResponse& response) const {
  auto id = DisplayIdFromName(request.parent());
  if (!id.ok()) return id.status();
  if (!registry_.Last(*id).has_value()) {
    return WithReason(absl::NotFoundError(absl::StrCat("no display ", *id, " is attached")),
                      "DISPLAY_NOT_FOUND");
  }
  if (request.page_size() < 0) return absl::InvalidArgumentError("page_size is negative");
  const int size =
      request.page_size() == 0 ? kPageSizeDefault : std::min(request.page_size(), kPageSizeMax);
  uint64_t after = 0;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &after)) {
    return absl::InvalidArgumentError("page_token is not one that a list of viewers gave");
  }
  std::map<uint64_t, ViewerCall*> calls;
  for (ViewerCall* call : streams_) {
    const bool listed = call->viewer() != nullptr && call->display_id() == *id &&
                        !call->viewer()->closed() && call->number() > after;
    if (listed) calls[call->number()] = call;
  }
  for (const auto& [number, call] : calls) {
    if (response.viewers_size() == size) {
      response.set_next_page_token(absl::StrCat(after));
      break;
    }
    call->Describe(wall_, *response.add_viewers());
    after = number;
  }
  return absl::OkStatus();
}

absl::Status GrpcViewerService::EndOne(const v1::EndViewerRequest& request,
                                       std::string* who) const {
  auto number = NumberIn(request.name());
  if (!number.ok()) return number.status();
  if (request.message().size() > kEndMessageMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("message is longer than ", kEndMessageMaxBytes, " bytes"));
  }
  for (ViewerCall* call : streams_) {
    const bool meant = call->viewer() != nullptr && call->name() == request.name();
    if (!meant || call->viewer()->closed()) continue;
    *who = absl::StrCat("viewer ", call->number(), ", ", call->principal());
    call->Evict(request.message().empty() ? "An operator ended this stream." : request.message());
    return absl::OkStatus();
  }
  return NoSuchViewer();
}

}  // namespace planecast
