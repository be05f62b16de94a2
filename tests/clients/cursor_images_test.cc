#include "clients/cpp/cursor_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <string>
#include <vector>

namespace planecast {
namespace {

using ::testing::HasSubstr;

v1::CursorShape RawShape(uint32_t id, int side_px) {
  v1::CursorShape shape;
  shape.set_width_px(side_px);
  shape.set_height_px(side_px);
  shape.set_shape_id(id);
  shape.set_encoding(v1::CursorShape::ENCODING_RAW);
  shape.set_argb(std::string(static_cast<size_t>(side_px * side_px * 4), 'x'));
  return shape;
}

std::string PngOf(uint32_t width_px, uint32_t height_px, const std::vector<uint8_t>& rgba) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = width_px;
  png.height = height_px;
  png.format = PNG_FORMAT_RGBA;
  png_alloc_size_t size_bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::string file(size_bytes, '\0');
  EXPECT_NE(png_image_write_to_memory(&png, file.data(), &size_bytes, 0, rgba.data(), 0, nullptr),
            0);
  file.resize(size_bytes);
  return file;
}

v1::CursorShape PngShape(uint32_t width_px, uint32_t height_px, std::string file) {
  v1::CursorShape shape;
  shape.set_width_px(static_cast<int>(width_px));
  shape.set_height_px(static_cast<int>(height_px));
  shape.set_encoding(v1::CursorShape::ENCODING_PNG);
  shape.set_png(std::move(file));
  return shape;
}

v1::CursorMoved Named(uint32_t id) {
  v1::CursorMoved moved;
  moved.set_shape_id(id);
  return moved;
}

TEST(CursorImagesTest, ARawImagePassesAsItIs) {
  CursorImages images;
  const v1::CursorShape shape = RawShape(0, 8);
  const auto image = images.OnShape(shape);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ((*image)->SerializeAsString(), shape.SerializeAsString());
  EXPECT_EQ(*images.OnMoved(Named(0)), nullptr);
}

TEST(CursorImagesTest, APngGivesBackEachPremultipliedPixel) {
  // Each colour that can stand at each alpha; of the first, nothing is left but nothing.
  std::vector<uint8_t> rgba;
  std::string argb;
  for (uint32_t alpha = 0; alpha < 256; ++alpha) {
    for (uint32_t color = 0; color <= alpha; ++color) {
      const uint32_t straight = alpha == 0 ? 0 : (color * 255 + alpha / 2) / alpha;
      rgba.insert(rgba.end(), {static_cast<uint8_t>(straight), 0, 0, static_cast<uint8_t>(alpha)});
      argb += {0, 0, static_cast<char>(color), static_cast<char>(alpha)};
    }
  }
  constexpr uint32_t kWidth = 256;
  constexpr uint32_t kHeight = 257 / 2 + 1;
  rgba.resize(size_t{kWidth} * kHeight * 4);
  argb.resize(rgba.size());
  CursorImages images;
  const auto image = images.OnShape(PngShape(kWidth, kHeight, PngOf(kWidth, kHeight, rgba)));
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE((*image)->argb() == argb);
  EXPECT_EQ((*image)->png(), "");
  EXPECT_EQ((*image)->encoding(), v1::CursorShape::ENCODING_RAW);
}

TEST(CursorImagesTest, WhatIsNoImageIsRefused) {
  const std::vector<uint8_t> pixels(8 * 8 * 4);
  const std::string png = PngOf(8, 8, pixels);
  v1::CursorShape negative = RawShape(1, 8);
  negative.set_width_px(-8);
  negative.set_height_px(-8);
  v1::CursorShape short_of_pixels = RawShape(1, 8);
  short_of_pixels.mutable_argb()->pop_back();
  v1::CursorShape too_large = RawShape(1, 8);
  too_large.set_width_px(kCursorSideMaxPx + 1);
  for (const v1::CursorShape& bad :
       {RawShape(1, 0), negative, short_of_pixels, too_large, PngShape(8, 8, ""),
        PngShape(8, 8, "no PNG at all"), PngShape(8, 8, png.substr(0, png.size() / 2)),
        PngShape(8, 8, png + std::string(4096, 'x')),
        // A file that becomes far more than it says to be here.
        PngShape(8, 8, PngOf(1024, 1024, std::vector<uint8_t>(1024 * 1024 * 4)).substr(0, 1000)),
        PngShape(4, 16, png)}) {
    CursorImages images;
    const auto image = images.OnShape(bad);
    EXPECT_EQ(image.status().code(), absl::StatusCode::kInternal) << bad.ShortDebugString();
    EXPECT_THAT(std::string(image.status().message()), HasSubstr("cursor that is none"));
    EXPECT_FALSE(images.OnMoved(Named(1)).ok()) << "nothing is kept of it";
  }
}

TEST(CursorImagesTest, ANamedImageIsToldOnceAndWhole) {
  CursorImages images;
  ASSERT_TRUE(images.OnShape(RawShape(1, 8)).ok());
  ASSERT_TRUE(images.OnShape(RawShape(2, 16)).ok());
  EXPECT_EQ(*images.OnMoved(Named(2)), nullptr) << "it is shown";
  const auto image = images.OnMoved(Named(1));
  ASSERT_TRUE(image.ok());
  EXPECT_EQ((*image)->argb(), RawShape(1, 8).argb());
  EXPECT_EQ(*images.OnMoved(Named(1)), nullptr);
  images.OnStarted();
  EXPECT_EQ((*images.OnMoved(Named(1)))->shape_id(), 1u) << "a stream that begins anew shows none";
  EXPECT_FALSE(images.OnMoved(Named(3)).ok());
}

TEST(CursorImagesTest, TheLeastRecentIsForgottenBeyondWhatTheServerWasTold) {
  v1::ClientCapabilities told;
  CursorImages::Describe(told);
  const auto kept = static_cast<uint32_t>(told.cursors_kept());
  CursorImages images;
  for (uint32_t id = 1; id <= kept; ++id) ASSERT_TRUE(images.OnShape(RawShape(id, 1)).ok());
  // Named, and so the most recent.
  ASSERT_TRUE(images.OnMoved(Named(1)).ok());
  ASSERT_TRUE(images.OnShape(RawShape(kept + 1, 1)).ok());
  EXPECT_FALSE(images.OnMoved(Named(2)).ok());
  for (const uint32_t id : {1U, 3U, kept, kept + 1}) EXPECT_TRUE(images.OnMoved(Named(id)).ok());
}

}  // namespace
}  // namespace planecast
