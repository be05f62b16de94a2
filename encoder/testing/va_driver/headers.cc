#include "encoder/testing/va_driver/headers.h"

#include <algorithm>

namespace planecast::sw_va {
namespace {

constexpr uint8_t kNalSps = 0x67;
constexpr uint8_t kNalPps = 0x68;
constexpr uint32_t kSizeMaxMbs = 1024;

class Bits {
 public:
  Bits(std::span<const uint8_t> bytes, size_t size_bits)
      : bytes_(bytes), size_bits_(std::min(size_bits, bytes.size() * 8)) {}

  uint32_t Read(int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i) {
      if (at_ >= size_bits_) {
        ok_ = false;
        return 0;
      }
      value = value << 1 | (bytes_[at_ / 8] >> (7 - at_ % 8) & 1u);
      ++at_;
    }
    return value;
  }
  bool Flag() { return Read(1) != 0; }
  uint32_t Ue() {
    int zeros = 0;
    while (ok_ && zeros < 32 && Read(1) == 0) ++zeros;
    if (zeros > 31) ok_ = false;
    if (!ok_) return 0;
    return (1u << zeros) - 1 + Read(zeros);
  }
  int32_t Se() {
    const uint32_t code = Ue();
    const auto half = static_cast<int32_t>(code / 2);
    return code % 2 == 1 ? half + 1 : -half;
  }
  bool ok() const { return ok_; }
  size_t at() const { return at_; }
  /// More than the trailing bits is left.
  bool More() const {
    size_t last = size_bits_;
    while (last > at_ && (bytes_[(last - 1) / 8] >> (7 - (last - 1) % 8) & 1) == 0) --last;
    return last > at_ + 1;
  }

 private:
  std::span<const uint8_t> bytes_;
  size_t size_bits_;
  size_t at_ = 0;
  bool ok_ = true;
};

/// Where the byte after the next start code is, or 0.
size_t StartCodeEnd(std::span<const uint8_t> data, size_t from) {
  for (size_t i = from; i + 3 < data.size(); ++i) {
    if (data[i] == 0 && data[i + 1] == 0 && data[i + 2] == 1) return i + 3;
  }
  return 0;
}

std::vector<uint8_t> Unescaped(std::span<const uint8_t> payload, bool escaped) {
  std::vector<uint8_t> rbsp;
  int zeros = 0;
  for (const uint8_t byte : payload) {
    if (escaped && zeros >= 2 && byte == 3) {
      zeros = 0;
      continue;
    }
    zeros = byte == 0 ? zeros + 1 : 0;
    rbsp.push_back(byte);
  }
  return rbsp;
}

bool IsHigh(uint32_t profile_idc) {
  return profile_idc == 100 || profile_idc == 110;
}

// Modifications are read over: which reference is meant, the slice parameters say.
void SkipReferenceModification(Bits& in) {
  if (!in.Flag()) return;
  while (in.ok()) {
    if (in.Ue() == 3) return;
    in.Ue();
  }
}

void SkipMarking(Bits& in, bool idr) {
  if (idr) {
    in.Read(2);
    return;
  }
  if (!in.Flag()) return;
  while (in.ok()) {
    const uint32_t operation = in.Ue();
    if (operation == 0) return;
    if (operation != 5) in.Ue();
    if (operation == 3) in.Ue();
  }
}

}  // namespace

std::vector<PackedNal> CutPackedNals(std::span<const uint8_t> data, uint32_t bit_length,
                                     bool has_emulation_bytes, std::string* problem) {
  std::vector<PackedNal> nals;
  if (bit_length > data.size() * 8) {
    *problem = "bit_length is beyond the buffer";
    return nals;
  }
  const size_t end = (size_t{bit_length} + 7) / 8;
  size_t at = StartCodeEnd(data.first(end), 0);
  if (at == 0 || at >= end || at > 4) {
    *problem = "packed header without a start code";
    return nals;
  }
  while (at < end) {
    // Without emulation prevention the payload may hold what looks like a start code.
    const size_t next = has_emulation_bytes ? StartCodeEnd(data.first(end), at) : 0;
    size_t nal_end = end;
    if (next != 0) {
      nal_end = next - 3;
      while (nal_end > at && data[nal_end - 1] == 0) --nal_end;
    }
    PackedNal nal;
    nal.header = data[at];
    nal.rbsp = Unescaped(data.subspan(at + 1, nal_end - at - 1), has_emulation_bytes);
    const size_t unused_bits = next == 0 ? end * 8 - bit_length : 0;
    nal.rbsp_bits = nal.rbsp.size() * 8 - std::min(unused_bits, nal.rbsp.size() * 8);
    if (has_emulation_bytes) {
      nal.annex_b = {0, 0, 0, 1};
      nal.annex_b.insert(nal.annex_b.end(), data.begin() + static_cast<std::ptrdiff_t>(at),
                         data.begin() + static_cast<std::ptrdiff_t>(nal_end));
    } else {
      AppendNal(nal.header, nal.rbsp, nal.annex_b);
    }
    nals.push_back(std::move(nal));
    at = next != 0 ? next : end;
  }
  return nals;
}

