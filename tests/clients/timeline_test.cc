#include "clients/cli/timeline.h"

#include <gtest/gtest.h>

#include <limits>

namespace planecast::cli {
namespace {

constexpr int64_t kMs = 1'000'000;

v1::AccessUnit Unit(int64_t flip_ms, int64_t encoded_ms) {
  v1::AccessUnit unit;
  unit.set_flip_time_ns(flip_ms * kMs);
  unit.set_encoded_time_ns(encoded_ms * kMs);
  return unit;
}

TEST(TimelineTest, BeginsWithTheFirstPictureAndFollowsFlips) {
  Timeline timeline;
  timeline.OnStarted(100 * kMs);
  EXPECT_EQ(timeline.Place(Unit(120, 125), 1000 * kMs), 0);
  EXPECT_EQ(timeline.Place(Unit(137, 150), 1040 * kMs), 17 * kMs);
}

TEST(TimelineTest, CountsFromTheStreamsBeginWhereTheGuestFlippedLongBefore) {
  Timeline timeline;
  timeline.OnStarted(60'000 * kMs);
  EXPECT_EQ(timeline.Place(Unit(5'000, 60'010), 0), 0);
  EXPECT_EQ(timeline.Place(Unit(60'500, 60'510), 500 * kMs), 500 * kMs);
}

TEST(TimelineTest, ShowsAPictureThatIsCodedAgainWhenItWasCoded) {
  Timeline timeline;
  timeline.OnStarted(0);
  timeline.Place(Unit(100, 110), 0);
  EXPECT_EQ(timeline.Place(Unit(100, 400), 300 * kMs), 300 * kMs);
}

TEST(TimelineTest, GoesOnByTheClientsClockAfterAReconnect) {
  Timeline timeline;
  timeline.OnStarted(900'000 * kMs);
  timeline.Place(Unit(900'000, 900'000), 0);
  timeline.OnDisconnected();
  timeline.OnStarted(3 * kMs);  // The server's clock began afresh.
  EXPECT_EQ(timeline.Place(Unit(1, 5), 2'000 * kMs), 2'000 * kMs);
  EXPECT_EQ(timeline.Place(Unit(105, 110), 2'100 * kMs), 2'100 * kMs);
}

TEST(TimelineTest, AlwaysMovesForwardAndDisbelievesAbsurdTimes) {
  Timeline timeline;
  timeline.OnStarted(std::numeric_limits<int64_t>::min());
  int64_t last_ns = timeline.Place(Unit(10, 10), 0);
  v1::AccessUnit absurd;
  for (const int64_t flip_ns :
       {std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(), int64_t{0}}) {
    absurd.set_flip_time_ns(flip_ns);
    absurd.set_encoded_time_ns(flip_ns);
    const int64_t time_ns = timeline.Place(absurd, 20 * kMs);
    EXPECT_GT(time_ns, last_ns);
    EXPECT_LT(time_ns, 1'000 * kMs);
    last_ns = time_ns;
  }
}

TEST(TimelineTest, GrowsWhileNothingChanges) {
  Timeline timeline;
  EXPECT_EQ(timeline.LengthAt(5 * kMs), 0);
  timeline.Place(Unit(0, 0), 1'000 * kMs);
  EXPECT_EQ(timeline.LengthAt(4'000 * kMs), 3'000 * kMs);
}

}  // namespace
}  // namespace planecast::cli
