#include "encoder/h264/reference_chain.h"

namespace planecast {
namespace {

// Of a P slice, and of a picture of P slices only; table 7-6.
constexpr uint32_t kSliceTypeP = 0;
constexpr uint32_t kSliceTypePOnly = 5;
constexpr int32_t kPatchInitialQp = 26;

absl::Status Unexpected(const char* what) {
  return absl::InternalError(what);
}

}  // namespace

absl::StatusOr<ReferenceChain> ReferenceChain::Make(const SequenceParameterSet& sps,
                                                    const PictureParameterSet& pps) {
  const bool known = sps.poc_type == 2 && sps.reference_frames <= kPatchedReferenceFrames &&
                     pps.sps_id == sps.id && pps.reference_l0_active == 1 &&
                     !pps.weighted_prediction && !pps.redundant_pictures;
  if (!known) return absl::UnimplementedError("slices with more in their headers than is copied");
  return ReferenceChain(sps, pps);
}

PictureParameterSet ReferenceChain::patch_pps() const {
  return {.id = pps_.id + 1,
          .sps_id = pps_.sps_id,
          .cabac = false,
          .initial_qp = kPatchInitialQp,
          .chroma_qp_offset = 0,
          .deblocking_control = true,
          .high = std::nullopt};
}

void ReferenceChain::BeginIdr() {
  frame_num_ = 0;
  patched_ = refers_far_ = renumbers_ = has_far_ = has_two_near_ = false;
}

void ReferenceChain::Advance() {
  frame_num_ = (frame_num_ + 1) & ((uint32_t{1} << sps_.log2_frame_num_max) - 1);
}

void ReferenceChain::BeginPicture() {
  Advance();
  refers_far_ = patched_;
  patched_ = false;
  has_two_near_ = !has_far_;
}

void ReferenceChain::BeginPatch(int quantizer, BitWriter& out) {
  Advance();
  out.Ue(0);  // first_mb_in_slice
  out.Ue(kSliceTypePOnly);
  out.Ue(patch_pps().id);
  out.Bits(frame_num_, static_cast<int>(sps_.log2_frame_num_max));
  out.Flag(false);  // num_ref_idx_active_override_flag
  out.Flag(false);  // ref_pic_list_modification_flag_l0: the picture before comes first
  // dec_ref_pic_marking()
  out.Flag(!patched_);
  if (!patched_) {
    if (has_two_near_) {
      out.Ue(1);  // unused from now on
      out.Ue(1);  // is the one before the one before
    }
    out.Ue(4);  // there are long-term references
    out.Ue(1);  // of index 0 only
    out.Ue(3);  // the library's picture becomes one
    out.Ue(0);  // it is the one before
    out.Ue(0);  // and gets index 0
    out.Ue(0);
  }
  out.Se(quantizer - kPatchInitialQp);
  out.Ue(1);  // disable_deblocking_filter_idc
  patched_ = renumbers_ = has_far_ = true;
  has_two_near_ = false;
}

absl::Status ReferenceChain::CopyHeader(BitReader& in, BitWriter& out) const {
  out.Ue(in.Ue());  // first_mb_in_slice
  const uint32_t type = in.Ue();
  if (type != kSliceTypeP && type != kSliceTypePOnly) return Unexpected("slice that is not P");
  out.Ue(type);
  const uint32_t pps_id = in.Ue();
  if (pps_id != pps_.id) return Unexpected("slice with another PPS");
  out.Ue(pps_id);
  in.Bits(static_cast<int>(sps_.log2_frame_num_max));
  out.Bits(frame_num_, static_cast<int>(sps_.log2_frame_num_max));
  const bool overrides = in.Flag();
  out.Flag(overrides);
  if (overrides) {
    const uint32_t active_minus1 = in.Ue();
    if (active_minus1 != 0) return Unexpected("slice with more than one reference");
    out.Ue(active_minus1);
  }
  if (in.Flag()) return Unexpected("slice that reorders its references");
  out.Flag(refers_far_);
  if (refers_far_) {
    out.Ue(2);  // long_term_pic_num follows
    out.Ue(0);
    out.Ue(3);
  }
  if (in.Flag()) return Unexpected("slice that marks references");
  out.Flag(false);
  if (pps_.cabac) out.Ue(in.Ue());  // cabac_init_idc
  out.Se(in.Se());                  // slice_qp_delta
  if (pps_.deblocking_control) {
    const uint32_t disabled = in.Ue();
    out.Ue(disabled);
    if (disabled != 1) {
      out.Se(in.Se());
      out.Se(in.Se());
    }
  }
  return in.ok() ? absl::OkStatus() : Unexpected("slice header cut short");
}

absl::StatusOr<std::vector<uint8_t>> ReferenceChain::Adopt(std::span<const uint8_t> nal) const {
  if (nal.empty() || (nal[0] >> 5 & 3) == 0) return Unexpected("slice that nothing refers to");
  const std::vector<uint8_t> payload = NalPayload(nal);
  BitReader in(payload);
  BitWriter out;
  if (auto status = CopyHeader(in, out); !status.ok()) return status;
  if (pps_.cabac) {
    // cabac_alignment_one_bit: the arithmetic code begins with a byte, here as there.
    in.Align();
    out.AlignWithOnes();
  }
  out.Copy(in);
  return MakeNal(NalType::kSlice, nal[0] >> 5 & 3, out.Finish());
}

}  // namespace planecast
