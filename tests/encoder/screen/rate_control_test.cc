#include "encoder/screen/rate_control.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace planecast {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int kRateHz = 60;
constexpr uint64_t kPixels = 1920 * 1080;
constexpr RateParams kRate{.quantizer = 23, .bitrate_max_bps = 10'000'000};

// An encoder whose pictures halve for every six steps of the quantiser.
class Simulation {
 public:
  explicit Simulation(const RateParams& rate) : control(rate, kRateHz, kPixels) {}

  // One picture that takes `bytes_at_23` at quantiser 23; returns its quantiser.
  int Code(double bytes_at_23, bool key_frame = false) {
    const int quantizer = control.NextQuantizer(now_ns, key_frame);
    const double bytes = bytes_at_23 * std::exp2((23 - quantizer) / 6.0);
    control.Coded(now_ns, quantizer, key_frame, static_cast<size_t>(bytes));
    sent.push_back({now_ns, bytes * 8});
    now_ns += kSecondNs / kRateHz;
    return quantizer;
  }

  // The most bits in any second.
  double WorstSecondBits() const {
    double worst = 0;
    for (size_t begin = 0; begin < sent.size(); ++begin) {
      double bits = 0;
      for (size_t i = begin; i < sent.size() && sent[i].first < sent[begin].first + kSecondNs;
           ++i) {
        bits += sent[i].second;
      }
      worst = std::max(worst, bits);
    }
    return worst;
  }

  RateControl control;
  int64_t now_ns = 5 * kSecondNs;
  std::vector<std::pair<int64_t, double>> sent;
};

