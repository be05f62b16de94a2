#include "service/rpc/wall_clock.h"

#include <ctime>

namespace planecast {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

int64_t WallNowNs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

google::protobuf::Timestamp ToTimestamp(int64_t wall_ns) {
  google::protobuf::Timestamp stamp;
  stamp.set_seconds(wall_ns / kNsPerSecond);
  stamp.set_nanos(static_cast<int32_t>(wall_ns % kNsPerSecond));
  return stamp;
}

}  // namespace

WallClock::WallClock(Clock& monotonic)
    : monotonic_(monotonic), offset_ns_(WallNowNs() - monotonic.NowNs()) {}

google::protobuf::Timestamp WallClock::At(int64_t monotonic_ns) const {
  return ToTimestamp(monotonic_ns + offset_ns_);
}

google::protobuf::Timestamp WallNow() {
  return ToTimestamp(WallNowNs());
}

}  // namespace planecast
