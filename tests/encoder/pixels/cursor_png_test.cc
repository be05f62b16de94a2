#include "encoder/pixels/cursor_png.h"

#include <gtest/gtest.h>
#include <png.h>

#include <vector>

namespace planecast {
namespace {

/// The pixels of a PNG file, premultiplied as the contract says.
std::vector<uint32_t> Decode(const std::vector<uint8_t>& file) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&png, file.data(), file.size()), 0);
  png.format = PNG_FORMAT_RGBA;
  std::vector<uint8_t> rgba(PNG_IMAGE_SIZE(png));
  EXPECT_NE(png_image_finish_read(&png, nullptr, rgba.data(), 0, nullptr), 0);
  std::vector<uint32_t> argb;
  for (size_t at = 0; at < rgba.size(); at += 4) {
    const uint32_t alpha = rgba[at + 3];
    uint32_t pixel = alpha;
    for (size_t i = 0; i < 3; ++i) pixel = pixel << 8 | (rgba[at + i] * alpha + 127) / 255;
    argb.push_back(pixel);
  }
  return argb;
}

TEST(CursorPngTest, EachPixelThatIsPremultipliedComesBack) {
  CursorImage image;
  for (uint32_t alpha = 0; alpha < 256; ++alpha) {
    for (uint32_t color = 0; color <= alpha; ++color) {
      image.argb.push_back(alpha << 24 | color << 16 | (alpha - color) << 8 | color / 2);
    }
  }
  image.width_px = 257;
  image.height_px = 128;
  ASSERT_EQ(image.argb.size(), size_t{257} * 128);
  const auto file = EncodeCursorPng(image);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(Decode(*file) == image.argb);
}

TEST(CursorPngTest, WhatStraightAlphaCannotSayIsRefused) {
  for (const uint32_t argb : {0x00000001U, 0x7f800000U, 0xfeff0000U, 0x80008100U}) {
    const CursorImage image{.width_px = 1, .height_px = 1, .argb = {argb}, .hotspot = {}};
    EXPECT_EQ(EncodeCursorPng(image).status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(CursorPngTest, AnImageWithoutItsPixelsIsRefused) {
  EXPECT_FALSE(EncodeCursorPng({}).ok());
  EXPECT_FALSE(EncodeCursorPng({.width_px = 2, .height_px = 1, .argb = {0}, .hotspot = {}}).ok());
}

}  // namespace
}  // namespace planecast