std::optional<SpsFields> ReadSps(const PackedNal& nal) {
  if ((nal.header & 0x1f) != 7) return std::nullopt;
  Bits in(nal.rbsp, nal.rbsp_bits);
  SpsFields sps;
  sps.profile_idc = in.Read(8);
  sps.constraint_flags = in.Read(8);
  sps.level_idc = in.Read(8);
  sps.id = in.Ue();
  if (IsHigh(sps.profile_idc)) {
    // 4:2:0 of 8 bits, no lossless mode, no scaling lists.
    if (in.Ue() != 1 || in.Ue() != 0 || in.Ue() != 0 || in.Flag() || in.Flag()) return std::nullopt;
  }
  sps.log2_frame_num_max = in.Ue() + 4;
  sps.poc_type = in.Ue();
  if (sps.poc_type == 0) sps.log2_poc_lsb_max = in.Ue() + 4;
  if (sps.poc_type == 1) return std::nullopt;
  sps.references = in.Ue();
  in.Flag();  // gaps_in_frame_num_value_allowed_flag
  sps.width_mbs = std::min(in.Ue(), kSizeMaxMbs) + 1;
  sps.height_mbs = std::min(in.Ue(), kSizeMaxMbs) + 1;
  if (!in.Flag()) return std::nullopt;  // frame_mbs_only_flag
  in.Flag();                            // direct_8x8_inference_flag
  if (in.Flag()) {
    in.Ue();
    sps.crop_right = in.Ue();
    in.Ue();
    sps.crop_bottom = in.Ue();
  }
  // What VUI says is no business of an encoder.
  if (!in.ok() || sps.log2_frame_num_max > 16 || sps.log2_poc_lsb_max > 16) return std::nullopt;
  return sps;
}

std::optional<PpsFields> ReadPps(const PackedNal& nal) {
  if ((nal.header & 0x1f) != 8) return std::nullopt;
  Bits in(nal.rbsp, nal.rbsp_bits);
  PpsFields pps;
  pps.id = in.Ue();
  pps.sps_id = in.Ue();
  pps.cabac = in.Flag();
  pps.bottom_field_poc = in.Flag();
  if (in.Ue() != 0) return std::nullopt;  // slice groups
  pps.references_l0 = in.Ue() + 1;
  in.Ue();
  if (in.Flag()) return std::nullopt;  // weighted prediction
  in.Read(2);
  pps.initial_qp = 26 + in.Se();
  in.Se();
  pps.cb_qp_offset = pps.cr_qp_offset = in.Se();
  pps.deblocking_control = in.Flag();
  pps.constrained_intra = in.Flag();
  if (in.Flag()) return std::nullopt;  // redundant pictures
  pps.high = in.More();
  if (pps.high) {
    pps.transform_8x8 = in.Flag();
    if (in.Flag()) return std::nullopt;  // scaling lists
    pps.cr_qp_offset = in.Se();
  }
  if (!in.ok()) return std::nullopt;
  return pps;
}

std::optional<SliceFields> ReadSliceHeader(const PackedNal& nal, const SpsFields& sps,
                                           const PpsFields& pps, size_t* used_bits) {
  SliceFields slice;
  slice.nal_type = nal.header & 0x1f;
  slice.ref_idc = nal.header >> 5 & 3;
  if (slice.nal_type != 1 && slice.nal_type != 5) return std::nullopt;
  Bits in(nal.rbsp, nal.rbsp_bits);
  slice.first_mb = in.Ue();
  slice.type = in.Ue() % 5;
  slice.pps_id = in.Ue();
  slice.frame_num = in.Read(static_cast<int>(sps.log2_frame_num_max));
  if (slice.idr()) slice.idr_pic_id = in.Ue();
  if (sps.poc_type == 0) {
    slice.poc_lsb = in.Read(static_cast<int>(sps.log2_poc_lsb_max));
    if (pps.bottom_field_poc) in.Se();
  }
  slice.references_l0 = pps.references_l0;
  if (slice.type == 0) {
    if (in.Flag()) slice.references_l0 = in.Ue() + 1;
    SkipReferenceModification(in);
  }
  if (slice.ref_idc != 0) SkipMarking(in, slice.idr());
  if (pps.cabac && slice.type == 0) slice.cabac_init_idc = in.Ue();
  slice.qp_delta = in.Se();
  if (pps.deblocking_control) {
    slice.deblocking_idc = in.Ue();
    if (slice.deblocking_idc != 1) {
      slice.alpha_offset_div2 = in.Se();
      slice.beta_offset_div2 = in.Se();
    }
  }
  *used_bits = in.at();
  if (!in.ok()) return std::nullopt;
  return slice;
}

