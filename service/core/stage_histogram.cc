#include "service/core/stage_histogram.h"

#include <algorithm>
#include <numeric>

namespace planecast {

uint64_t StageHistogram::Reading::count() const {
  return std::accumulate(buckets.begin(), buckets.end(), uint64_t{0});
}

void StageHistogram::Add(int64_t duration_ns) {
  duration_ns = std::clamp<int64_t>(duration_ns, 0, kStageDurationMaxNs);
  const auto bound =
      std::lower_bound(kStageBucketBoundsNs.begin(), kStageBucketBoundsNs.end(), duration_ns);
  const auto index = static_cast<size_t>(bound - kStageBucketBoundsNs.begin());
  buckets_[index].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(static_cast<uint64_t>(duration_ns), std::memory_order_relaxed);
}

StageHistogram::Reading StageHistogram::Read() const {
  Reading reading;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    reading.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
  }
  reading.sum_ns = sum_ns_.load(std::memory_order_relaxed);
  return reading;
}

}  // namespace planecast
