#include "encoder/va/va_wait.h"

#include <atomic>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr int64_t kGpuTimeoutNs = 2'000'000'000;

std::atomic<int64_t> timeout_for_test_ns = 0;

absl::Status TimedOut(int64_t timeout_ns) {
  return absl::DeadlineExceededError(
      absl::StrCat("the GPU did not finish a picture within ", timeout_ns / 1'000'000, " ms"));
}

}  // namespace

int64_t GpuTimeoutNs() {
  const int64_t for_test_ns = timeout_for_test_ns;
  return for_test_ns != 0 ? for_test_ns : kGpuTimeoutNs;
}

void SetGpuTimeoutForTest(int64_t timeout_ns) {
  timeout_for_test_ns = timeout_ns;
}

VaWait::VaWait(std::shared_ptr<VaDisplay> display) : display_(std::move(display)) {}

VaWait::~VaWait() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::Status VaWait::ForPicture(VABufferID coded, VASurfaceID surface, int64_t timeout_ns) {
  if (!display_->has_sync_buffer()) return ForSurface(surface, timeout_ns);
  const VAStatus status = vaSyncBuffer(display_->get(), coded, static_cast<uint64_t>(timeout_ns));
  if (status == VA_STATUS_ERROR_TIMEDOUT) return TimedOut(timeout_ns);
  return VaStatus(status, "finish a picture");
}

absl::Status VaWait::ForSurface(VASurfaceID surface, int64_t timeout_ns) {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  wanted_ = surface;
  done_ = false;
  changed_.notify_all();
  if (!changed_.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [&] { return done_; })) {
    return TimedOut(timeout_ns);
  }
  return VaStatus(result_, "finish a picture");
}

void VaWait::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ends_ || wanted_ != VA_INVALID_SURFACE; });
    if (ends_) return;
    const VASurfaceID surface = std::exchange(wanted_, VA_INVALID_SURFACE);
    lock.unlock();
    const VAStatus status = vaSyncSurface(display_->get(), surface);
    lock.lock();
    result_ = status;
    done_ = true;
    changed_.notify_all();
  }
}

}  // namespace planecast
