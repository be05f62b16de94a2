// Patches and an encoder library's pictures in one stream: do two decoders that are not ours see
// what was shown, for as long as one likes?
#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "encoder/encoder.h"
#include "encoder/h264/h264_bits.h"
#include "tests/encoder/test_frames.h"
#include "tests/h264/stream_check.h"

namespace planecast {
namespace {

using testing::CheckStream;
using testing::DecodedPicture;
using testing::HeapPlane;
using testing::Random;

constexpr uint32_t kWidthPx = 640;
constexpr uint32_t kHeightPx = 480;
constexpr int64_t kFrameNs = 1'000'000'000 / 60;

bool IsPatch(const AccessUnit& unit) {
  // The library's pictures of this size have two slices.
  size_t slices = 0;
  for (const auto nal : SplitAnnexB(unit.bytes)) {
    const NalType type = *NalTypeOf(nal);
    if (type == NalType::kSlice || type == NalType::kIdrSlice) ++slices;
  }
  return slices == 1;
}

// What a decoder shows of a grey, which is exact in BT.709 limited range but for rounding.
int LumaOf(uint32_t rgb) {
  const uint32_t r = rgb >> 16 & 255;
  const uint32_t g = rgb >> 8 & 255;
  const uint32_t b = rgb & 255;
  return static_cast<int>(16.5 + 219.0 / 255 * (0.2126 * r + 0.7152 * g + 0.0722 * b));
}

class PatchTest : public ::testing::TestWithParam<H264Profile> {
 protected:
  void Open(const RateParams& rate = {.quantizer = 14, .bitrate_max_bps = 1'000'000'000},
            int threads = 1) {
    auto encoder = MakeEncoder(
        "x264",
        {.width_px = kWidthPx, .height_px = kHeightPx, .threads = threads, .profile = GetParam()},
        rate, clock_);
    if (absl::IsNotFound(encoder.status())) GTEST_SKIP() << "x264 is not in this build";
    ASSERT_TRUE(encoder.ok()) << encoder.status();
    encoder_ = *std::move(encoder);
    PaintText(plane_, 1);
  }

  std::shared_ptr<const AccessUnit> Encode(const EncodeRequest& request = {}) {
    clock_.Advance(kFrameNs);
    const auto result = encoder_->Encode(plane_.frame(clock_.NowNs()), request);
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok() || result->unit == nullptr) return nullptr;
    stream_.push_back(result->unit->bytes);
    patched_.push_back(IsPatch(*result->unit));
    sources_.push_back(Luma());
    return result->unit;
  }

  std::vector<int> Luma() {
    std::vector<int> luma;
    luma.reserve(size_t{kWidthPx} * kHeightPx);
    for (uint32_t y = 0; y < kHeightPx; ++y) {
      const auto* line = reinterpret_cast<const uint32_t*>(plane_.line(y));
      for (uint32_t x = 0; x < kWidthPx; ++x) luma.push_back(LumaOf(line[x]));
    }
    return luma;
  }

  // Both decoders agree (libavcodec alone for High), and nowhere is the picture far from its
  // source.
  std::vector<DecodedPicture> Judge(int error_max) {
    auto pictures = CheckStream(stream_, {.high_profile = GetParam() == H264Profile::kHigh});
    EXPECT_TRUE(pictures.ok()) << pictures.status();
    if (!pictures.ok() || pictures->size() != sources_.size()) return {};
    for (size_t n = 0; n < pictures->size(); ++n) {
      int worst = 0;
      for (size_t i = 0; i < sources_[n].size(); ++i) {
        worst = std::max(worst, std::abs((*pictures)[n].y[i] - sources_[n][i]));
      }
      EXPECT_LE(worst, error_max) << n << (patched_[n] ? ", a patch" : "");
    }
    return *std::move(pictures);
  }

