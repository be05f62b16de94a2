// A picture's parameters: taken in, checked against each other and against the packed headers.
#include <cstring>
#include <string>

#include "encoder/testing/va_driver/coding_job.h"
#include "encoder/testing/va_driver/counters.h"
#include "encoder/testing/va_driver/driver.h"

namespace planecast::sw_va {
namespace {

constexpr int kNalTypeSps = 7;
constexpr int kNalTypePps = 8;
constexpr uint32_t kSliceP = 0;
constexpr uint32_t kSliceI = 2;

template <typename T>
bool Copy(const Buffer& buffer, T* out, size_t offset = 0) {
  if (buffer.data.size() < offset + sizeof(T)) return false;
  std::memcpy(out, buffer.data.data() + offset, sizeof(T));
  return true;
}

/// By the id alone: GStreamer leaves the flags 0, and the drivers of GPUs take that.
bool IsUnused(const VAPictureH264& picture) {
  return picture.picture_id == VA_INVALID_SURFACE;
}

uint32_t MaskOf(uint32_t packed_type) {
  switch (packed_type) {
    case VAEncPackedHeaderSequence:
      return VA_ENC_PACKED_HEADER_SEQUENCE;
    case VAEncPackedHeaderPicture:
      return VA_ENC_PACKED_HEADER_PICTURE;
    case VAEncPackedHeaderSlice:
      return VA_ENC_PACKED_HEADER_SLICE;
    case VAEncPackedHeaderRawData:
      // Real drivers take raw data from clients that asked for miscellaneous headers only.
      return VA_ENC_PACKED_HEADER_RAW_DATA | VA_ENC_PACKED_HEADER_MISC;
    default:
      return VA_ENC_PACKED_HEADER_MISC;
  }
}

SpsFields ExpectedSps(const Config& config, const VAEncSequenceParameterBufferH264& sequence) {
  SpsFields sps;
  sps.profile_idc = config.profile == VAProfileH264High   ? 100
                    : config.profile == VAProfileH264Main ? 77
                                                          : 66;
  sps.constraint_flags = sps.profile_idc == 66 ? 0xc0 : sps.profile_idc == 77 ? 0x40 : 0;
  sps.level_idc = sequence.level_idc;
  sps.id = sequence.seq_parameter_set_id;
  sps.log2_frame_num_max = sequence.seq_fields.bits.log2_max_frame_num_minus4 + 4;
  sps.poc_type = sequence.seq_fields.bits.pic_order_cnt_type;
  sps.log2_poc_lsb_max = sequence.seq_fields.bits.log2_max_pic_order_cnt_lsb_minus4 + 4;
  sps.references = sequence.max_num_ref_frames;
  sps.width_mbs = sequence.picture_width_in_mbs;
  sps.height_mbs = sequence.picture_height_in_mbs;
  if (sequence.frame_cropping_flag != 0) {
    sps.crop_right = sequence.frame_crop_right_offset;
    sps.crop_bottom = sequence.frame_crop_bottom_offset;
  }
  return sps;
}

PpsFields ExpectedPps(const Config& config, const VAEncPictureParameterBufferH264& picture) {
  const auto& fields = picture.pic_fields.bits;
  PpsFields pps;
  pps.id = picture.pic_parameter_set_id;
  pps.sps_id = picture.seq_parameter_set_id;
  pps.cabac = fields.entropy_coding_mode_flag != 0;
  pps.bottom_field_poc = fields.pic_order_present_flag != 0;
  pps.references_l0 = picture.num_ref_idx_l0_active_minus1 + 1u;
  pps.initial_qp = picture.pic_init_qp;
  pps.cb_qp_offset = picture.chroma_qp_index_offset;
  pps.deblocking_control = fields.deblocking_filter_control_present_flag != 0;
  pps.constrained_intra = fields.constrained_intra_pred_flag != 0;
  pps.transform_8x8 = fields.transform_8x8_mode_flag != 0;
  pps.high = config.profile == VAProfileH264High;
  pps.cr_qp_offset = pps.high ? picture.second_chroma_qp_index_offset : pps.cb_qp_offset;
  return pps;
}

/// The first field in which header and parameters differ, or nothing.
std::string Difference(const SpsFields& a, const SpsFields& b) {
  if (a.level_idc != b.level_idc) return "level_idc";
  if (a.id != b.id) return "seq_parameter_set_id";
  if (a.log2_frame_num_max != b.log2_frame_num_max) return "log2_max_frame_num";
  if (a.poc_type != b.poc_type) return "pic_order_cnt_type";
  if (a.poc_type == 0 && a.log2_poc_lsb_max != b.log2_poc_lsb_max) return "log2_max_poc_lsb";
  if (a.references != b.references) return "max_num_ref_frames";
  if (a.width_mbs != b.width_mbs || a.height_mbs != b.height_mbs) return "picture size";
  if (a.crop_right != b.crop_right || a.crop_bottom != b.crop_bottom) return "cropping";
  return "";
}

std::string Difference(const PpsFields& a, const PpsFields& b) {
  if (a.id != b.id || a.sps_id != b.sps_id) return "parameter set ids";
  if (a.cabac != b.cabac) return "entropy_coding_mode_flag";
  if (a.references_l0 != b.references_l0) return "num_ref_idx_l0_default_active";
  if (a.initial_qp != b.initial_qp) return "pic_init_qp";
  if (a.cb_qp_offset != b.cb_qp_offset) return "chroma_qp_index_offset";
  if (a.cr_qp_offset != b.cr_qp_offset) return "second_chroma_qp_index_offset";
  if (a.deblocking_control != b.deblocking_control) return "deblocking_filter_control_present_flag";
  if (a.constrained_intra != b.constrained_intra) return "constrained_intra_pred_flag";
  if (a.transform_8x8 != b.transform_8x8) return "transform_8x8_mode_flag";
  return "";
}

std::string Difference(const SliceFields& a, const SliceFields& b, bool poc_lsb_matters) {
  if (a.nal_type != b.nal_type) return "nal_unit_type";
  if ((a.ref_idc != 0) != (b.ref_idc != 0)) return "nal_ref_idc";
  if (a.first_mb != b.first_mb) return "first_mb_in_slice";
  if (a.type != b.type) return "slice_type";
  if (a.pps_id != b.pps_id) return "pic_parameter_set_id";
  if (a.frame_num != b.frame_num) return "frame_num";
  if (a.idr() && a.idr_pic_id != b.idr_pic_id) return "idr_pic_id";
  if (poc_lsb_matters && a.poc_lsb != b.poc_lsb) return "pic_order_cnt_lsb";
  if (a.type == kSliceP && a.references_l0 != b.references_l0) return "num_ref_idx_l0_active";
  if (a.cabac_init_idc != b.cabac_init_idc) return "cabac_init_idc";
  if (a.qp_delta != b.qp_delta) return "slice_qp_delta";
  if (a.deblocking_idc != b.deblocking_idc) return "disable_deblocking_filter_idc";
  if (a.deblocking_idc != 1 &&
      (a.alpha_offset_div2 != b.alpha_offset_div2 || a.beta_offset_div2 != b.beta_offset_div2)) {
    return "deblocking offsets";
  }
  return "";
}

/// Only the stop and alignment of CABAC may follow a slice header.
bool EndsWithHeader(const PackedNal& nal, size_t used_bits, bool cabac) {
  for (size_t bit = used_bits; bit < nal.rbsp_bits; ++bit) {
    const bool one = (nal.rbsp[bit / 8] >> (7 - bit % 8) & 1) != 0;
    if (!cabac || !one) return false;
  }
  return nal.rbsp_bits - used_bits < 8;
}

}  // namespace

VAStatus Driver::TakeMisc(Context& context, const Buffer& buffer) {
  VAEncMiscParameterBuffer header{};
  constexpr size_t kAt = sizeof(VAEncMiscParameterBuffer);
  if (buffer.data.size() < kAt) return VA_STATUS_ERROR_INVALID_BUFFER;
  std::memcpy(&header, buffer.data.data(), kAt);
  EncodeState& state = context.encode;
  switch (header.type) {
    case VAEncMiscParameterTypeRateControl: {
      VAEncMiscParameterRateControl rate{};
      if (!Copy(buffer, &rate, kAt)) return VA_STATUS_ERROR_INVALID_BUFFER;
      state.bits_per_second = rate.bits_per_second;
      state.target_percentage = rate.target_percentage;
      state.initial_qp = rate.initial_qp;
      state.min_qp = rate.min_qp;
      state.max_qp = rate.max_qp;
      state.bit_stuffing = rate.rc_flags.bits.disable_bit_stuffing == 0;
      return VA_STATUS_SUCCESS;
    }
    case VAEncMiscParameterTypeHRD: {
      VAEncMiscParameterHRD hrd{};
      if (!Copy(buffer, &hrd, kAt)) return VA_STATUS_ERROR_INVALID_BUFFER;
      if (persona_->needs_hrd_size && hrd.buffer_size == 0) {
        return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "HRD buffer of no size");
      }
      state.hrd_size_bits = hrd.buffer_size;
      return VA_STATUS_SUCCESS;
    }
    case VAEncMiscParameterTypeFrameRate: {
      VAEncMiscParameterFrameRate rate{};
      if (!Copy(buffer, &rate, kAt)) return VA_STATUS_ERROR_INVALID_BUFFER;
      state.frame_rate_num = rate.framerate & 0xffff;
      state.frame_rate_den = rate.framerate >> 16 != 0 ? rate.framerate >> 16 : 1;
      if (state.frame_rate_num == 0) {
        return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "frame rate 0");
      }
      return VA_STATUS_SUCCESS;
    }
    case VAEncMiscParameterTypeROI: {
      VAEncMiscParameterBufferROI roi{};
      if (!Copy(buffer, &roi, kAt)) return VA_STATUS_ERROR_INVALID_BUFFER;
      if (roi.num_roi > 8) return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "too many regions");
      context.input->regions_are_delta = roi.roi_flags.bits.roi_value_is_qp_delta != 0;
      if (roi.num_roi > 0) context.input->regions.assign(roi.roi, roi.roi + roi.num_roi);
      return VA_STATUS_SUCCESS;
    }
    default:
      return VA_STATUS_SUCCESS;
  }
}

