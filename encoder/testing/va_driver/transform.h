// The 4x4 transforms and quantisation: clause 8.5 and an encoder's counterpart of it.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "encoder/testing/va_driver/macroblock.h"

namespace planecast::sw_va {

/// A 4x4 block in raster order.
using Block = std::array<int, 16>;

/// How coarsely a block is quantised.
struct Quantiser {
  /// 0 to 51; for chroma QPc.
  int qp = 26;
  /// Intra blocks round up sooner.
  bool intra = true;
  /// Largest magnitude of a level.
  int level_max = (1 << 15) - 1;
};

/// QPc for a luma quantiser, table 8-15.
int ChromaQp(int luma_qp, int offset);

Block ForwardTransform(const Block& residual);
/// Adds the residual of these scaled coefficients, rounded, to 4x4 samples.
void AddInverseTransform(const Block& scaled, uint8_t* samples, int stride_bytes);

/// Quantises coefficients `first` (0 or 1, in scan order) to 15. Returns how many levels are not 0.
int Quantise(const Block& coefficients, const Quantiser& quantiser, int first, Levels& levels);
/// Scales levels back; entry 0 of the result is 0 if `first` is 1.
Block Scale(const Levels& levels, int qp, int first);

/// The 4x4 luma DC of Intra16x16: `dc` in raster order of the blocks.
int QuantiseLumaDc(const Block& dc, const Quantiser& quantiser, Levels& levels);
Block ScaleLumaDc(const Levels& levels, int qp);

/// The 2x2 chroma DC.
int QuantiseChromaDc(const std::array<int, 4>& dc, const Quantiser& quantiser,
                     std::array<int16_t, 4>& levels);
std::array<int, 4> ScaleChromaDc(const std::array<int16_t, 4>& levels, int qp);

}  // namespace planecast::sw_va
