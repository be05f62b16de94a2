// Viewers on bad links, beside viewers on loopback.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "tests/net/net_testing.h"
#include "vfio/clock.h"

namespace planecast::testing {
namespace {

constexpr LinkShape kSlow = {.rate_bps = 2'000'000, .delay_ns = 50 * kMillisecond};
/// What a picture may be old on such a link.
constexpr int64_t kQueueMaxNs = 300 * kMillisecond;

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
  const LinkReport far_report = far_viewer.Observe(2);
  const LinkReport near_report = near_viewer.Last(2);
  Say("slow link", far_report);
  Say("loopback beside it", near_report);
  EXPECT_GT(far_report.units_per_second, 50);
  EXPECT_LT(far_report.latency_p95_ns, kQueueMaxNs);
  EXPECT_GT(near_report.units_per_second, 55);
  EXPECT_EQ(near_report.key_frames, 0u);
}

TEST(SlowLink, GetsMovingPicturesWithAShortQueueAndTheOthersSeeNoDifference) {
  NetDaemon net("video");
  const auto near_client = net.NewClient();
  LinkViewer near_viewer(*near_client, "d", {});
  ASSERT_TRUE(near_viewer.WaitForUnits(10));
  const LinkReport alone = near_viewer.Observe(1);
  const auto relay = net.NewRelay(kSlow);
  const auto far_client = net.NewClient(relay->port());
  LinkViewer far_viewer(*far_client, "d", {.stream = {}, .decode = true});
  const auto deaf_relay = net.NewRelay(kSlow);
  ForeignViewer deaf_viewer(deaf_relay->port());
  Say("slow link at first", far_viewer.Observe(3));
  Say("not acknowledging, at first", deaf_viewer.Last(3));
  const LinkReport far_report = far_viewer.Observe(3);
  const LinkReport deaf_report = deaf_viewer.Last(3);
  const LinkReport beside = near_viewer.Last(3);
  Say("loopback alone", alone);
  Say("slow link", far_report);
  Say("not acknowledging", deaf_report);
  Say("loopback beside them", beside);
  EXPECT_GT(far_report.units_per_second, 10);
  EXPECT_LT(far_report.latency_p95_ns, kQueueMaxNs);
  EXPECT_GT(far_report.readable, far_report.units * 9 / 10) << "a usable picture";
  // Its socket is all that guards it: not so tight, and a hundred times better than without.
  EXPECT_GT(deaf_report.units_per_second, 5);
  EXPECT_LT(deaf_report.latency_p95_ns, 2 * kQueueMaxNs);
  EXPECT_GT(beside.units_per_second, alone.units_per_second * 0.9);
  EXPECT_EQ(beside.key_frames, 0u);
  // The same cap; what differs is which part of the scene was seen.
  EXPECT_LE(beside.quantizer_p50, alone.quantizer_p50 + 4);
}

TEST(SlowLink, AloneGetsWhatItCarriesAndAllWhenItRecovers) {
  NetDaemon net("video");
  const auto relay = net.NewRelay(kSlow);
  const auto client = net.NewClient(relay->port());
  LinkViewer viewer(*client, "d", {});
  viewer.Observe(2);
  const LinkReport slow = viewer.Observe(2);
  Say("slow link alone", slow);
  EXPECT_GT(slow.units_per_second, 10);
  EXPECT_LT(slow.latency_p95_ns, kQueueMaxNs);
  LinkShape fast = kSlow;
  fast.rate_bps = 100'000'000;
  relay->SetShape(fast);
  const int64_t begin_ns = MonotonicClock().NowNs();
  EXPECT_TRUE(viewer.WaitFor([](const LinkViewer& v) {
    return v.units.back().quantizer <= 34 && v.units.size() > 60 &&
           v.units.back().arrival_ns - v.units[v.units.size() - 50].arrival_ns < kOneSecond;
  }));
  std::printf("full rate again after %.1f s\n",
              static_cast<double>(MonotonicClock().NowNs() - begin_ns) / 1e9);
}

TEST(LossyLink, HoldsUpPicturesForTheRetransmissionOnly) {
  NetDaemon net("desktop");
  const auto relay =
      net.NewRelay({.rate_bps = 10'000'000, .delay_ns = 25 * kMillisecond, .loss = 0.02});
  const auto client = net.NewClient(relay->port());
  LinkViewer viewer(*client, "d", {});
  ASSERT_TRUE(viewer.WaitForUnits(30));
  const LinkReport report = viewer.Observe(3);
  Say("2 % lost", report);
  EXPECT_GT(report.units_per_second, 50);
  EXPECT_LT(report.latency_p95_ns, 150 * kMillisecond);
  EXPECT_EQ(report.quantizer_p50, 23) << "losses are no congestion";
}

TEST(StalledLink, OfTenSecondsIsWaitedForAndHurtsNobody) {
  NetDaemon net("desktop");
  const auto near_client = net.NewClient();
  LinkViewer near_viewer(*near_client, "d", {});
  const auto relay = net.NewRelay({.rate_bps = 10'000'000, .delay_ns = 25 * kMillisecond});
  const auto far_client = net.NewClient(relay->port());
  LinkViewer far_viewer(*far_client, "d", {});
  ASSERT_TRUE(near_viewer.WaitForUnits(10));
  ASSERT_TRUE(far_viewer.WaitForUnits(30));
  relay->Stall(10 * kOneSecond);
  const int64_t end_ns = MonotonicClock().NowNs() + 10 * kOneSecond;
  const LinkReport beside = near_viewer.Observe(10);
  // The first unit that was coded after the stall.
  EXPECT_TRUE(far_viewer.WaitFor(
      [end_ns](const LinkViewer& viewer) { return viewer.units.back().encoded_ns >= end_ns; }));
  const int64_t back_ns = MonotonicClock().NowNs();
  const LinkReport after = far_viewer.Observe(1);
  far_viewer.Stop();
  Say("loopback beside a stall", beside);
  Say("after the stall", after);
  EXPECT_GT(beside.units_per_second, 55);
  EXPECT_EQ(beside.key_frames, 0u);
  EXPECT_LT(back_ns - end_ns, kOneSecond);
  EXPECT_LT(after.latency_p95_ns, kQueueMaxNs);
  EXPECT_TRUE(far_viewer.disconnected_ns.empty());
}

TEST(CutLink, IsBackWithinASecondAsTheSameViewer) {
  NetDaemon net("desktop");
  const auto relay = net.NewRelay({.rate_bps = 10'000'000, .delay_ns = 25 * kMillisecond});
  const auto client = net.NewClient(relay->port());
  LinkViewer viewer(*client, "d", {});
  ASSERT_TRUE(viewer.WaitForUnits(10));
  for (int cut = 1; cut <= 2; ++cut) {
    const int64_t cut_ns = MonotonicClock().NowNs();
    relay->Cut();
    ASSERT_TRUE(viewer.WaitFor([cut](const LinkViewer& v) {
      return v.disconnected_ns.size() >= static_cast<size_t>(cut) &&
             v.units.back().arrival_ns > v.disconnected_ns.back();
    }));
    const int64_t back_ns = MonotonicClock().NowNs();
    std::printf("back after %.0f ms\n", static_cast<double>(back_ns - cut_ns) / 1e6);
    EXPECT_LT(back_ns - cut_ns, kOneSecond);
  }
  ASSERT_TRUE(net.daemon().WaitForViewers("d", 1)) << "the broken connections count no more";
  viewer.Stop();
  ASSERT_GE(viewer.started.size(), 3u);
  for (const v1::StreamStarted& started : viewer.started) {
    EXPECT_EQ(started.viewer_id(), viewer.started.front().viewer_id());
  }
}

TEST(Joiner, GetsAPictureAtOnceAndTheOthersMissNone) {
  NetDaemon net("video");
  const auto steady_client = net.NewClient();
  LinkViewer steady(*steady_client, "d", {});
  ASSERT_TRUE(steady.WaitForUnits(30));
  const int64_t begin_ns = MonotonicClock().NowNs();
  std::vector<int64_t> waits_ns;
  for (int i = 0; i < 12; ++i) {
    const auto client = net.NewClient();
    // The connection first, so that what is measured is the stream.
    ASSERT_TRUE(client->GetHostInfo().ok());
    const int64_t join_ns = MonotonicClock().NowNs();
    LinkViewer joiner(*client, "d", {});
    ASSERT_TRUE(joiner.WaitForUnits(1));
    joiner.Stop();
    ASSERT_TRUE(joiner.units.front().key_frame);
    waits_ns.push_back(joiner.units.front().arrival_ns - join_ns);
    ASSERT_TRUE(steady.WaitForUnits(6));
  }
  const double seconds = static_cast<double>(MonotonicClock().NowNs() - begin_ns) / 1e9;
  const LinkReport others = steady.Last(seconds);
  std::sort(waits_ns.begin(), waits_ns.end());
  std::printf("a joiner's first picture after %.1f ms, at most %.1f ms\n",
              static_cast<double>(waits_ns[waits_ns.size() / 2]) / 1e6,
              static_cast<double>(waits_ns.back()) / 1e6);
  Say("others", others);
  // A frame time, the largest picture's encode, and a busy test machine.
  EXPECT_LT(waits_ns[waits_ns.size() / 2], 50 * kMillisecond);
  EXPECT_GT(others.units_per_second, 50);
  EXPECT_EQ(steady.gaps, 0u);
}

}  // namespace
}  // namespace planecast::testing