VAStatus Driver::TakeEncodeBuffer(Context& context, const Buffer& buffer) {
  PictureInput& input = *context.input;
  switch (buffer.type) {
    case VAEncSequenceParameterBufferType: {
      VAEncSequenceParameterBufferH264 sequence;
      if (!Copy(buffer, &sequence)) return VA_STATUS_ERROR_INVALID_BUFFER;
      context.encode.sequence = sequence;
      if (context.encode.bits_per_second == 0) {
        context.encode.bits_per_second = sequence.bits_per_second;
      }
      return VA_STATUS_SUCCESS;
    }
    case VAEncPictureParameterBufferType: {
      VAEncPictureParameterBufferH264 picture;
      if (!Copy(buffer, &picture)) return VA_STATUS_ERROR_INVALID_BUFFER;
      input.picture = picture;
      return VA_STATUS_SUCCESS;
    }
    case VAEncSliceParameterBufferType:
      for (uint32_t i = 0; i < buffer.elements; ++i) {
        VAEncSliceParameterBufferH264 slice;
        if (!Copy(buffer, &slice, size_t{i} * buffer.size_bytes)) {
          return VA_STATUS_ERROR_INVALID_BUFFER;
        }
        input.slices.push_back(slice);
      }
      return VA_STATUS_SUCCESS;
    case VAEncMiscParameterBufferType:
      return TakeMisc(context, buffer);
    case VAEncPackedHeaderParameterBufferType: {
      VAEncPackedHeaderParameterBuffer header;
      if (!Copy(buffer, &header)) return VA_STATUS_ERROR_INVALID_BUFFER;
      if ((MaskOf(header.type) & context.config.packed_headers) == 0) {
        return Reject(VA_STATUS_ERROR_INVALID_PARAMETER,
                      "a packed header that the config did not ask for");
      }
      input.packed.push_back({.type = header.type,
                              .bit_length = header.bit_length,
                              .has_emulation_bytes = header.has_emulation_bytes != 0,
                              .data = {}});
      return VA_STATUS_SUCCESS;
    }
    case VAEncPackedHeaderDataBufferType:
      if (input.packed.empty() || input.packed.back().complete) {
        return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "packed data without its parameters");
      }
      input.packed.back().data = buffer.data;
      input.packed.back().complete = true;
      return VA_STATUS_SUCCESS;
    default:
      return Reject(VA_STATUS_ERROR_UNSUPPORTED_BUFFERTYPE,
                    "buffer type " + std::to_string(buffer.type) + " is not for encoding");
  }
}

