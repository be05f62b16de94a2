// How other threads tell a queue's thread that calls have something to do.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <cstdint>
#include <mutex>
#include <vector>

namespace planecast {

/// What a completion queue of ours gives back.
class CqTag {
 public:
  virtual ~CqTag() = default;
  /// On the queue's thread; `ok` as gRPC documents it for the operation.
  virtual void OnEvent(bool ok) = 0;
};

/// Collects the ids of streams that have something to do, and posts one event per batch: a frame
/// for fifty viewers wakes the queue's thread once. Thread-safe.
class GrpcWaker {
 public:
  /// `queue` must outlive Close(). `tag` is posted when there are ids to Take.
  GrpcWaker(grpc::CompletionQueue* queue, CqTag* tag) : queue_(queue), tag_(tag) {}

  /// Never blocks; may be called after Close, without effect.
  void Wake(uint64_t id);
  /// Queue's thread, in the tag's event: the ids since the last call.
  std::vector<uint64_t> Take();
  /// No event is posted any more. To be called before the queue is shut down.
  void Close();

 private:
  grpc::CompletionQueue* const queue_;
  CqTag* const tag_;
  std::mutex mutex_;
  std::vector<uint64_t> ids_;
  /// The alarm was set and its event was not taken yet.
  bool posted_ = false;
  bool closed_ = false;
  grpc::Alarm alarm_;
};

}  // namespace planecast
