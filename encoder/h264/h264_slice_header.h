// The slice header that planecast's GPU encoders ask for. Pure code, clause 7.3.3.
#pragma once

#include <cstdint>
#include <vector>

#include "encoder/h264/h264_headers.h"

namespace planecast {

/// The header of a slice that is a whole picture: I or P, one reference, the previous picture,
/// always itself a reference.
struct SliceHeader {
  bool idr = false;
  uint32_t first_mb = 0;
  /// Modulo 2^log2_frame_num_max.
  uint32_t frame_num = 0;
  /// 0 to 65535; differs between IDRs in a row.
  uint32_t idr_pic_id = 0;
  /// Picture order count; written modulo 2^log2_poc_lsb_max.
  uint32_t poc = 0;
  uint32_t cabac_init_idc = 0;
  /// 0 to 51.
  int quantizer = 26;
  uint32_t deblocking_idc = 0;
  int32_t alpha_offset_div2 = 0;
  int32_t beta_offset_div2 = 0;
};

/// A NAL unit that may end within a byte.
struct PartialNal {
  /// Header byte and payload with emulation prevention, without start code; unused low bits are 0.
  std::vector<uint8_t> bytes;
  /// Of the last byte.
  int unused_bits = 0;
};

/// The NAL unit up to where slice_data() begins, without CABAC's alignment.
PartialNal WriteSliceHeader(const SliceHeader& header, const SequenceParameterSet& sps,
                            const PictureParameterSet& pps);

}  // namespace planecast
