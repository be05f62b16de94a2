// Intra and inter prediction of whole macroblocks, clauses 8.3.3, 8.3.4 and 8.4.2.
#pragma once

#include <cstddef>
#include <cstdint>

#include "encoder/testing/va_driver/macroblock.h"
#include "encoder/testing/va_driver/picture_coder.h"

namespace planecast::sw_va {

/// The samples of one macroblock: 16x16 luma, 8x8 Cb and Cr, without padding.
struct MacroblockSamples {
  uint8_t y[256];
  uint8_t c[2][64];
};

/// Reads a macroblock of a picture.
void LoadMacroblock(const Nv12Picture& picture, uint32_t mb_x, uint32_t mb_y,
                    MacroblockSamples& samples);
void StoreMacroblock(const MacroblockSamples& samples, uint32_t mb_x, uint32_t mb_y,
                     const Nv12Picture& picture);

/// Which neighbours may be predicted from.
struct IntraNeighbours {
  bool left = false;
  bool above = false;
  bool corner = false;
};

bool Possible(LumaMode mode, const IntraNeighbours& neighbours);
bool Possible(ChromaMode mode, const IntraNeighbours& neighbours);

/// Predicts from the reconstruction around the macroblock; the mode must be possible.
void PredictLuma(const Nv12Picture& reconstruction, uint32_t mb_x, uint32_t mb_y, LumaMode mode,
                 const IntraNeighbours& neighbours, uint8_t* y);
/// `plane` 0 is Cb.
void PredictChroma(const Nv12Picture& reconstruction, uint32_t mb_x, uint32_t mb_y, size_t plane,
                   ChromaMode mode, const IntraNeighbours& neighbours, uint8_t* c);

/// A reference with its size: samples outside repeat the border.
struct Reference {
  Nv12Picture picture;
  int width_px = 0;
  int height_px = 0;
};

/// Luma at a whole-sample vector.
void PredictInterLuma(const Reference& reference, uint32_t mb_x, uint32_t mb_y, MotionVector mv,
                      uint8_t* y);
void PredictInterChroma(const Reference& reference, uint32_t mb_x, uint32_t mb_y, MotionVector mv,
                        size_t plane, uint8_t* c);

/// Sum of absolute differences of `count` samples.
uint32_t Sad(const uint8_t* a, const uint8_t* b, size_t count);

}  // namespace planecast::sw_va
