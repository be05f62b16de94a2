// The limit on failed tries.
#include "service/access/try_limiter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/service/access/access_testing.h"
#include "vfio/clock.h"

namespace planecast {
namespace {

using ::planecast::testing::kSecond;

int Within(TryLimiter& limiter, const std::string& key, int tries) {
  int within = 0;
  for (int i = 0; i < tries; ++i) within += limiter.Failed(key) ? 1 : 0;
  return within;
}

TEST(TryLimiterTest, TwentyAtOnceThenOneASecond) {
  ManualClock clock;
  TryLimiter limiter(clock, {});
  EXPECT_EQ(Within(limiter, "a", 100), 20);
  clock.Advance(kSecond - 1);
  EXPECT_EQ(Within(limiter, "a", 10), 0);
  clock.Advance(1);
  EXPECT_EQ(Within(limiter, "a", 10), 1);
  clock.Advance(3 * kSecond);
  EXPECT_EQ(Within(limiter, "a", 10), 3);
}

TEST(TryLimiterTest, WhatIsOverTheLimitCostsNothingLater) {
  ManualClock clock;
  TryLimiter limiter(clock, {});
  Within(limiter, "a", 10'000);
  clock.Advance(20 * kSecond);
  EXPECT_EQ(Within(limiter, "a", 100), 20);
}

TEST(TryLimiterTest, NobodySavesUpMoreThanTheBurst) {
  ManualClock clock;
  TryLimiter limiter(clock, {});
  Within(limiter, "a", 1);
  clock.Advance(3600 * kSecond);
  EXPECT_EQ(Within(limiter, "a", 100), 20);
}

TEST(TryLimiterTest, PeersDontCountForEachOther) {
  ManualClock clock;
  TryLimiter limiter(clock, {});
  Within(limiter, "a", 100);
  EXPECT_EQ(Within(limiter, "b", 100), 20);
}

TEST(TryLimiterTest, RemembersSoManyPeersAndForgetsTheLongestIdle) {
  ManualClock clock;
  TryLimiter limiter(clock, {.burst = 2, .refill_ns = kSecond, .peers_max = 3});
  for (const char* key : {"a", "b", "c"}) Within(limiter, key, 2);
  // Also a failure over the limit counts as not idle.
  EXPECT_EQ(Within(limiter, "a", 1), 0);
  Within(limiter, "d", 2);
  EXPECT_EQ(limiter.peers(), 3U);
  EXPECT_EQ(Within(limiter, "a", 1), 0);
  EXPECT_EQ(Within(limiter, "b", 1), 1) << "b was forgotten";
}

TEST(TryLimiterTest, TheDefaultIsBounded) {
  ManualClock clock;
  TryLimiter limiter(clock, {});
  for (int i = 0; i < 10'000; ++i) limiter.Failed(std::to_string(i));
  EXPECT_EQ(limiter.peers(), 4096U);
}

TEST(TryLimiterTest, ThreadsShareABucket) {
  ManualClock clock;
  TryLimiter limiter(clock, {});
  std::atomic<int> within = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { within += Within(limiter, "a", 50); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(within, 20);
}

}  // namespace
}  // namespace planecast
