// The pixel formats that the CPU path reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace planecast {

/// How the bits of one pixel lie, named as DRM does: from the most significant bit of a
/// little-endian word. Alpha is the same as unused.
enum class PackedFormat { kXrgb8888, kXbgr8888, kRgb565, kXrgb2101010, kXbgr2101010 };

/// Nothing if the CPU path can't read this fourcc.
std::optional<PackedFormat> PackedFormatOf(uint32_t fourcc);

/// A DRM format modifier for a person, e.g. "I915_FORMAT_MOD_X_TILED" or "0x0300000000000002".
std::string ModifierName(uint64_t modifier);

constexpr uint32_t PackedBytesPerPixel(PackedFormat format) {
  return format == PackedFormat::kRgb565 ? 2 : 4;
}

}  // namespace planecast
