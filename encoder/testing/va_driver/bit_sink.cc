#include "encoder/testing/va_driver/bit_sink.h"

#include <bit>

namespace planecast::sw_va {

void BitSink::Bits(uint32_t value, int count) {
  for (int bit = count - 1; bit >= 0; --bit) {
    partial_ = partial_ << 1 | (value >> bit & 1);
    if (++partial_bits_ < 8) continue;
    bytes_.push_back(static_cast<uint8_t>(partial_));
    partial_ = 0;
    partial_bits_ = 0;
  }
}

void BitSink::Ue(uint32_t value) {
  const int length = std::bit_width(value + 1);
  Bits(0, length - 1);
  Bits(value + 1, length);
}

void BitSink::Se(int32_t value) {
  Ue(value > 0 ? static_cast<uint32_t>(value) * 2 - 1 : static_cast<uint32_t>(-value) * 2);
}

void BitSink::Align() {
  while (!byte_aligned()) Bits(0, 1);
}

}  // namespace planecast::sw_va