VAStatus Driver::CheckPicture(const Context& context, const PictureInput& input) {
  const auto invalid = [this](const std::string& why) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, why);
  };
  const EncodeState& state = context.encode;
  if (!state.sequence.has_value()) return invalid("no sequence parameters");
  if (!input.picture.has_value()) return invalid("no picture parameters");
  if (input.slices.empty()) return invalid("no slice parameters");
  if (input.slices.size() > persona_->slices_max) return invalid("too many slices");
  const auto& sequence = *state.sequence;
  const auto& picture = *input.picture;
  const auto& fields = picture.pic_fields.bits;
  const uint32_t width = sequence.picture_width_in_mbs * 16u;
  const uint32_t height = sequence.picture_height_in_mbs * 16u;
  const auto holds = [&](const Surface& surface) {
    return surface.fourcc == VA_FOURCC_NV12 && !surface.imported &&
           (surface.width_px + 15) / 16 * 16 >= width &&
           (surface.height_px + 15) / 16 * 16 >= height;
  };
  if (width == 0 || height == 0 || (context.width_px + 15) / 16 * 16 < width ||
      (context.height_px + 15) / 16 * 16 < height) {
    return invalid("sequence size and context size differ");
  }
  if (sequence.seq_fields.bits.frame_mbs_only_flag == 0 ||
      sequence.seq_fields.bits.chroma_format_idc != 1) {
    return invalid("only progressive 4:2:0");
  }
  if (sequence.ip_period > 1) return invalid("ip_period asks for B pictures");
  if (sequence.intra_idr_period == 0)
    return invalid("intra_idr_period 0: drivers put in their own");
  if (!holds(*input.target)) return invalid("the input is no NV12 surface of the coded size");
  const std::shared_ptr<Surface> current = FindSurface(picture.CurrPic.picture_id);
  if (current == nullptr) return invalid("CurrPic is no surface");
  if (!holds(*current)) return invalid("CurrPic is no NV12 surface of the coded size");
  if (current == input.target) return invalid("input and reconstruction are one surface");
  const std::shared_ptr<Buffer> coded = FindBuffer(picture.coded_buf);
  if (coded == nullptr || coded->coded == nullptr) return invalid("coded_buf is no coded buffer");
  for (const VAPictureH264& reference : picture.ReferenceFrames) {
    if (IsUnused(reference)) continue;
    const std::shared_ptr<Surface> surface = FindSurface(reference.picture_id);
    if (surface == nullptr || surface->reconstructed_by != context.id) {
      return invalid("a ReferenceFrames entry is neither invalid nor a reconstructed picture");
    }
  }
  if (fields.weighted_pred_flag != 0 || fields.redundant_pic_cnt_present_flag != 0 ||
      fields.pic_scaling_matrix_present_flag != 0) {
    return invalid("weighted prediction, redundant pictures or scaling matrices");
  }
  const bool high = context.config.profile == VAProfileH264High;
  if (fields.transform_8x8_mode_flag != 0 && (!high || !persona_->transform_8x8)) {
    return invalid("transform_8x8_mode_flag gives undecodable streams here");
  }
  const bool baseline = context.config.profile == VAProfileH264ConstrainedBaseline;
  if (fields.entropy_coding_mode_flag != 0 && baseline) return invalid("CABAC in Baseline");
  if (picture.pic_init_qp > 51) return invalid("pic_init_qp");
  const bool idr = fields.idr_pic_flag != 0;
  const uint32_t modulus = 1u << (sequence.seq_fields.bits.log2_max_frame_num_minus4 + 4);
  if (idr && picture.frame_num != 0) return invalid("an IDR with frame_num other than 0");
  if (!idr && !state.any_picture) return invalid("the first picture is no IDR");
  // A picture may be coded again, if the last one was thrown away.
  if (!idr && picture.frame_num != state.frame_num &&
      picture.frame_num != (state.frame_num + 1) % modulus) {
    return invalid("frame_num jumps");
  }
  uint32_t next_mb = 0;
  for (const VAEncSliceParameterBufferH264& slice : input.slices) {
    if (slice.macroblock_address != next_mb) return invalid("slices leave a gap or overlap");
    next_mb += slice.num_macroblocks;
    if (slice.slice_type != kSliceI && slice.slice_type != kSliceP) return invalid("slice_type");
    if (slice.slice_type != input.slices[0].slice_type) return invalid("slices of several types");
    if (idr && slice.slice_type != kSliceI) return invalid("an IDR with P slices");
    const int qp = picture.pic_init_qp + slice.slice_qp_delta;
    if (qp < 0 || qp > 51) return invalid("slice quantiser out of range");
    if (slice.cabac_init_idc > 2 || slice.disable_deblocking_filter_idc > 2) {
      return invalid("cabac_init_idc or disable_deblocking_filter_idc");
    }
    if (idr && state.idr_pic_id == slice.idr_pic_id) {
      return invalid("two IDRs in a row with one idr_pic_id");
    }
    if (slice.slice_type == kSliceI) continue;
    const uint32_t references =
        (slice.num_ref_idx_active_override_flag != 0 ? slice.num_ref_idx_l0_active_minus1
                                                     : picture.num_ref_idx_l0_active_minus1) +
        1u;
    if (references > persona_->references_max) return invalid("more references than offered");
    const std::shared_ptr<Surface> reference = FindSurface(slice.RefPicList0[0].picture_id);
    if (reference == nullptr || reference->reconstructed_by != context.id) {
      return invalid("RefPicList0[0] is no reconstructed picture");
    }
    if (reference == current) return invalid("a picture refers to itself");
    for (uint32_t i = references; i < 32; ++i) {
      if (!IsUnused(slice.RefPicList0[i]))
        return invalid("RefPicList0 has an entry beyond its end");
    }
  }
  const uint32_t mbs = sequence.picture_width_in_mbs * uint32_t{sequence.picture_height_in_mbs};
  if (next_mb != mbs) return invalid("slices don't cover the picture");
  return VA_STATUS_SUCCESS;
}

