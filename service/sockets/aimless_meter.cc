#include "service/sockets/aimless_meter.h"

namespace planecast {
namespace {

constexpr double kWindowBytesPerTaken = 2 * kWindowUpdateBytes / kWindowUpdateEveryBytes;

uint64_t Beyond(uint64_t count, uint64_t seen) {
  return count - std::min(count, seen);
}

}  // namespace

bool AimlessMeter::Take(const Counts& counts, const std::function<int()>& unread, int64_t now_ns) {
  const auto messages = static_cast<double>(Beyond(counts.useful, seen_.useful));
  const auto taken = static_cast<double>(Beyond(counts.acknowledged, seen_.acknowledged));
  const double of_use = messages + kWindowBytesPerTaken * taken;
  seen_.useful = std::max(counts.useful, seen_.useful);
  seen_.acknowledged = std::max(counts.acknowledged, seen_.acknowledged);
  last_ = 0;
  const uint64_t came = Beyond(counts.received, seen_.received);
  if (TakeBytes(came, of_use, now_ns)) return true;
  const auto waiting = static_cast<uint64_t>(std::max(unread(), 0));
  return waiting > 0 && TakeBytes(Beyond(came, waiting), of_use, now_ns);
}

bool AimlessMeter::TakeBytes(uint64_t came, double of_use, int64_t now_ns) {
  // Together: what is of use finds room also where the bucket is full.
  const double aimless = static_cast<double>(came) - of_use;
  if (aimless > 0 && !bucket_.Take(aimless, now_ns)) return false;
  if (aimless < 0) bucket_.Give(-aimless, now_ns);
  const double introduced = std::clamp(aimless, 0.0, introduction_);
  introduction_ -= introduced;
  last_ = aimless - introduced;
  seen_.received += came;
  return true;
}

}  // namespace planecast
