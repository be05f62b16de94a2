#include "service/rpc/grpc_viewer_service.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "service/rpc/grpc_unary.h"
#include "service/rpc/proto_convert.h"

namespace planecast {
namespace {

/// How long a drain still answers viewers that come back right after their goodbye.
constexpr std::chrono::milliseconds kLateStreams{200};

absl::Status ShuttingDown() {
  return absl::UnavailableError("the server is shutting down");
}

absl::Status Apply(const v1::ReportViewerRequest& request, Viewer& viewer) {
  if (request.has_acknowledgement()) {
    if (auto status = CheckAcknowledgement(request.acknowledgement()); !status.ok()) return status;
  }
  if (request.has_limits()) {
    auto limits = ToLimits(request.limits());
    if (!limits.ok()) return limits.status();
    if (auto status = viewer.SetLimits(*limits); !status.ok()) return status;
  }
  if (request.key_frame()) viewer.RequestKeyFrame();
  if (!request.has_acknowledgement()) return absl::OkStatus();
  return viewer.Acknowledge(request.acknowledgement().sequence(),
                            {request.acknowledgement().decode_duration_ns(),
                             request.acknowledgement().present_duration_ns()});
}

}  // namespace

GrpcViewerService::GrpcViewerService(Registry& registry, const GrpcEventCodec& codec,
                                     const Logger& log)
    : registry_(registry) {
  context_.service = this;
  context_.registry = &registry_;
  context_.codec = &codec;
  context_.log = &log;
  context_.on_opened = [this](ViewerCall& call) { return OnOpened(call); };
  context_.on_closed = [this](ViewerCall& call) { OnClosed(call); };
}

void GrpcViewerService::AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue) {
  builder.RegisterService(this);
  queue_ = &queue;
  queue.Add([this](GrpcQueue& q, uint64_t id) { return MakeStreamCall(q, id, context_); });
  queue.Add([this](GrpcQueue& q, uint64_t id) { return MakeWatchCall(q, id, context_); });
  AddUnary(queue, HandlerThread::kQueue, this, &GrpcViewerService::RequestReportViewer,
           [this](const auto& exchange) { exchange->Finish(Report(exchange->request())); });
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
  if (draining_) return ShuttingDown();
  const auto unstarted = std::count_if(streams_.begin(), streams_.end(),
                                       [](const ViewerCall* one) { return one->unstarted(); });
  if (unstarted <= kUnstartedStreamsMax) return absl::OkStatus();
  return absl::ResourceExhaustedError("too many streams are open without a start; try again soon");
}

void GrpcViewerService::OnClosed(ViewerCall& call) {
  streams_.erase(&call);
  CountStreams();
}

void GrpcViewerService::CountStreams() {
  {
    const std::lock_guard lock(open_mutex_);
    open_streams_ = streams_.size();
  }
  open_changed_.notify_all();
}

absl::Status GrpcViewerService::Report(const v1::ReportViewerRequest& request) const {
  const std::shared_ptr<Viewer> viewer = registry_.FindViewer(request.viewer_id());
  if (viewer != nullptr) return Apply(request, *viewer);
  return absl::NotFoundError(
      "no such viewer is streaming; use the viewer_id of the stream's StreamStarted");
}

}  // namespace planecast
