#include "encoder/screen/skip_detect.h"

#include <optional>
#include <vector>

#include "encoder/h264/h264_bits.h"

namespace planecast {
namespace {

// A longer slice can't be one skip run: its header takes 20 bytes, the run 5.
constexpr size_t kSliceBytesMax = 64;
constexpr uint32_t kModificationsEnd = 3;

void SkipModifications(BitReader& in) {
  if (!in.Flag()) return;
  while (in.ok() && in.Ue() != kModificationsEnd) in.Ue();
}

// dec_ref_pic_marking() of a picture that is no IDR; memory operations are not ours to follow.
bool PlainMarking(BitReader& in) {
  return !in.Flag();
}

/// Reads a P slice's header; false if it is not one that is understood.
bool ReadHeader(BitReader& in, bool reference, const SequenceParameterSet& sps,
                const PictureParameterSet& pps) {
  if (in.Ue() != 0) return false;      // first_mb_in_slice
  if (in.Ue() % 5 != 0) return false;  // slice_type P
  in.Ue();
  in.Bits(static_cast<int>(sps.log2_frame_num_max));
  if (sps.poc_type == 0) {
    in.Bits(static_cast<int>(sps.log2_poc_lsb_max));
    if (pps.bottom_field_poc) in.Se();
  }
  if (in.Flag()) in.Ue();  // num_ref_idx_l0_active_minus1
  SkipModifications(in);
  if (pps.weighted_prediction) return false;
  if (reference && !PlainMarking(in)) return false;
  in.Se();  // slice_qp_delta
  if (pps.deblocking_control && in.Ue() != 1) {
    in.Se();
    in.Se();
  }
  return in.ok();
}

}  // namespace

bool ShowsNothingNew(std::span<const uint8_t> stream, const SequenceParameterSet& sps,
                     const PictureParameterSet& pps) {
  if (pps.cabac) return false;
  std::optional<std::span<const uint8_t>> slice;
  for (const auto nal : SplitAnnexB(stream)) {
    const NalType type = *NalTypeOf(nal);
    if (type == NalType::kIdrSlice || (type == NalType::kSlice && slice.has_value())) return false;
    if (type == NalType::kSlice) slice = nal;
  }
  if (!slice.has_value() || slice->size() > kSliceBytesMax) return false;
  const std::vector<uint8_t> rbsp = NalPayload(*slice);
  BitReader in(rbsp);
  if (!ReadHeader(in, (slice->front() & 0x60) != 0, sps, pps)) return false;
  const uint32_t skip_run = in.Ue();
  return in.ok() && skip_run == sps.width_mbs * sps.height_mbs && !in.MoreData();
}

}  // namespace planecast
