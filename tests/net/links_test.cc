// Viewers on bad links, beside viewers on loopback.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/net/net_testing.h"

namespace planecast::testing {
namespace {

constexpr LinkShape kDsl = {.rate_bps = 2'000'000, .delay_ns = 50 * kMillisecond};

void Say(const char* who, const LinkReport& report) {
  std::printf("%-28s %s\n", who, Describe(report).c_str());
}

TEST(SlowLink, BaselineDesktop) {
  for (const char* scene : {"desktop", "video"}) {
    NetDaemon net(scene);
    const auto near_client = net.NewClient();
    {
      LinkViewer near_viewer(*near_client, "d", {});
      ASSERT_TRUE(near_viewer.WaitForUnits(10));
      Say("loopback alone", near_viewer.Observe(3));
      const auto relay = net.NewRelay(kDsl);
      const auto far_client = net.NewClient(relay->port());
      LinkViewer far_viewer(*far_client, "d", {});
      Say("start-up far", far_viewer.Observe(3));
      const LinkReport far_report = far_viewer.Observe(5);
      Say("slow, acknowledging", far_report);
      Say("loopback beside it", near_viewer.Observe(3));
      far_viewer.Stop();
      const auto far2 = net.NewClient(relay->port());
      LinkViewer deaf(*far2, "d", {.stream = {.acknowledge = AcknowledgeMode::kNever}});
      deaf.Observe(3);
      Say("slow, not acknowledging", deaf.Observe(5));
      Say("loopback beside it", near_viewer.Observe(3));
    }
    const auto relay = net.NewRelay(kDsl);
    const auto far_client = net.NewClient(relay->port());
    LinkViewer far_viewer(*far_client, "d", {});
    far_viewer.Observe(3);
    Say("slow alone, acknowledging", far_viewer.Observe(5));
  }
}

}  // namespace
}  // namespace planecast::testing