std::vector<uint8_t> OwnSps(const SpsFields& sps) {
  BitSink out;
  out.Bits(sps.profile_idc, 8);
  out.Bits(sps.constraint_flags, 8);
  out.Bits(sps.level_idc, 8);
  out.Ue(sps.id);
  if (IsHigh(sps.profile_idc)) {
    out.Ue(1);
    out.Ue(0);
    out.Ue(0);
    out.Bits(0, 2);
  }
  out.Ue(sps.log2_frame_num_max - 4);
  out.Ue(sps.poc_type);
  if (sps.poc_type == 0) out.Ue(sps.log2_poc_lsb_max - 4);
  out.Ue(sps.references);
  out.Bits(0, 1);
  out.Ue(sps.width_mbs - 1);
  out.Ue(sps.height_mbs - 1);
  out.Bits(3, 2);  // frame_mbs_only_flag, direct_8x8_inference_flag
  const bool crop = sps.crop_right != 0 || sps.crop_bottom != 0;
  out.Bits(crop ? 1 : 0, 1);
  if (crop) {
    out.Ue(0);
    out.Ue(sps.crop_right);
    out.Ue(0);
    out.Ue(sps.crop_bottom);
  }
  // Nothing about colour or reordering, as drivers of old: that is the client's to mend.
  out.Bits(0, 1);
  out.Bits(1, 1);
  out.Align();
  std::vector<uint8_t> nal;
  AppendNal(kNalSps, out.bytes(), nal);
  return nal;
}

std::vector<uint8_t> OwnPps(const PpsFields& pps) {
  BitSink out;
  out.Ue(pps.id);
  out.Ue(pps.sps_id);
  out.Bits(pps.cabac ? 1 : 0, 1);
  out.Bits(0, 1);
  out.Ue(0);
  out.Ue(pps.references_l0 - 1);
  out.Ue(0);
  out.Bits(0, 3);
  out.Se(pps.initial_qp - 26);
  out.Se(0);
  out.Se(pps.cb_qp_offset);
  out.Bits(pps.deblocking_control ? 1 : 0, 1);
  out.Bits(pps.constrained_intra ? 1 : 0, 1);
  out.Bits(0, 1);
  if (pps.high) {
    out.Bits(pps.transform_8x8 ? 1 : 0, 1);
    out.Bits(0, 1);
    out.Se(pps.cr_qp_offset);
  }
  out.Bits(1, 1);
  out.Align();
  std::vector<uint8_t> nal;
  AppendNal(kNalPps, out.bytes(), nal);
  return nal;
}

void OwnSliceHeader(const SliceFields& slice, const SpsFields& sps, const PpsFields& pps,
                    BitSink& out) {
  out.Ue(slice.first_mb);
  out.Ue(slice.type + 5);
  out.Ue(slice.pps_id);
  out.Bits(slice.frame_num, static_cast<int>(sps.log2_frame_num_max));
  if (slice.idr()) out.Ue(slice.idr_pic_id);
  if (sps.poc_type == 0) out.Bits(slice.poc_lsb, static_cast<int>(sps.log2_poc_lsb_max));
  if (slice.type == 0) {
    const bool override_count = slice.references_l0 != pps.references_l0;
    out.Bits(override_count ? 1 : 0, 1);
    if (override_count) out.Ue(slice.references_l0 - 1);
    out.Bits(0, 1);
  }
  if (slice.ref_idc != 0) out.Bits(0, slice.idr() ? 2 : 1);
  if (pps.cabac && slice.type == 0) out.Ue(slice.cabac_init_idc);
  out.Se(slice.qp_delta);
  if (!pps.deblocking_control) return;
  out.Ue(slice.deblocking_idc);
  if (slice.deblocking_idc == 1) return;
  out.Se(slice.alpha_offset_div2);
  out.Se(slice.beta_offset_div2);
}

void AppendNal(uint8_t header, std::span<const uint8_t> rbsp, std::vector<uint8_t>& stream) {
  stream.insert(stream.end(), {0, 0, 0, 1, header});
  int zeros = 0;
  for (const uint8_t byte : rbsp) {
    if (zeros >= 2 && byte <= 3) {
      stream.push_back(3);
      zeros = 0;
    }
    stream.push_back(byte);
    zeros = byte == 0 ? zeros + 1 : 0;
  }
}

}  // namespace planecast::sw_va
