// What an H.264 library must do for SoftwareEncoder: code one picture, nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "encoder/encoder.h"
#include "encoder/pixels/color_convert.h"

namespace planecast {

/// Pictures with no more macroblocks than this are coded as one slice.
inline constexpr uint32_t kSingleSliceMbsMax = 64;

/// Constant for the life of a backend. All sizes are coded sizes, whole macroblocks.
struct BackendParams {
  uint32_t width_mbs = 0;
  uint32_t height_mbs = 0;
  int frame_rate_hz = 60;
  int threads = 1;
  /// At least two, where the picture is large enough, so that a viewer can decode on two threads:
  /// that shortens its latency and costs a few bytes.
  int slices = 1;
  uint8_t level_idc = 0;
  H264Profile profile = H264Profile::kConstrainedBaseline;
};

/// One picture to be coded.
struct CodingJob {
  I420Planes picture;
  bool key_frame = false;
  /// 10 to 51.
  int quantizer = 23;
  /// One per macroblock, in raster order: 0 if all its pixels are those of the last picture.
  std::span<const uint8_t> changed_mbs;
};

/// One coded picture as NAL units without start codes; valid until the backend's next call.
using CodedNals = std::vector<std::span<const uint8_t>>;

/// An H.264 library. Bound to one thread.
///
/// Every call codes its own picture: one reference, no reordering, no delay. What parameter sets
/// say beyond the slices' needs is settled by ApplyContract, not here.
class H264Backend {
 public:
  virtual ~H264Backend() = default;

  /// SPS and PPS.
  virtual absl::StatusOr<CodedNals> ParameterSets() = 0;

  /// Codes an IDR if the job says so, else a P picture. Parameter sets and SEI may be among the NAL
  /// units. After an error the backend is still usable; the next job must be a key frame.
  virtual absl::StatusOr<CodedNals> Encode(const CodingJob& job) = 0;

  /// What a decoder shows after the last picture that was coded, to the bit; valid until the next
  /// call of Encode. Nothing if the library doesn't tell.
  virtual std::optional<Nv12Picture> decoded() const { return std::nullopt; }
};

/// A library that was built in.
struct BackendInfo {
  std::string id;
  std::string library_version;
  uint32_t frame_max_mbs = 0;
  uint32_t side_max_px = 0;
  /// H264Backend::decoded() works.
  bool tells_decoded = false;
  absl::StatusOr<std::unique_ptr<H264Backend>> (*make)(const BackendParams& params) = nullptr;
};

/// The libraries that were built in, best first.
const std::vector<BackendInfo>& BuiltInBackends();

}  // namespace planecast
