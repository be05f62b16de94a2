#include "encoder/h264/stream_contract.h"

#include "absl/status/status.h"
#include "encoder/h264/h264_bits.h"
#include "encoder/h264/h264_headers.h"

namespace planecast {
namespace {

// Delimiter, parameter sets and start codes.
constexpr size_t kOverheadBytes = 256;

uint32_t Mbs(uint32_t pixels) {
  return (pixels + kMacroblockPx - 1) / kMacroblockPx;
}

}  // namespace

absl::StatusOr<SequenceParameterSet> ContractSps(std::span<const uint8_t> nal,
                                                 const StreamContract& contract) {
  auto sps = ParseSps(nal);
  if (!sps.ok()) return sps.status();
  if (sps->width_mbs != Mbs(contract.visible_width_px) ||
      sps->height_mbs != Mbs(contract.visible_height_px)) {
    return absl::InternalError("the encoder's stream has another size than asked for");
  }
  ApplyContract(contract, *sps);
  return *sps;
}

absl::StatusOr<std::vector<uint8_t>> AssembleUnit(std::span<const std::span<const uint8_t>> nals,
                                                  bool key_frame, const StreamContract& contract) {
  size_t size_bytes = kOverheadBytes;
  for (const auto nal : nals) size_bytes += nal.size() + 4;
  std::vector<uint8_t> bytes;
  bytes.reserve(size_bytes);
  AppendAnnexB(WriteAccessUnitDelimiter(key_frame), bytes);
  for (const auto nal : nals) {
    switch (NalTypeOf(nal).value_or(NalType::kSei)) {
      case NalType::kSps: {
        auto sps = ContractSps(nal, contract);
        if (!sps.ok()) return sps.status();
        AppendAnnexB(WriteSps(*sps), bytes);
        break;
      }
      case NalType::kPps:
      case NalType::kSlice:
      case NalType::kIdrSlice:
        AppendAnnexB(nal, bytes);
        break;
      default:
        break;
    }
  }
  return bytes;
}

StreamDescription DescribeStream(const SequenceParameterSet& sps, const StreamContract& contract,
                                 H264Profile profile) {
  return {.codec = CodecString(sps),
          .profile = profile == H264Profile::kHigh ? "high" : "constrained-baseline",
          .coded_width_px = sps.width_mbs * kMacroblockPx,
          .coded_height_px = sps.height_mbs * kMacroblockPx,
          .visible_width_px = contract.visible_width_px,
          .visible_height_px = contract.visible_height_px};
}

}  // namespace planecast
