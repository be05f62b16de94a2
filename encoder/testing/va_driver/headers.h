// Reading and writing H.264 headers: the driver's own view of them, so that a mistake of a client's
// writer is not repeated here. Clause 7.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "encoder/testing/va_driver/bit_sink.h"

namespace planecast::sw_va {

struct SpsFields {
  uint32_t profile_idc = 66;
  uint32_t constraint_flags = 0;
  uint32_t level_idc = 40;
  uint32_t id = 0;
  uint32_t log2_frame_num_max = 4;
  uint32_t poc_type = 0;
  uint32_t log2_poc_lsb_max = 4;
  uint32_t references = 1;
  uint32_t width_mbs = 1;
  uint32_t height_mbs = 1;
  uint32_t crop_right = 0;
  uint32_t crop_bottom = 0;
};

struct PpsFields {
  uint32_t id = 0;
  uint32_t sps_id = 0;
  bool cabac = false;
  bool bottom_field_poc = false;
  uint32_t references_l0 = 1;
  int32_t initial_qp = 26;
  int32_t cb_qp_offset = 0;
  int32_t cr_qp_offset = 0;
  bool deblocking_control = false;
  bool constrained_intra = false;
  bool transform_8x8 = false;
  /// The part that only High profile has is there.
  bool high = false;
};

struct SliceFields {
  uint32_t nal_type = 1;
  uint32_t ref_idc = 1;
  uint32_t first_mb = 0;
  /// 0 P, 2 I; what was written modulo 5.
  uint32_t type = 0;
  uint32_t pps_id = 0;
  uint32_t frame_num = 0;
  uint32_t idr_pic_id = 0;
  uint32_t poc_lsb = 0;
  uint32_t references_l0 = 1;
  uint32_t cabac_init_idc = 0;
  int32_t qp_delta = 0;
  uint32_t deblocking_idc = 0;
  int32_t alpha_offset_div2 = 0;
  int32_t beta_offset_div2 = 0;
  bool idr() const { return nal_type == 5; }
};

/// A NAL unit as a packed header buffer has it.
struct PackedNal {
  uint8_t header = 0;
  /// Payload without emulation prevention; of a slice just its header.
  std::vector<uint8_t> rbsp;
  size_t rbsp_bits = 0;
  /// As it goes into the stream, with start code.
  std::vector<uint8_t> annex_b;
};

/// Cuts a packed header buffer; nothing, and why, if it is no sequence of NAL units with start
/// codes.
std::vector<PackedNal> CutPackedNals(std::span<const uint8_t> data, uint32_t bit_length,
                                     bool has_emulation_bytes, std::string* problem);

/// Nothing if the syntax is damaged or beyond what this driver codes.
std::optional<SpsFields> ReadSps(const PackedNal& nal);
std::optional<PpsFields> ReadPps(const PackedNal& nal);
/// `used_bits` is where slice_data() begins, without alignment.
std::optional<SliceFields> ReadSliceHeader(const PackedNal& nal, const SpsFields& sps,
                                           const PpsFields& pps, size_t* used_bits);

/// Headers of the driver's own, for clients that give none.
std::vector<uint8_t> OwnSps(const SpsFields& sps);
std::vector<uint8_t> OwnPps(const PpsFields& pps);
void OwnSliceHeader(const SliceFields& slice, const SpsFields& sps, const PpsFields& pps,
                    BitSink& sink);

/// A NAL unit in Annex B: start code, header, payload with emulation prevention.
void AppendNal(uint8_t header, std::span<const uint8_t> rbsp, std::vector<uint8_t>& stream);

}  // namespace planecast::sw_va
