// A small picture on the heap, for trying out encoders.
#pragma once

#include <cstdint>

#include "vfio/frame.h"

namespace planecast {

/// A linear XRGB8888 frame with some texture in it, in memory that only the CPU reaches.
Frame MakeProbeFrame(uint32_t width_px, uint32_t height_px);

}  // namespace planecast
