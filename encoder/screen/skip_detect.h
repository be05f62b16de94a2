// Finds P pictures that show nothing new.
#pragma once

#include <cstdint>
#include <span>

#include "encoder/h264/h264_headers.h"

namespace planecast {

/// True if the access unit is a single P slice all of whose macroblocks are P_Skip. Such a picture
/// is exactly its reference: no macroblock has a residual, every motion vector is predicted from
/// none and so is zero, and the deblocking filter finds nothing to do (clauses 8.4.1.1
/// and 8.7.2.1).
///
/// `stream` is Annex B. False for anything else, and for what can't be proved: several slices,
/// CABAC (whose few bytes tell little without decoding them), syntax that is not understood.
bool ShowsNothingNew(std::span<const uint8_t> stream, const SequenceParameterSet& sps,
                     const PictureParameterSet& pps);

}  // namespace planecast
