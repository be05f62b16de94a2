#include "vfio/plane_check.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <random>

namespace planecast {
namespace {

PlaneInfo Xr24(uint32_t width_px, uint32_t height_px) {
  return {.drm_format = DRM_FORMAT_XRGB8888,
          .width_px = width_px,
          .height_px = height_px,
          .stride_bytes = width_px * 4,
          .size_bytes = width_px * height_px * 4};
}

absl::StatusCode Code(const PlaneInfo& info) {
  return CheckPlane(info).status().code();
}

TEST(CheckPlaneTest, AcceptsWhatDriversReport) {
  EXPECT_TRUE(CheckPlane(Xr24(800, 600)).ok());
  // mdpy: the whole region, a power of two.
  PlaneInfo mdpy = Xr24(640, 480);
  mdpy.size_bytes = 2u << 20;
  EXPECT_TRUE(CheckPlane(mdpy).ok());
  // GVT-g: rows rounded up to the tile.
  PlaneInfo tiled = Xr24(1366, 766);
  tiled.drm_format_mod = kModifierXTiled;
  tiled.stride_bytes = 5632;
  tiled.size_bytes = 5632 * 768;
  EXPECT_TRUE(CheckPlane(tiled).ok());
  // The last line need not be as long as the stride.
  PlaneInfo tight = Xr24(100, 100);
  tight.stride_bytes = 512;
  tight.size_bytes = 512 * 99 + 400;
  EXPECT_TRUE(CheckPlane(tight).ok());
}

TEST(CheckPlaneTest, RefusesNumbersThatContradictEachOther) {
  PlaneInfo info = Xr24(100, 100);
  info.stride_bytes = 396;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument);
  info = Xr24(100, 100);
  info.size_bytes -= 1;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument);
  info = Xr24(100, 100);
  info.width_px = 0;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument);
  info = Xr24(100, 100);
  info.height_px = 0;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument);
  info = Xr24(100, 10);
  info.stride_bytes = 402;
  info.size_bytes = 5000;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument);
  info = Xr24(100, 10);
  info.drm_format_mod = kModifierYTiled;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument) << "32 rows need more memory";
}

TEST(CheckPlaneTest, RefusesNumbersThatOverflow32Bits) {
  PlaneInfo info = Xr24(100, 100);
  info.width_px = 0x40000001;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument);
  info = Xr24(4096, 4320);
  info.stride_bytes = kPlaneStrideMaxBytes;
  info.size_bytes = 1;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument);
  info = Xr24(100, 100);
  info.stride_bytes = 0xfffffffc;
  info.size_bytes = 0xffffffff;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument);
}

TEST(CheckPlaneTest, EnforcesTheLimits) {
  EXPECT_TRUE(CheckPlane(Xr24(kPlaneWidthMaxPx, kPlaneHeightMaxPx)).ok());
  EXPECT_EQ(Code(Xr24(kPlaneWidthMaxPx + 1, 100)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Xr24(100, kPlaneHeightMaxPx + 1)), absl::StatusCode::kInvalidArgument);
  PlaneInfo info = Xr24(100, 100);
  info.size_bytes = (1u << 30) + 1;
  EXPECT_EQ(Code(info), absl::StatusCode::kInvalidArgument);
}

TEST(CheckPlaneTest, NamesUnknownFormatsAndModifiers) {
  PlaneInfo info = Xr24(100, 100);
  info.drm_format = DRM_FORMAT_NV12;
  EXPECT_EQ(Code(info), absl::StatusCode::kUnimplemented);
  EXPECT_NE(CheckPlane(info).status().message().find("NV12"), absl::string_view::npos);
  info = Xr24(100, 100);
  info.drm_format_mod = DRM_FORMAT_MOD_INVALID;
  EXPECT_EQ(Code(info), absl::StatusCode::kUnimplemented);
}

