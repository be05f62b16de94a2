// A few threads for what may block: opening and closing devices, compressing snapshots.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

namespace planecast {

/// Runs jobs on a fixed number of threads, in the order they came. Thread-safe.
class WorkerPool {
 public:
  /// At most `queue_max` jobs wait for a thread. With kLow the threads are nicer than others by the
  /// time that this returns: what can wait takes no core from what can't.
  enum class Priority { kNormal, kLow };
  WorkerPool(int threads, size_t queue_max, Priority priority = Priority::kNormal);
  ~WorkerPool() { Stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Takes a job, or returns false and drops it if the queue is full.
  [[nodiscard]] bool Submit(std::function<void()> job);
  /// Runs what is queued, then ends; takes nothing any more. Idempotent. Not for a job to call.
  void Stop();

 private:
  void Run();
  /// Runs as soon as its thread is as nice as it is to be.
  void RunNicely(std::latch& ready);

  const size_t queue_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace planecast
