#include "vfio/pacer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <vector>

#include "vfio/clock.h"

namespace planecast {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kMillisecondNs = 1'000'000;

struct Guest {
  double rate_hz;
  int64_t jitter_ns;
  friend void PrintTo(const Guest& guest, std::ostream* out) {
    *out << guest.rate_hz << " Hz, jitter " << guest.jitter_ns << " ns";
  }
};

// When a guest changes its screen: on a grid, give or take the jitter.
std::vector<int64_t> ChangeTimes(const Guest& guest, int64_t start_ns, int64_t end_ns) {
  std::mt19937 random(7);
  std::uniform_int_distribution<int64_t> jitter(-guest.jitter_ns, guest.jitter_ns);
  std::vector<int64_t> times;
  for (int64_t n = 1;; ++n) {
    const auto grid_ns = start_ns + static_cast<int64_t>(n * kSecondNs / guest.rate_hz);
    if (grid_ns > end_ns) return times;
    times.push_back(grid_ns + jitter(random));
  }
}

struct Outcome {
  std::vector<int64_t> ages_ns;
  int64_t samples = 0;
  int64_t AgeNs(double quantile) {
    std::sort(ages_ns.begin(), ages_ns.end());
    return ages_ns[static_cast<size_t>(quantile * static_cast<double>(ages_ns.size() - 1))];
  }
};

// Plays `changes` against `pacer`; what happens before `warm_ns` is not counted.
Outcome Play(Pacer& pacer, const std::vector<int64_t>& changes, int64_t warm_ns, int64_t end_ns) {
  ManualClock clock;
  pacer.Restart(clock.NowNs());
  Outcome outcome;
  size_t seen = 0;
  while (pacer.NextNs() < end_ns) {
    clock.Set(std::max(pacer.NextNs(), clock.NowNs()));
    const int64_t now_ns = clock.NowNs();
    size_t happened = seen;
    while (happened < changes.size() && changes[happened] <= now_ns) ++happened;
    pacer.OnSample(happened != seen, now_ns);
    if (now_ns >= warm_ns) {
      ++outcome.samples;
      if (happened != seen) outcome.ages_ns.push_back(now_ns - changes[happened - 1]);
    }
    seen = happened;
  }
  return outcome;
}

class PacerCadenceTest : public testing::TestWithParam<Guest> {};

TEST_P(PacerCadenceTest, SeesChangesWithinFourMillisecondsOnceLocked) {
  const int64_t start_ns = ManualClock().NowNs();
  const int64_t end_ns = start_ns + 12 * kSecondNs;
  Pacer pacer({});
  Outcome outcome =
      Play(pacer, ChangeTimes(GetParam(), start_ns, end_ns), start_ns + 2 * kSecondNs, end_ns);
  ASSERT_GE(static_cast<double>(outcome.ages_ns.size()), 9 * GetParam().rate_hz);
  EXPECT_LT(outcome.AgeNs(0.95), 4 * kMillisecondNs);
  EXPECT_LT(outcome.AgeNs(0.5), 2 * kMillisecondNs);
  EXPECT_LE(outcome.samples, 10 * Pacer::kSamplesMaxHz);
  EXPECT_NEAR(static_cast<double>(pacer.PeriodNs()), kSecondNs / GetParam().rate_hz,
              0.05 * kSecondNs / GetParam().rate_hz);
}

INSTANTIATE_TEST_SUITE_P(Guests, PacerCadenceTest,
                         testing::Values(Guest{60, 0}, Guest{60, 500'000}, Guest{60, 2'000'000},
                                         Guest{59.94, 300'000}, Guest{50, 1'000'000},
                                         Guest{30, 2'000'000}, Guest{24, 2'000'000},
                                         Guest{7, 2'000'000}));

TEST(PacerTest, AsksLittleMoreThanThriceAPeriodOfASteadyGuest) {
  const int64_t start_ns = ManualClock().NowNs();
  const int64_t end_ns = start_ns + 12 * kSecondNs;
  Pacer pacer({});
  const Outcome outcome =
      Play(pacer, ChangeTimes({60, 300'000}, start_ns, end_ns), start_ns + 2 * kSecondNs, end_ns);
  EXPECT_LT(outcome.samples, 10 * 200);
}

TEST(PacerTest, NeverExceedsTheMaximumRateWhateverTheGuestDoes) {
  for (const double rate_hz : {100.0, 144.0, 240.0, 333.0, 1000.0, 5000.0}) {
    const int64_t start_ns = ManualClock().NowNs();
    const int64_t end_ns = start_ns + 12 * kSecondNs;
    Pacer pacer({});
    const Outcome outcome = Play(pacer, ChangeTimes({rate_hz, 100'000}, start_ns, end_ns),
                                 start_ns + 2 * kSecondNs, end_ns);
    EXPECT_LE(outcome.samples, 10 * Pacer::kSamplesMaxHz + 8) << rate_hz;
  }
}

TEST(PacerTest, BacksOffToTheIdleIntervalWhenNothingChanges) {
  const int64_t start_ns = ManualClock().NowNs();
  Pacer pacer({.window_step_ns = 4'200'000,
               .active_ns = 8'300'000,
               .idle_max_ns = 100'000'000,
               .coarse_ns = 16'600'000});
  const Outcome outcome = Play(pacer, {}, start_ns + 3 * kSecondNs, start_ns + 13 * kSecondNs);
  EXPECT_LE(outcome.samples, 101);
  EXPECT_GE(outcome.samples, 99);
}

TEST(PacerTest, LetsGoOfACadenceThatEnds) {
  const int64_t start_ns = ManualClock().NowNs();
  Pacer pacer({});
  Play(pacer, ChangeTimes({60, 0}, start_ns, start_ns + 2 * kSecondNs), start_ns,
       start_ns + 4 * kSecondNs);
  EXPECT_EQ(pacer.PeriodNs(), 0);
}

TEST(PacerTest, FollowsAGuestThatChangesItsCadence) {
  const int64_t start_ns = ManualClock().NowNs();
  const int64_t middle_ns = start_ns + 4 * kSecondNs;
  const int64_t end_ns = start_ns + 8 * kSecondNs;
  std::vector<int64_t> changes = ChangeTimes({24, 200'000}, start_ns, middle_ns);
  const std::vector<int64_t> later = ChangeTimes({60, 200'000}, middle_ns, end_ns);
  changes.insert(changes.end(), later.begin(), later.end());
  Pacer pacer({});
  Outcome outcome = Play(pacer, changes, middle_ns + kSecondNs, end_ns);
  EXPECT_LT(outcome.AgeNs(0.95), 4 * kMillisecondNs);
  EXPECT_NEAR(static_cast<double>(pacer.PeriodNs()), kSecondNs / 60.0, kMillisecondNs);
}

TEST(PacerTest, KeepsTheCadenceOfAGuestThatDropsFrames) {
  const int64_t start_ns = ManualClock().NowNs();
  const int64_t end_ns = start_ns + 12 * kSecondNs;
  std::vector<int64_t> changes = ChangeTimes({60, 200'000}, start_ns, end_ns);
  std::vector<int64_t> some;
  for (size_t n = 0; n < changes.size(); ++n) {
    if (n % 5 != 0) some.push_back(changes[n]);
  }
  Pacer pacer({});
  Outcome outcome = Play(pacer, some, start_ns + 2 * kSecondNs, end_ns);
  EXPECT_LT(outcome.AgeNs(0.95), 4 * kMillisecondNs);
}

TEST(PacerTest, SeesASingleChangeOfAnIdleScreenWithinTheIdleInterval) {
  const int64_t start_ns = ManualClock().NowNs();
  Pacer pacer({});
  Outcome outcome = Play(pacer, {start_ns + 5 * kSecondNs + 1}, start_ns, start_ns + 6 * kSecondNs);
  ASSERT_EQ(outcome.ages_ns.size(), 1u);
  EXPECT_LE(outcome.ages_ns[0], 16 * kMillisecondNs);
}

TEST(PacerTest, RestartIsDueAtOnce) {
  Pacer pacer({});
  pacer.Restart(123);
  EXPECT_EQ(pacer.NextNs(), 123);
}

}  // namespace
}  // namespace planecast
