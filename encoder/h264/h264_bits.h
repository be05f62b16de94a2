// Bits and NAL units of H.264, without meaning: what h264_headers.h is built on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace planecast {

/// nal_unit_type, H.264 table 7-1.
enum class NalType : uint8_t {
  kSlice = 1,
  kIdrSlice = 5,
  kSei = 6,
  kSps = 7,
  kPps = 8,
  kAccessUnitDelimiter = 9,
  kFiller = 12,
};

class BitReader;

/// Writes bits, most significant first. Thread-compatible.
class BitWriter {
 public:
  /// The low `count` bits of `value`, 0 to 32.
  void Bits(uint32_t value, int count);
  void Flag(bool value) { Bits(value ? 1 : 0, 1); }
  /// Exp-Golomb, clause 9.1; `value` below 2^32 - 1.
  void Ue(uint32_t value);
  void Se(int32_t value);
  /// Ones up to the next byte.
  void AlignWithOnes();
  /// The rest of `in`, without its trailing bits.
  void Copy(BitReader& in);
  /// rbsp_trailing_bits(), clause 7.3.2.11; returns the bytes and starts afresh.
  std::vector<uint8_t> Finish();
  /// The bits so far, with zeros up to the end of the last byte, and how many of those there are;
  /// starts afresh.
  std::pair<std::vector<uint8_t>, int> FinishPartial();

 private:
  std::vector<uint8_t> bytes_;
  uint8_t partial_ = 0;
  int partial_bits_ = 0;
};

/// Reads bits. After reading beyond the end, ok() is false and all reads give 0. Thread-compatible.
class BitReader {
 public:
  explicit BitReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint32_t Bits(int count);
  bool Flag() { return Bits(1) != 0; }
  uint32_t Ue();
  int32_t Se();
  bool ok() const { return ok_; }
  /// Skips to the next byte.
  void Align() { position_bits_ = (position_bits_ + 7) / 8 * 8; }
  /// True while payload bits are left before the trailing bits.
  bool MoreData() const { return RestBits() > 0; }
  /// Payload bits before the trailing bits.
  size_t RestBits() const;

 private:
  friend class BitWriter;
  std::span<const uint8_t> bytes_;
  size_t position_bits_ = 0;
  bool ok_ = true;
};

/// Puts the header byte before `rbsp` and emulation prevention bytes into it (clause 7.4.1.1).
std::vector<uint8_t> MakeNal(NalType type, int ref_idc, std::span<const uint8_t> rbsp);

/// The payload of a NAL unit: header byte and emulation prevention bytes removed.
std::vector<uint8_t> NalPayload(std::span<const uint8_t> nal);

/// The type of a NAL unit without start code, or nothing if it is empty.
std::optional<NalType> NalTypeOf(std::span<const uint8_t> nal);

/// Cuts an Annex B stream into NAL units without start codes and trailing zeros.
std::vector<std::span<const uint8_t>> SplitAnnexB(std::span<const uint8_t> stream);

/// Appends a four-byte start code and the NAL unit.
void AppendAnnexB(std::span<const uint8_t> nal, std::vector<uint8_t>& stream);

}  // namespace planecast
