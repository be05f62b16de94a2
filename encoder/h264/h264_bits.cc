#include "encoder/h264/h264_bits.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace planecast {

void BitWriter::Bits(uint32_t value, int count) {
  assert(count >= 0 && count <= 32);
  for (int bit = count - 1; bit >= 0; --bit) {
    partial_ = static_cast<uint8_t>(partial_ << 1 | (value >> bit & 1));
    if (++partial_bits_ < 8) continue;
    bytes_.push_back(partial_);
    partial_ = 0;
    partial_bits_ = 0;
  }
}

void BitWriter::Ue(uint32_t value) {
  assert(value != UINT32_MAX);
  const int length = std::bit_width(value + 1);
  Bits(0, length - 1);
  Bits(value + 1, length);
}

void BitWriter::Se(int32_t value) {
  const int64_t wide = value;
  Ue(static_cast<uint32_t>(wide > 0 ? 2 * wide - 1 : -2 * wide));
}

void BitWriter::AlignWithOnes() {
  while (partial_bits_ != 0) Bits(1, 1);
}

void BitWriter::Copy(BitReader& in) {
  size_t rest_bits = in.RestBits();
  while (rest_bits > 0 && in.position_bits_ % 8 != 0) {
    Bits(in.Bits(1), 1);
    --rest_bits;
  }
  bytes_.reserve(bytes_.size() + rest_bits / 8 + 2);
  for (; rest_bits >= 8; rest_bits -= 8, in.position_bits_ += 8) {
    const uint32_t both = uint32_t{partial_} << 8 | in.bytes_[in.position_bits_ / 8];
    bytes_.push_back(static_cast<uint8_t>(both >> partial_bits_));
    partial_ = static_cast<uint8_t>(both & ((1u << partial_bits_) - 1));
  }
  Bits(in.Bits(static_cast<int>(rest_bits)), static_cast<int>(rest_bits));
}

std::vector<uint8_t> BitWriter::Finish() {
  Bits(1, 1);
  while (partial_bits_ != 0) Bits(0, 1);
  std::vector<uint8_t> bytes;
  bytes.swap(bytes_);
  return bytes;
}

std::pair<std::vector<uint8_t>, int> BitWriter::FinishPartial() {
  int unused_bits = 0;
  while (partial_bits_ != 0) {
    Bits(0, 1);
    ++unused_bits;
  }
  std::vector<uint8_t> bytes;
  bytes.swap(bytes_);
  return {std::move(bytes), unused_bits};
}

uint32_t BitReader::Bits(int count) {
  assert(count >= 0 && count <= 32);
  if (!ok_ || bytes_.size() * 8 - position_bits_ < static_cast<size_t>(count)) {
    ok_ = false;
    return 0;
  }
  uint32_t value = 0;
  for (int i = 0; i < count; ++i, ++position_bits_) {
    value = value << 1 | (bytes_[position_bits_ / 8] >> (7 - position_bits_ % 8) & 1);
  }
  return value;
}

uint32_t BitReader::Ue() {
  int zeros = 0;
  while (ok_ && Bits(1) == 0 && ok_) {
    if (++zeros > 31) ok_ = false;
  }
  if (!ok_) return 0;
  const uint32_t suffix = Bits(zeros);
  return ok_ ? (uint32_t{1} << zeros) - 1 + suffix : 0;
}

int32_t BitReader::Se() {
  const int64_t code = Ue();
  return static_cast<int32_t>(code % 2 != 0 ? (code + 1) / 2 : -(code / 2));
}

size_t BitReader::RestBits() const {
  if (!ok_) return 0;
  for (size_t i = bytes_.size(); i > 0; --i) {
    if (bytes_[i - 1] == 0) continue;
    const size_t stop_bit = i * 8 - 1 - static_cast<size_t>(std::countr_zero(bytes_[i - 1]));
    return stop_bit - std::min(position_bits_, stop_bit);
  }
  return 0;
}

std::vector<uint8_t> MakeNal(NalType type, int ref_idc, std::span<const uint8_t> rbsp) {
  std::vector<uint8_t> nal;
  nal.reserve(rbsp.size() + rbsp.size() / 64 + 16);
  nal.push_back(static_cast<uint8_t>(ref_idc << 5 | static_cast<int>(type)));
  int zeros = 0;
  for (const uint8_t byte : rbsp) {
    if (zeros >= 2 && byte <= 3) {
      nal.push_back(3);
      zeros = 0;
    }
    nal.push_back(byte);
    zeros = byte == 0 ? zeros + 1 : 0;
  }
  return nal;
}

std::vector<uint8_t> NalPayload(std::span<const uint8_t> nal) {
  std::vector<uint8_t> rbsp;
  if (nal.empty()) return rbsp;
  rbsp.reserve(nal.size());
  int zeros = 0;
  for (const uint8_t byte : nal.subspan(1)) {
    if (zeros >= 2 && byte == 3) {
      zeros = 0;
      continue;
    }
    rbsp.push_back(byte);
    zeros = byte == 0 ? zeros + 1 : 0;
  }
  return rbsp;
}

std::optional<NalType> NalTypeOf(std::span<const uint8_t> nal) {
  if (nal.empty()) return std::nullopt;
  return static_cast<NalType>(nal[0] & 0x1f);
}

std::vector<std::span<const uint8_t>> SplitAnnexB(std::span<const uint8_t> stream) {
  std::vector<std::span<const uint8_t>> nals;
  std::optional<size_t> begin;
  const auto end_nal = [&](size_t end) {
    while (end > *begin && stream[end - 1] == 0) --end;
    if (end > *begin) nals.push_back(stream.subspan(*begin, end - *begin));
  };
  for (size_t i = 0; i + 3 <= stream.size();) {
    if (stream[i] != 0 || stream[i + 1] != 0 || stream[i + 2] != 1) {
      ++i;
      continue;
    }
    if (begin) end_nal(i);
    i += 3;
    begin = i;
  }
  if (begin) end_nal(stream.size());
  return nals;
}

void AppendAnnexB(std::span<const uint8_t> nal, std::vector<uint8_t>& stream) {
  static constexpr uint8_t kStartCode[] = {0, 0, 0, 1};
  stream.insert(stream.end(), std::begin(kStartCode), std::end(kStartCode));
  stream.insert(stream.end(), nal.begin(), nal.end());
}

}  // namespace planecast
