#include "service/rpc/viewer_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace planecast {
namespace {

using ::testing::HasSubstr;

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

TEST(ViewerMeterTest, AViewerAtFullRateIsNeverToldToStop) {
  ViewerMeter meter;
  for (int64_t i = 0; i < 60 * 240; ++i) {
    ASSERT_TRUE(meter.Note(1, i * kSecond / 240).ok()) << i;
  }
  // Nor is one whose network held everything back for a second.
  for (int i = 0; i < 240; ++i) ASSERT_TRUE(meter.Note(1, 60 * kSecond).ok()) << i;
}

TEST(ViewerMeterTest, AFloodIsToldWhatItIs) {
  ViewerMeter acknowledging;
  absl::Status status;
  for (int i = 0; status.ok() && i < 100; ++i) status = acknowledging.Note(64, kSecond);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 480 units a second"));
  ViewerMeter talking;
  status = absl::OkStatus();
  for (int i = 0; status.ok() && i < 10'000; ++i) status = talking.Note(0, kSecond);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 2480 messages a second"));
}

TEST(ViewerMeterTest, LimitsChangeTenTimesASecond) {
  ViewerMeter meter;
  int changes = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    if (meter.TakeLimitsChange(kSecond + i * kSecond / 100)) ++changes;
  }
  EXPECT_GE(changes, 100);
  EXPECT_LE(changes, 110);
}

}  // namespace
}  // namespace planecast
