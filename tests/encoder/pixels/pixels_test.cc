#include "encoder/pixels/pixels.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>
#include <png.h>

#include <climits>
#include <cstring>
#include <memory>

#include "encoder/pixels/packed_format.h"
#include "tests/encoder/test_frames.h"

namespace planecast {
namespace {

using testing::HeapPlane;

using Bytes = std::vector<uint8_t>;

constexpr uint32_t kFourccs[] = {DRM_FORMAT_XRGB8888,   DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888,
                                 DRM_FORMAT_ABGR8888,   DRM_FORMAT_RGB565,   DRM_FORMAT_XRGB2101010,
                                 DRM_FORMAT_XBGR2101010};

RgbImage Flat(uint32_t width, uint32_t height, uint8_t level) {
  return {.width_px = width, .height_px = height, .rgb = Bytes(size_t{width} * height * 3, level)};
}

Cursor CursorOf(uint32_t width, uint32_t height, std::vector<uint32_t> argb, int32_t x, int32_t y) {
  auto image = std::make_shared<CursorImage>();
  image->width_px = width;
  image->height_px = height;
  image->argb = std::move(argb);
  return {.visible = true, .x_px = x, .y_px = y, .image = image};
}

TEST(Pixels, EveryFormatGivesTheSamePicture) {
  for (const uint32_t fourcc : kFourccs) {
    HeapPlane plane(fourcc, 37, 9, 0, 12);
    PaintPatches(plane);
    const auto image = PlaneToRgb(plane.layout(), plane.bytes());
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(image->width_px, 37u);
    EXPECT_EQ(image->height_px, 9u);
    ASSERT_EQ(image->rgb.size(), 37u * 9 * 3);
    const uint8_t* red = image->rgb.data();
    const uint8_t* blue = image->rgb.data() + size_t{25} * 3;
    const uint8_t* last = image->rgb.data() + image->rgb.size() - 3;
    EXPECT_EQ(Bytes(red, red + 3), (Bytes{255, 0, 0})) << FourccName(fourcc);
    EXPECT_EQ(Bytes(blue, blue + 3), (Bytes{0, 0, 255})) << FourccName(fourcc);
    const int tolerance = fourcc == DRM_FORMAT_RGB565 ? 5 : 0;
    EXPECT_NEAR(last[0], 0x20, tolerance) << FourccName(fourcc);
    EXPECT_NEAR(last[1], 0x50, tolerance) << FourccName(fourcc);
    EXPECT_NEAR(last[2], 0xa0, tolerance) << FourccName(fourcc);
  }
}

TEST(Pixels, OtherFormatsAndTilesAreRefusedByName) {
  HeapPlane tiled(DRM_FORMAT_XRGB8888, 16, 16, I915_FORMAT_MOD_X_TILED);
  const auto status = PlaneToRgb(tiled.layout(), tiled.bytes()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("I915_FORMAT_MOD_X_TILED"), absl::string_view::npos) << status;
  HeapPlane yuv(DRM_FORMAT_YUYV, 16, 16);
  const auto yuv_status = PlaneToRgb(yuv.layout(), yuv.bytes()).status();
  EXPECT_EQ(yuv_status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(yuv_status.message().find("YUYV"), absl::string_view::npos) << yuv_status;
}

TEST(Pixels, SupportMeansALinearPackedFormat) {
  for (const uint32_t fourcc : kFourccs) {
    EXPECT_TRUE(CpuFormatSupported(fourcc, DRM_FORMAT_MOD_LINEAR));
    EXPECT_FALSE(CpuFormatSupported(fourcc, I915_FORMAT_MOD_Y_TILED));
    EXPECT_FALSE(CpuFormatSupported(fourcc, DRM_FORMAT_MOD_INVALID));
  }
  EXPECT_FALSE(CpuFormatSupported(DRM_FORMAT_NV12, 0));
  EXPECT_FALSE(CpuFormatSupported(DRM_FORMAT_C8, 0));
  EXPECT_FALSE(CpuFormatSupported(0, 0));
}

TEST(Pixels, ShortMemoryIsRefused) {
  HeapPlane plane(DRM_FORMAT_XRGB8888, 20, 4, 0, 16);
  const std::span<const uint8_t> bytes(plane.bytes());
  // The padding of the last line needn't be there, its pixels must.
  EXPECT_TRUE(PlaneToRgb(plane.layout(), bytes.first(bytes.size() - 16)).ok());
  EXPECT_EQ(PlaneToRgb(plane.layout(), bytes.first(bytes.size() - 17)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(PlaneToRgb(plane.layout(), {}).ok());
}

TEST(Pixels, HostileLayoutsAreRefused) {
  const Bytes bytes(4096);
  const PlaneLayout good{.fourcc = DRM_FORMAT_XRGB8888,
                         .width_px = 16,
                         .height_px = 16,
                         .stride_bytes = 64,
                         .size_bytes = 1024};
  ASSERT_TRUE(PlaneToRgb(good, bytes).ok());
  PlaneLayout bad = good;
  bad.width_px = 0;
  EXPECT_FALSE(PlaneToRgb(bad, bytes).ok());
  bad = good;
  bad.height_px = 0;
  EXPECT_FALSE(PlaneToRgb(bad, bytes).ok());
  bad = good;
  bad.stride_bytes = 63;
  EXPECT_FALSE(PlaneToRgb(bad, bytes).ok());
  bad = good;
  bad.width_px = UINT_MAX;
  bad.height_px = UINT_MAX;
  bad.stride_bytes = UINT_MAX;
  EXPECT_FALSE(PlaneToRgb(bad, bytes).ok());
}

TEST(Pixels, CursorIsBlendedWherePremultiplied) {
  RgbImage image = Flat(4, 2, 100);
  BlendCursor(image, CursorOf(3, 1, {0xffff0000, 0x80008000, 0x00000000}, 1, 1));
  EXPECT_EQ(Bytes(image.rgb.begin(), image.rgb.begin() + 12), Bytes(12, 100));
  EXPECT_EQ(Bytes(image.rgb.begin() + 12, image.rgb.end()),
            (Bytes{100, 100, 100, 255, 0, 0, 50, 178, 50, 100, 100, 100}));
}

TEST(Pixels, CursorIsClippedOnEverySide) {
  for (const int32_t x : {INT_MIN, -3, -2, -1, 0, 2, 3, 4, INT_MAX}) {
    for (const int32_t y : {INT_MIN, -3, -2, -1, 0, 2, 3, 4, INT_MAX}) {
      RgbImage image = Flat(4, 4, 0);
      BlendCursor(image, CursorOf(3, 3, std::vector<uint32_t>(9, 0xffffffff), x, y));
      const auto inside = [](int64_t position, int64_t pixel) {
        return pixel >= position && pixel < position + 3;
      };
      for (int j = 0; j < 4; ++j) {
        for (int i = 0; i < 4; ++i) {
          EXPECT_EQ(image.rgb[static_cast<size_t>(j * 4 + i) * 3],
                    inside(x, i) && inside(y, j) ? 255 : 0);
        }
      }
    }
  }
}

TEST(Pixels, HiddenAndBrokenCursorsDrawNothing) {
  RgbImage image = Flat(4, 4, 9);
  Cursor hidden = CursorOf(1, 1, {0xffffffff}, 0, 0);
  hidden.visible = false;
  BlendCursor(image, hidden);
  BlendCursor(image, Cursor{.visible = true, .image = nullptr});
  BlendCursor(image, CursorOf(8, 8, {0xffffffff}, 0, 0));  // says more than it has
  EXPECT_EQ(image.rgb, Flat(4, 4, 9).rgb);
}

TEST(Pixels, ColorsBeyondTheirAlphaSaturate) {
  RgbImage image = Flat(1, 1, 255);
  BlendCursor(image, CursorOf(1, 1, {0x00ffffff}, 0, 0));
  EXPECT_EQ(image.rgb, (Bytes{255, 255, 255}));
}

TEST(Pixels, PngReadsBackAsItWas) {
  HeapPlane plane(DRM_FORMAT_XRGB8888, 101, 53);
  PaintNoise(plane, 3);
  const auto image = PlaneToRgb(plane.layout(), plane.bytes());
  ASSERT_TRUE(image.ok());
  const auto file = EncodePng(*image);
  ASSERT_TRUE(file.ok()) << file.status();
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  ASSERT_TRUE(png_image_begin_read_from_memory(&png, file->data(), file->size()));
  EXPECT_EQ(png.width, 101u);
  EXPECT_EQ(png.height, 53u);
  png.format = PNG_FORMAT_RGB;
  Bytes rgb(PNG_IMAGE_SIZE(png));
  ASSERT_TRUE(png_image_finish_read(&png, nullptr, rgb.data(), 0, nullptr));
  EXPECT_EQ(rgb, image->rgb);
}

TEST(Pixels, PngOfNothingIsRefused) {
  EXPECT_FALSE(EncodePng({}).ok());
  RgbImage short_image = Flat(4, 4, 0);
  short_image.rgb.pop_back();
  EXPECT_FALSE(EncodePng(short_image).ok());
}

TEST(Pixels, ModifiersHaveNames) {
  EXPECT_EQ(ModifierName(0), "DRM_FORMAT_MOD_LINEAR");
  EXPECT_EQ(ModifierName(0x0300000000000002), "0x0300000000000002");
}

TEST(Pixels, ScaledDownEachPixelIsTheMeanOfThoseItStandsFor) {
  const RgbImage image{4, 2, {0, 10, 20, 2, 12, 22, 100, 0, 0, 200, 0, 0,  //
                              4, 14, 24, 6, 16, 26, 0,   0, 0, 100, 0, 0}};
  const auto half = ScaleDown(image, 2);
  ASSERT_TRUE(half.has_value());
  EXPECT_EQ(half->width_px, 2U);
  EXPECT_EQ(half->height_px, 1U);
  EXPECT_EQ(half->rgb, (std::vector<uint8_t>{3, 13, 23, 100, 0, 0}));
  EXPECT_FALSE(ScaleDown(image, 4).has_value()) << "never up";
  EXPECT_FALSE(ScaleDown(image, 0).has_value());
}

TEST(Pixels, ScaledDownAPictureNeverVanishes) {
  const RgbImage wide{1000, 1, std::vector<uint8_t>(3000, 7)};
  const auto tiny = ScaleDown(wide, 3);
  ASSERT_TRUE(tiny.has_value());
  EXPECT_EQ(tiny->height_px, 1U);
  EXPECT_EQ(tiny->rgb, std::vector<uint8_t>(9, 7));
}

}  // namespace
}  // namespace planecast
