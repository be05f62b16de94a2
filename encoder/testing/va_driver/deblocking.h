// The deblocking filter, clause 8.7, for frames of whole-sample motion and one reference.
#pragma once

#include <cstdint>
#include <span>

#include "encoder/testing/va_driver/macroblock.h"
#include "encoder/testing/va_driver/picture_coder.h"

namespace planecast::sw_va {

/// What a slice says of the filter.
struct DeblockingParams {
  /// disable_deblocking_filter_idc.
  int idc = 0;
  int alpha_c0_offset = 0;
  int beta_offset = 0;
};

/// Filters a whole picture in place. `slices` by Macroblock::slice.
void Deblock(const PictureParams& picture, std::span<const Macroblock> macroblocks,
             std::span<const DeblockingParams> slices);

}  // namespace planecast::sw_va
