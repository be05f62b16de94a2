// The driver's colours, scaling, blending and tilings, against formulas of the test's own.
#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>

#include "tests/encoder/va/va_testing.h"
#include "tests/encoder/va_driver/va_client.h"

namespace planecast::testing {
namespace {

/// Red, green, blue, alpha; 0 to 1.
using Colour = std::array<double, 4>;

struct Format {
  uint32_t va_fourcc;
  uint32_t drm_fourcc;
  uint32_t bytes;
  /// Low bit and width of red, green and blue.
  std::array<int, 3> shift;
  std::array<int, 3> width;
  bool alpha;
};
constexpr Format kFormats[] = {
    {VA_FOURCC_BGRX, DRM_FORMAT_XRGB8888, 4, {16, 8, 0}, {8, 8, 8}, false},
    {VA_FOURCC_BGRA, DRM_FORMAT_ARGB8888, 4, {16, 8, 0}, {8, 8, 8}, true},
    {VA_FOURCC_RGBX, DRM_FORMAT_XBGR8888, 4, {0, 8, 16}, {8, 8, 8}, false},
    {VA_FOURCC_RGBA, DRM_FORMAT_ABGR8888, 4, {0, 8, 16}, {8, 8, 8}, true},
    {VA_FOURCC_RGB565, DRM_FORMAT_RGB565, 2, {11, 5, 0}, {5, 6, 5}, false},
    {VA_FOURCC_X2R10G10B10, DRM_FORMAT_XRGB2101010, 4, {20, 10, 0}, {10, 10, 10}, false},
    {VA_FOURCC_X2B10G10R10, DRM_FORMAT_XBGR2101010, 4, {0, 10, 20}, {10, 10, 10}, false},
};

uint32_t Noise(uint32_t x, uint32_t y) {
  uint32_t hash = x * 0x9e3779b1u + y * 0x85ebca77u + 0x27d4eb2fu;
  hash ^= hash >> 15;
  hash *= 0x2c1b3c6du;
  return hash ^ hash >> 13;
}

/// Byte offset of a pixel.
using Place = std::function<size_t(uint32_t x, uint32_t y)>;

Place Linear(uint32_t pitch, uint32_t bytes) {
  return [=](uint32_t x, uint32_t y) { return size_t{y} * pitch + x * bytes; };
}

/// Packed pixels of noise in a memfd, and what they are as colours.
class Picture {
 public:
  Picture(const Format& format, uint32_t width, uint32_t height, uint32_t pitch, const Place& place,
          size_t size_bytes, bool premultiplied = false)
      : format_(format), width_(width), height_(height), pitch_(pitch), bytes_(size_bytes) {
    for (uint32_t y = 0; y < height; ++y) {
      for (uint32_t x = 0; x < width; ++x) {
        uint32_t word = Noise(x, y);
        if (premultiplied) word = Premultiplied(word);
        std::memcpy(bytes_.data() + place(x, y), &word, format.bytes);
        Colour colour{0, 0, 0, format.alpha ? (word >> 24) / 255.0 : 1.0};
        for (size_t i = 0; i < 3; ++i) {
          const uint32_t top = (1u << format.width[i]) - 1;
          colour[i] = (word >> format.shift[i] & top) / static_cast<double>(top);
        }
        colours_.push_back(colour);
      }
    }
  }

  VASurfaceID ImportInto(VaClient& client, uint64_t modifier = DRM_FORMAT_MOD_LINEAR) const {
    Import import(bytes_, format_.va_fourcc, format_.drm_fourcc, width_, height_, pitch_, modifier);
    VASurfaceID surface = VA_INVALID_SURFACE;
    EXPECT_EQ(import.Create(client.display(), &surface), VA_STATUS_SUCCESS) << SwLastRejection();
    return surface;
  }
  /// Edges go on for ever.
  const Colour& at(int x, int y) const {
    const int inside_x = std::clamp(x, 0, static_cast<int>(width_) - 1);
    const int inside_y = std::clamp(y, 0, static_cast<int>(height_) - 1);
    return colours_[static_cast<size_t>(inside_y) * width_ + static_cast<size_t>(inside_x)];
  }
  uint32_t width() const { return width_; }
  uint32_t height() const { return height_; }

