#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "encoder/encoder.h"
#include "encoder/encoder_checks.h"
#include "encoder/pixels/packed_format.h"
#include "encoder/probe_frame.h"
#include "encoder/software/h264_backend.h"
#include "encoder/software/software_encoder.h"
#if PLANECAST_HAVE_OPENH264
#include "encoder/software/openh264_backend.h"
#endif
#if PLANECAST_HAVE_VAAPI
#include "encoder/va/va_probe.h"
#endif
#if PLANECAST_HAVE_X264
#include "encoder/software/x264_backend.h"
#endif

#include <drm_fourcc.h>

namespace planecast {
namespace {

// Limits of the contract in encoder.h.
constexpr uint32_t kSizeMinPx = 16;
constexpr int kFrameRateMaxHz = 240;
constexpr int kThreadsMax = 16;
constexpr int kQuantizerMin = 10;
constexpr int kQuantizerMax = 40;
constexpr int64_t kBitrateMinBps = 100'000;
constexpr int64_t kBitrateMaxBps = 1'000'000'000;
constexpr uint32_t kProbeSizePx = 64;

absl::Status CheckParams(const EncoderParams& params) {
  if (params.width_px < kSizeMinPx || params.width_px > kPlaneWidthMaxPx ||
      params.height_px < kSizeMinPx || params.height_px > kPlaneHeightMaxPx) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "size %ux%u; an encoder takes %u to %u by %u to %u pixels", params.width_px,
        params.height_px, kSizeMinPx, kPlaneWidthMaxPx, kSizeMinPx, kPlaneHeightMaxPx));
  }
  if (params.frame_rate_hz < 1 || params.frame_rate_hz > kFrameRateMaxHz) {
    return absl::InvalidArgumentError(
        absl::StrFormat("frame rate %d; 1 to %d Hz", params.frame_rate_hz, kFrameRateMaxHz));
  }
  if (params.threads < 1 || params.threads > kThreadsMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d threads; 1 to %d", params.threads, kThreadsMax));
  }
  return absl::OkStatus();
}

absl::Status CheckOutput(const EncoderParams& params) {
  const bool as_frames =
      (params.output_width_px == 0 || params.output_width_px == params.width_px) &&
      (params.output_height_px == 0 || params.output_height_px == params.height_px);
  if (as_frames) return absl::OkStatus();
  return absl::UnimplementedError("software encoders code frames at their own size only");
}

absl::Status CheckRate(const RateParams& rate) {
  if (rate.quantizer < kQuantizerMin || rate.quantizer > kQuantizerMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("quantizer %d; %d to %d", rate.quantizer, kQuantizerMin, kQuantizerMax));
  }
  if (rate.sharp_quantizer < kQuantizerMin || rate.sharp_quantizer > kQuantizerMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "sharp quantizer %d; %d to %d", rate.sharp_quantizer, kQuantizerMin, kQuantizerMax));
  }
  if (rate.bitrate_max_bps < kBitrateMinBps || rate.bitrate_max_bps > kBitrateMaxBps) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "bitrate cap %d; %d to %d bit/s", rate.bitrate_max_bps, kBitrateMinBps, kBitrateMaxBps));
  }
  return absl::OkStatus();
}

absl::Status CheckLimits(const BackendInfo& backend, const EncoderParams& params) {
  const uint32_t mbs = ((params.width_px + 15) / 16) * ((params.height_px + 15) / 16);
  if (mbs <= backend.frame_max_mbs && params.width_px <= backend.side_max_px &&
      params.height_px <= backend.side_max_px) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("%ux%u pixels are more than %s codes; use another encoder or a smaller mode",
                      params.width_px, params.height_px, backend.id));
}

