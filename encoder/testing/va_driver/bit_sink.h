// Writing bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace planecast::sw_va {

/// Bits of an RBSP, most significant first. Thread-compatible.
class BitSink {
 public:
  /// The low `count` bits of `value`, 0 to 32.
  void Bits(uint32_t value, int count);
  /// Exp-Golomb codes, clause 9.1.
  void Ue(uint32_t value);
  void Se(int32_t value);
  /// Zeros up to the next byte.
  void Align();
  size_t size_bits() const { return bytes_.size() * 8 + static_cast<size_t>(partial_bits_); }
  bool byte_aligned() const { return partial_bits_ == 0; }
  /// Whole bytes; only where byte_aligned().
  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
  uint32_t partial_ = 0;
  int partial_bits_ = 0;
};

}  // namespace planecast::sw_va