  // Whatever happens on a screen.
  void Mix(uint32_t seed, int pictures) {
    Random random(seed);
    for (int i = 0; i < pictures; ++i) {
      switch (random.Below(8)) {
        case 0:  // too much for a patch
          plane_.Fill(random.Below(400), random.Below(300), 200, 150, random.Next() & 0xffffff);
          break;
        case 1:  // motion
          for (uint32_t y = 20; y < 300; ++y) {
            std::copy_n(plane_.line(y + 7), kWidthPx * 4, plane_.line(y));
          }
          break;
        default:
          plane_.Fill(random.Below(kWidthPx), random.Below(kHeightPx), 1 + random.Below(20),
                      1 + random.Below(20), random.Next() & 0xffffff);
      }
      Encode({.force_idr = random.Below(40) == 0, .refine = random.Below(4) == 0});
    }
  }

  size_t patches() const {
    return static_cast<size_t>(std::count(patched_.begin(), patched_.end(), true));
  }

  ManualClock clock_;
  HeapPlane plane_{DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx};
  std::unique_ptr<Encoder> encoder_;
  std::vector<std::vector<uint8_t>> stream_;
  std::vector<bool> patched_;
  std::vector<std::vector<int>> sources_;
};

TEST_P(PatchTest, SmallChangeIsAPatchAndLeavesTheRestAlone) {
  ASSERT_NO_FATAL_FAILURE(Open());
  if (IsSkipped()) return;
  Encode();
  plane_.Fill(200, 100, 9, 14, 0x4060a0);
  const auto unit = Encode();
  ASSERT_NE(unit, nullptr);
  EXPECT_TRUE(IsPatch(*unit));
  EXPECT_LT(unit->bytes.size(), 400u);
  const auto pictures = Judge(16);
  ASSERT_EQ(pictures.size(), 2u);
  for (size_t y = 0; y < kHeightPx; ++y) {
    for (size_t x = 0; x < kWidthPx; ++x) {
      if (y >= 96 && y < 128 && x >= 192 && x < 224) continue;
      ASSERT_EQ(pictures[1].y[y * kWidthPx + x], pictures[0].y[y * kWidthPx + x]);
    }
  }
}

TEST_P(PatchTest, AThousandPatchesDoNotDrift) {
  ASSERT_NO_FATAL_FAILURE(Open());
  if (IsSkipped()) return;
  Encode();
  Random random(3);
  // The same few macroblocks again and again, so that they stay patches.
  for (int i = 0; i < 1000; ++i) {
    plane_.Fill(100 + random.Below(60), 100 + random.Below(30), 1 + random.Below(12),
                1 + random.Below(12), random.Next() & 0xffffff);
    Encode();
  }
  EXPECT_GT(patches(), 990u);
  Judge(16);
}

TEST_P(PatchTest, AnyMixOfPatchesPicturesAndKeyFramesIsSeenAsItWasShown) {
  ASSERT_NO_FATAL_FAILURE(Open());
  if (IsSkipped()) return;
  Mix(11, 500);
  EXPECT_GT(patches(), 250u);
  EXPECT_LT(patches(), 450u);
  Judge(24);
}

TEST_P(PatchTest, ThreadsOfTheLibraryMakeNoDifference) {
  ASSERT_NO_FATAL_FAILURE(Open({.quantizer = 14, .bitrate_max_bps = 1'000'000'000}, /*threads=*/2));
  if (IsSkipped()) return;
  Mix(12, 150);
  EXPECT_GT(patches(), 70u);
  Judge(24);
}

TEST_P(PatchTest, NoiseInPatchesIsCodedRightAtEveryQuantizer) {
  ASSERT_NO_FATAL_FAILURE(Open({.quantizer = 10, .bitrate_max_bps = 1'000'000'000}));
  if (IsSkipped()) return;
  Encode();
  Random random(5);
  for (int quantizer = 10; quantizer <= 40; ++quantizer) {
    encoder_->SetRate({.quantizer = quantizer, .bitrate_max_bps = 1'000'000'000});
    for (int contrast : {255, 60, 12}) {
      for (uint32_t y = 64; y < 128; ++y) {
        for (uint32_t x = 64; x < 144; ++x) {
          const uint32_t grey = random.Below(static_cast<uint32_t>(contrast));
          plane_.SetPixel(x, y, contrast == 60 ? random.Next() & 0x3f3f3f : grey * 0x010101);
        }
      }
      const auto unit = Encode();
      ASSERT_TRUE(IsPatch(*unit));
      EXPECT_EQ(unit->quantizer, quantizer);
    }
  }
  Judge(160);
}

TEST_P(PatchTest, PatchesAtTheEdgesOfThePictureAreRight) {
  ASSERT_NO_FATAL_FAILURE(Open());
  if (IsSkipped()) return;
  Encode();
  for (const uint32_t x : {0u, kWidthPx - 5}) {
    for (const uint32_t y : {0u, kHeightPx - 5}) {
      plane_.Fill(x, y, 5, 5, 0x2080c0);
      EXPECT_TRUE(IsPatch(*Encode()));
    }
  }
  Judge(20);
}

TEST_P(PatchTest, GrowingChangesGoBackToTheLibraryInTime) {
  ASSERT_NO_FATAL_FAILURE(Open());
  if (IsSkipped()) return;
  Encode();
  // Typing down the page.
  for (uint32_t i = 0; i < 400; ++i) {
    plane_.Fill(20 + i % 60 * 10, 20 + i / 60 * 40, 7, 12, 0x202020 + i);
    Encode();
  }
  // A patch for each letter, but for one of each 37 macroblocks.
  EXPECT_GT(patches(), 380u);
  EXPECT_LT(patches(), 399u);
  Judge(16);
}

TEST_P(PatchTest, RefinementOfAPatchIsAPatch) {
  ASSERT_NO_FATAL_FAILURE(Open({.quantizer = 28, .bitrate_max_bps = 1'000'000'000}));
  if (IsSkipped()) return;
  Encode();
  while (Encode({.refine = true}) != nullptr) {
  }
  plane_.Fill(200, 100, 9, 14, 0x4060a0);
  const auto change = Encode();
  EXPECT_TRUE(IsPatch(*change));
  EXPECT_EQ(change->quantizer, 28);
  EXPECT_FALSE(change->sharp);
  const auto refinement = Encode({.refine = true});
  ASSERT_NE(refinement, nullptr);
  EXPECT_TRUE(IsPatch(*refinement));
  EXPECT_TRUE(refinement->refinement);
  EXPECT_TRUE(refinement->sharp);
  EXPECT_LT(refinement->bytes.size(), 500u);
  EXPECT_EQ(Encode({.refine = true}), nullptr);
  const auto pictures = Judge(140);
  // Sharp now, where the change was coarse.
  int worst = 0;
  for (size_t y = 96; y < 128; ++y) {
    for (size_t x = 192; x < 224; ++x) {
      const size_t i = y * kWidthPx + x;
      worst = std::max(worst, std::abs(pictures.back().y[i] - sources_.back()[i]));
    }
  }
  EXPECT_LE(worst, 16);
}

TEST_P(PatchTest, NewcomerStartsAtAKeyFrameInTheMidstOfPatches) {
  ASSERT_NO_FATAL_FAILURE(Open());
  if (IsSkipped()) return;
  Encode();
  for (uint32_t i = 0; i < 20; ++i) {
    plane_.Fill(50 + i, 50, 9, 9, i * 0x0b0705);
    if (i == 10) {
      stream_.clear();
      sources_.clear();
      patched_.clear();
    }
    Encode({.force_idr = i == 10});
  }
  EXPECT_EQ(patches(), 9u);
  Judge(16);
}

INSTANTIATE_TEST_SUITE_P(Profiles, PatchTest,
                         ::testing::Values(H264Profile::kConstrainedBaseline, H264Profile::kHigh));

}  // namespace
}  // namespace planecast
