// Context-adaptive variable-length codes of H.264, clause 9.2, the way there: levels become bits.
#pragma once

#include <cstdint>
#include <span>

#include "encoder/h264/h264_bits.h"

namespace planecast {

/// nC of a block of chroma DC levels, clause 9.2.1.
inline constexpr int kChromaDcContext = -1;

/// Writes residual_block_cavlc(), clause 7.3.5.3.2, and returns how many levels are not zero.
/// `levels` are in zig-zag order: 16 of them, 15 of a block without its DC, or 4 chroma DC levels;
/// each -2000 to 2000. `context` is nC, 0 to 16, or kChromaDcContext.
int WriteLevels(std::span<const int16_t> levels, int context, BitWriter& out);

/// codeNum of coded_block_pattern in a P macroblock, table 9-4. `pattern` is 0 to 47.
uint32_t InterPatternCode(uint8_t pattern);

}  // namespace planecast
