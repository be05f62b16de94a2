// How long something took, by size, since the beginning.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace planecast {

/// Upper bounds of the buckets, each included; durations beyond the last have a bucket of their
/// own. Those from 4 to 33 ms are parts of a frame at 240, 120, 60 and 30 Hz.
inline constexpr std::array<int64_t, 16> kStageBucketBoundsNs = {
    50'000,      100'000,     250'000,       500'000,      1'000'000,  2'000'000,
    4'000'000,   8'000'000,   16'000'000,    33'000'000,   66'000'000, 125'000'000,
    250'000'000, 500'000'000, 1'000'000'000, 2'500'000'000};
/// Longer durations count as this, so that no single one, which may be a client's word, spoils the
/// sum.
inline constexpr int64_t kStageDurationMaxNs = 60'000'000'000;

/// Counts durations by size. Thread-safe, without locks: any number of threads add while others
/// read.
class StageHistogram {
 public:
  /// What was counted. A value.
  struct Reading {
    /// As kStageBucketBoundsNs, not cumulative; the last is beyond all bounds.
    std::array<uint64_t, kStageBucketBoundsNs.size() + 1> buckets = {};
    /// Of all durations. May lack or have those that were added during the reading.
    uint64_t sum_ns = 0;

    uint64_t count() const;
  };

  /// Adds a duration in ns; negative ones count as 0.
  void Add(int64_t duration_ns);
  Reading Read() const;

 private:
  std::array<std::atomic<uint64_t>, kStageBucketBoundsNs.size() + 1> buckets_ = {};
  std::atomic<uint64_t> sum_ns_{0};
};

}  // namespace planecast
