// Parameter sets of H.264: pure code, no encoder library. What every stream of planecast says about
// itself is decided here, once, for all encoders.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace planecast {

/// Side of a macroblock, in pixels.
inline constexpr uint32_t kMacroblockPx = 16;

/// Colour as H.273 code points. The defaults are planecast's contract: BT.709, limited range.
struct VideoSignal {
  /// 5: unspecified.
  uint8_t video_format = 5;
  bool full_range = false;
  uint8_t primaries = 1;
  uint8_t transfer = 1;
  uint8_t matrix = 1;

  friend bool operator==(const VideoSignal&, const VideoSignal&) = default;
};

/// Video usability information, clause E.1.1. The defaults are planecast's contract. HRD parameters
/// and sample aspect ratios other than 1:1 are read over and never written.
struct Vui {
  bool square_pixels = true;
  std::optional<VideoSignal> video_signal = VideoSignal{};
  /// chroma_sample_loc_type: 1 is the centre of four luma samples, as a box average has it.
  std::optional<uint32_t> chroma_location = 1;
  struct Timing {
    uint32_t units_in_tick = 1;
    /// Two ticks a frame.
    uint32_t time_scale = 120;
    bool fixed_rate = false;
    friend bool operator==(const Timing&, const Timing&) = default;
  };
  std::optional<Timing> timing = Timing{};
  bool picture_structure = false;
  struct Restriction {
    uint32_t reorder_frames = 0;
    uint32_t buffered_frames = 1;
    friend bool operator==(const Restriction&, const Restriction&) = default;
  };
  /// Without it a decoder may hold frames back although nothing is reordered.
  std::optional<Restriction> restriction = Restriction{};

  friend bool operator==(const Vui&, const Vui&) = default;
};

/// Sequence parameter set, clause 7.3.2.1.1, of a progressive 8-bit 4:2:0 stream without scaling
/// lists.
struct SequenceParameterSet {
  /// 66 Baseline, 77 Main, 100 High.
  uint8_t profile_idc = 66;
  /// constraint_set0_flag is the top bit; the two lowest bits are zero.
  uint8_t constraint_flags = 0xc0;
  uint8_t level_idc = 40;
  uint32_t id = 0;
  uint32_t log2_frame_num_max = 4;
  /// 0 or 2.
  uint32_t poc_type = 2;
  /// Only with poc_type 0.
  uint32_t log2_poc_lsb_max = 4;
  uint32_t reference_frames = 1;
  bool frame_num_gaps = false;
  uint32_t width_mbs = 1;
  uint32_t height_mbs = 1;
  bool direct_8x8_inference = true;
  /// In steps of two pixels, clause 7.4.2.1.1, from the right and from the bottom.
  uint32_t crop_right_pairs = 0;
  uint32_t crop_bottom_pairs = 0;
  std::optional<Vui> vui = Vui{};

  friend bool operator==(const SequenceParameterSet&, const SequenceParameterSet&) = default;
};

/// Picture parameter set, clause 7.3.2.2, without slice groups and scaling lists.
struct PictureParameterSet {
  uint32_t id = 0;
  uint32_t sps_id = 0;
  bool cabac = false;
  bool bottom_field_poc = false;
  uint32_t reference_l0_active = 1;
  uint32_t reference_l1_active = 1;
  bool weighted_prediction = false;
  uint32_t weighted_biprediction = 0;
  int32_t initial_qp = 26;
  int32_t initial_qs = 26;
  int32_t chroma_qp_offset = 0;
  bool deblocking_control = true;
  bool constrained_intra = false;
  bool redundant_pictures = false;
  /// Present in High profile, else absent.
  struct High {
    bool transform_8x8 = true;
    int32_t second_chroma_qp_offset = 0;
    friend bool operator==(const High&, const High&) = default;
  };
  std::optional<High> high;

  friend bool operator==(const PictureParameterSet&, const PictureParameterSet&) = default;
};

/// A whole NAL unit with header, without start code.
std::vector<uint8_t> WriteSps(const SequenceParameterSet& sps);
std::vector<uint8_t> WritePps(const PictureParameterSet& pps);
/// Access unit delimiter for a picture of I slices, or of I and P slices.
std::vector<uint8_t> WriteAccessUnitDelimiter(bool key_frame);

/// INVALID_ARGUMENT for a damaged NAL unit, UNIMPLEMENTED for syntax beyond the structs above.
absl::StatusOr<SequenceParameterSet> ParseSps(std::span<const uint8_t> nal);
absl::StatusOr<PictureParameterSet> ParsePps(std::span<const uint8_t> nal);

/// RFC 6381, e.g. "avc1.42C01F".
std::string CodecString(const SequenceParameterSet& sps);

/// What decides the level, table A-1. The bitrate is left out: its cap may change at any time, the
/// level only with a new stream.
struct LevelNeeds {
  uint32_t width_mbs = 0;
  uint32_t height_mbs = 0;
  uint32_t frame_rate_hz = 0;
};

/// The lowest level_idc that suffices, or 62, the highest, if none does.
uint8_t LevelFor(const LevelNeeds& needs);

/// What every stream must say, whatever the encoder library says by itself.
struct StreamContract {
  uint32_t visible_width_px = 0;
  uint32_t visible_height_px = 0;
  uint32_t frame_rate_hz = 60;
  uint8_t level_idc = 0;
  /// The SPS announces no fewer reference frames.
  uint32_t reference_frames_min = 1;
};

/// Makes `sps` keep the contract. Touches only what slices don't depend on.
///
/// 4:2:0 can be cropped in steps of two pixels only, so a picture of an odd size decodes to one
/// column or line more, a copy of the last; StreamDescription tells the true size.
void ApplyContract(const StreamContract& contract, SequenceParameterSet& sps);

}  // namespace planecast
