#include "service/sockets/token_bucket.h"

#include <gtest/gtest.h>

namespace planecast {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(TokenBucketTest, GivesWhatCameInAndNoMore) {
  TokenBucket bucket(10, 3);
  int64_t now_ns = 5 * kSecond;
  EXPECT_TRUE(bucket.Take(3, now_ns));
  EXPECT_FALSE(bucket.Take(1, now_ns));
  EXPECT_TRUE(bucket.Take(0, now_ns));
  now_ns += kSecond / 10;
  EXPECT_TRUE(bucket.Take(1, now_ns));
  EXPECT_FALSE(bucket.Take(1, now_ns));
  // A long pause fills it, and no fuller than full.
  now_ns += 1000 * kSecond;
  EXPECT_FALSE(bucket.Take(4, now_ns));
  EXPECT_TRUE(bucket.Take(3, now_ns));
  EXPECT_FALSE(bucket.Take(1, now_ns));
}

TEST(TokenBucketTest, WhatIsGivenFitsInOrIsLost) {
  TokenBucket bucket(1, 10);
  const int64_t now_ns = 5 * kSecond;
  EXPECT_TRUE(bucket.Take(10, now_ns));
  bucket.Give(4, now_ns);
  EXPECT_TRUE(bucket.Take(4, now_ns));
  EXPECT_FALSE(bucket.Take(1, now_ns));
  bucket.Give(1000, now_ns);
  EXPECT_FALSE(bucket.Take(11, now_ns));
  EXPECT_TRUE(bucket.Take(10, now_ns));
}

}  // namespace
}  // namespace planecast
