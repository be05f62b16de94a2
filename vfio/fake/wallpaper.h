// The picture behind the windows.
#pragma once

#include <cstdint>
#include <vector>

namespace planecast {

/// Hills at dusk, XRGB8888 row by row. Depends on nothing but the size.
std::vector<uint32_t> MakeWallpaper(uint32_t width_px, uint32_t height_px);

}  // namespace planecast
