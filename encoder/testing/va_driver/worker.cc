#include <chrono>
#include <utility>

#include "encoder/testing/va_driver/driver.h"

namespace planecast::sw_va {
namespace {

constexpr std::chrono::seconds kHangReset(3);

}  // namespace

Worker::Worker() : thread_([this] { Run(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

uint64_t Worker::Submit(std::function<void()> job, int delay_ms) {
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(job), delay_ms});
    number = ++submitted_;
  }
  changed_.notify_all();
  return number;
}

uint64_t Worker::SubmitHang() {
  const std::lock_guard lock(mutex_);
  if (!hangs_) reset_ = std::chrono::steady_clock::now() + kHangReset;
  hangs_ = true;
  changed_.notify_all();
  return ++submitted_;
}

bool Worker::Done(uint64_t job) const {
  const std::lock_guard lock(mutex_);
  return done_ >= job;
}

bool Worker::Wait(uint64_t job, std::optional<uint64_t> timeout_ns) {
  std::unique_lock lock(mutex_);
  const auto over = [&] { return done_ >= job || ends_; };
  // Longer than this is for ever; a larger number would overflow the clock.
  constexpr uint64_t kForEverNs = 3'600'000'000'000;
  if (!timeout_ns.has_value() || *timeout_ns > kForEverNs) {
    while (!over()) {
      if (!hangs_) {
        changed_.wait(lock);
      } else if (changed_.wait_until(lock, reset_) == std::cv_status::timeout) {
        break;
      }
    }
  } else {
    changed_.wait_for(lock, std::chrono::nanoseconds(*timeout_ns), over);
  }
  return done_ >= job;
}

void Worker::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ends_ || (!jobs_.empty() && !hangs_); });
    if (ends_) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    if (job.delay_ms > 0) {
      changed_.wait_for(lock, std::chrono::milliseconds(job.delay_ms), [&] { return ends_; });
    }
    lock.unlock();
    job.run();
    lock.lock();
    ++done_;
    changed_.notify_all();
  }
}

}  // namespace planecast::sw_va
