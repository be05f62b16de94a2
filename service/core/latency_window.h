// Latencies of one stage over a window.
#pragma once

#include <cstdint>
#include <vector>

#include "service/core/stream_event.h"

namespace planecast {

/// Samples kept per window; of more, only the count and the largest are kept.
inline constexpr size_t kLatencySamplesMax = 512;

/// Collects samples until they are summed up. Thread-compatible.
class LatencyWindow {
 public:
  /// Adds a duration; negative ones count as 0.
  void Add(int64_t duration_ns);
  /// Sums up and starts afresh.
  StageLatency Take();

 private:
  std::vector<int64_t> samples_ns_;
  int64_t count_ = 0;
  int64_t max_ns_ = 0;
};

}  // namespace planecast
