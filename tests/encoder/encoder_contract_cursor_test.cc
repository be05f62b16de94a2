// What encoder.h promises, asked of every encoder and profile: the cursor that is drawn on request.
#include "tests/encoder/encoder_contract.h"

namespace planecast {
namespace {

constexpr uint32_t kGround = 0x204060;
constexpr int kTolerance = 24;

std::shared_ptr<const CursorImage> Square(uint32_t premultiplied_argb, uint32_t side_px = 24) {
  auto image = std::make_shared<CursorImage>();
  image->width_px = side_px;
  image->height_px = side_px;
  image->argb.assign(size_t{side_px} * side_px, premultiplied_argb);
  return image;
}

class EncoderCursor : public EncoderContract {
 protected:
  void Begin() {
    Open(320, 240);
    plane_.Fill(0, 0, 320, 240, kGround);
  }
  std::shared_ptr<const AccessUnit> Draw(const Cursor& cursor) {
    clock_.Advance(kFrameNs);
    const auto result = encoder_->Encode(FrameOf(plane_), {.cursor = &cursor});
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return nullptr;
    if (result->unit != nullptr) stream_.push_back(result->unit->bytes);
    last_ = *result;
    return result->unit;
  }
  static void ExpectColor(const DecodedPicture& picture, uint32_t x, uint32_t y, uint32_t rgb) {
    const uint32_t shown = testing::RgbAt(picture, x, y);
    EXPECT_LE(ChannelDistance(shown, rgb), kTolerance)
        << x << "," << y << ": " << std::hex << shown << " for " << rgb;
  }

  HeapPlane plane_{DRM_FORMAT_XRGB8888, 320, 240};
};

TEST_P(EncoderCursor, IsDrawnMovesAndLeavesNothingBehind) {
  Begin();
  const auto image = Square(0xffe0e0e0);
  ASSERT_NE(Encode(plane_), nullptr);
  ASSERT_NE(Draw({.visible = true, .x_px = 33, .y_px = 41, .image = image}), nullptr);
  ASSERT_NE(Draw({.visible = true, .x_px = 200, .y_px = 101, .image = image}), nullptr);
  ASSERT_NE(Draw({.visible = false, .x_px = 200, .y_px = 101, .image = image}), nullptr);
  ASSERT_NE(Draw({.visible = true, .x_px = -12, .y_px = 230, .image = image}), nullptr);
  ASSERT_NE(Encode(plane_), nullptr);
  const auto pictures = Judge();
  ASSERT_EQ(pictures.size(), 6u);
  const auto expect = [&](size_t i, uint32_t first, uint32_t second, uint32_t corner) {
    SCOPED_TRACE(i);
    ExpectColor(pictures[i], 45, 53, first);
    ExpectColor(pictures[i], 212, 113, second);
    ExpectColor(pictures[i], 5, 236, corner);
    ExpectColor(pictures[i], 100, 200, kGround);
  };
  expect(0, kGround, kGround, kGround);
  expect(1, 0xe0e0e0, kGround, kGround);
  expect(2, kGround, 0xe0e0e0, kGround);
  expect(3, kGround, kGround, kGround);
  expect(4, kGround, kGround, 0xe0e0e0);
  expect(5, kGround, kGround, kGround);
}

TEST_P(EncoderCursor, IsNoChangeWhileItStays) {
  if (!finds_changes()) GTEST_SKIP() << "what a GPU coded by CABAC does not tell";
  Begin();
  const Cursor cursor{.visible = true, .x_px = 33, .y_px = 41, .image = Square(0xffe0e0e0)};
  ASSERT_NE(Draw(cursor), nullptr);
  // A GPU may mend its key frame first.
  for (int i = 0; i < 3 && !sees_changes() && Draw(cursor) != nullptr; ++i) {
  }
  EXPECT_EQ(Draw(cursor), nullptr);
  EXPECT_EQ(last_.changed_rows, 0u);
}

TEST_P(EncoderCursor, ATranslucentOneIsDrawnOnceWhateverChangesUnderIt) {
  Begin();
  // Half white, half what is behind.
  const Cursor cursor{
      .visible = true, .x_px = 24, .y_px = 24, .image = Square(0x80808080, /*side_px=*/32)};
  const uint32_t mixed = 0x90a0b0;
  ASSERT_NE(Draw(cursor), nullptr);
  for (uint32_t i = 0; i < 6; ++i) {
    // In one of the macroblocks that it covers in part.
    plane_.Fill(26 + i, 26, 1, 1, 0xffffff);
    ASSERT_NE(Draw(cursor), nullptr);
  }
  const auto pictures = Judge();
  ASSERT_FALSE(pictures.empty());
  ExpectColor(pictures.back(), 50, 50, mixed);
  ExpectColor(pictures.back(), 40, 30, mixed);
  ExpectColor(pictures.back(), 30, 45, mixed);
  ExpectColor(pictures.back(), 60, 60, kGround);
}

INSTANTIATE_TEST_SUITE_P(All, EncoderCursor,
                         ::testing::Combine(::testing::Values(Subject{"x264"}, Subject{"openh264"}),
                                            ::testing::Values(H264Profile::kConstrainedBaseline,
                                                              H264Profile::kHigh)),
                         ContractParamName);
#if PLANECAST_HAVE_VAAPI
INSTANTIATE_TEST_SUITE_P(
    VaApi, EncoderCursor,
    ::testing::Combine(::testing::Values(Subject{"vaapi", "ihd", true}, Subject{"vaapi", "ihd"},
                                         Subject{"vaapi", "radeonsi", true},
                                         Subject{"vaapi", "minimal", true}),
                       ::testing::Values(H264Profile::kConstrainedBaseline, H264Profile::kHigh)),
    ContractParamName);
#endif

}  // namespace
}  // namespace planecast
