#include "vfio/edid.h"

#include <gtest/gtest.h>

#include <numeric>

namespace planecast {
namespace {

struct Timing {
  uint32_t clock_khz, width, horizontal_blank, height, vertical_blank, sync_lines;
};

// Decodes the preferred timing, independently of how it was made.
Timing Preferred(const EdidBlock& block) {
  const auto byte = [&block](size_t offset) { return uint32_t{block[54 + offset]}; };
  return {.clock_khz = (byte(0) | byte(1) << 8) * 10,
          .width = byte(2) | (byte(4) >> 4) << 8,
          .horizontal_blank = byte(3) | (byte(4) & 15) << 8,
          .height = byte(5) | (byte(7) >> 4) << 8,
          .vertical_blank = byte(6) | (byte(7) & 15) << 8,
          .sync_lines = byte(10) & 15};
}

TEST(MakeEdidTest, HasHeaderVersionAndChecksum) {
  const auto block = MakeEdid(1920, 1080);
  ASSERT_TRUE(block.ok());
  EXPECT_EQ((*block)[0], 0x00);
  EXPECT_EQ((*block)[1], 0xff);
  EXPECT_EQ((*block)[7], 0x00);
  EXPECT_EQ((*block)[18], 1);
  EXPECT_EQ((*block)[19], 4);
  EXPECT_EQ((*block)[126], 0);
  EXPECT_EQ(std::accumulate(block->begin(), block->end(), 0u) % 256, 0u);
  EXPECT_TRUE(IsOurEdid(*block));
}

// The published CVT 1.2 reduced-blanking timings of these modes.
TEST(MakeEdidTest, TimesModesByCvtReducedBlanking) {
  const auto full_hd = Preferred(*MakeEdid(1920, 1080));
  EXPECT_EQ(full_hd.clock_khz, 138'500u);
  EXPECT_EQ(full_hd.horizontal_blank, 160u);
  EXPECT_EQ(full_hd.vertical_blank, 31u);
  EXPECT_EQ(full_hd.sync_lines, 5u);
  const auto wuxga = Preferred(*MakeEdid(1920, 1200));
  EXPECT_EQ(wuxga.clock_khz, 154'000u);
  EXPECT_EQ(wuxga.vertical_blank, 35u);
  EXPECT_EQ(wuxga.sync_lines, 6u);
  const auto qhd = Preferred(*MakeEdid(2560, 1440));
  EXPECT_EQ(qhd.clock_khz, 241'500u);
  const auto xga = Preferred(*MakeEdid(1024, 768));
  EXPECT_EQ(xga.clock_khz, 56'000u);
  EXPECT_EQ(xga.sync_lines, 4u);
  const auto uhd = Preferred(*MakeEdid(3840, 2160));
  EXPECT_EQ(uhd.clock_khz, 533'250u);
}

TEST(MakeEdidTest, DescribesArbitraryModesAndLowersTheRateOfHugeOnes) {
  for (const auto& [width, height] : {std::pair{320u, 200u}, {1366u, 768u}, {4095u, 4095u}}) {
    const auto block = MakeEdid(width, height);
    ASSERT_TRUE(block.ok());
    const Timing timing = Preferred(*block);
    EXPECT_EQ(timing.width, width);
    EXPECT_EQ(timing.height, height);
    EXPECT_GT(timing.clock_khz, 0u);
    const double rate_hz = timing.clock_khz * 1000.0 / (width + timing.horizontal_blank) /
                           (height + timing.vertical_blank);
    EXPECT_LE(rate_hz, 60.01);
    EXPECT_GE(rate_hz, 23.9);
  }
}

TEST(MakeEdidTest, RefusesModesThatItCannotDescribe) {
  EXPECT_EQ(MakeEdid(4096, 100).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeEdid(0, 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeEdid(0xffffffff, 0xffffffff).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(IsOurEdidTest, RejectsOthers) {
  EdidBlock block = *MakeEdid(800, 600);
  block[8] ^= 1;
  EXPECT_FALSE(IsOurEdid(block));
  EXPECT_FALSE(IsOurEdid(EdidBlock{}));
  EXPECT_FALSE(IsOurEdid({}));
}

}  // namespace
}  // namespace planecast
