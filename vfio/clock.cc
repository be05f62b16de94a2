#include "vfio/clock.h"

#include <time.h>

namespace planecast {
namespace {

class KernelMonotonicClock : public Clock {
 public:
  int64_t NowNs() override {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  }
};

}  // namespace

Clock& MonotonicClock() {
  static KernelMonotonicClock clock;
  return clock;
}

}  // namespace planecast
