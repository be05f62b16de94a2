#include "encoder/pixels/color_convert.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "tests/encoder/each_target.h"
#include "tests/encoder/test_frames.h"

namespace planecast {
namespace {

using testing::ForEachTarget;
using testing::Random;

constexpr PackedFormat kFormats[] = {PackedFormat::kXrgb8888, PackedFormat::kXbgr8888,
                                     PackedFormat::kRgb565, PackedFormat::kXrgb2101010,
                                     PackedFormat::kXbgr2101010};
// Half a code value is rounding; the rest is what the fixed-point weights may cost.
constexpr double kErrorMax = 0.55;

struct Rgb {
  double r = 0;
  double g = 0;
  double b = 0;
};

// A pixel as fractions of the full range.
Rgb Unpack(PackedFormat format, uint32_t word) {
  const auto channel = [word](int shift, uint32_t max) {
    return static_cast<double>(word >> shift & max) / max;
  };
  switch (format) {
    case PackedFormat::kXrgb8888:
      return {channel(16, 255), channel(8, 255), channel(0, 255)};
    case PackedFormat::kXbgr8888:
      return {channel(0, 255), channel(8, 255), channel(16, 255)};
    case PackedFormat::kRgb565:
      return {channel(11, 31), channel(5, 63), channel(0, 31)};
    case PackedFormat::kXrgb2101010:
      return {channel(20, 1023), channel(10, 1023), channel(0, 1023)};
    case PackedFormat::kXbgr2101010:
      return {channel(0, 1023), channel(10, 1023), channel(20, 1023)};
  }
  return {};
}

// BT.709 limited range, straight from the definition.
std::array<double, 3> Exact(const Rgb& rgb) {
  const double y = 0.2126 * rgb.r + 0.7152 * rgb.g + 0.0722 * rgb.b;
  return {16 + 219 * y, 128 + 224 * (rgb.b - y) / 1.8556, 128 + 224 * (rgb.r - y) / 1.5748};
}

// Packed pixels of any size with a stride that isn't tight.
struct Pixels {
  Pixels(PackedFormat format_in, uint32_t width_in, uint32_t lines_in)
      : format(format_in), width(width_in), lines(lines_in) {
    stride = (width + 3) * PackedBytesPerPixel(format);
    bytes.assign(stride * lines, 0xee);
  }
  void Set(uint32_t x, uint32_t y, uint32_t word) {
    std::memcpy(&bytes[y * stride + x * PackedBytesPerPixel(format)], &word,
                PackedBytesPerPixel(format));
  }
  uint32_t Get(uint32_t x, uint32_t y) const {
    uint32_t word = 0;
    std::memcpy(&word, &bytes[y * stride + x * PackedBytesPerPixel(format)],
                PackedBytesPerPixel(format));
    return word;
  }
  PackedPixels view() const { return {bytes.data(), stride, width, lines}; }

  PackedFormat format;
  uint32_t width;
  uint32_t lines;
  size_t stride;
  std::vector<uint8_t> bytes;
};

// Planes with a guard after every line.
struct Planes {
  static constexpr uint8_t kGuard = 0xab;
  Planes(uint32_t width, uint32_t lines) : y_stride(width + 5), uv_stride(width / 2 + 6) {
    y.assign(y_stride * lines, kGuard);
    u.assign(uv_stride * (lines / 2 + 1), kGuard);
    v = u;
  }
  I420Planes view() { return {y.data(), u.data(), v.data(), y_stride, uv_stride}; }