SliceFields Driver::ExpectedSlice(const PictureInput& input, const EncodeState& state,
                                  size_t index) const {
  const auto& picture = *input.picture;
  const auto& slice = input.slices[index];
  SliceFields fields;
  fields.nal_type = picture.pic_fields.bits.idr_pic_flag != 0 ? 5 : 1;
  fields.ref_idc = picture.pic_fields.bits.reference_pic_flag;
  fields.first_mb = slice.macroblock_address;
  fields.type = slice.slice_type;
  fields.pps_id = slice.pic_parameter_set_id;
  fields.frame_num = picture.frame_num;
  fields.idr_pic_id = slice.idr_pic_id;
  const uint32_t lsb_mask =
      (1u << (state.sequence->seq_fields.bits.log2_max_pic_order_cnt_lsb_minus4 + 4)) - 1;
  fields.poc_lsb = static_cast<uint32_t>(picture.CurrPic.TopFieldOrderCnt) & lsb_mask;
  fields.references_l0 =
      (slice.num_ref_idx_active_override_flag != 0 ? slice.num_ref_idx_l0_active_minus1
                                                   : picture.num_ref_idx_l0_active_minus1) +
      1u;
  const bool cabac = picture.pic_fields.bits.entropy_coding_mode_flag != 0;
  fields.cabac_init_idc = cabac && slice.slice_type == kSliceP ? slice.cabac_init_idc : 0;
  fields.qp_delta = slice.slice_qp_delta;
  fields.deblocking_idc = slice.disable_deblocking_filter_idc;
  fields.alpha_offset_div2 = slice.slice_alpha_c0_offset_div2;
  fields.beta_offset_div2 = slice.slice_beta_offset_div2;
  return fields;
}

