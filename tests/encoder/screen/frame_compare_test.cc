#include "encoder/screen/frame_compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/encoder/each_target.h"
#include "tests/encoder/test_frames.h"

namespace planecast {
namespace {

using testing::ForEachTarget;
using testing::Random;

// A macroblock row and its shadow, alike at first.
struct Row {
  Row(PackedFormat format_in, uint32_t width_in, uint32_t lines_in)
      : format(format_in), width(width_in), lines(lines_in) {
    const size_t pixel = PackedBytesPerPixel(format);
    source_stride = width * pixel + 6;
    shadow_stride = width * pixel;
    Random random(width);
    source.resize(source_stride * lines);
    for (uint8_t& byte : source) byte = static_cast<uint8_t>(random.Next());
    shadow.resize(shadow_stride * lines);
    for (uint32_t y = 0; y < lines; ++y) {
      std::copy_n(&source[y * source_stride], shadow_stride, &shadow[y * shadow_stride]);
    }
    changed.assign((width + 15) / 16, 0);
  }
  bool Compare() {
    return CompareAndCopy(
        format, {source.data(), source_stride, shadow.data(), shadow_stride, width, lines},
        changed.data());
  }
  uint8_t& byte(uint32_t x, uint32_t y, uint32_t index) {
    return source[y * source_stride + x * PackedBytesPerPixel(format) + index];
  }
  bool ShadowFollows() const {
    for (uint32_t y = 0; y < lines; ++y) {
      if (!std::equal(&shadow[y * shadow_stride], &shadow[y * shadow_stride] + shadow_stride,
                      &source[y * source_stride])) {
        return false;
      }
    }
    return true;
  }

  PackedFormat format;
  uint32_t width;
  uint32_t lines;
  size_t source_stride;
  size_t shadow_stride;
  std::vector<uint8_t> source;
  std::vector<uint8_t> shadow;
  std::vector<uint8_t> changed;
};

TEST(FrameCompare, EqualRowsAreUnchanged) {
  ForEachTarget([] {
    for (const PackedFormat format : {PackedFormat::kXrgb8888, PackedFormat::kRgb565}) {
      for (const uint32_t width : {1u, 15u, 16u, 17u, 640u, 1366u}) {
        Row row(format, width, 16);
        EXPECT_FALSE(row.Compare()) << width;
        EXPECT_EQ(std::count(row.changed.begin(), row.changed.end(), 1), 0);
      }
    }
  });
}

TEST(FrameCompare, EverySinglePixelIsFoundInItsMacroblock) {
  ForEachTarget([] {
    for (const PackedFormat format : {PackedFormat::kXbgr8888, PackedFormat::kRgb565}) {
      Row row(format, 77, 3);
      for (uint32_t y = 0; y < row.lines; ++y) {
        for (uint32_t x = 0; x < row.width; ++x) {
          row.changed.assign(row.changed.size(), 0);
          row.byte(x, y, 1) ^= 1;
          ASSERT_TRUE(row.Compare()) << x;
          ASSERT_EQ(std::count(row.changed.begin(), row.changed.end(), 1), 1) << x;
          ASSERT_EQ(row.changed[x / 16], 1) << x;
          ASSERT_TRUE(row.ShadowFollows()) << x;
        }
      }
    }
  });
}

TEST(FrameCompare, SecondLookFindsNothing) {
  Row row(PackedFormat::kXrgb8888, 333, 16);
  row.byte(200, 9, 0) ^= 0xff;
  EXPECT_TRUE(row.Compare());
  EXPECT_FALSE(row.Compare());
}

TEST(FrameCompare, EarlierChangesStayMarked) {
  Row row(PackedFormat::kXrgb8888, 64, 16);
  row.changed[2] = 1;
  EXPECT_FALSE(row.Compare());
  EXPECT_EQ(row.changed, (std::vector<uint8_t>{0, 0, 1, 0}));
}

TEST(FrameCompare, UnusedBitsDontCount) {
  ForEachTarget([] {
    for (const uint32_t x : {3u, 20u, 33u}) {  // whole macroblocks and the rest
      Row row(PackedFormat::kXrgb8888, 36, 16);
      row.byte(x, 5, 3) ^= 0xff;
      EXPECT_FALSE(row.Compare()) << x;
      Row deep(PackedFormat::kXrgb2101010, 36, 16);
      deep.byte(x, 5, 3) ^= 0xc0;
      EXPECT_FALSE(deep.Compare()) << x;
      deep.byte(x, 5, 3) ^= 0x20;  // the top bit of red
      EXPECT_TRUE(deep.Compare()) << x;
    }
  });
}

}  // namespace
}  // namespace planecast