absl::Status Probe(const BackendInfo& backend, H264Profile profile) {
  const EncoderParams params{
      .width_px = kProbeSizePx, .height_px = kProbeSizePx, .profile = profile};
  auto encoder = SoftwareEncoder::Make(backend, params, RateParams{}, MonotonicClock());
  if (!encoder.ok()) return encoder.status();
  const Frame frame = MakeProbeFrame(kProbeSizePx, kProbeSizePx);
  auto result = (*encoder)->Encode(frame, EncodeRequest{.force_idr = true});
  if (!result.ok()) return result.status();
  if (result->unit == nullptr) return absl::InternalError("the probe gave no picture");
  return absl::OkStatus();
}

EncoderCapability Describe(const BackendInfo& backend) {
  EncoderCapability capability;
  capability.id = backend.id;
  capability.library_version = backend.library_version;
  capability.width_max_px = std::min(backend.side_max_px, kPlaneWidthMaxPx);
  capability.height_max_px = std::min(backend.side_max_px, kPlaneHeightMaxPx);
  capability.fourccs = {DRM_FORMAT_XRGB8888,   DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888,
                        DRM_FORMAT_ABGR8888,   DRM_FORMAT_RGB565,   DRM_FORMAT_XRGB2101010,
                        DRM_FORMAT_XBGR2101010};
  const absl::Status status = Probe(backend, H264Profile::kConstrainedBaseline);
  capability.available = status.ok();
  capability.reason = std::string(status.message());
  if (status.ok()) capability.profiles.emplace_back("constrained-baseline");
  if (Probe(backend, H264Profile::kHigh).ok()) capability.profiles.emplace_back("high");
  return capability;
}

std::string BuiltInIds() {
  std::string ids;
  for (const BackendInfo& backend : BuiltInBackends()) {
    absl::StrAppend(&ids, ids.empty() ? "" : ", ", backend.id);
  }
  return ids.empty() ? "none" : ids;
}

}  // namespace

const std::vector<BackendInfo>& BuiltInBackends() {
  static const auto* const kBackends = [] {
    auto backends = std::make_unique<std::vector<BackendInfo>>();
#if PLANECAST_HAVE_X264
    backends->push_back(X264BackendInfo());
#endif
#if PLANECAST_HAVE_OPENH264
    backends->push_back(OpenH264BackendInfo());
#endif
    return backends.release();
  }();
  return *kBackends;
}

std::vector<EncoderCapability> ProbeSoftwareEncoders() {
  std::vector<EncoderCapability> capabilities;
  for (const BackendInfo& backend : BuiltInBackends()) capabilities.push_back(Describe(backend));
  return capabilities;
}

absl::Status CheckEncoderParams(const EncoderParams& params, const RateParams& rate) {
  if (auto status = CheckParams(params); !status.ok()) return status;
  return CheckRate(rate);
}

absl::StatusOr<std::unique_ptr<Encoder>> MakeSoftwareEncoder(std::string_view id,
                                                             const EncoderParams& params,
                                                             const RateParams& rate, Clock& clock,
                                                             const std::string& degraded_reason) {
  if (auto status = CheckEncoderParams(params, rate); !status.ok()) return status;
  absl::Status failure = absl::NotFoundError(absl::StrFormat(
      "no encoder \"%s\" in this build; there is: %s", std::string(id), BuiltInIds()));
  for (const BackendInfo& backend : BuiltInBackends()) {
    if (id != "auto" && id != backend.id) continue;
    failure = CheckLimits(backend, params);
    if (failure.ok()) failure = CheckOutput(params);
    if (!failure.ok()) continue;
    auto encoder = SoftwareEncoder::Make(backend, params, rate, clock, degraded_reason);
    if (encoder.ok()) return encoder;
    failure = encoder.status();
  }
  return failure;
}

absl::StatusOr<std::unique_ptr<Encoder>> MakeEncoder(std::string_view id,
                                                     const EncoderParams& params,
                                                     const RateParams& rate, Clock& clock) {
#if PLANECAST_HAVE_VAAPI
  if (id == "vaapi") {
    if (auto status = CheckEncoderParams(params, rate); !status.ok()) return status;
    return MakeVaEncoder(params, rate, clock, nullptr);
  }
#endif
  return MakeSoftwareEncoder(id, params, rate, clock, "");
}

}  // namespace planecast
