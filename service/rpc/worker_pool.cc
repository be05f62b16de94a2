#include "service/rpc/worker_pool.h"

#include <sys/resource.h>

#include <utility>

namespace planecast {
namespace {

/// A twentieth of a core where others want all of it: a snapshot of a busy host still comes.
constexpr int kLowNice = 13;

}  // namespace

WorkerPool::WorkerPool(int threads, size_t queue_max, Priority priority) : queue_max_(queue_max) {
  if (priority == Priority::kNormal) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
    return;
  }
  // Waited for, as a filter of system calls may come next.
  std::latch ready(threads);
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this, &ready] { RunNicely(ready); });
  ready.wait();
}

void WorkerPool::Stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool WorkerPool::Submit(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    if (ending_ || jobs_.size() >= queue_max_) return false;
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
  return true;
}

void WorkerPool::RunNicely(std::latch& ready) {
  // Of this thread alone, on Linux. To be nicer needs no privilege; where it fails nonetheless the
  // thread is as nice as the process, which costs some smoothness and no more.
  const int now = getpriority(PRIO_PROCESS, 0);
  if (now < kLowNice) setpriority(PRIO_PROCESS, 0, kLowNice);
  ready.count_down();
  Run();
}

void WorkerPool::Run() {
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace planecast
