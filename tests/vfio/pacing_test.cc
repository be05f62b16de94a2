// The caller's loop on a fake device, with a guest that flips or paints at its own cadence.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/vfio/source_testing.h"

namespace planecast {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

struct Played {
  std::vector<int64_t> ages_ns;
  int64_t looks = 0;
  int64_t primary_queries = 0;
  int64_t AgeNs(double quantile) {
    std::sort(ages_ns.begin(), ages_ns.end());
    return ages_ns[static_cast<size_t>(quantile * static_cast<double>(ages_ns.size() - 1))];
  }
};

// Plays a display's loop for `duration_ns`; the guest changes its screen every `period_ns`, or
// never if that is 0. Its display blanks every `vblank_ns`, which the drafts signal without a flip.
// The first second is not counted.
Played Play(TestSource& test, int64_t period_ns, int64_t duration_ns, bool flips,
            int64_t vblank_ns = 0) {
  const int64_t start_ns = test.clock().NowNs();
  const int64_t end_ns = start_ns + duration_ns;
  test.source().SetWatched(true, start_ns);
  int64_t change_next_ns = period_ns == 0 ? INT64_MAX : start_ns + period_ns;
  int64_t vblank_next_ns = vblank_ns == 0 ? INT64_MAX : start_ns + vblank_ns;
  int64_t change_last_ns = 0;
  bool is_unseen = false;
  uint8_t paint = 0;
  Played run;
  uint64_t queries_before = 0;
  while (true) {
    const int64_t wake_ns = std::min({test.source().NextTimedWorkNs(), test.source().NextLookNs(),
                                      change_next_ns, vblank_next_ns});
    if (wake_ns >= end_ns) break;
    test.clock().Set(std::max(wake_ns, test.clock().NowNs()));
    const int64_t now_ns = test.clock().NowNs();
    if (now_ns >= change_next_ns) {
      if (flips) {
        test.guest().Flip(++paint % 2);
      } else {
        test.guest().PaintInPlace(
            [value = ++paint](std::span<uint8_t> bytes, const PlaneLayout&) { bytes[0] = value; });
      }
      change_last_ns = change_next_ns;
      change_next_ns += period_ns;
      is_unseen = true;
    }
    if (now_ns >= vblank_next_ns) {
      test.guest().Vblank();
      vblank_next_ns += vblank_ns;
    }
    const bool is_counted = now_ns - start_ns > kSecondNs;
    if (!is_counted) queries_before = test.device().counters().primary_queries;
    const PlaneSource::Events events = test.source().HandleEvents(now_ns);
    if (!events.flipped && now_ns < test.source().NextLookNs()) continue;
    const PlaneLook look = test.Look();
    EXPECT_EQ(look.primary, Primary::kFrame);
    test.source().ReportContent(is_unseen, now_ns);
    if (is_counted) {
      ++run.looks;
      if (is_unseen) run.ages_ns.push_back(now_ns - change_last_ns);
    }
    is_unseen = false;
  }
  run.primary_queries =
      static_cast<int64_t>(test.device().counters().primary_queries - queries_before);
  return run;
}

TEST(PacingTest, SeesTheFlipsOfASixtyHertzGuestWithinFourMillisecondsByPolling) {
  TestSource test(FakeProfile::kIdeal);
  test.SetMode(320, 240, 2);
  Played run = Play(test, kSecondNs / 60, 11 * kSecondNs, /*flips=*/true);
  EXPECT_GE(run.ages_ns.size(), 590u);
  EXPECT_LT(run.AgeNs(0.95), 4 * kMillisecondNs);
  EXPECT_LE(run.looks, 620) << "pixels are looked at once a flip";
}

TEST(PacingTest, SeesAGuestThatPaintsInPlaceSoonAfterItPainted) {
  TestSource test(FakeProfile::kMdpy);
  test.SetMode(320, 240);
  Played run = Play(test, kSecondNs / 60, 11 * kSecondNs, /*flips=*/false);
  EXPECT_GE(run.ages_ns.size(), 590u);
  EXPECT_LT(run.AgeNs(0.95), 4 * kMillisecondNs);
  EXPECT_LE(run.looks, 10 * 240);
}

TEST(PacingTest, AStillScreenIsLookedAtTenTimesASecond) {
  for (const FakeProfile profile : {FakeProfile::kMdpy, FakeProfile::kIdeal}) {
    TestSource test(profile);
    test.SetMode(320, 240);
    const Played run = Play(test, 0, 11 * kSecondNs, /*flips=*/false);
    EXPECT_LE(run.looks, 130) << FakeProfileName(profile);
    EXPECT_GE(run.looks, 90) << FakeProfileName(profile);
    EXPECT_LE(run.primary_queries, 10 * 70 + 130) << FakeProfileName(profile);
  }
}

TEST(PacingTest, EventsReplacePollingButForASafetyLook) {
  TestSource test(FakeDeviceOptions{.profile = FakeProfile::kIdeal});
  ASSERT_EQ(test.source().info().flip_regime, FlipRegime::kIrq);
  test.SetMode(320, 240, 2);
  Played idle = Play(test, 0, 11 * kSecondNs, /*flips=*/true);
  EXPECT_LE(idle.looks, 6);
  EXPECT_GE(idle.looks, 2);
  test.source().SetWatched(false, test.clock().NowNs());
  Played flipping = Play(test, kSecondNs / 60, 11 * kSecondNs, /*flips=*/true);
  EXPECT_GE(flipping.ages_ns.size(), 590u);
  EXPECT_EQ(flipping.AgeNs(1.0), 0) << "seen the moment it is signalled";
}

TEST(PacingTest, WhatIsPaintedWithoutAnEventIsFoundSoonAlsoAfterALongTime) {
  TestSource test(FakeDeviceOptions{.profile = FakeProfile::kIdeal});
  ASSERT_EQ(test.source().info().flip_regime, FlipRegime::kIrq);
  test.SetMode(320, 240, 1);
  Play(test, 0, 100 * kSecondNs, /*flips=*/false);
  const int64_t painted_ns = test.clock().NowNs();
  test.guest().PaintInPlace([](std::span<uint8_t> bytes, const PlaneLayout& layout) {
    std::fill_n(bytes.begin() + 40 * layout.stride_bytes, 12 * layout.stride_bytes, 0x55);
  });
  bool found = false;
  while (!found && test.clock().NowNs() < painted_ns + 2 * kSecondNs) {
    test.clock().Set(std::min(test.source().NextTimedWorkNs(), test.source().NextLookNs()));
    found = test.source().HandleEvents(test.clock().NowNs()).flipped;
  }
  EXPECT_TRUE(found);
  EXPECT_LE(test.clock().NowNs() - painted_ns, 1501 * kMillisecondNs);
}

class VblankDialectTest : public testing::TestWithParam<FakeFlipDialect> {};

TEST_P(VblankDialectTest, AStillScreenCostsFewLooksThoughEveryVblankIsSignalled) {
  TestSource test(FakeProfile::kIdeal, GetParam());
  ASSERT_EQ(test.source().info().flip_regime, FlipRegime::kIrq);
  test.SetMode(320, 240, 1);
  const Played run = Play(test, 0, 11 * kSecondNs, /*flips=*/false, kSecondNs / 60);
  EXPECT_LE(run.looks, 120);
  EXPECT_GE(run.looks, 30);
}

TEST_P(VblankDialectTest, AGuestThatPaintsInPlaceIsFoundOutSoon) {
  TestSource test(FakeProfile::kIdeal, GetParam());
  test.SetMode(320, 240, 1);
  Played seldom = Play(test, 700 * kMillisecondNs, 30 * kSecondNs, /*flips=*/false, kSecondNs / 60);
  EXPECT_GE(seldom.ages_ns.size(), 40u);
  EXPECT_LE(seldom.AgeNs(1.0), 120 * kMillisecondNs);
  test.source().SetWatched(false, test.clock().NowNs());
  Played often = Play(test, kSecondNs / 60, 11 * kSecondNs, /*flips=*/false, kSecondNs / 60);
  EXPECT_GE(often.ages_ns.size(), 580u);
  EXPECT_LT(often.AgeNs(0.95), 9 * kMillisecondNs);
}

TEST_P(VblankDialectTest, AFlipIsSeenAtItsEventWhileVblanksGoOn) {
  TestSource test(FakeProfile::kIdeal, GetParam());
  test.SetMode(320, 240, 2);
  Played run = Play(test, 700 * kMillisecondNs, 30 * kSecondNs, /*flips=*/true, kSecondNs / 60);
  EXPECT_GE(run.ages_ns.size(), 40u);
  EXPECT_LE(run.AgeNs(1.0), kSecondNs / 60) << "seen no later than the next vertical blank";
}

INSTANTIATE_TEST_SUITE_P(Dialects, VblankDialectTest,
                         testing::Values(FakeFlipDialect::kIrqV3, FakeFlipDialect::kIrqV5,
                                         FakeFlipDialect::kIrqV6));

TEST(PacingTest, ACallerThatNeverReportsDoesNotSpin) {
  TestSource test(FakeProfile::kIdeal);
  test.SetMode(320, 240);
  test.source().SetWatched(true, test.clock().NowNs());
  const int64_t end_ns = test.clock().NowNs() + 5 * kSecondNs;
  int looks = 0;
  while (test.source().NextLookNs() < end_ns) {
    test.clock().Set(std::max(test.source().NextLookNs(), test.clock().NowNs()));
    test.Look();
    ++looks;
  }
  EXPECT_LT(looks, 150);
  EXPECT_GT(looks, 40);
}

TEST(PacingTest, ErrorsAreRetriedSoonAndThenLessOften) {
  TestSource test(FakeProfile::kIdeal);
  test.SetMode(320, 240);
  test.source().SetWatched(true, test.clock().NowNs());
  test.Look();
  test.guest().FailQueries(22, 1'000'000);
  int looks = 0;
  const int64_t end_ns = test.clock().NowNs() + kSecondNs;
  test.Look();
  EXPECT_LE(test.source().NextLookNs(), test.clock().NowNs() + 5 * kMillisecondNs);
  while (test.source().NextLookNs() < end_ns) {
    test.clock().Set(test.source().NextLookNs());
    test.Look();
    ++looks;
  }
  EXPECT_LT(looks, 25);
}

}  // namespace
}  // namespace planecast
