// The kernel's own TCP behind a token bucket: a network namespace whose loopback is slow.
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "tests/net/net_testing.h"

namespace planecast::testing {
namespace {

/// Why there is no namespace of ours; empty if there is.
std::string g_why_not;

/// Enters a namespace before there is any other thread, whose sockets would stay outside.
std::string EnterSlowNamespace() {
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return std::string("no network namespace can be made here: ") + std::strerror(errno);
  }
  // A loopback's packets are larger than any bucket otherwise.
  if (system("ip link set lo mtu 1500 up 2> /dev/null") != 0) return "ip can't set up the loopback";
  if (system("tc qdisc add dev lo root tbf rate 2mbit burst 16kb latency 200ms 2> /dev/null") !=
      0) {
    return "tc has no token bucket here";
  }
  return "";
}

TEST(SlowNamespace, GetsMovingPicturesWithAShortQueue) {
  if (!g_why_not.empty()) GTEST_SKIP() << g_why_not;
  NetDaemon net("video");
  // The unix socket is not slow.
  LinkViewer near_viewer(net.daemon().client(), "d", {});
  ASSERT_TRUE(near_viewer.WaitForUnits(10));
  const auto client = net.NewClient();
  LinkViewer far_viewer(*client, "d", {});
  std::printf("at first   %s\n", Describe(far_viewer.Observe(3)).c_str());
  const LinkReport report = far_viewer.Observe(3);
  const LinkReport beside = near_viewer.Last(3);
  std::printf("slow TCP   %s\nbeside it  %s\n", Describe(report).c_str(), Describe(beside).c_str());
  EXPECT_GT(report.units_per_second, 8);
  EXPECT_LT(report.latency_p95_ns, 300 * kMillisecond);
  EXPECT_GT(beside.units_per_second, 50);
  EXPECT_EQ(beside.key_frames, 0u);
}

}  // namespace
}  // namespace planecast::testing

int main(int argc, char** argv) {
  planecast::testing::g_why_not = planecast::testing::EnterSlowNamespace();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
