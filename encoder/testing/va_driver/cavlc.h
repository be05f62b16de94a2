// CAVLC, clause 9.2: levels of one block.
#pragma once

#include <cstdint>
#include <span>

#include "encoder/testing/va_driver/bit_sink.h"

namespace planecast::sw_va {

/// nC of a chroma DC block.
inline constexpr int kChromaDcNc = -1;
/// The largest magnitude of a level that every profile can write, whatever came before it.
inline constexpr int kCavlcLevelMax = 2063;

/// Writes residual_block_cavlc(): `levels` in scan order, 4, 15 or 16 of them, magnitudes up to
/// kCavlcLevelMax.
void WriteBlockCavlc(std::span<const int16_t> levels, int nc, BitSink& sink);

}  // namespace planecast::sw_va
