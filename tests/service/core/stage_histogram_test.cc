#include "service/core/stage_histogram.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>
#include <vector>

namespace planecast {
namespace {

TEST(StageHistogramTest, ABoundBelongsToItsBucket) {
  StageHistogram histogram;
  for (const int64_t bound_ns : kStageBucketBoundsNs) {
    histogram.Add(bound_ns);
    histogram.Add(bound_ns + 1);
  }
  const StageHistogram::Reading reading = histogram.Read();
  EXPECT_EQ(reading.buckets.front(), 1u);
  for (size_t i = 1; i < kStageBucketBoundsNs.size(); ++i) EXPECT_EQ(reading.buckets[i], 2u) << i;
  EXPECT_EQ(reading.buckets.back(), 1u);
  EXPECT_EQ(reading.count(), 2 * kStageBucketBoundsNs.size());
}

TEST(StageHistogramTest, BoundsRise) {
  for (size_t i = 1; i < kStageBucketBoundsNs.size(); ++i) {
    EXPECT_LT(kStageBucketBoundsNs[i - 1], kStageBucketBoundsNs[i]);
  }
}

TEST(StageHistogramTest, AbsurdDurationsAreCutToWhatIsPossible) {
  StageHistogram histogram;
  histogram.Add(std::numeric_limits<int64_t>::min());
  histogram.Add(std::numeric_limits<int64_t>::max());
  const StageHistogram::Reading reading = histogram.Read();
  EXPECT_EQ(reading.buckets.front(), 1u);
  EXPECT_EQ(reading.buckets.back(), 1u);
  EXPECT_EQ(reading.sum_ns, static_cast<uint64_t>(kStageDurationMaxNs));
}

TEST(StageHistogramTest, ThreadsMayAddWhileAnotherReads) {
  constexpr uint64_t kPerThread = 2000;
  StageHistogram histogram;
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&histogram, t] {
      for (uint64_t i = 0; i < kPerThread; ++i) histogram.Add(t * 1'000'000);
    });
  }
  uint64_t before = 0;
  while (before < 3 * kPerThread) {
    const uint64_t count = histogram.Read().count();
    EXPECT_GE(count, before);
    before = count;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(histogram.Read().sum_ns, kPerThread * 3'000'000);
}

}  // namespace
}  // namespace planecast
