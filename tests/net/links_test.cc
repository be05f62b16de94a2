// Viewers on bad links, beside viewers on loopback.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/net/net_testing.h"

namespace planecast::testing {
namespace {

constexpr LinkShape kSlow = {.rate_bps = 2'000'000, .delay_ns = 50 * kMillisecond};

void Say(const char* who, const LinkReport& report) {
  std::printf("%-28s %s\n", who, Describe(report).c_str());
}

TEST(SlowLink, ShowsADesktopAtTheFullRate) {
  NetDaemon net("desktop");
  const auto near_client = net.NewClient();
  LinkViewer near_viewer(*near_client, "d", {});
  ASSERT_TRUE(near_viewer.WaitForUnits(10));
  const auto relay = net.NewRelay(kSlow);
  const auto far_client = net.NewClient(relay->port());
  LinkViewer far_viewer(*far_client, "d", {});
  ASSERT_TRUE(far_viewer.WaitForUnits(30));
  const LinkReport far_report = far_viewer.Observe(3);
  const LinkReport near_report = near_viewer.Observe(1);
  Say("slow link", far_report);
  Say("loopback", near_report);
  EXPECT_GT(far_report.units_per_second, 50);
  EXPECT_LT(far_report.latency_p95_ns, 300 * kMillisecond);
  EXPECT_GT(near_report.units_per_second, 55);
  EXPECT_EQ(near_report.key_frames, 0u);
}

TEST(SlowLink, GetsMovingPicturesWithAShortQueueAndTheOthersSeeNoDifference) {
  NetDaemon net("video");
  const auto near_client = net.NewClient();
  LinkViewer near_viewer(*near_client, "d", {});
  ASSERT_TRUE(near_viewer.WaitForUnits(10));
  const LinkReport alone = near_viewer.Observe(2);
  const auto relay = net.NewRelay(kSlow);
  const auto far_client = net.NewClient(relay->port());
  LinkViewer far_viewer(*far_client, "d", {.stream = {}, .decode = true});
  const LinkReport start = far_viewer.Observe(3);
  const LinkReport far_report = far_viewer.Observe(4);
  const LinkReport beside = near_viewer.Observe(2);
  Say("loopback alone", alone);
  Say("slow link at first", start);
  Say("slow link", far_report);
  Say("loopback beside it", beside);
  EXPECT_GT(far_report.units_per_second, 10);
  EXPECT_LT(far_report.latency_p95_ns, 300 * kMillisecond);
  EXPECT_GT(far_report.readable, far_report.units * 9 / 10);
  EXPECT_GT(beside.units_per_second, 50);
  EXPECT_EQ(beside.key_frames, 0u);
  EXPECT_LE(beside.quantizer_p50, alone.quantizer_p50 + 2);
}

TEST(SlowLink, AloneGetsMovingPicturesWithAShortQueue) {
  NetDaemon net("video");
  const auto relay = net.NewRelay(kSlow);
  const auto far_client = net.NewClient(relay->port());
  LinkViewer far_viewer(*far_client, "d", {.stream = {}, .decode = true});
  const LinkReport start = far_viewer.Observe(3);
  const LinkReport far_report = far_viewer.Observe(4);
  Say("slow link at first", start);
  Say("slow link", far_report);
  EXPECT_GT(far_report.units_per_second, 10);
  EXPECT_LT(far_report.latency_p95_ns, 300 * kMillisecond);
}

TEST(SlowLink, WithoutAcknowledgementsIsGuardedByItsSocket) {
  NetDaemon net("video");
  const auto near_client = net.NewClient();
  LinkViewer near_viewer(*near_client, "d", {});
  ASSERT_TRUE(near_viewer.WaitForUnits(10));
  const auto relay = net.NewRelay(kSlow);
  ForeignViewer far_viewer(relay->port());
  const LinkReport start = far_viewer.Observe(3);
  const LinkReport far_report = far_viewer.Observe(3);
  const LinkReport beside = near_viewer.Observe(1);
  Say("not acknowledging, at first", start);
  Say("not acknowledging", far_report);
  Say("loopback beside it", beside);
  EXPECT_GT(far_report.units_per_second, 5);
  EXPECT_LT(far_report.latency_p95_ns, 600 * kMillisecond);
  EXPECT_GT(beside.units_per_second, 50);
}

}  // namespace
}  // namespace planecast::testing
