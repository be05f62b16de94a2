#include "encoder/h264/h264_slice_header.h"

#include <utility>

#include "encoder/h264/h264_bits.h"

namespace planecast {
namespace {

// Table 7-6: all slices of the picture are of this type.
constexpr uint32_t kAllP = 5;
constexpr uint32_t kAllI = 7;
constexpr int kRefIdc = 3;

void WriteBody(const SliceHeader& header, const SequenceParameterSet& sps,
               const PictureParameterSet& pps, BitWriter& out) {
  out.Ue(header.first_mb);
  out.Ue(header.idr ? kAllI : kAllP);
  out.Ue(pps.id);
  out.Bits(header.frame_num, static_cast<int>(sps.log2_frame_num_max));
  if (header.idr) out.Ue(header.idr_pic_id);
  if (sps.poc_type == 0) {
    const uint32_t mask = (uint32_t{1} << sps.log2_poc_lsb_max) - 1;
    out.Bits(header.poc & mask, static_cast<int>(sps.log2_poc_lsb_max));
  }
  if (header.idr) {
    out.Flag(false);  // no_output_of_prior_pics_flag
    out.Flag(false);  // long_term_reference_flag
  } else {
    out.Flag(false);  // num_ref_idx_active_override_flag
    out.Flag(false);  // ref_pic_list_modification_flag_l0
    out.Flag(false);  // adaptive_ref_pic_marking_mode_flag
  }
  if (pps.cabac && !header.idr) out.Ue(header.cabac_init_idc);
  out.Se(header.quantizer - pps.initial_qp);
  if (!pps.deblocking_control) return;
  out.Ue(header.deblocking_idc);
  if (header.deblocking_idc == 1) return;
  out.Se(header.alpha_offset_div2);
  out.Se(header.beta_offset_div2);
}

}  // namespace

PartialNal WriteSliceHeader(const SliceHeader& header, const SequenceParameterSet& sps,
                            const PictureParameterSet& pps) {
  BitWriter out;
  WriteBody(header, sps, pps, out);
  auto [rbsp, unused_bits] = out.FinishPartial();
  return {MakeNal(header.idr ? NalType::kIdrSlice : NalType::kSlice, kRefIdc, rbsp), unused_bits};
}

}  // namespace planecast
