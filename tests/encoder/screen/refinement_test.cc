// A picture that stands still becomes sharp, and then costs nothing.
#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "encoder/encoder.h"
#include "encoder/pixels/pixels.h"
#include "tests/encoder/test_frames.h"
#include "tests/h264/stream_check.h"

namespace planecast {
namespace {

using testing::CheckStream;
using testing::DecodedPicture;
using testing::HeapPlane;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kFrameNs = kSecondNs / 60;

// Peak signal-to-noise ratio of luma against the source, in dB.
double LumaPsnr(const DecodedPicture& picture, HeapPlane& plane) {
  const auto rgb = PlaneToRgb(plane.layout(), plane.bytes());
  EXPECT_TRUE(rgb.ok());
  double sum = 0;
  for (size_t y = 0; y < rgb->height_px; ++y) {
    for (size_t x = 0; x < rgb->width_px; ++x) {
      const uint8_t* pixel = &rgb->rgb[(y * rgb->width_px + x) * 3];
      const double exact =
          16 + 219.0 / 255 * (0.2126 * pixel[0] + 0.7152 * pixel[1] + 0.0722 * pixel[2]);
      const double error = picture.y[y * picture.width_px + x] - exact;
      sum += error * error;
    }
  }
  return 10 * std::log10(255 * 255 / (sum / (static_cast<double>(rgb->width_px) * rgb->height_px)));
}

class RefinementTest : public ::testing::TestWithParam<const char*> {
 protected:
  void Open(uint32_t width_px, uint32_t height_px, const RateParams& rate) {
    auto encoder =
        MakeEncoder(GetParam(), {.width_px = width_px, .height_px = height_px}, rate, clock_);
    if (absl::IsNotFound(encoder.status())) GTEST_SKIP() << GetParam() << " is not in this build";
    ASSERT_TRUE(encoder.ok()) << encoder.status();
    encoder_ = std::move(*encoder);
  }

  EncodeResult Encode(const HeapPlane& plane, const EncodeRequest& request = {}) {
    const auto result = encoder_->Encode(plane.frame(clock_.NowNs()), request);
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    if (result->unit != nullptr) {
      stream_.push_back(result->unit->bytes);
      bytes_ += result->unit->bytes.size();
    }
    return *result;
  }

  // What a display does while nothing changes, until there is nothing left to do.
  std::vector<std::shared_ptr<const AccessUnit>> Refine(const HeapPlane& plane, int64_t refine_ns) {
    std::vector<std::shared_ptr<const AccessUnit>> units;
    while (refine_ns != kNever && units.size() < 100) {
      clock_.Set(std::max(clock_.NowNs() + kFrameNs, refine_ns));
      const EncodeResult result = Encode(plane, {.refine = true});
      if (result.unit != nullptr) units.push_back(result.unit);
      refine_ns = result.refine_ns;
    }
    return units;
  }

  std::vector<DecodedPicture> Judge() {
    auto pictures = CheckStream(stream_, {});
    EXPECT_TRUE(pictures.ok()) << pictures.status();
    return pictures.ok() ? *pictures : std::vector<DecodedPicture>();
  }

