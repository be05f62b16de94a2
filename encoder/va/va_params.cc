#include "encoder/va/va_params.h"

#include <algorithm>

#include "encoder/h264/h264_bits.h"
#include "encoder/h264/h264_slice_header.h"

namespace planecast {
namespace {

constexpr uint8_t kProfileIdcBaseline = 66;
constexpr uint8_t kProfileIdcHigh = 100;
constexpr uint8_t kConstraintsBaseline = 0xc0;
constexpr uint32_t kLog2FrameNumMax = 16;
constexpr uint32_t kLog2PocLsbMax = 16;
// Type 2 would say as much in fewer bits; drivers that write headers themselves know type 0.
constexpr uint32_t kPocType = 0;
// IDRs come on demand. Drivers reckon with this number all the same, and 0 means their own to some.
constexpr uint32_t kIdrPeriod = 2048;
constexpr uint32_t kSliceTypeP = 0;
constexpr uint32_t kSliceTypeI = 2;
constexpr int kWindowMs = 1000;

uint32_t FrameNum(const VaPicture& picture) {
  return picture.number & ((1u << kLog2FrameNumMax) - 1);
}

// Two counts a frame, one for each field.
uint32_t Poc(const VaPicture& picture) {
  return picture.number * 2;
}

VAPictureH264 Unused() {
  VAPictureH264 picture{};
  picture.picture_id = VA_INVALID_SURFACE;
  picture.flags = VA_PICTURE_H264_INVALID;
  return picture;
}

VAPictureH264 ReferenceOf(const VaPicture& picture) {
  VAPictureH264 reference{};
  reference.picture_id = picture.reference;
  const VaPicture before{.number = picture.number - 1};
  reference.frame_idx = FrameNum(before);
  reference.flags = VA_PICTURE_H264_SHORT_TERM_REFERENCE;
  reference.TopFieldOrderCnt = reference.BottomFieldOrderCnt = static_cast<int32_t>(Poc(before));
  return reference;
}

VaPackedHeader Packed(uint32_t type, const std::vector<uint8_t>& nal, int unused_bits) {
  VaPackedHeader header{.type = type, .bytes = {}};
  AppendAnnexB(nal, header.bytes);
  header.size_bits =
      static_cast<uint32_t>(header.bytes.size() * 8) - static_cast<uint32_t>(unused_bits);
  return header;
}

}  // namespace

VaStream MakeVaStream(const StreamContract& contract, H264Profile profile, bool transform_8x8) {
  VaStream stream;
  stream.frame_rate_hz = static_cast<int>(contract.frame_rate_hz);
  SequenceParameterSet& sps = stream.sps;
  const bool high = profile == H264Profile::kHigh;
  sps.profile_idc = high ? kProfileIdcHigh : kProfileIdcBaseline;
  sps.constraint_flags = high ? 0 : kConstraintsBaseline;
  sps.log2_frame_num_max = kLog2FrameNumMax;
  sps.poc_type = kPocType;
  sps.log2_poc_lsb_max = kLog2PocLsbMax;
  sps.reference_frames = 1;
  sps.width_mbs = (contract.visible_width_px + 15) / 16;
  sps.height_mbs = (contract.visible_height_px + 15) / 16;
  ApplyContract(contract, sps);
  stream.pps.cabac = high;
  if (high) {
    stream.pps.high = PictureParameterSet::High{.transform_8x8 = transform_8x8};
  }
  return stream;
}

VAEncSequenceParameterBufferH264 MakeSequenceParams(const VaStream& stream, int64_t bitrate_bps) {
  const SequenceParameterSet& sps = stream.sps;
  VAEncSequenceParameterBufferH264 out{};
  out.seq_parameter_set_id = static_cast<uint8_t>(sps.id);
  out.level_idc = sps.level_idc;
  out.intra_period = kIdrPeriod;
  out.intra_idr_period = kIdrPeriod;
  out.ip_period = 1;
  out.bits_per_second = static_cast<uint32_t>(bitrate_bps);
  out.max_num_ref_frames = sps.reference_frames;
  out.picture_width_in_mbs = static_cast<uint16_t>(sps.width_mbs);
  out.picture_height_in_mbs = static_cast<uint16_t>(sps.height_mbs);
  auto& fields = out.seq_fields.bits;
  fields.chroma_format_idc = 1;
  fields.frame_mbs_only_flag = 1;
  fields.direct_8x8_inference_flag = sps.direct_8x8_inference ? 1 : 0;
  fields.log2_max_frame_num_minus4 = sps.log2_frame_num_max - 4;
  fields.pic_order_cnt_type = sps.poc_type;
  fields.log2_max_pic_order_cnt_lsb_minus4 = sps.log2_poc_lsb_max - 4;
  out.frame_cropping_flag = sps.crop_right_pairs != 0 || sps.crop_bottom_pairs != 0 ? 1 : 0;
  out.frame_crop_right_offset = sps.crop_right_pairs;
  out.frame_crop_bottom_offset = sps.crop_bottom_pairs;
  out.vui_parameters_present_flag = 1;
  auto& vui = out.vui_fields.bits;
  vui.aspect_ratio_info_present_flag = 1;
  vui.timing_info_present_flag = 1;
  vui.bitstream_restriction_flag = 1;
  vui.log2_max_mv_length_horizontal = 15;
  vui.log2_max_mv_length_vertical = 15;
  vui.motion_vectors_over_pic_boundaries_flag = 1;
  out.aspect_ratio_idc = 1;
  out.num_units_in_tick = 1;
  out.time_scale = static_cast<uint32_t>(stream.frame_rate_hz) * 2;
  return out;
}

VAEncPictureParameterBufferH264 MakePictureParams(const VaStream& stream,
                                                  const VaPicture& picture) {
  const PictureParameterSet& pps = stream.pps;
  VAEncPictureParameterBufferH264 out{};
  out.CurrPic.picture_id = picture.reconstruction;
  out.CurrPic.frame_idx = FrameNum(picture);
  out.CurrPic.TopFieldOrderCnt = out.CurrPic.BottomFieldOrderCnt =
      static_cast<int32_t>(Poc(picture));
  std::fill(std::begin(out.ReferenceFrames), std::end(out.ReferenceFrames), Unused());
  if (!picture.idr) out.ReferenceFrames[0] = ReferenceOf(picture);
  out.coded_buf = picture.coded;
  out.pic_parameter_set_id = static_cast<uint8_t>(pps.id);
  out.seq_parameter_set_id = static_cast<uint8_t>(pps.sps_id);
  out.frame_num = static_cast<uint16_t>(FrameNum(picture));
  out.pic_init_qp = static_cast<uint8_t>(pps.initial_qp);
  out.num_ref_idx_l0_active_minus1 = static_cast<uint8_t>(pps.reference_l0_active - 1);
  out.chroma_qp_index_offset = static_cast<int8_t>(pps.chroma_qp_offset);
  auto& fields = out.pic_fields.bits;
  fields.idr_pic_flag = picture.idr ? 1 : 0;
  fields.reference_pic_flag = 1;
  fields.entropy_coding_mode_flag = pps.cabac ? 1 : 0;
  fields.constrained_intra_pred_flag = pps.constrained_intra ? 1 : 0;
  fields.deblocking_filter_control_present_flag = pps.deblocking_control ? 1 : 0;
  if (pps.high) {
    fields.transform_8x8_mode_flag = pps.high->transform_8x8 ? 1 : 0;
    out.second_chroma_qp_index_offset = static_cast<int8_t>(pps.high->second_chroma_qp_offset);
  }
  return out;
}

VAEncSliceParameterBufferH264 MakeSliceParams(const VaStream& stream, const VaPicture& picture) {
  VAEncSliceParameterBufferH264 out{};
  out.num_macroblocks = stream.sps.width_mbs * stream.sps.height_mbs;
  out.macroblock_info = VA_INVALID_ID;
  out.slice_type = picture.idr ? kSliceTypeI : kSliceTypeP;
  out.pic_parameter_set_id = static_cast<uint8_t>(stream.pps.id);
  out.idr_pic_id = static_cast<uint16_t>(picture.idr_pic_id);
  out.pic_order_cnt_lsb = static_cast<uint16_t>(Poc(picture) & ((1u << kLog2PocLsbMax) - 1));
  std::fill(std::begin(out.RefPicList0), std::end(out.RefPicList0), Unused());
  std::fill(std::begin(out.RefPicList1), std::end(out.RefPicList1), Unused());
  if (!picture.idr) out.RefPicList0[0] = ReferenceOf(picture);
  out.slice_qp_delta = static_cast<int8_t>(picture.quantizer - stream.pps.initial_qp);
  return out;
}

std::vector<VaPackedHeader> MakePackedHeaders(const VaStream& stream, const VaPicture& picture) {
  std::vector<VaPackedHeader> headers;
  if (picture.idr) {
    headers.push_back(Packed(VAEncPackedHeaderSequence, WriteSps(stream.sps), 0));
    headers.push_back(Packed(VAEncPackedHeaderPicture, WritePps(stream.pps), 0));
  }
  const PartialNal slice = WriteSliceHeader({.idr = picture.idr,
                                             .frame_num = FrameNum(picture),
                                             .idr_pic_id = picture.idr_pic_id,
                                             .poc = Poc(picture),
                                             .quantizer = picture.quantizer},
                                            stream.sps, stream.pps);
  headers.push_back(Packed(VAEncPackedHeaderSlice, slice.bytes, slice.unused_bits));
  return headers;
}

VaMisc<VAEncMiscParameterRateControl> MakeRateControl(const RateParams& rate,
                                                      int initial_quantizer) {
  VAEncMiscParameterRateControl value{};
  value.bits_per_second =
      static_cast<uint32_t>(std::min<int64_t>(rate.bitrate_max_bps, UINT32_MAX));
  value.target_percentage = 100;
  value.window_size = kWindowMs;
  value.initial_qp = static_cast<uint32_t>(initial_quantizer);
  value.min_qp = static_cast<uint32_t>(rate.quantizer);
  value.rc_flags.bits.disable_frame_skip = 1;
  value.rc_flags.bits.disable_bit_stuffing = 1;
  return {VAEncMiscParameterTypeRateControl, value};
}

VaMisc<VAEncMiscParameterHRD> MakeHrd(const RateParams& rate, const VaPolicy& policy,
                                      int frame_rate_hz) {
  const double bits =
      static_cast<double>(rate.bitrate_max_bps) * policy.hrd_frames / std::max(frame_rate_hz, 1);
  VAEncMiscParameterHRD value{};
  value.buffer_size = static_cast<uint32_t>(std::clamp(bits, 1.0, 4e9));
  value.initial_buffer_fullness = value.buffer_size / 4 * 3;
  return {VAEncMiscParameterTypeHRD, value};
}

VaMisc<VAEncMiscParameterFrameRate> MakeFrameRate(int frame_rate_hz) {
  VAEncMiscParameterFrameRate value{};
  value.framerate = static_cast<uint32_t>(frame_rate_hz) | 1u << 16;
  return {VAEncMiscParameterTypeFrameRate, value};
}

}  // namespace planecast