TEST(CheckPlaneTest, WhatIsAcceptedFitsItsOwnSize) {
  std::mt19937 random(3);
  const uint32_t formats[] = {DRM_FORMAT_XRGB8888, DRM_FORMAT_RGB565, DRM_FORMAT_C8,
                              DRM_FORMAT_YUYV};
  const uint64_t modifiers[] = {0, kModifierXTiled, kModifierYTiled, kModifierYfTiled};
  int accepted = 0;
  for (int round = 0; round < 50'000; ++round) {
    const auto number = [&random] { return static_cast<uint32_t>(random()) >> (random() % 32); };
    const PlaneInfo info{.drm_format = formats[random() % 4],
                         .drm_format_mod = modifiers[random() % 4],
                         .width_px = number(),
                         .height_px = number(),
                         .stride_bytes = number() & ~uint32_t{3},
                         .size_bytes = number()};
    const auto layout = CheckPlane(info);
    if (!layout.ok()) continue;
    ++accepted;
    EXPECT_LE(PixelExtentBytes(*layout), layout->size_bytes);
    EXPECT_LE(uint64_t{layout->width_px} * BytesPerPixel(layout->fourcc), layout->stride_bytes);
  }
  EXPECT_GT(accepted, 100);
}

TEST(FitToMemoryTest, RefusesMemoryThatIsTooSmall) {
  const PlaneLayout layout = *CheckPlane(Xr24(800, 600));
  EXPECT_TRUE(FitToMemory(layout, 1920000).ok());
  EXPECT_EQ(FitToMemory(layout, 1919999).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(FitToMemoryTest, NeverPromisesMoreThanThereIs) {
  PlaneInfo info = Xr24(640, 480);
  info.size_bytes = 2u << 20;
  EXPECT_EQ(FitToMemory(*CheckPlane(info), 1u << 21)->size_bytes, 2u << 20);
  EXPECT_EQ(FitToMemory(*CheckPlane(info), 1228800)->size_bytes, 1228800u);
}

TEST(FitToMemoryTest, LeavesOutAPartialPageThatHoldsNoPixel) {
  PlaneInfo info = Xr24(1000, 100);
  info.stride_bytes = 8192;
  info.size_bytes = 8192 * 100 + 100;
  EXPECT_EQ(FitToMemory(*CheckPlane(info), info.size_bytes)->size_bytes, 819200u);
  // 800 x 600 is no multiple of a page, and its last pixels are in the last page.
  EXPECT_EQ(FitToMemory(*CheckPlane(Xr24(800, 600)), 1920000)->size_bytes, 1920000u);
}

TEST(CheckCursorTest, AcceptsOnlyLinearAr24UpToTheLimit) {
  PlaneInfo info = Xr24(64, 64);
  EXPECT_EQ(CheckCursor(info).status().code(), absl::StatusCode::kUnimplemented);
  info.drm_format = DRM_FORMAT_ARGB8888;
  EXPECT_TRUE(CheckCursor(info).ok());
  info.drm_format_mod = kModifierXTiled;
  EXPECT_EQ(CheckCursor(info).status().code(), absl::StatusCode::kUnimplemented);
  info = Xr24(kCursorSizeMaxPx + 1, 1);
  info.drm_format = DRM_FORMAT_ARGB8888;
  EXPECT_EQ(CheckCursor(info).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CursorPositionTest, TakesHighValuesAsNegativeAndClamps) {
  EXPECT_EQ(CursorPosition(5), 5);
  EXPECT_EQ(CursorPosition(0xfffffffb), -5);
  EXPECT_EQ(CursorPosition(0x80000000), -static_cast<int32_t>(kCursorSizeMaxPx));
  EXPECT_EQ(CursorPosition(0x7fffffff), static_cast<int32_t>(kPlaneWidthMaxPx));
}

TEST(CursorHotspotTest, IsUnknownIfEitherValueIsOrLiesOutside) {
  PlaneInfo info = Xr24(64, 64);
  info.x_hot = 3;
  info.y_hot = 64;
  ASSERT_TRUE(CursorHotspot(info).has_value());
  EXPECT_EQ(*CursorHotspot(info), (CursorImage::Hotspot{3, 64}));
  info.y_hot = 65;
  EXPECT_EQ(CursorHotspot(info), std::nullopt);
  info.y_hot = 0xffffffff;
  EXPECT_EQ(CursorHotspot(info), std::nullopt);
}

}  // namespace
}  // namespace planecast