  ManualClock clock_;
  std::unique_ptr<Encoder> encoder_;
  std::vector<std::vector<uint8_t>> stream_;
  size_t bytes_ = 0;
};

TEST_P(RefinementTest, CoarseKeyFrameOfTextBecomesSharpAsFastAsTheCapAllows) {
  constexpr int64_t kCapBps = 500'000;
  ASSERT_NO_FATAL_FAILURE(Open(1280, 720, {.bitrate_max_bps = kCapBps}));
  if (IsSkipped()) return;
  HeapPlane plane(DRM_FORMAT_XRGB8888, 1280, 720);
  PaintText(plane, 1);
  const EncodeResult key = Encode(plane);
  ASSERT_NE(key.unit, nullptr);
  EXPECT_FALSE(key.unit->sharp);
  EXPECT_FALSE(key.unit->refinement);
  const int64_t begin_ns = clock_.NowNs();
  const auto units = Refine(plane, key.refine_ns);
  ASSERT_GE(units.size(), 2u);
  for (const auto& unit : units) {
    EXPECT_TRUE(unit->refinement);
    EXPECT_FALSE(unit->key_frame);
    EXPECT_EQ(unit->sharp, unit == units.back());
  }
  const std::vector<DecodedPicture> pictures = Judge();
  ASSERT_EQ(pictures.size(), units.size() + 1);
  for (size_t i = 1; i < pictures.size(); ++i) {
    EXPECT_GE(LumaPsnr(pictures[i], plane), LumaPsnr(pictures[i - 1], plane) - 0.1) << i;
  }
  EXPECT_LT(LumaPsnr(pictures.front(), plane), 35) << "not a coarse key frame";
  EXPECT_GT(LumaPsnr(pictures.back(), plane), 45);
  // The whole takes no longer than its bits do at the cap, give or take a burst, and no less.
  const double seconds = static_cast<double>(clock_.NowNs() - begin_ns) / kSecondNs;
  const double bits = static_cast<double>(bytes_) * 8;
  EXPECT_LT(seconds, bits / kCapBps + 0.5);
  EXPECT_LT(bits, kCapBps * (seconds + 0.6));
}

TEST_P(RefinementTest, PictureIsSharpAtOnceWhereTheCapHasRoom) {
  ASSERT_NO_FATAL_FAILURE(Open(1280, 720, {.bitrate_max_bps = 100'000'000}));
  if (IsSkipped()) return;
  HeapPlane plane(DRM_FORMAT_XRGB8888, 1280, 720);
  PaintText(plane, 1);
  const int64_t begin_ns = clock_.NowNs();
  Refine(plane, Encode(plane).refine_ns);
  EXPECT_LT(clock_.NowNs() - begin_ns, 100'000'000);
  EXPECT_GT(LumaPsnr(Judge().back(), plane), 45);
}

TEST_P(RefinementTest, NothingIsSentOnceThePictureIsSharp) {
  ASSERT_NO_FATAL_FAILURE(Open(640, 480, {}));
  if (IsSkipped()) return;
  HeapPlane plane(DRM_FORMAT_XRGB8888, 640, 480);
  PaintText(plane, 1);
  ASSERT_FALSE(Refine(plane, Encode(plane).refine_ns).empty());
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(kSecondNs);
    const EncodeResult result = Encode(plane, {.refine = true});
    EXPECT_EQ(result.unit, nullptr);
    EXPECT_EQ(result.refine_ns, kNever);
  }
}

TEST_P(RefinementTest, OnlyWhatWasCodedCoarserIsCodedAnew) {
  ASSERT_NO_FATAL_FAILURE(Open(640, 480, {}));
  if (IsSkipped()) return;
  HeapPlane plane(DRM_FORMAT_XRGB8888, 640, 480);
  PaintText(plane, 1);
  const size_t key_bytes = Encode(plane).unit->bytes.size();
  Refine(plane, kSecondNs);
  plane.Fill(100, 100, 5, 9, 0x202020);
  clock_.Advance(kFrameNs);
  const EncodeResult change = Encode(plane);
  EXPECT_FALSE(change.unit->sharp);
  const auto units = Refine(plane, change.refine_ns);
  ASSERT_EQ(units.size(), 1u);
  EXPECT_TRUE(units[0]->sharp);
  EXPECT_LT(units[0]->bytes.size(), key_bytes / 50);
}

TEST_P(RefinementTest, AChangeIsCodedAsAChangeWhateverWasAskedFor) {
  ASSERT_NO_FATAL_FAILURE(Open(640, 480, {}));
  if (IsSkipped()) return;
  HeapPlane plane(DRM_FORMAT_XRGB8888, 640, 480);
  PaintText(plane, 1);
  Encode(plane);
  clock_.Advance(kSecondNs);
  PaintText(plane, 2);
  const EncodeResult result = Encode(plane, {.refine = true});
  ASSERT_NE(result.unit, nullptr);
  EXPECT_FALSE(result.unit->refinement);
  EXPECT_EQ(result.unit->quantizer, RateParams().quantizer);
  EXPECT_GT(result.changed_rows, 0u);
}

TEST_P(RefinementTest, RefinementWaitsForRoomUnderTheCap) {
  ASSERT_NO_FATAL_FAILURE(Open(1280, 720, {.bitrate_max_bps = 500'000}));
  if (IsSkipped()) return;
  HeapPlane plane(DRM_FORMAT_XRGB8888, 1280, 720);
  PaintText(plane, 1);
  const EncodeResult key = Encode(plane);
  EXPECT_GT(key.refine_ns, clock_.NowNs() + kSecondNs / 2);
  clock_.Advance(kFrameNs);
  EXPECT_EQ(Encode(plane, {.refine = true}).unit, nullptr);
}

TEST_P(RefinementTest, PictureThatIsFineFromTheStartNeedsNone) {
  ASSERT_NO_FATAL_FAILURE(
      Open(640, 480, {.quantizer = 14, .bitrate_max_bps = 1'000'000'000, .sharp_quantizer = 16}));
  if (IsSkipped()) return;
  HeapPlane plane(DRM_FORMAT_XRGB8888, 640, 480);
  PaintText(plane, 1);
  const EncodeResult key = Encode(plane);
  EXPECT_TRUE(key.unit->sharp);
  EXPECT_EQ(key.refine_ns, kNever);
}

// Time that goes on while an encoder works.
class RunningClock : public Clock {
 public:
  int64_t NowNs() override { return now_ns_ += 1000; }
  void Advance(int64_t duration_ns) { now_ns_ += duration_ns; }

 private:
  int64_t now_ns_ = kSecondNs;
};

TEST(RunningRefinementTest, RoomThatThereIsNowIsRoom) {
  RunningClock clock;
  auto encoder = MakeEncoder("auto", {.width_px = 640, .height_px = 480}, {}, clock);
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  HeapPlane plane(DRM_FORMAT_XRGB8888, 640, 480);
  PaintText(plane, 1);
  ASSERT_TRUE((*encoder)->Encode(plane.frame(clock.NowNs()), {}).ok());
  clock.Advance(kSecondNs);
  const auto refined = (*encoder)->Encode(plane.frame(clock.NowNs()), {.refine = true});
  ASSERT_TRUE(refined.ok()) << refined.status();
  EXPECT_NE(refined->unit, nullptr);
}

INSTANTIATE_TEST_SUITE_P(Encoders, RefinementTest, ::testing::Values("x264", "openh264"));

}  // namespace
}  // namespace planecast
