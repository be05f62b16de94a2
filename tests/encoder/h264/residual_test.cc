#include "encoder/h264/residual.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tests/encoder/test_frames.h"

namespace planecast {
namespace {

using testing::Random;

MacroblockSamples Noise(uint32_t seed) {
  Random random(seed);
  MacroblockSamples samples;
  for (uint8_t& sample : samples.y) sample = static_cast<uint8_t>(random.Below(256));
  for (auto& plane : samples.chroma) {
    for (uint8_t& sample : plane) sample = static_cast<uint8_t>(random.Below(256));
  }
  return samples;
}

MacroblockSamples Flat(uint8_t value) {
  MacroblockSamples samples;
  samples.y.fill(value);
  for (auto& plane : samples.chroma) plane.fill(value);
  return samples;
}

int WorstError(const MacroblockSamples& a, const MacroblockSamples& b) {
  int worst = 0;
  const auto compare = [&worst](const auto& x, const auto& y) {
    for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, std::abs(x[i] - y[i]));
  };
  compare(a.y, b.y);
  compare(a.chroma[0], b.chroma[0]);
  compare(a.chroma[1], b.chroma[1]);
  return worst;
}

TEST(Residual, NothingIsCodedWhereThePredictionIsRight) {
  const MacroblockSamples source = Noise(1);
  MacroblockSamples picture = source;
  EXPECT_EQ(CodeResidual(source, 10, Rounding::kClose, picture).pattern, 0);
  EXPECT_EQ(WorstError(source, picture), 0);
}

TEST(Residual, PictureComesAsCloseAsTheQuantizerAllows) {
  for (const int quantizer : {10, 16, 23, 28, 34, 40, 51}) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
      const MacroblockSamples source = Noise(seed);
      MacroblockSamples picture = Noise(seed + 100);
      CodeResidual(source, quantizer, Rounding::kClose, picture);
      // Each of 16 coefficients is off by two thirds of a step at the most.
      const double step = 0.625 * std::exp2(quantizer / 6.0);
      EXPECT_LE(WorstError(source, picture), 3 * step + 1) << quantizer;
    }
  }
}

TEST(Residual, FinestQuantizerIsNearlyExact) {
  const MacroblockSamples source = Noise(1);
  MacroblockSamples picture = Noise(2);
  CodeResidual(source, 10, Rounding::kClose, picture);
  EXPECT_LE(WorstError(source, picture), 4);
}

TEST(Residual, LevelsFitWhatBaselineCanCode) {
  MacroblockSamples picture = Flat(0);
  const MacroblockLevels up = CodeResidual(Flat(255), 10, Rounding::kClose, picture);
  EXPECT_LE(up.luma[0][0], 2000);
  EXPECT_GT(up.luma[0][0], 400);
  EXPECT_LE(up.chroma_dc[0][0], 2000);
  EXPECT_GT(up.chroma_dc[0][0], 800);
  EXPECT_EQ(WorstError(Flat(255), picture), 0);
}

TEST(Residual, PatternNamesTheQuartersThatDiffer) {
  const MacroblockSamples source = Flat(100);
  for (size_t quarter = 0; quarter < 4; ++quarter) {
    MacroblockSamples picture = source;
    picture.y[quarter / 2 * 8 * 16 + quarter % 2 * 8 + 17] = 200;
    EXPECT_EQ(CodeResidual(source, 20, Rounding::kClose, picture).pattern, 1 << quarter);
  }
  MacroblockSamples picture = source;
  picture.chroma[1].fill(120);
  EXPECT_EQ(CodeResidual(source, 20, Rounding::kClose, picture).pattern, 16);
  picture = source;
  picture.chroma[0][5] = 200;
  EXPECT_EQ(CodeResidual(source, 20, Rounding::kClose, picture).pattern, 32);
}

TEST(Residual, CheapRoundingTakesFewerLevels) {
  int cheap = 0;
  int close = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    for (const Rounding rounding : {Rounding::kCheap, Rounding::kClose}) {
      MacroblockSamples picture = Noise(seed + 100);
      const MacroblockLevels levels = CodeResidual(Noise(seed), 40, rounding, picture);
      for (const LevelBlock& block : levels.luma) {
        const auto count = 16 - std::count(block.begin(), block.end(), 0);
        (rounding == Rounding::kCheap ? cheap : close) += static_cast<int>(count);
      }
    }
  }
  EXPECT_LT(cheap, close);
  EXPECT_GT(cheap, 0);
}

TEST(Residual, ChromaQuantizerFollowsTheTable) {
  EXPECT_EQ(ChromaQuantizer(10), 10);
  EXPECT_EQ(ChromaQuantizer(29), 29);
  EXPECT_EQ(ChromaQuantizer(33), 32);
  EXPECT_EQ(ChromaQuantizer(34), 32);
  EXPECT_EQ(ChromaQuantizer(51), 39);
}

TEST(Residual, LumaBlocksAreInCodingOrder) {
  EXPECT_EQ(LumaBlockX(1), 1);
  EXPECT_EQ(LumaBlockY(1), 0);
  EXPECT_EQ(LumaBlockX(2), 0);
  EXPECT_EQ(LumaBlockY(2), 1);
  EXPECT_EQ(LumaBlockX(4), 2);
  EXPECT_EQ(LumaBlockY(4), 0);
  EXPECT_EQ(LumaBlockX(11), 1);
  EXPECT_EQ(LumaBlockY(11), 3);
  EXPECT_EQ(LumaBlockX(15), 3);
  EXPECT_EQ(LumaBlockY(15), 3);
}

}  // namespace
}  // namespace planecast
