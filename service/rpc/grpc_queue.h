// The server's one completion queue and the calls on it.
#pragma once

#include <grpcpp/server_builder.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "service/rpc/grpc_call.h"
#include "service/rpc/grpc_waker.h"
#include "service/rpc/worker_pool.h"
#include "vfio/clock.h"

namespace planecast {

/// One completion queue and one thread for all calls of a server.
///
/// One, because gRPC's threads share one epoll set: each further thread that waits for anything of
/// gRPC's, a callback API's or a synchronous service's among them, takes turns in waiting for the
/// sockets and hands what it finds to the others. Measured with 100 viewers, a server with one
/// callback service besides spends twice as much on each message as one without.
///
/// In this order: AddTo, Add for each kind of call, BuildAndStart of the builder, Serve; at the
/// end Drain, the server's Shutdown, Stop. What calls use must outlive Stop.
class GrpcQueue {
 public:
  /// Makes a call of one kind, which is to wait for a client with the id.
  using MakeCall = std::function<std::unique_ptr<GrpcCall>(GrpcQueue& queue, uint64_t id)>;

  /// All must outlive the queue; `gate` judges every call, and `guard` counts them. Null: nobody
  /// does.
  GrpcQueue(Clock& clock, GrpcGate& gate, ConnectionGuard* guard = nullptr);
  ~GrpcQueue();
  GrpcQueue(const GrpcQueue&) = delete;
  GrpcQueue& operator=(const GrpcQueue&) = delete;

  void AddTo(grpc::ServerBuilder& builder);
  /// From Serve on, one call of this kind waits for a client at any time. `method` is its full
  /// name, e.g. `planecast.v1.DisplayService.GetDisplay`, by which the gate knows what it needs.
  void Add(std::string_view method, MakeCall make_call);
  void Serve();
  /// Before the server's shutdown, which waits for all calls: ends those that nothing else ends.
  /// Thread-safe.
  void Drain();
  /// Ends the thread. Idempotent.
  void Stop();

  /// Runs `job` on the queue's thread, unless that ends before. It must not block. Any thread.
  void Post(std::function<void()> job);
  /// Wakes calls by their id; outlives the queue, for those who may be late.
  const std::shared_ptr<GrpcWaker>& waker() const { return waker_; }

  // --- For calls, on the queue's thread.

  grpc::ServerCompletionQueue* queue() { return queue_.get(); }
  Clock& clock() { return clock_; }
  GrpcGate& gate() { return gate_; }
  /// May be null.
  ConnectionGuard* guard() { return guard_; }
  /// For what takes too long for this thread, and never waits for a device or a client.
  WorkerPool& workers() { return workers_; }
  /// The queue was shut down: no operation may be started any more.
  bool stopped() const { return stopped_; }
  /// The next one of its kind is to wait for a client.
  void OnAccepted(const GrpcCall& call);
  /// The call may be deleted, once it returned to the thread's loop.
  void OnEnded(const GrpcCall& call) { ended_.push_back(call.id()); }

 private:
  class WakeTag final : public CqTag {
   public:
    explicit WakeTag(GrpcQueue* queue) : queue_(queue) {}
    void OnEvent(bool /*ok*/) override { queue_->OnWake(); }

   private:
    GrpcQueue* queue_;
  };
  struct Kind {
    MethodRule rule;
    MakeCall make_call;
  };
  struct Entry {
    size_t kind = 0;
    std::unique_ptr<GrpcCall> call;
  };

  void Run();
  void OnWake();
  void Await(size_t kind);
  void RunPosted();

  Clock& clock_;
  GrpcGate& gate_;
  ConnectionGuard* const guard_;
  WakeTag wake_tag_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::shared_ptr<GrpcWaker> waker_;
  std::atomic<bool> stop_requested_{false};

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;

  // The thread's own.
  std::vector<std::unique_ptr<const Kind>> kinds_;
  std::unordered_map<uint64_t, Entry> calls_;
  std::vector<uint64_t> ended_;
  uint64_t next_id_ = 1;
  bool stopped_ = false;

  WorkerPool workers_;
  std::thread thread_;
};

}  // namespace planecast
