#include "encoder/h264/h264_headers.h"

#include <algorithm>
#include <array>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "encoder/h264/h264_bits.h"

namespace planecast {
namespace {

constexpr uint32_t kSpsIdMax = 31;
constexpr uint32_t kPpsIdMax = 255;
// Larger than any level allows.
constexpr uint32_t kSizeMaxMbs = 1024;
constexpr uint32_t kReferenceFramesMax = 16;
// log2_max_mv_length: 2^15 quarter pixels, the widest that the standard knows.
constexpr uint32_t kLog2MvLengthMax = 15;
constexpr uint32_t kSarSquare = 1;
constexpr uint32_t kSarExtended = 255;

bool HasChromaFormat(uint8_t profile_idc) {
  static constexpr std::array<uint8_t, 12> kProfiles = {100, 110, 122, 244, 44,  83,
                                                        86,  118, 128, 138, 139, 134};
  return std::find(kProfiles.begin(), kProfiles.end(), profile_idc) != kProfiles.end();
}

void WriteVui(const Vui& vui, BitWriter& out) {
  out.Flag(vui.square_pixels);
  if (vui.square_pixels) out.Bits(kSarSquare, 8);
  out.Flag(false);  // overscan_info_present_flag
  out.Flag(vui.video_signal.has_value());
  if (vui.video_signal) {
    out.Bits(vui.video_signal->video_format, 3);
    out.Flag(vui.video_signal->full_range);
    out.Flag(true);  // colour_description_present_flag
    out.Bits(vui.video_signal->primaries, 8);
    out.Bits(vui.video_signal->transfer, 8);
    out.Bits(vui.video_signal->matrix, 8);
  }
  out.Flag(vui.chroma_location.has_value());
  if (vui.chroma_location) {
    out.Ue(*vui.chroma_location);  // top field
    out.Ue(*vui.chroma_location);  // bottom field
  }
  out.Flag(vui.timing.has_value());
  if (vui.timing) {
    out.Bits(vui.timing->units_in_tick, 32);
    out.Bits(vui.timing->time_scale, 32);
    out.Flag(vui.timing->fixed_rate);
  }
  out.Flag(false);  // nal_hrd_parameters_present_flag
  out.Flag(false);  // vcl_hrd_parameters_present_flag
  out.Flag(vui.picture_structure);
  out.Flag(vui.restriction.has_value());
  if (vui.restriction) {
    out.Flag(true);  // motion_vectors_over_pic_boundaries_flag
    out.Ue(0);       // max_bytes_per_pic_denom: no limit
    out.Ue(0);       // max_bits_per_mb_denom: no limit
    out.Ue(kLog2MvLengthMax);
    out.Ue(kLog2MvLengthMax);
    out.Ue(vui.restriction->reorder_frames);
    out.Ue(vui.restriction->buffered_frames);
  }
}

// hrd_parameters(), clause E.1.2.
void SkipHrd(BitReader& in) {
  const uint32_t schedules = in.Ue() + 1;
  in.Bits(8);  // bit_rate_scale, cpb_size_scale
  for (uint32_t i = 0; i < schedules && in.ok(); ++i) {
    in.Ue();
    in.Ue();
    in.Flag();
  }
  in.Bits(20);  // lengths of delays
}

Vui ReadVui(BitReader& in) {
  Vui vui{.square_pixels = false,
          .video_signal = std::nullopt,
          .chroma_location = std::nullopt,
          .timing = std::nullopt,
          .restriction = std::nullopt};
  if (in.Flag()) {
    const uint32_t aspect_ratio = in.Bits(8);
    vui.square_pixels = aspect_ratio == kSarSquare;
    if (aspect_ratio == kSarExtended) in.Bits(32);
  }
  if (in.Flag()) in.Flag();  // overscan
  if (in.Flag()) {
    VideoSignal signal{.primaries = 2, .transfer = 2, .matrix = 2};
    signal.video_format = static_cast<uint8_t>(in.Bits(3));
    signal.full_range = in.Flag();
    if (in.Flag()) {
      signal.primaries = static_cast<uint8_t>(in.Bits(8));
      signal.transfer = static_cast<uint8_t>(in.Bits(8));
      signal.matrix = static_cast<uint8_t>(in.Bits(8));
    }
    vui.video_signal = signal;
  }
  if (in.Flag()) {
    vui.chroma_location = in.Ue();
    in.Ue();  // bottom field
  }
  if (in.Flag()) {
    Vui::Timing timing;
    timing.units_in_tick = in.Bits(32);
    timing.time_scale = in.Bits(32);
    timing.fixed_rate = in.Flag();
    vui.timing = timing;
  }
  const bool nal_hrd = in.Flag();
  if (nal_hrd) SkipHrd(in);
  const bool vcl_hrd = in.Flag();
  if (vcl_hrd) SkipHrd(in);
  if (nal_hrd || vcl_hrd) in.Flag();  // low_delay_hrd_flag
  vui.picture_structure = in.Flag();
  if (in.Flag()) {
    in.Flag();  // motion_vectors_over_pic_boundaries_flag
    for (int i = 0; i < 4; ++i) in.Ue();
    Vui::Restriction restriction;
    restriction.reorder_frames = in.Ue();
    restriction.buffered_frames = in.Ue();
    vui.restriction = restriction;
  }
  return vui;
}

absl::Status ReadChromaFormat(BitReader& in) {
  const uint32_t chroma_format = in.Ue();
  const uint32_t luma_depth_minus8 = in.Ue();
  const uint32_t chroma_depth_minus8 = in.Ue();
  const bool lossless = in.Flag();
  const bool scaling_lists = in.Flag();
  if (chroma_format != 1 || luma_depth_minus8 != 0 || chroma_depth_minus8 != 0 || lossless ||
      scaling_lists) {
    return absl::UnimplementedError("SPS that is not plain 8-bit 4:2:0");
  }
  return absl::OkStatus();
}

absl::Status ReadCrop(BitReader& in, SequenceParameterSet& sps) {
  const uint32_t left = in.Ue();
  sps.crop_right_pairs = in.Ue();
  const uint32_t top = in.Ue();
  sps.crop_bottom_pairs = in.Ue();
  if (left != 0 || top != 0) return absl::UnimplementedError("SPS cropped from left or top");
  return absl::OkStatus();
}

bool InRange(const SequenceParameterSet& sps) {
  return sps.id <= kSpsIdMax && sps.log2_frame_num_max <= 16 && sps.log2_poc_lsb_max <= 16 &&
         sps.reference_frames <= kReferenceFramesMax && sps.width_mbs >= 1 &&
         sps.width_mbs <= kSizeMaxMbs && sps.height_mbs >= 1 && sps.height_mbs <= kSizeMaxMbs &&
         sps.crop_right_pairs < sps.width_mbs * 8 && sps.crop_bottom_pairs < sps.height_mbs * 8;
}

// Table A-1.
struct LevelLimit {
  uint8_t level_idc;
  uint32_t mbs_per_s;
  uint32_t frame_mbs;
};
constexpr LevelLimit kLevels[] = {
    {10, 1485, 99},        {11, 3000, 396},       {12, 6000, 396},        {13, 11880, 396},
    {20, 11880, 396},      {21, 19800, 792},      {22, 20250, 1620},      {30, 40500, 1620},
    {31, 108000, 3600},    {32, 216000, 5120},    {40, 245760, 8192},     {41, 245760, 8192},
    {42, 522240, 8704},    {50, 589824, 22080},   {51, 983040, 36864},    {52, 2073600, 36864},
    {60, 4177920, 139264}, {61, 8355840, 139264}, {62, 16711680, 139264},
};

bool Suffices(const LevelLimit& level, const LevelNeeds& needs) {
  const uint64_t frame_mbs = uint64_t{needs.width_mbs} * needs.height_mbs;
  const uint64_t side_max_squared = uint64_t{level.frame_mbs} * 8;
  return frame_mbs <= level.frame_mbs && frame_mbs * needs.frame_rate_hz <= level.mbs_per_s &&
         uint64_t{needs.width_mbs} * needs.width_mbs <= side_max_squared &&
         uint64_t{needs.height_mbs} * needs.height_mbs <= side_max_squared;
}

}  // namespace

std::vector<uint8_t> WriteSps(const SequenceParameterSet& sps) {
  BitWriter out;
  out.Bits(sps.profile_idc, 8);
  out.Bits(sps.constraint_flags, 8);
  out.Bits(sps.level_idc, 8);
  out.Ue(sps.id);
  if (HasChromaFormat(sps.profile_idc)) {
    out.Ue(1);        // chroma_format_idc: 4:2:0
    out.Ue(0);        // bit_depth_luma_minus8
    out.Ue(0);        // bit_depth_chroma_minus8
    out.Flag(false);  // qpprime_y_zero_transform_bypass_flag
    out.Flag(false);  // seq_scaling_matrix_present_flag
  }
  out.Ue(sps.log2_frame_num_max - 4);
  out.Ue(sps.poc_type);
  if (sps.poc_type == 0) out.Ue(sps.log2_poc_lsb_max - 4);
  out.Ue(sps.reference_frames);
  out.Flag(sps.frame_num_gaps);
  out.Ue(sps.width_mbs - 1);
  out.Ue(sps.height_mbs - 1);
  out.Flag(true);  // frame_mbs_only_flag
  out.Flag(sps.direct_8x8_inference);
  const bool crop = sps.crop_right_pairs != 0 || sps.crop_bottom_pairs != 0;
  out.Flag(crop);
  if (crop) {
    out.Ue(0);
    out.Ue(sps.crop_right_pairs);
    out.Ue(0);
    out.Ue(sps.crop_bottom_pairs);
  }
  out.Flag(sps.vui.has_value());
  if (sps.vui) WriteVui(*sps.vui, out);
  return MakeNal(NalType::kSps, 3, out.Finish());
}

std::vector<uint8_t> WritePps(const PictureParameterSet& pps) {
  BitWriter out;
  out.Ue(pps.id);
  out.Ue(pps.sps_id);
  out.Flag(pps.cabac);
  out.Flag(pps.bottom_field_poc);
  out.Ue(0);  // num_slice_groups_minus1
  out.Ue(pps.reference_l0_active - 1);
  out.Ue(pps.reference_l1_active - 1);
  out.Flag(pps.weighted_prediction);
  out.Bits(pps.weighted_biprediction, 2);
  out.Se(pps.initial_qp - 26);
  out.Se(pps.initial_qs - 26);
  out.Se(pps.chroma_qp_offset);
  out.Flag(pps.deblocking_control);
  out.Flag(pps.constrained_intra);
  out.Flag(pps.redundant_pictures);
  if (pps.high) {
    out.Flag(pps.high->transform_8x8);
    out.Flag(false);  // pic_scaling_matrix_present_flag
    out.Se(pps.high->second_chroma_qp_offset);
  }
  return MakeNal(NalType::kPps, 3, out.Finish());
}

std::vector<uint8_t> WriteAccessUnitDelimiter(bool key_frame) {
  BitWriter out;
  out.Bits(key_frame ? 0 : 1, 3);  // primary_pic_type, table 7-5
  return MakeNal(NalType::kAccessUnitDelimiter, 0, out.Finish());
}

absl::StatusOr<SequenceParameterSet> ParseSps(std::span<const uint8_t> nal) {
  if (NalTypeOf(nal) != NalType::kSps) return absl::InvalidArgumentError("not an SPS");
  const std::vector<uint8_t> rbsp = NalPayload(nal);
  BitReader in(rbsp);
  SequenceParameterSet sps{.vui = std::nullopt};
  sps.profile_idc = static_cast<uint8_t>(in.Bits(8));
  sps.constraint_flags = static_cast<uint8_t>(in.Bits(8));
  sps.level_idc = static_cast<uint8_t>(in.Bits(8));
  sps.id = in.Ue();
  if (HasChromaFormat(sps.profile_idc)) {
    if (auto status = ReadChromaFormat(in); !status.ok()) return status;
  }
  // Bounded before the sum, so that a hostile number can't wrap round.
  sps.log2_frame_num_max = std::min(in.Ue(), 100u) + 4;
  sps.poc_type = in.Ue();
  if (sps.poc_type == 1) return absl::UnimplementedError("SPS with picture order count type 1");
  if (sps.poc_type > 2) return absl::InvalidArgumentError("SPS damaged");
  if (sps.poc_type == 0) sps.log2_poc_lsb_max = std::min(in.Ue(), 100u) + 4;
  sps.reference_frames = in.Ue();
  sps.frame_num_gaps = in.Flag();
  sps.width_mbs = std::min(in.Ue(), kSizeMaxMbs) + 1;
  sps.height_mbs = std::min(in.Ue(), kSizeMaxMbs) + 1;
  if (!in.Flag() && in.ok()) return absl::UnimplementedError("SPS of interlaced video");
  sps.direct_8x8_inference = in.Flag();
  if (in.Flag()) {
    if (auto status = ReadCrop(in, sps); !status.ok()) return status;
  }
  if (in.Flag()) {
    sps.vui = ReadVui(in);
  }
  if (!in.ok() || !InRange(sps)) return absl::InvalidArgumentError("SPS damaged");
  return sps;
}

absl::StatusOr<PictureParameterSet> ParsePps(std::span<const uint8_t> nal) {
  if (NalTypeOf(nal) != NalType::kPps) return absl::InvalidArgumentError("not a PPS");
  const std::vector<uint8_t> rbsp = NalPayload(nal);
  BitReader in(rbsp);
  PictureParameterSet pps;
  pps.id = in.Ue();
  pps.sps_id = in.Ue();
  pps.cabac = in.Flag();
  pps.bottom_field_poc = in.Flag();
  if (in.Ue() != 0) return absl::UnimplementedError("PPS with slice groups");
  pps.reference_l0_active = std::min(in.Ue(), 100u) + 1;
  pps.reference_l1_active = std::min(in.Ue(), 100u) + 1;
  pps.weighted_prediction = in.Flag();
  pps.weighted_biprediction = in.Bits(2);
  const int32_t initial_qp_minus26 = in.Se();
  const int32_t initial_qs_minus26 = in.Se();
  pps.initial_qp = std::clamp(initial_qp_minus26, -100, 100) + 26;
  pps.initial_qs = std::clamp(initial_qs_minus26, -100, 100) + 26;
  pps.chroma_qp_offset = in.Se();
  pps.deblocking_control = in.Flag();
  pps.constrained_intra = in.Flag();
  pps.redundant_pictures = in.Flag();
  if (in.MoreData()) {
    PictureParameterSet::High high;
    high.transform_8x8 = in.Flag();
    if (in.Flag()) return absl::UnimplementedError("PPS with scaling lists");
    high.second_chroma_qp_offset = in.Se();
    pps.high = high;
  }
  const bool in_range = pps.id <= kPpsIdMax && pps.sps_id <= kSpsIdMax && pps.initial_qp >= 0 &&
                        pps.initial_qp <= 51 && pps.reference_l0_active <= 32 &&
                        pps.reference_l1_active <= 32;
  if (!in.ok() || !in_range) return absl::InvalidArgumentError("PPS damaged");
  return pps;
}

std::string CodecString(const SequenceParameterSet& sps) {
  return absl::StrFormat("avc1.%02X%02X%02X", sps.profile_idc, sps.constraint_flags, sps.level_idc);
}

uint8_t LevelFor(const LevelNeeds& needs) {
  for (const LevelLimit& level : kLevels) {
    if (Suffices(level, needs)) return level.level_idc;
  }
  return std::rbegin(kLevels)->level_idc;
}

void ApplyContract(const StreamContract& contract, SequenceParameterSet& sps) {
  sps.level_idc = contract.level_idc;
  sps.reference_frames = std::max(sps.reference_frames, contract.reference_frames_min);
  sps.frame_num_gaps = false;
  // With frame_mbs_only_flag it changes nothing but direct prediction, which P slices don't have.
  sps.direct_8x8_inference = true;
  sps.crop_right_pairs = (sps.width_mbs * 16 - contract.visible_width_px) / 2;
  sps.crop_bottom_pairs = (sps.height_mbs * 16 - contract.visible_height_px) / 2;
  sps.vui = Vui{};
  sps.vui->timing->time_scale = contract.frame_rate_hz * 2;
  sps.vui->restriction->buffered_frames = sps.reference_frames;
}

}  // namespace planecast
