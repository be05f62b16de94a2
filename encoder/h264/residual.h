// The difference between a macroblock and its prediction: transform, quantisation and what a
// decoder makes of it. Clauses 8.5.10 to 8.5.12 of H.264, flat scaling, 4:2:0, 8 bits. Pure.
#pragma once

#include <array>
#include <cstdint>

namespace planecast {

/// Samples of one macroblock, row by row.
struct MacroblockSamples {
  std::array<uint8_t, 256> y{};
  /// 8x8 each: Cb, Cr.
  std::array<std::array<uint8_t, 64>, 2> chroma{};
};

/// Levels of 4x4 coefficients in zig-zag order.
using LevelBlock = std::array<int16_t, 16>;

/// The levels of a macroblock. Blocks that are zero throughout are marked in the pattern only.
struct MacroblockLevels {
  /// Sixteen blocks in coding order: four to each quarter, clause 6.4.3.
  std::array<LevelBlock, 16> luma{};
  /// Cb, Cr: four DC levels, and four blocks whose first level is not used.
  std::array<std::array<int16_t, 4>, 2> chroma_dc{};
  std::array<std::array<LevelBlock, 4>, 2> chroma_ac{};
  /// coded_block_pattern: bits 0 to 3 are the quarters, 4 and 5 the chroma: 0 none, 1 DC, 2 all.
  uint8_t pattern = 0;
};

/// How coefficients are rounded: the part of a step that is added before the division.
enum class Rounding {
  /// 1/6: few bits.
  kCheap,
  /// 1/3: closer to the source.
  kClose,
};

/// Finds the levels of `source` less `picture`, which holds the prediction, and turns `picture`
/// into what a decoder will show. `quantizer` is that of luma, 10 to 51; below 10 levels could be
/// larger than Baseline can code.
MacroblockLevels CodeResidual(const MacroblockSamples& source, int quantizer, Rounding rounding,
                              MacroblockSamples& picture);

/// QPC for a luma quantiser, table 8-15 with an offset of 0.
int ChromaQuantizer(int quantizer);

/// Column and line of a luma block by its place in coding order, in blocks.
constexpr int LumaBlockX(int block) {
  return (block & 1) + (block >> 1 & 2);
}
constexpr int LumaBlockY(int block) {
  return (block >> 1 & 1) + (block >> 2 & 2);
}

}  // namespace planecast
