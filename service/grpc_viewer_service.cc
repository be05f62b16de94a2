#include "service/grpc_viewer_service.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "service/proto_convert.h"
#include "service/status.h"

namespace planecast {
namespace {

/// How often calls are looked at for what takes too long, while there are any.
constexpr int64_t kTickIntervalNs = 1'000'000'000;
/// Calls that wait for a client, one of each kind.
constexpr size_t kWaitingCalls = 2;
/// How long a drain still answers viewers that come back right after their goodbye.
constexpr std::chrono::milliseconds kLateStreams{200};
/// Wakes the thread without meaning a call.
constexpr uint64_t kNoCall = 0;

absl::Status ShuttingDown() {
  return absl::UnavailableError("the server is shutting down");
}

absl::Status Report(const v1::ReportViewerRequest& request, Viewer& viewer) {
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
                            request.acknowledgement().present_duration_ns());
}

}  // namespace

GrpcViewerService::GrpcViewerService(Registry& registry, const GrpcEventCodec& codec,
                                     const Logger& log, Clock& clock)
    : registry_(registry), log_(log), clock_(clock), wake_tag_(this) {
  context_.service = this;
  context_.registry = &registry_;
  context_.codec = &codec;
  context_.log = &log_;
  context_.clock = &clock_;
  context_.on_accepted = [this](const ViewerCall& call) { return OnAccepted(call); };
  context_.on_ended = [this](const ViewerCall& call) { ended_calls_.push_back(call.id()); };
}

GrpcViewerService::~GrpcViewerService() {
  Stop();
}

void GrpcViewerService::AddTo(grpc::ServerBuilder& builder) {
  builder.RegisterService(this);
  queue_ = builder.AddCompletionQueue();
  context_.queue = queue_.get();
  context_.waker = std::make_shared<GrpcWaker>(queue_.get(), &wake_tag_);
}

void GrpcViewerService::Serve() {
  thread_ = std::thread([this] { Run(); });
}

void GrpcViewerService::BeginDrain() {
  draining_ = true;
  if (context_.waker != nullptr) context_.waker->Wake(kNoCall);
}

void GrpcViewerService::AwaitStreamsEnd(std::chrono::system_clock::time_point deadline) {
  std::unique_lock lock(streams_mutex_);
  if (open_streams_ == 0) return;
  streams_changed_.wait_until(lock, deadline, [this] { return open_streams_ == 0; });
  const auto late = std::min(deadline, std::chrono::system_clock::now() + kLateStreams);
  streams_changed_.wait_until(lock, late, [] { return false; });
}

void GrpcViewerService::CountStreams() {
  const size_t open = calls_.size() - std::min(calls_.size(), kWaitingCalls);
  {
    const std::lock_guard lock(streams_mutex_);
    if (open == open_streams_) return;
    open_streams_ = open;
  }
  streams_changed_.notify_all();
}

void GrpcViewerService::Stop() {
  if (queue_ == nullptr) return;
  if (thread_.joinable()) {
    // The thread shuts its queue down itself, so that it never starts an operation after that.
    stop_requested_ = true;
    context_.waker->Wake(kNoCall);
    thread_.join();
  } else {
    // The server never started. A queue must be drained all the same.
    context_.waker->Close();
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }
  queue_.reset();
}

void GrpcViewerService::Run() {
  Await(&MakeStreamCall);
  Await(&MakeWatchCall);
  int64_t next_tick_ns = clock_.NowNs() + kTickIntervalNs;
  for (;;) {
    void* tag = nullptr;
    bool ok = false;
    // With no more than the calls that wait for a client there is nothing to watch over.
    const auto now = std::chrono::system_clock::now();
    const auto deadline = calls_.size() <= kWaitingCalls
                              ? std::chrono::system_clock::time_point::max()
                              : now + std::chrono::nanoseconds(kTickIntervalNs);
    const auto next = queue_->AsyncNext(&tag, &ok, deadline);
    if (next == grpc::CompletionQueue::SHUTDOWN) break;
    if (next == grpc::CompletionQueue::GOT_EVENT) static_cast<CqTag*>(tag)->OnEvent(ok);
    const int64_t now_ns = clock_.NowNs();
    if (now_ns >= next_tick_ns) {
      next_tick_ns = now_ns + kTickIntervalNs;
      Tick(now_ns);
    }
    for (const uint64_t id : std::exchange(ended_calls_, {})) calls_.erase(id);
    CountStreams();
  }
  calls_.clear();
}

void GrpcViewerService::Await(MakeCall make_call) {
  if (context_.stopped) return;
  const uint64_t id = next_call_id_++;
  auto& call = calls_[id] = make_call(id, context_);
  call->Begin();
}

absl::Status GrpcViewerService::OnAccepted(const ViewerCall& call) {
  Await(call.bidirectional() ? &MakeStreamCall : &MakeWatchCall);
  if (draining_) return ShuttingDown();
  int unstarted = 0;
  for (const auto& [id, other] : calls_) unstarted += other->unstarted() ? 1 : 0;
  if (unstarted <= kUnstartedStreamsMax) return absl::OkStatus();
  return absl::ResourceExhaustedError("too many streams are open without a start; try again soon");
}

void GrpcViewerService::OnWake() {
  for (const uint64_t id : context_.waker->Take()) {
    const auto it = calls_.find(id);
    if (it != calls_.end()) it->second->Pump();
  }
  if (draining_) {
    for (const auto& [id, call] : calls_) {
      if (call->unstarted()) call->End(ShuttingDown());
    }
  }
  if (!stop_requested_ || context_.stopped) return;
  context_.stopped = true;
  context_.waker->Close();
  queue_->Shutdown();
}

void GrpcViewerService::Tick(int64_t now_ns) {
  for (const auto& [id, call] : calls_) call->Tick(now_ns);
}

grpc::ServerUnaryReactor* GrpcViewerService::ReportViewer(grpc::CallbackServerContext* context,
                                                          const v1::ReportViewerRequest* request,
                                                          v1::ReportViewerResponse* /*response*/) {
  auto* reactor = context->DefaultReactor();
  const std::shared_ptr<Viewer> viewer = registry_.FindViewer(request->viewer_id());
  if (viewer == nullptr) {
    reactor->Finish(ToGrpc(absl::NotFoundError(
        "no such viewer is streaming; use the viewer_id of the stream's StreamStarted")));
    return reactor;
  }
  reactor->Finish(ToGrpc(Report(*request, *viewer)));
  return reactor;
}

}  // namespace planecast
