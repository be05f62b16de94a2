// From the scenes' XRGB8888 to whatever a guest draws in.
#pragma once

#include <cstdint>
#include <span>

#include "vfio/fake/scene.h"
#include "vfio/frame.h"

namespace planecast {

/// Where a byte of a line is in the memory of a plane, which may be tiled.
uint64_t PlaneByteOffset(const PlaneLayout& layout, uint32_t byte_in_line, uint32_t line);

/// Writes the pixels of `rect` into a plane of any format and tiling that FakeSupportsFormat knows.
/// Formats with fewer bits lose the low ones; those with more repeat the high ones. Alpha, where
/// there is any, is kFakeAlpha: nobody may rely on that of a primary plane.
void PackPixels(const Canvas& from, const SceneRect& rect, const PlaneLayout& layout,
                std::span<uint8_t> to);

inline constexpr uint32_t kFakeAlpha = 0x5a;

}  // namespace planecast
