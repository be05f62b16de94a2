#include "service/core/wake_signal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace planecast {

WakeSignal::WakeSignal() : fd_(KernelSys(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void WakeSignal::Wake() {
  // Only the first of many wakes needs a system call.
  if (woken_.exchange(true)) return;
  const uint64_t one = 1;
  // Can't fail but for an invalid fd: the counter never comes near its limit.
  [[maybe_unused]] const ssize_t written = write(fd_.get(), &one, sizeof(one));
}

void WakeSignal::WakeIfAwaited() {
  if (ready_awaited_.load()) Wake();
}

bool WakeSignal::Clear() {
  uint64_t count = 0;
  // The fd first: a Wake between the two is lost only after what it tells of was made visible to
  // the caller. The other way round, the fd could be empty with woken_ set, for ever.
  const bool readable = read(fd_.get(), &count, sizeof(count)) == sizeof(count);
  return woken_.exchange(false) || readable;
}

}  // namespace planecast
