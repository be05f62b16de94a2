#include "service/rpc/viewer_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace planecast {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000'000;

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
