#include "service/rpc/grpc_queue.h"

#include <chrono>
#include <utility>

#include "service/access/shares.h"

namespace planecast {
namespace {

/// How often calls are looked at for what takes too long, while there are any.
constexpr int64_t kTickIntervalNs = 1'000'000'000;
/// Wakes the thread without meaning a call.
constexpr uint64_t kNoCall = 0;
/// For lists, descriptors and the like: short, but not as short as a frame's time.
constexpr int kWorkers = 1;
/// A job belongs to a call, and there are no more of these.
constexpr size_t kJobsMax = kCallsMax;

}  // namespace

GrpcQueue::GrpcQueue(Clock& clock, GrpcGate& gate, ConnectionGuard* guard)
    : clock_(clock), gate_(gate), guard_(guard), wake_tag_(this), workers_(kWorkers, kJobsMax) {}

GrpcQueue::~GrpcQueue() {
  Stop();
}

void GrpcQueue::AddTo(grpc::ServerBuilder& builder) {
  queue_ = builder.AddCompletionQueue();
  waker_ = std::make_shared<GrpcWaker>(queue_.get(), &wake_tag_);
}

void GrpcQueue::Add(std::string_view method, MakeCall make_call) {
  kinds_.push_back(std::make_unique<const Kind>(Kind{RuleOf(method), std::move(make_call)}));
}

void GrpcQueue::Serve() {
  thread_ = std::thread([this] { Run(); });
}

void GrpcQueue::Drain() {
  Post([this] {
    for (const auto& [id, entry] : calls_) entry.call->HandleDrain();
  });
}

void GrpcQueue::Stop() {
  if (queue_ == nullptr) return;
  if (thread_.joinable()) {
    // The thread shuts its queue down itself, so that it never starts an operation after that.
    stop_requested_ = true;
    waker_->Wake(kNoCall);
    thread_.join();
  } else {
    // The server never started. A queue must be drained all the same.
    waker_->Close();
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }
  workers_.Stop();
  queue_.reset();
}

void GrpcQueue::Post(std::function<void()> job) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(job));
  }
  if (waker_ != nullptr) waker_->Wake(kNoCall);
}

void GrpcQueue::Run() {
  for (size_t kind = 0; kind < kinds_.size(); ++kind) Await(kind);
  int64_t next_tick_ns = clock_.NowNs() + kTickIntervalNs;
  for (;;) {
    void* tag = nullptr;
    bool ok = false;
    // With no more than the calls that wait for a client there is nothing to watch over.
    const auto now = std::chrono::system_clock::now();
    const auto deadline = calls_.size() <= kinds_.size()
                              ? std::chrono::system_clock::time_point::max()
                              : now + std::chrono::nanoseconds(kTickIntervalNs);
    const auto next = queue_->AsyncNext(&tag, &ok, deadline);
    if (guard_ != nullptr) guard_->NextTurn();
    if (next == grpc::CompletionQueue::SHUTDOWN) break;
    if (next == grpc::CompletionQueue::GOT_EVENT) static_cast<CqTag*>(tag)->OnEvent(ok);
    const int64_t now_ns = clock_.NowNs();
    if (now_ns >= next_tick_ns) {
      next_tick_ns = now_ns + kTickIntervalNs;
      gate_.tickets().Tick();
      for (const auto& [id, entry] : calls_) entry.call->Tick(now_ns);
    }
    for (const uint64_t id : std::exchange(ended_, {})) calls_.erase(id);
  }
  calls_.clear();
}

void GrpcQueue::Await(size_t kind) {
  if (stopped_) return;
  const uint64_t id = next_id_++;
  Entry& entry = calls_[id];
  entry = {kind, kinds_[kind]->make_call(*this, id)};
  entry.call->SetRule(&kinds_[kind]->rule);
  entry.call->Begin();
}

void GrpcQueue::OnAccepted(const GrpcCall& call) {
  Await(calls_.at(call.id()).kind);
}

void GrpcQueue::OnWake() {
  for (const uint64_t id : waker_->Take()) {
    const auto it = calls_.find(id);
    if (it != calls_.end()) it->second.call->OnWake();
  }
  RunPosted();
  if (!stop_requested_ || stopped_) return;
  stopped_ = true;
  waker_->Close();
  queue_->Shutdown();
}

void GrpcQueue::RunPosted() {
  std::vector<std::function<void()>> jobs;
  {
    const std::lock_guard lock(posted_mutex_);
    jobs.swap(posted_);
  }
  for (const auto& job : jobs) job();
}

}  // namespace planecast
