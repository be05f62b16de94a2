// What encoder.h promises, asked of every encoder and profile: the fixture.
#pragma once

#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "encoder/encoder.h"
#include "encoder/h264/h264_bits.h"
#include "encoder/h264/h264_headers.h"
#include "encoder/pixels/pixels.h"
#include "tests/encoder/test_frames.h"
#if PLANECAST_HAVE_VAAPI
#include "tests/encoder/va/va_testing.h"
#endif
#include "tests/h264/stream_check.h"

namespace planecast {

using ::planecast::testing::CheckStream;
using testing::DecodedPicture;
using testing::HeapPlane;

inline constexpr int64_t kFrameNs = 1'000'000'000 / 60;
// Room for every picture of these tests at its base quantiser.
inline constexpr int64_t kAmpleBps = 1'000'000'000;

inline std::vector<NalType> NalTypes(const AccessUnit& unit) {
  std::vector<NalType> types;
  for (const auto nal : SplitAnnexB(unit.bytes)) types.push_back(*NalTypeOf(nal));
  return types;
}

inline bool Contains(const std::vector<NalType>& types, NalType type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

// Peak signal-to-noise ratio of luma against the source, in dB.
inline double LumaPsnr(const DecodedPicture& picture, HeapPlane& plane) {
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
  const double mean = sum / (static_cast<double>(rgb->width_px) * rgb->height_px);
  return 10 * std::log10(255 * 255 / mean);
}

inline int ChannelDistance(uint32_t a, uint32_t b) {
  int worst = 0;
  for (int shift = 0; shift < 24; shift += 8) {
    worst = std::max(
        worst, std::abs(static_cast<int>(a >> shift & 255) - static_cast<int>(b >> shift & 255)));
  }
  return worst;
}

/// An encoder, for GPUs with whom the driver plays and how pixels reach it.
struct Subject {
  const char* id;
  const char* persona = nullptr;
  /// Planes are dma-buf-like and can't be read by the CPU.
  bool imports = false;
};

class EncoderContract : public ::testing::TestWithParam<std::tuple<Subject, H264Profile>> {
 protected:
  void SetUp() override {
#if PLANECAST_HAVE_VAAPI
    if (gpu()) driver_ = std::make_unique<testing::SwDriver>(subject().persona);
#endif
    const auto probe = MakeEncoder(id(), Params(64, 64), {}, clock_);
    if (probe.status().code() == absl::StatusCode::kNotFound) {
      GTEST_SKIP() << id() << " is not in this build";
    }
    if (gpu() && absl::IsUnimplemented(probe.status())) {
      GTEST_SKIP() << subject().persona << " does not offer this profile";
    }
    ASSERT_TRUE(probe.ok()) << probe.status();
  }

  const Subject& subject() const {
    return std::get<0>(GetParam());
  }
  const char* id() const {
    return subject().id;
  }
  H264Profile profile() const {
    return std::get<1>(GetParam());
  }
  bool gpu() const {
    return subject().persona != nullptr;
  }
  /// The encoder knows what changed before it codes.
  bool sees_changes() const {
    return !subject().imports;
  }
  /// It finds out by what it coded, unless CABAC hides that.
  bool finds_changes() const {
    return sees_changes() || profile() == H264Profile::kConstrainedBaseline;
  }

  EncoderParams Params(uint32_t width_px, uint32_t height_px) const {
    EncoderParams params;
    params.width_px = width_px;
    params.height_px = height_px;
    params.profile = profile();
    if (gpu()) params.render_node = "/dev/null";
    return params;
  }

  void Open(uint32_t width_px, uint32_t height_px,
            const RateParams& rate = {.quantizer = 23, .bitrate_max_bps = kAmpleBps}) {
    auto encoder = MakeEncoder(id(), Params(width_px, height_px), rate, clock_);
    ASSERT_TRUE(encoder.ok()) << encoder.status();
    encoder_ = std::move(*encoder);
    stream_.clear();
  }

  // Codes a frame a frame time later; null if nothing changed.
  std::shared_ptr<const AccessUnit> Encode(HeapPlane& plane, bool force_idr = false) {
    clock_.Advance(kFrameNs);
    const auto result = encoder_->Encode(FrameOf(plane), {.force_idr = force_idr});
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return nullptr;
    if (result->unit != nullptr) stream_.push_back(result->unit->bytes);
    last_ = *result;
    return result->unit;
  }

  /// A GPU that sees no changes may mend its key frame in the next pictures.
  void Settle(HeapPlane& plane) {
    if (sees_changes()) return;
    for (int i = 0; i < 3 && Encode(plane) != nullptr; ++i) {
    }
  }

  /// What the encoder is given for a plane: itself, or a dma-buf with the same pixels.
  Frame FrameOf(HeapPlane& plane) {
#if PLANECAST_HAVE_VAAPI
    if (subject().imports) {
      const PlaneLayout& layout = plane.layout();
      auto& dmabuf = dmabufs_[&plane];
      if (dmabuf == nullptr || dmabuf->layout() != layout) {
        const uint32_t padding =
            layout.stride_bytes - layout.width_px * BytesPerPixel(layout.fourcc);
        dmabuf = std::make_unique<testing::MemfdPlane>(layout.fourcc, layout.width_px,
                                                       layout.height_px, padding);
      }
      dmabuf->Show(plane);
      return dmabuf->frame(clock_.NowNs());
    }
#endif
    return plane.frame(clock_.NowNs());
  }

  // Judges all units since Open.
  std::vector<DecodedPicture> Judge() {
    auto pictures = CheckStream(stream_, {.high_profile = profile() == H264Profile::kHigh});
    EXPECT_TRUE(pictures.ok()) << pictures.status();
    return pictures.ok() ? *pictures : std::vector<DecodedPicture>();
  }

#if PLANECAST_HAVE_VAAPI
  std::unique_ptr<testing::SwDriver> driver_;
  std::map<const HeapPlane*, std::unique_ptr<testing::MemfdPlane>> dmabufs_;
#endif
  ManualClock clock_;
  std::unique_ptr<Encoder> encoder_;
  EncodeResult last_;
  std::vector<std::vector<uint8_t>> stream_;
};

/// The GPUs that are played; tests/CMakeLists.txt says which of them under a sanitizer.
inline std::vector<Subject> GpuSubjects() {
  return {{"vaapi", "ihd", true},          {"vaapi", "ihd"},
          {"vaapi", "ihd-lp", true},       {"vaapi", "radeonsi", true},
          {"vaapi", "radeonsi-old", true}, {"vaapi", "minimal", true}};
}

inline std::string ContractParamName(
    const ::testing::TestParamInfo<EncoderContract::ParamType>& info) {
  const bool high = std::get<1>(info.param) == H264Profile::kHigh;
  const Subject& subject = std::get<0>(info.param);
  std::string name = subject.id;
  if (subject.persona != nullptr) name += std::string("_") + subject.persona;
  std::replace(name.begin(), name.end(), '-', '_');
  return name + (subject.imports ? "_import" : "") + (high ? "_high" : "_baseline");
}

}  // namespace planecast
