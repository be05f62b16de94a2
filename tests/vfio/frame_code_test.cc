#include "vfio/fake/frame_code.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace planecast {
namespace {

std::vector<uint32_t> Draw(const FrameCode& code, uint32_t width_px, uint32_t height_px) {
  std::vector<uint32_t> pixels(size_t{width_px} * height_px, 0xff808080);
  const Canvas canvas{
      .pixels = pixels.data(), .width_px = width_px, .height_px = height_px, .stride_px = width_px};
  DrawFrameCode(code, {0, 0, static_cast<int32_t>(width_px), static_cast<int32_t>(height_px)},
                canvas);
  return pixels;
}

std::optional<FrameCode> Decode(std::vector<uint32_t>& pixels, uint32_t width_px,
                                uint32_t height_px) {
  return DecodeFrameCodeXrgb({.pixels = pixels.data(),
                              .width_px = width_px,
                              .height_px = height_px,
                              .stride_px = width_px});
}

TEST(FrameCode, ComesBackAtEverySize) {
  for (const auto& [width_px, height_px] : {std::pair<uint32_t, uint32_t>{160, 160},
                                            {319, 241},
                                            {643, 483},
                                            {1280, 720},
                                            {1921, 1083}}) {
    for (const FrameCode code : {FrameCode{0, 0}, FrameCode{1, 2}, FrameCode{~0U, ~0U},
                                 FrameCode{0xdeadbeef, 0x12345678}}) {
      auto pixels = Draw(code, width_px, height_px);
      EXPECT_EQ(Decode(pixels, width_px, height_px), code) << width_px;
    }
  }
}

TEST(FrameCode, LiesOnWholeMacroblocks) {
  const SceneRect rect = FrameCodeRect(1920, 1080);
  EXPECT_EQ(rect.left_px % 16, 0);
  EXPECT_EQ(rect.top_px % 16, 0);
  EXPECT_EQ(rect.bottom_px % 16, 0);
  EXPECT_LE(rect.bottom_px, 1080);
}

TEST(FrameCode, SurvivesNoiseAndLostContrast) {
  std::mt19937 random(1);
  auto pixels = Draw({.frame = 77, .flip_time_ms = 123456}, 640, 480);
  for (uint32_t& pixel : pixels) {
    const uint32_t green = (pixel >> 8 & 0xff) / 2 + 50 + random() % 40;
    pixel = 0xff000000 | green << 16 | green << 8 | green;
  }
  EXPECT_EQ(Decode(pixels, 640, 480), (FrameCode{.frame = 77, .flip_time_ms = 123456}));
}

TEST(FrameCode, AFlippedBlockIsNoticed) {
  auto pixels = Draw({.frame = 77, .flip_time_ms = 123456}, 640, 480);
  const SceneRect rect = FrameCodeRect(640, 480);
  for (int y = rect.top_px; y < rect.top_px + 16; ++y) {
    for (int x = 48; x < 64; ++x) pixels[static_cast<size_t>(y) * 640 + x] ^= 0xffffff;
  }
  EXPECT_EQ(Decode(pixels, 640, 480), std::nullopt);
}

TEST(FrameCode, PlainPicturesHoldNone) {
  for (const uint32_t color : {0xff000000U, 0xffffffffU, 0xff808080U}) {
    std::vector<uint32_t> pixels(640 * 480, color);
    EXPECT_EQ(Decode(pixels, 640, 480), std::nullopt);
  }
  std::vector<uint32_t> tiny(64 * 64, 0);
  EXPECT_EQ(Decode(tiny, 64, 64), std::nullopt);
}

TEST(FrameCode, IsReadFromLuma) {
  const auto pixels = Draw({.frame = 9, .flip_time_ms = 8}, 320, 200);
  constexpr size_t kStride = 400;
  std::vector<uint8_t> luma(kStride * 200);
  for (size_t y = 0; y < 200; ++y) {
    for (size_t x = 0; x < 320; ++x) {
      // Limited range.
      luma[y * kStride + x] = static_cast<uint8_t>(16 + (pixels[y * 320 + x] & 0xff) * 219 / 255);
    }
  }
  EXPECT_EQ(DecodeFrameCodeLuma(320, 200, luma.data(), kStride),
            (FrameCode{.frame = 9, .flip_time_ms = 8}));
}

}  // namespace
}  // namespace planecast