  size_t y_stride;
  size_t uv_stride;
  std::vector<uint8_t> y;
  std::vector<uint8_t> u;
  std::vector<uint8_t> v;
};

// The largest distance of any sample from the exact value.
double WorstError(const Pixels& pixels, const Planes& planes) {
  double worst = 0;
  for (uint32_t y = 0; y < pixels.lines; ++y) {
    for (uint32_t x = 0; x < pixels.width; ++x) {
      const double exact = Exact(Unpack(pixels.format, pixels.Get(x, y)))[0];
      worst = std::max(worst, std::abs(planes.y[y * planes.y_stride + x] - exact));
    }
  }
  for (uint32_t y = 0; y < pixels.lines; y += 2) {
    for (uint32_t x = 0; x < pixels.width; x += 2) {
      Rgb mean;
      for (const uint32_t j : {y, std::min(y + 1, pixels.lines - 1)}) {
        for (const uint32_t i : {x, std::min(x + 1, pixels.width - 1)}) {
          const Rgb rgb = Unpack(pixels.format, pixels.Get(i, j));
          mean = {mean.r + rgb.r / 4, mean.g + rgb.g / 4, mean.b + rgb.b / 4};
        }
      }
      const auto exact = Exact(mean);
      const size_t at = y / 2 * planes.uv_stride + x / 2;
      worst =
          std::max({worst, std::abs(planes.u[at] - exact[1]), std::abs(planes.v[at] - exact[2])});
    }
  }
  return worst;
}

double ConvertedError(const Pixels& pixels) {
  Planes planes(pixels.width, pixels.lines);
  ConvertToI420(pixels.format, pixels.view(), planes.view());
  return WorstError(pixels, planes);
}

TEST(ColorConvert, RandomPixelsAreExactInEveryFormat) {
  ForEachTarget([] {
    for (const PackedFormat format : kFormats) {
      Random random(7);
      Pixels pixels(format, 512, 128);
      for (uint32_t y = 0; y < pixels.lines; ++y) {
        for (uint32_t x = 0; x < pixels.width; ++x) pixels.Set(x, y, random.Next());
      }
      EXPECT_LE(ConvertedError(pixels), kErrorMax) << static_cast<int>(format);
    }
  });
}

TEST(ColorConvert, EveryEighthColorIsExact) {
  // All combinations of every eighth value per channel and of the largest, as flat 2x2 blocks, so
  // that chroma is judged at its extremes too.
  ForEachTarget([] {
    Pixels pixels(PackedFormat::kXrgb8888, 2 * 33, 2 * 33);
    for (uint32_t r = 0; r <= 32; ++r) {
      for (uint32_t y = 0; y < pixels.lines; ++y) {
        for (uint32_t x = 0; x < pixels.width; ++x) {
          const uint32_t g = y / 2;
          const uint32_t b = x / 2;
          pixels.Set(
              x, y,
              std::min(r * 8, 255u) << 16 | std::min(g * 8, 255u) << 8 | std::min(b * 8, 255u));
        }
      }
      ASSERT_LE(ConvertedError(pixels), kErrorMax);
    }
  });
}

TEST(ColorConvert, EveryGreyIsWithoutColor) {
  ForEachTarget([] {
    for (const PackedFormat format : {PackedFormat::kXrgb8888, PackedFormat::kXbgr2101010}) {
      const bool deep = format == PackedFormat::kXbgr2101010;
      const uint32_t levels = deep ? 1024 : 256;
      Pixels pixels(format, levels * 2, 2);
      for (uint32_t x = 0; x < pixels.width; ++x) {
        const uint32_t level = x / 2;
        const uint32_t word = deep ? level << 20 | level << 10 | level : level * 0x010101;
        pixels.Set(x, 0, word);
        pixels.Set(x, 1, word);
      }
      Planes planes(pixels.width, pixels.lines);
      ConvertToI420(format, pixels.view(), planes.view());
      for (uint32_t x = 0; x < pixels.width / 2; ++x) {
        ASSERT_EQ(planes.u[x], 128) << x;
        ASSERT_EQ(planes.v[x], 128) << x;
      }
      EXPECT_EQ(planes.y[0], 16);
      EXPECT_EQ(planes.y[pixels.width - 1], 235);
      EXPECT_LE(WorstError(pixels, planes), kErrorMax);
    }
  });
}

TEST(ColorConvert, PrimariesHaveTheirKnownValues) {
  // Rec. ITU-R BT.709 colour bars at 100 %, as in SMPTE RP 219.
  struct Bar {
    uint32_t rgb;
    std::array<int, 3> yuv;
  };
  constexpr Bar kBars[] = {{0xffffff, {235, 128, 128}}, {0xffff00, {219, 16, 138}},
                           {0x00ffff, {188, 154, 16}},  {0x00ff00, {173, 42, 26}},
                           {0xff00ff, {78, 214, 230}},  {0xff0000, {63, 102, 240}},
                           {0x0000ff, {32, 240, 118}},  {0x000000, {16, 128, 128}}};
  for (const Bar& bar : kBars) {
    Pixels pixels(PackedFormat::kXrgb8888, 2, 2);
    for (uint32_t i = 0; i < 4; ++i) pixels.Set(i % 2, i / 2, bar.rgb);
    Planes planes(2, 2);
    ConvertToI420(PackedFormat::kXrgb8888, pixels.view(), planes.view());
    EXPECT_EQ(planes.y[0], bar.yuv[0]) << std::hex << bar.rgb;
    EXPECT_EQ(planes.u[0], bar.yuv[1]) << std::hex << bar.rgb;
    EXPECT_EQ(planes.v[0], bar.yuv[2]) << std::hex << bar.rgb;
  }
}

TEST(ColorConvert, OddSizesCountTheLastPixelTwice) {
  ForEachTarget([] {
    for (const PackedFormat format : kFormats) {
      for (uint32_t width = 1; width <= 70; ++width) {
        for (const uint32_t lines : {1u, 2u, 15u}) {
          Random random(width * 31 + lines);
          Pixels pixels(format, width, lines);
          for (uint32_t y = 0; y < lines; ++y) {
            for (uint32_t x = 0; x < width; ++x) pixels.Set(x, y, random.Next());
          }
          ASSERT_LE(ConvertedError(pixels), kErrorMax) << width << "x" << lines;
        }
      }
    }
  });
}

TEST(ColorConvert, NothingIsWrittenBeyondTheRectangle) {
  ForEachTarget([] {
    for (uint32_t width = 1; width <= 70; ++width) {
      const Pixels pixels(PackedFormat::kRgb565, width, 3);
      Planes planes(width, 4);
      ConvertToI420(PackedFormat::kRgb565, pixels.view(), planes.view());
      for (uint32_t y = 0; y < 4; ++y) {
        for (size_t x = y < 3 ? width : 0; x < planes.y_stride; ++x) {
          ASSERT_EQ(planes.y[y * planes.y_stride + x], Planes::kGuard) << width;
        }
      }
      for (uint32_t y = 0; y < 3; ++y) {
        for (size_t x = y < 2 ? (width + 1) / 2 : 0; x < planes.uv_stride; ++x) {
          ASSERT_EQ(planes.u[y * planes.uv_stride + x], Planes::kGuard) << width;
          ASSERT_EQ(planes.v[y * planes.uv_stride + x], Planes::kGuard) << width;
        }
      }
    }
  });
}

}  // namespace
}  // namespace planecast