 private:
  /// No channel above alpha; an eighth is clear, an eighth opaque.
  static uint32_t Premultiplied(uint32_t word) {
    uint32_t alpha = word >> 24;
    if (alpha < 32) alpha = 0;
    if (alpha >= 224) alpha = 255;
    uint32_t out = alpha << 24;
    for (int shift = 0; shift < 24; shift += 8) {
      out |= (word >> shift & 255) * alpha / 255 << shift;
    }
    return out;
  }

  Format format_;
  uint32_t width_;
  uint32_t height_;
  uint32_t pitch_;
  SharedBytes bytes_;
  std::vector<Colour> colours_;
};

Picture LinearPicture(const Format& format, uint32_t width, uint32_t height,
                      bool premultiplied = false) {
  const uint32_t pitch = (width * format.bytes + 63) / 64 * 64 + 64;
  return Picture(format, width, height, pitch, Linear(pitch, format.bytes), size_t{pitch} * height,
                 premultiplied);
}

struct Space {
  bool bt709;
  bool full;
  /// Y, Cb, Cr as code values, of premultiplied colour: black adds `alpha` of its own.
  std::array<double, 3> Code(const Colour& c) const {
    const double kr = bt709 ? 0.2126 : 0.299;
    const double kb = bt709 ? 0.0722 : 0.114;
    const double luma = kr * c[0] + (1 - kr - kb) * c[1] + kb * c[2];
    const double cb = (c[2] - luma) / (2 - 2 * kb);
    const double cr = (c[0] - luma) / (2 - 2 * kr);
    const double chroma_range = full ? 255 : 224;
    return {(full ? 0 : 16) * c[3] + (full ? 255 : 219) * luma, 128 * c[3] + chroma_range * cb,
            128 * c[3] + chroma_range * cr};
  }
};

Colour Average(const std::array<Colour, 4>& colours) {
  Colour sum{};
  for (const Colour& colour : colours) {
    for (size_t i = 0; i < 4; ++i) sum[i] += colour[i] / 4;
  }
  return sum;
}

/// Y, Cb and Cr planes as read back from a surface.
struct Planes {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint8_t> y;
  std::vector<uint8_t> uv;
  uint8_t luma(uint32_t x, uint32_t line) const { return y[size_t{line} * width + x]; }
  uint8_t chroma(size_t plane, uint32_t x, uint32_t line) const {
    return uv[(size_t{line} * ((width + 1) / 2) + x) * 2 + plane];
  }
};

Planes Read(VaClient& client, VASurfaceID surface) {
  VAImage image{};
  EXPECT_EQ(vaDeriveImage(client.display(), surface, &image), VA_STATUS_SUCCESS);
  void* mapped = nullptr;
  EXPECT_EQ(vaMapBuffer(client.display(), image.buf, &mapped), VA_STATUS_SUCCESS);
  const auto* bytes = static_cast<const uint8_t*>(mapped);
  Planes planes{.width = image.width, .height = image.height, .y = {}, .uv = {}};
  const auto take = [&](size_t plane, size_t width, size_t lines, std::vector<uint8_t>& out) {
    for (size_t line = 0; line < lines; ++line) {
      const uint8_t* row = bytes + image.offsets[plane] + line * image.pitches[plane];
      out.insert(out.end(), row, row + width);
    }
  };
  take(0, planes.width, planes.height, planes.y);
  take(1, (planes.width + 1) / 2 * 2, (planes.height + 1) / 2, planes.uv);
  EXPECT_EQ(vaUnmapBuffer(client.display(), image.buf), VA_STATUS_SUCCESS);
  EXPECT_EQ(vaDestroyImage(client.display(), image.image_id), VA_STATUS_SUCCESS);
  return planes;
}

/// What `at` says of each luma place is in the planes; chroma is the mean of four.
void ExpectColours(const Planes& planes, const Space& space,
                   const std::function<Colour(int x, int y)>& at) {
  // Rounding, and the driver's arithmetic of 16 bits.
  constexpr double kTolerance = 0.6;
  const auto near = [&](double expected, uint8_t actual) {
    return std::abs(std::clamp(expected, 0.0, 255.0) - actual) <= kTolerance;
  };
  const auto width = static_cast<int>(planes.width);
  const auto height = static_cast<int>(planes.height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double expected = space.Code(at(x, y))[0];
      const uint8_t actual = planes.luma(static_cast<uint32_t>(x), static_cast<uint32_t>(y));
      ASSERT_TRUE(near(expected, actual))
          << "luma at " << x << "," << y << ": " << +actual << ", not " << expected;
    }
  }
  for (int y = 0; y < height; y += 2) {
    for (int x = 0; x < width; x += 2) {
      const int right = std::min(x + 1, width - 1);
      const int below = std::min(y + 1, height - 1);
      const auto code =
          space.Code(Average({at(x, y), at(right, y), at(x, below), at(right, below)}));
      for (size_t plane = 0; plane < 2; ++plane) {
        const uint8_t actual =
            planes.chroma(plane, static_cast<uint32_t>(x) / 2, static_cast<uint32_t>(y) / 2);
        ASSERT_TRUE(near(code[plane + 1], actual))
            << "chroma " << plane << " at " << x << "," << y << ": " << +actual << ", not "
            << code[plane + 1];
      }
    }
  }
}

VAProcPipelineParameterBuffer PipelineOf(VASurfaceID source, const Space& space) {
  VAProcPipelineParameterBuffer pipeline = ProcessClient::Pipeline(source);
  pipeline.output_color_properties.matrix_coefficients = space.bt709 ? 1 : 6;
  pipeline.output_color_properties.color_range =
      space.full ? VA_SOURCE_RANGE_FULL : VA_SOURCE_RANGE_REDUCED;
  return pipeline;
}

constexpr Space kSpaces[] = {{true, false}, {true, true}, {false, false}, {false, true}};

TEST(VaDriverPixels, ConvertsEveryFormatIntoEveryColourSpace) {
  ProcessClient client;
  for (const Format& format : kFormats) {
    for (const Space& space : kSpaces) {
      for (const uint32_t odd : {0u, 1u}) {
        SCOPED_TRACE(std::to_string(format.drm_fourcc) + (space.bt709 ? " 709" : " 601") +
                     (space.full ? " full" : " limited") + (odd != 0 ? " odd" : " even"));
        const Picture picture = LinearPicture(format, 36 + odd, 20 + odd);
        const VASurfaceID target =
            client.Surface(VA_FOURCC_NV12, picture.width(), picture.height());
        ASSERT_EQ(client.Process(target, {PipelineOf(picture.ImportInto(client), space)}),
                  VA_STATUS_SUCCESS)
            << SwLastRejection();
        // Alpha of what is converted means nothing.
        ExpectColours(Read(client, target), space, [&](int x, int y) {
          Colour colour = picture.at(x, y);
          colour[3] = 1;
          return colour;
        });
      }
    }
  }
}

TEST(VaDriverPixels, KnowsTheNamedStandards) {
  ProcessClient client("minimal");
  const Picture picture = LinearPicture(kFormats[0], 36, 20);
  const struct {
    VAProcColorStandardType standard;
    bool bt709;
  } cases[] = {{VAProcColorStandardBT709, true}, {VAProcColorStandardBT601, false}};
  for (const auto& named : cases) {
    VAProcPipelineParameterBuffer pipeline{};
    pipeline.surface = picture.ImportInto(client);
    pipeline.output_color_standard = named.standard;
    const VASurfaceID target = client.Surface(VA_FOURCC_NV12, 36, 20);
    ASSERT_EQ(client.Process(target, {pipeline}), VA_STATUS_SUCCESS) << SwLastRejection();
    ExpectColours(Read(client, target), {named.bt709, false},
                  [&](int x, int y) { return picture.at(x, y); });
  }
}

/// Bilinear between the centres of pixels.
Colour Sampled(const Picture& picture, double x, double y) {
  const double left = std::floor(x);
  const double top = std::floor(y);
  const auto pixel = [&](int dx, int dy) {
    return picture.at(static_cast<int>(left) + dx, static_cast<int>(top) + dy);
  };
  Colour sum{};
  for (int dy = 0; dy < 2; ++dy) {
    for (int dx = 0; dx < 2; ++dx) {
      const double weight =
          (dx == 0 ? 1 - (x - left) : x - left) * (dy == 0 ? 1 - (y - top) : y - top);
      const Colour colour = pixel(dx, dy);
      for (size_t i = 0; i < 4; ++i) sum[i] += colour[i] * weight;
    }
  }
  return sum;
}

TEST(VaDriverPixels, Scales) {
  ProcessClient client;
  const Picture picture = LinearPicture(kFormats[0], 40, 24);
  const struct {
    uint32_t width;
    uint32_t height;
  } sizes[] = {{20, 12}, {80, 48}, {30, 17}, {40, 12}, {57, 24}};
  for (const auto& size : sizes) {
    SCOPED_TRACE(std::to_string(size.width) + "x" + std::to_string(size.height));
    const VASurfaceID target = client.Surface(VA_FOURCC_NV12, size.width, size.height);
    ASSERT_EQ(client.Process(target, {PipelineOf(picture.ImportInto(client), kSpaces[0])}),
              VA_STATUS_SUCCESS);
    ExpectColours(Read(client, target), kSpaces[0], [&](int x, int y) {
      return Sampled(picture, (x + 0.5) * 40 / size.width - 0.5,
                     (y + 0.5) * 24 / size.height - 0.5);
    });
  }
}

TEST(VaDriverPixels, PutsAPartOnBlack) {
  ProcessClient client;
  const Picture picture = LinearPicture(kFormats[0], 40, 24);
  VARectangle from{5, 3, 16, 12};
  VARectangle to{8, 4, 16, 12};
  for (const Space& space : {kSpaces[0], kSpaces[1]}) {
    VAProcPipelineParameterBuffer pipeline = PipelineOf(picture.ImportInto(client), space);
    pipeline.surface_region = &from;
    pipeline.output_region = &to;
    const VASurfaceID target = client.Surface(VA_FOURCC_NV12, 40, 24);
    ASSERT_EQ(client.Process(target, {pipeline}), VA_STATUS_SUCCESS);
    ExpectColours(Read(client, target), space, [&](int x, int y) {
      const bool inside = x >= 8 && x < 24 && y >= 4 && y < 16;
      return inside ? picture.at(x - 8 + 5, y - 4 + 3) : Colour{0, 0, 0, 1};
    });
  }
}

TEST(VaDriverPixels, BlendsPremultipliedPictures) {
  ProcessClient client;
  const Space space = kSpaces[0];
  const Picture under = LinearPicture(kFormats[0], 40, 24);
  const Picture over = LinearPicture(kFormats[1], 12, 10, true);
  const struct {
    int16_t x;
    int16_t y;
  } places[] = {{8, 6}, {7, 5}, {-3, -2}, {33, 17}};
  for (const auto& place : places) {
    for (const float alpha : {1.0F, 0.5F}) {
      SCOPED_TRACE(std::to_string(place.x) + "," + std::to_string(place.y) + " alpha " +
                   std::to_string(alpha));
      const VASurfaceID target = client.Surface(VA_FOURCC_NV12, 40, 24);
      const VASurfaceID below = under.ImportInto(client);
      ASSERT_EQ(client.Process(target, {PipelineOf(below, space)}), VA_STATUS_SUCCESS);
      const Planes before = Read(client, target);
      VARectangle to{place.x, place.y, 12, 10};
      VABlendState blend{};
      blend.flags = VA_BLEND_PREMULTIPLIED_ALPHA;
      if (alpha < 1) blend.flags |= VA_BLEND_GLOBAL_ALPHA;
      blend.global_alpha = alpha;
      VAProcPipelineParameterBuffer layer = PipelineOf(over.ImportInto(client), space);
      layer.output_region = &to;
      layer.blend_state = &blend;
      ASSERT_EQ(client.Process(target, {PipelineOf(below, space), layer}), VA_STATUS_SUCCESS)
          << SwLastRejection();
      const Planes after = Read(client, target);
      // Clear outside of itself.
      const auto drawn = [&](int x, int y) {
        Colour colour{};
        const bool inside = x >= place.x && x < place.x + 12 && y >= place.y && y < place.y + 10;
        if (inside) colour = over.at(x - place.x, y - place.y);
        for (double& channel : colour) channel *= alpha;
        return colour;
      };
      for (int y = 0; y < 24; ++y) {
        for (int x = 0; x < 40; ++x) {
          const auto ux = static_cast<uint32_t>(x);
          const auto uy = static_cast<uint32_t>(y);
          const Colour colour = drawn(x, y);
          const double luma = before.luma(ux, uy) * (1 - colour[3]) + space.Code(colour)[0];
          ASSERT_NEAR(luma, after.luma(ux, uy), 0.6) << "luma at " << x << "," << y;
          if (x % 2 != 0 || y % 2 != 0) continue;
          const Colour mean =
              Average({colour, drawn(x + 1, y), drawn(x, y + 1), drawn(x + 1, y + 1)});
          for (size_t plane = 0; plane < 2; ++plane) {
            const double chroma =
                before.chroma(plane, ux / 2, uy / 2) * (1 - mean[3]) + space.Code(mean)[plane + 1];
            ASSERT_NEAR(chroma, after.chroma(plane, ux / 2, uy / 2), 0.6)
                << "chroma " << plane << " at " << x << "," << y;
          }
        }
      }
    }
  }
}

// Intel's tilings, from the Programmer's Reference Manuals: tiles of 4 KiB, line by line of tiles.
Place TiledX(uint32_t pitch) {
  return [=](uint32_t x, uint32_t y) {
    const uint32_t byte = x * 4;
    return size_t{(y / 8) * (pitch / 512) + byte / 512} * 4096 + y % 8 * 512 + byte % 512;
  };
}

// A tile is eight columns of 16 bytes and 32 lines.
Place TiledY(uint32_t pitch) {
  return [=](uint32_t x, uint32_t y) {
    const uint32_t byte = x * 4;
    const size_t tile = (y / 32) * (pitch / 128) + byte / 128;
    const size_t column = byte % 128 / 16;
    return tile * 4096 + column * 512 + size_t{y % 32} * 16 + byte % 16;
  };
}

// Blocks of 16 bytes and four lines; four of them, left to right and then down, make a block of
// twice the width and height, and so on up to the tile.
Place TiledYf(uint32_t pitch) {
  return [=](uint32_t x, uint32_t y) {
    const uint32_t byte = x * 4;
    size_t offset = size_t{(y / 32) * (pitch / 128) + byte / 128} * 4096;
    uint32_t column = byte % 128 / 16;
    uint32_t row = y % 32 / 4;
    for (uint32_t half = 4; half >= 1; half /= 2) {
      const uint32_t quadrant = (row >= half ? 2 : 0) + (column >= half ? 1 : 0);
      offset += size_t{quadrant} * half * half * 64;
      row %= half;
      column %= half;
    }
    return offset + size_t{y % 4} * 16 + byte % 16;
  };
}

TEST(VaDriverPixels, ReadsIntelsTilings) {
  const struct {
    const char* name;
    uint64_t modifier;
    uint32_t pitch;
    uint32_t lines;
    Place (*place)(uint32_t pitch);
  } tilings[] = {{"X", I915_FORMAT_MOD_X_TILED, 1024, 8, TiledX},
                 {"Y", I915_FORMAT_MOD_Y_TILED, 768, 32, TiledY},
                 {"Yf", I915_FORMAT_MOD_Yf_TILED, 768, 32, TiledYf}};
  for (const char* persona : {"ihd", "ihd-lp"}) {
    ProcessClient client(persona);
    for (const auto& tiling : tilings) {
      SCOPED_TRACE(std::string(persona) + " " + tiling.name);
      // Neither a whole number of tiles wide nor high.
      constexpr uint32_t kWidth = 178;
      constexpr uint32_t kHeight = 70;
      const size_t size_bytes =
          size_t{(kHeight + tiling.lines - 1) / tiling.lines * tiling.lines} * tiling.pitch;
      const Picture picture(kFormats[0], kWidth, kHeight, tiling.pitch, tiling.place(tiling.pitch),
                            size_bytes);
      const VASurfaceID target = client.Surface(VA_FOURCC_NV12, kWidth, kHeight);
      ASSERT_EQ(client.Process(
                    target, {PipelineOf(picture.ImportInto(client, tiling.modifier), kSpaces[1])}),
                VA_STATUS_SUCCESS)
          << SwLastRejection();
      ExpectColours(Read(client, target), kSpaces[1],
                    [&](int x, int y) { return picture.at(x, y); });
    }
  }
}

}  // namespace
}  // namespace planecast::testing
