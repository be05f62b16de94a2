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

}  // namespace
}  // namespace planecast::testing