TEST(RateControl, SmallPicturesKeepTheBaseQuantizer) {
  Simulation simulation(kRate);
  simulation.Code(100'000, true);
  for (int i = 0; i < 600; ++i) EXPECT_EQ(simulation.Code(500), 23);
}

TEST(RateControl, CapHoldsOverASecond) {
  // Four times what the cap allows.
  Simulation simulation(kRate);
  simulation.Code(100'000, true);
  for (int i = 0; i < 600; ++i) simulation.Code(4 * 10e6 / 8 / kRateHz);
  EXPECT_LE(simulation.WorstSecondBits(), 1.35 * 10e6);
}

TEST(RateControl, SteadyLoadUsesMostOfTheCap) {
  Simulation simulation(kRate);
  simulation.Code(100'000, true);
  for (int i = 0; i < 600; ++i) simulation.Code(4 * 10e6 / 8 / kRateHz);
  double bits = 0;
  for (const auto& [time_ns, picture_bits] : simulation.sent) bits += picture_bits;
  EXPECT_GE(bits / 10, 0.75 * 10e6);
  EXPECT_LE(bits / 10, 1.05 * 10e6);
}

TEST(RateControl, HardContentUnderALowCapStaysNearIt) {
  Simulation simulation({.quantizer = 23, .bitrate_max_bps = 1'000'000});
  simulation.Code(100'000, true);
  for (int i = 0; i < 1200; ++i) simulation.Code(20'000);
  double bits = 0;
  for (size_t i = 600; i < simulation.sent.size(); ++i) bits += simulation.sent[i].second;
  EXPECT_LE(bits / 10, 1.05e6);
}

TEST(RateControl, QuantizerReturnsSlowlyAndFully) {
  Simulation simulation(kRate);
  simulation.Code(100'000, true);
  int raised = 0;
  for (int i = 0; i < 180; ++i) raised = simulation.Code(6 * 10e6 / 8 / kRateHz);
  ASSERT_GT(raised, 30);
  int previous = raised;
  int pictures = 0;
  while (previous > 23 && pictures < 600) {
    const int quantizer = simulation.Code(300);
    EXPECT_GE(quantizer, previous - 1);
    // What was sent too much may still be paid back, for a few pictures.
    EXPECT_LE(quantizer, pictures < 10 ? raised + 2 : previous);
    previous = quantizer;
    ++pictures;
  }
  EXPECT_EQ(previous, 23);
  EXPECT_GT(pictures, kRateHz);  // more than a second
  for (int i = 0; i < 100; ++i) EXPECT_EQ(simulation.Code(300), 23);
}

TEST(RateControl, BurstAfterQuietKeepsItsQuality) {
  Simulation simulation(kRate);
  simulation.Code(100'000, true);
  for (int i = 0; i < 60; ++i) simulation.Code(100);
  // A window opens: a tenth of a second's worth at once.
  EXPECT_EQ(simulation.Code(125'000), 23);
}

TEST(RateControl, FirstKeyFrameIsGuessedByItsSize) {
  RateControl roomy(kRate, kRateHz, kPixels);
  EXPECT_EQ(roomy.NextQuantizer(0, true), 23);
  RateControl tight({.quantizer = 23, .bitrate_max_bps = 300'000}, kRateHz, kPixels);
  EXPECT_GT(tight.NextQuantizer(0, true), 30);
}

TEST(RateControl, KeyFramesLeaveOtherPicturesAlone) {
  Simulation simulation(kRate);
  for (int i = 0; i < 10; ++i) {
    simulation.Code(60'000, true);
    for (int k = 0; k < 30; ++k) EXPECT_EQ(simulation.Code(200), 23);
  }
}

TEST(RateControl, CoarseKeyFrameIsNotRefinedByTheNextPicture) {
  Simulation simulation({.quantizer = 23, .bitrate_max_bps = 1'000'000});
  const int key_quantizer = simulation.Code(70'000, true);
  ASSERT_GT(key_quantizer, 30);
  EXPECT_EQ(simulation.Code(200), key_quantizer);
  // Nor after a pause, although the bucket is empty then.
  simulation.now_ns += 10 * kSecondNs;
  EXPECT_GE(simulation.Code(200), key_quantizer - 1);
}

TEST(RateControl, CoarseKeyFrameIsRefinedInTheEnd) {
  Simulation simulation({.quantizer = 23, .bitrate_max_bps = 1'000'000});
  int quantizer = simulation.Code(70'000, true);
  for (int i = 0; i < 600 && quantizer > 23; ++i) {
    const int previous = quantizer;
    quantizer = simulation.Code(200);
    EXPECT_LE(quantizer, previous);
    EXPECT_GE(quantizer, previous - 1);
  }
  EXPECT_EQ(quantizer, 23);
}

TEST(RateControl, NewBaseQuantizerCountsAtOnce) {
  Simulation simulation(kRate);
  simulation.Code(10'000, true);
  simulation.control.SetRate({.quantizer = 35, .bitrate_max_bps = 10'000'000});
  EXPECT_EQ(simulation.Code(100), 35);
  simulation.control.SetRate({.quantizer = 18, .bitrate_max_bps = 10'000'000});
  EXPECT_EQ(simulation.Code(100), 18);
}

TEST(RateControl, LowerCapCountsAtOnce) {
  Simulation simulation(kRate);
  simulation.Code(10'000, true);
  for (int i = 0; i < 120; ++i) simulation.Code(15'000);
  simulation.control.SetRate({.quantizer = 23, .bitrate_max_bps = 1'000'000});
  EXPECT_GT(simulation.Code(15'000), 33);
}

TEST(RateControl, RefinementGoesAsFarAsATenthOfASecondOfTheCapDoes) {
  RateControl roomy({.quantizer = 23, .bitrate_max_bps = 100'000'000}, kRateHz, kPixels);
  roomy.Coded(0, 23, true, 100'000);
  EXPECT_EQ(roomy.RefinementQuantizer(kSecondNs, {.quantizer = 23, .area = 1}), 16);
  RateControl tight({.quantizer = 23, .bitrate_max_bps = 5'000'000}, kRateHz, kPixels);
  tight.Coded(0, 23, true, 100'000);
  const int step = tight.RefinementQuantizer(kSecondNs, {.quantizer = 23, .area = 1});
  EXPECT_LT(step, 23);
  EXPECT_GT(step, 16);
  // A small part of the picture takes little.
  EXPECT_EQ(tight.RefinementQuantizer(kSecondNs, {.quantizer = 23, .area = 0.02}), 16);
}

TEST(RateControl, RefinementWaitsUntilWhatWasSentIsPaidFor) {
  RateControl control({.quantizer = 23, .bitrate_max_bps = 1'000'000}, kRateHz, kPixels);
  control.Coded(0, 23, true, 62'500);  // half a second of the cap
  EXPECT_NEAR(static_cast<double>(control.RefinementNs(0)), 0.45 * kSecondNs, 0.01 * kSecondNs);
  EXPECT_EQ(control.RefinementNs(kSecondNs), kSecondNs);
  control.Refined(kSecondNs, {.quantizer = 23, .area = 1}, 22, 25'000);
  EXPECT_GT(control.RefinementNs(kSecondNs), kSecondNs + kSecondNs / 10);
}

TEST(RateControl, WhatWasRefinedIsNotMadeCoarserByTheNextPicture) {
  Simulation simulation({.quantizer = 23, .bitrate_max_bps = 1'000'000});
  const int key_quantizer = simulation.Code(70'000, true);
  ASSERT_GT(key_quantizer, 30);
  simulation.now_ns += 2 * kSecondNs;
  simulation.control.Refined(simulation.now_ns, {.quantizer = key_quantizer, .area = 1}, 26, 9'000);
  EXPECT_EQ(simulation.Code(200), 26);
  simulation.control.Refined(simulation.now_ns, {.quantizer = 26, .area = 1}, 16, 9'000);
  EXPECT_EQ(simulation.Code(200), 23);
}

TEST(RateControl, PatchesHaveTheBaseQuantizerHoweverCoarseThePictureIs) {
  Simulation simulation({.quantizer = 23, .bitrate_max_bps = 1'000'000});
  ASSERT_GT(simulation.Code(70'000, true), 30);
  simulation.now_ns += 2 * kSecondNs;
  EXPECT_EQ(simulation.control.PatchQuantizer(simulation.now_ns, 2), 23);
}

TEST(RateControl, PatchesKeepTheCap) {
  RateControl control({.quantizer = 23, .bitrate_max_bps = 500'000}, kRateHz, kPixels);
  control.Coded(0, 23, true, 5'000);
  double bits = 0;
  for (int i = 1; i <= 600; ++i) {
    const int64_t now_ns = i * kSecondNs / kRateHz;
    const int quantizer = control.PatchQuantizer(now_ns, 100);
    const double bytes = 100 * 100 * std::exp2((23 - quantizer) / 6.0);
    control.Patched(now_ns, quantizer, 100, static_cast<size_t>(bytes));
    bits += bytes * 8;
  }
  EXPECT_LT(bits, 1.1 * 10 * 500'000);
  EXPECT_GT(bits, 0.5 * 10 * 500'000);
}

TEST(RateControl, OneSmallRefinementDoesNotPromiseThatTheNextIsSmall) {
  RateControl control({.quantizer = 23, .bitrate_max_bps = 1'000'000}, kRateHz, kPixels);
  control.Coded(0, 35, true, 100'000);
  control.Refined(2 * kSecondNs, {.quantizer = 35, .area = 1}, 34, 50);
  EXPECT_EQ(control.RefinementQuantizer(4 * kSecondNs, {.quantizer = 34, .area = 1}), 33);
}

TEST(RateControl, QuantizerStaysInRangeWhateverHappens) {
  Simulation simulation({.quantizer = 40, .bitrate_max_bps = 100'000});
  for (int i = 0; i < 300; ++i) {
    const int quantizer = simulation.Code(i % 7 == 0 ? 3e6 : 0, i % 50 == 0);
    EXPECT_GE(quantizer, 40);
    EXPECT_LE(quantizer, RateControl::kQuantizerMax);
    if (i % 90 == 0) simulation.now_ns -= kSecondNs;  // a clock that jumps back does no harm
  }
}

}  // namespace
}  // namespace planecast
