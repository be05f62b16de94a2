// Makes access units of what encoder libraries and drivers give: every stream of planecast has the
// same shape and says the same about itself, whoever coded it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "encoder/encoder.h"
#include "encoder/h264/h264_headers.h"

namespace planecast {

/// The SPS of a library or driver, made to keep the contract. INTERNAL if it codes another size.
absl::StatusOr<SequenceParameterSet> ContractSps(std::span<const uint8_t> nal,
                                                 const StreamContract& contract);

/// An access unit in Annex B: delimiter, SPS by contract, PPS, slices. SEI and filler, which
/// concern no viewer, are left out. `nals` are without start codes.
absl::StatusOr<std::vector<uint8_t>> AssembleUnit(std::span<const std::span<const uint8_t>> nals,
                                                  bool key_frame, const StreamContract& contract);

/// What a viewer is told of a stream with this SPS.
StreamDescription DescribeStream(const SequenceParameterSet& sps, const StreamContract& contract,
                                 H264Profile profile);

}  // namespace planecast
