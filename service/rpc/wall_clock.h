// Monotonic time as a person's time.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>

#include "vfio/clock.h"

namespace planecast {

/// Converts the monotonic times of the core to wall-clock timestamps. Thread-safe.
///
/// The offset between both clocks is taken once, so that a time that was told twice is the same
/// twice; after the host's wall clock was stepped, told times keep the old reckoning.
class WallClock {
 public:
  /// `monotonic` must outlive this.
  explicit WallClock(Clock& monotonic);

  google::protobuf::Timestamp At(int64_t monotonic_ns) const;
  Clock& monotonic() const { return monotonic_; }

 private:
  Clock& monotonic_;
  int64_t offset_ns_;
};

/// The wall clock now.
google::protobuf::Timestamp WallNow();

}  // namespace planecast