VAStatus Driver::TakeHeaders(Context& context, PictureInput& input, std::vector<uint8_t>* prefix,
                             std::vector<PackedNal>* slice_headers) {
  EncodeState& state = context.encode;
  const uint32_t packed_mask = context.config.packed_headers;
  const bool idr = input.picture->pic_fields.bits.idr_pic_flag != 0;
  const SpsFields expected_sps = ExpectedSps(context.config, *state.sequence);
  const PpsFields expected_pps = ExpectedPps(context.config, *input.picture);
  bool sps_seen = false;
  bool pps_seen = false;
  for (const PictureInput::Packed& packed : input.packed) {
    std::string problem = "packed header without data";
    std::vector<PackedNal> nals;
    if (packed.complete) {
      nals = CutPackedNals(packed.data, packed.bit_length, packed.has_emulation_bytes, &problem);
    }
    if (nals.empty()) return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, problem);
    if (packed.type == VAEncPackedHeaderSlice) {
      if (nals.size() != 1) {
        return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "several NAL units for one slice");
      }
      slice_headers->push_back(std::move(nals[0]));
      continue;
    }
    // Some clients put the PPS behind the SPS.
    for (const PackedNal& nal : nals) {
      std::string difference;
      if ((nal.header & 0x1f) == kNalTypeSps) {
        state.sps = ReadSps(nal);
        difference = state.sps.has_value() ? Difference(*state.sps, expected_sps) : "syntax";
        sps_seen = true;
      } else if ((nal.header & 0x1f) == kNalTypePps) {
        state.pps = ReadPps(nal);
        difference = state.pps.has_value() ? Difference(*state.pps, expected_pps) : "syntax";
        pps_seen = true;
      }
      if (!difference.empty()) {
        return Reject(VA_STATUS_ERROR_INVALID_PARAMETER,
                      "packed parameter set and parameters differ in " + difference);
      }
      prefix->insert(prefix->end(), nal.annex_b.begin(), nal.annex_b.end());
    }
  }
  if (idr && (packed_mask & VA_ENC_PACKED_HEADER_SEQUENCE) == 0) {
    state.sps = expected_sps;
    const std::vector<uint8_t> own = OwnSps(expected_sps);
    prefix->insert(prefix->end(), own.begin(), own.end());
  } else if (idr && !sps_seen) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "an IDR without its packed SPS");
  }
  if (idr && (packed_mask & VA_ENC_PACKED_HEADER_PICTURE) == 0 && !pps_seen) {
    state.pps = expected_pps;
    const std::vector<uint8_t> own = OwnPps(expected_pps);
    prefix->insert(prefix->end(), own.begin(), own.end());
  } else if (idr && !pps_seen && !state.pps.has_value()) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "an IDR without its packed PPS");
  }
  const bool packed_slices = (packed_mask & VA_ENC_PACKED_HEADER_SLICE) != 0;
  if (packed_slices && slice_headers->size() != input.slices.size()) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "a packed slice header is missing");
  }
  if (!packed_slices && persona_->needs_packed_slices) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER,
                  "without packed slice headers this driver gives a broken stream");
  }
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::EndEncode(Context& context, PictureInput& input) {
  const uint64_t number = ++coded_pictures_;
  ++GlobalCounters().coded_pictures;
  if (faults_.From("device-lost", number) && faults_.Has("device-lost")) {
    lost_ = true;
    return Reject(Lost(), "fault: the device is lost");
  }
  if (faults_.At("encode-fails", number)) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "fault: the picture fails");
  }
  const bool cqp = context.config.rate_control == VA_RC_CQP;
  if (!cqp && faults_.Has("brc-fails")) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "fault: no firmware for rate control");
  }
  if (context.config.entrypoint == VAEntrypointEncSliceLP && faults_.Has("lp-fails")) {
    return Reject(VA_STATUS_ERROR_OPERATION_FAILED, "fault: low power fails");
  }
  VAStatus status = CheckPicture(context, input);
  if (status != VA_STATUS_SUCCESS) return status;
  EncodeState& state = context.encode;
  std::vector<uint8_t> prefix;
  std::vector<PackedNal> headers;
  status = TakeHeaders(context, input, &prefix, &headers);
  if (status != VA_STATUS_SUCCESS) return status;
  if (!cqp && state.target_percentage == 0 && context.config.rate_control == VA_RC_VBR) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "VBR with a target of 0 %");
  }
  if (!cqp && state.bits_per_second == 0) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "rate control without a rate");
  }

  const auto& picture = *input.picture;
  CodingJob job;
  job.number = number;
  job.sps = state.sps.value_or(ExpectedSps(context.config, *state.sequence));
  job.pps = state.pps.value_or(ExpectedPps(context.config, picture));
  job.prefix = std::move(prefix);
  for (size_t i = 0; i < input.slices.size(); ++i) {
    SliceFields fields = ExpectedSlice(input, state, i);
    CodingJob::Slice slice{.fields = fields, .mb_count = input.slices[i].num_macroblocks};
    if (!headers.empty()) {
      size_t used_bits = 0;
      const auto written = ReadSliceHeader(headers[i], job.sps, job.pps, &used_bits);
      if (!written.has_value()) {
        return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "packed slice header: syntax");
      }
      const std::string difference = Difference(*written, fields, job.sps.poc_type == 0);
      if (!difference.empty()) {
        return Reject(VA_STATUS_ERROR_INVALID_PARAMETER,
                      "packed slice header and parameters differ in " + difference);
      }
      if (!EndsWithHeader(headers[i], used_bits, job.pps.cabac)) {
        return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "bits after the packed slice header");
      }
      slice.nal_header = headers[i].header;
      slice.header = std::move(headers[i].rbsp);
      slice.header_bits = used_bits;
    } else {
      slice.nal_header = static_cast<uint8_t>(fields.ref_idc << 5 | fields.nal_type);
    }
    job.slices.push_back(std::move(slice));
  }
  const std::shared_ptr<Surface> current = FindSurface(picture.CurrPic.picture_id);
  const std::shared_ptr<Buffer> coded = FindBuffer(picture.coded_buf);
  job.source = input.target;
  job.reconstruction = current;
  if (input.slices[0].slice_type == kSliceP) {
    job.reference = FindSurface(input.slices[0].RefPicList0[0].picture_id);
  }
  job.coded = coded->coded;
  job.coded_size_max = size_t{coded->size_bytes} * coded->elements;
  job.rate = RateOf(context.config, state);
  job.brc = state.brc;
  job.mb_qp_offsets = RegionOffsets(input, job.sps);
  job.fill = persona_->fills_cbr && state.bit_stuffing && context.config.rate_control == VA_RC_CBR;
  job.overflow = faults_.At("overflow", number);
  job.bad_bitstream = faults_.At("bad-bitstream", number);
  job.dump_path = dump_path_;

  coded->picture = number;
  const bool hangs = faults_.Has("hang") && faults_.From("hang", number);
  const uint64_t done =
      hangs ? worker_.SubmitHang()
            : worker_.Submit([job = std::move(job)] { RunCodingJob(job); }, delay_ms_);
  for (const auto& surface : {input.target, current}) surface->job = done;
  coded->job = done;
  if (input.slices[0].slice_type == kSliceP) {
    FindSurface(input.slices[0].RefPicList0[0].picture_id)->job = done;
  }
  current->reconstructed_by = context.id;
  state.any_picture = true;
  state.frame_num = picture.frame_num;
  state.idr_pic_id.reset();
  if (picture.pic_fields.bits.idr_pic_flag != 0) state.idr_pic_id = input.slices[0].idr_pic_id;
  return VA_STATUS_SUCCESS;
}

}  // namespace planecast::sw_va
