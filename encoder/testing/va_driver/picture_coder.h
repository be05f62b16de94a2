// Codes pictures macroblock by macroblock as H.264's decoding process wants them: the part of the
// software VA driver that stands for the silicon. Knows no VA-API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "encoder/testing/va_driver/bit_sink.h"

namespace planecast::sw_va {

/// A picture of whole macroblocks in NV12: luma, then interleaved Cb and Cr.
struct Nv12Picture {
  uint8_t* y = nullptr;
  uint8_t* uv = nullptr;
  size_t y_stride_bytes = 0;
  size_t uv_stride_bytes = 0;
};

/// What is the same for all slices of a picture; mirrors SPS, PPS and picture parameters.
struct PictureParams {
  uint32_t width_mbs = 0;
  uint32_t height_mbs = 0;
  /// entropy_coding_mode_flag.
  bool cabac = false;
  /// transform_8x8_mode_flag: only its syntax; the transform is always 4x4.
  bool transform_8x8_mode = false;
  bool constrained_intra_pred = false;
  int chroma_qp_index_offset = 0;
  int second_chroma_qp_index_offset = 0;
  /// What is coded.
  Nv12Picture source;
  /// The only reference, already deblocked; y is null where all slices are intra. May not be the
  /// same memory as source or reconstruction.
  Nv12Picture reference;
  /// Where the reconstruction goes. Must not overlap source or reference.
  Nv12Picture reconstruction;
};

/// One slice.
struct SliceParams {
  /// slice_type: I, else P.
  bool intra = false;
  uint32_t first_mb = 0;
  uint32_t mb_count = 0;
  /// SliceQPY as the header says it, 0 to 51.
  int slice_qp = 26;
  /// The quantiser to code with, 0 to 51; where it is not slice_qp, mb_qp_delta makes the way.
  int target_qp = 26;
  /// Per macroblock of the picture, added to target_qp (a region of interest); empty for none.
  std::span<const int8_t> mb_qp_offsets;
  /// Of P slices with CABAC, 0 to 2.
  int cabac_init_idc = 0;
  /// num_ref_idx_l0_active_minus1; entry 0 is always used. Beyond 0, ref_idx is written as 0.
  int ref_idx_l0_active_minus1 = 0;
  /// disable_deblocking_filter_idc and the two offsets (already times two).
  int deblocking_idc = 0;
  int alpha_c0_offset = 0;
  int beta_offset = 0;
};

/// What became of a slice.
struct SliceResult {
  /// Sum of the quantisers of all macroblocks, for an average.
  uint64_t qp_sum = 0;
  uint32_t skipped_mbs = 0;
  uint32_t intra_mbs = 0;
};

/// Codes one picture: CodeSlice for each slice in order of first_mb, then Finish.
/// Thread-compatible.
class PictureCoder {
 public:
  explicit PictureCoder(const PictureParams& params);
  ~PictureCoder();
  PictureCoder(const PictureCoder&) = delete;
  PictureCoder& operator=(const PictureCoder&) = delete;

  /// Appends slice_data() and rbsp_slice_trailing_bits() to `sink`, which holds the slice header;
  /// with CABAC, cabac_alignment_one_bits are written first. Afterwards sink is byte-aligned.
  SliceResult CodeSlice(const SliceParams& slice, BitSink& sink);

  /// The deblocking filter, over the whole picture, as each slice asked for it. The reconstruction
  /// is then what a decoder has.
  void Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace planecast::sw_va
