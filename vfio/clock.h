// Time, injectable.
#pragma once

#include <cstdint>

namespace planecast {

/// A monotonic clock. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  /// CLOCK_MONOTONIC or a test's idea of it, in ns.
  virtual int64_t NowNs() = 0;
};

/// The machine's CLOCK_MONOTONIC. Stateless, lives for ever.
Clock& MonotonicClock();

/// A clock that a test moves by hand. Not thread-safe against Advance.
class ManualClock : public Clock {
 public:
  int64_t NowNs() override { return now_ns_; }
  void Advance(int64_t duration_ns) { now_ns_ += duration_ns; }
  void Set(int64_t now_ns) { now_ns_ = now_ns; }

 private:
  int64_t now_ns_ = 1'000'000'000;
};

}  // namespace planecast
