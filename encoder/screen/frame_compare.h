// Finds what changed in a frame, macroblock by macroblock, and keeps a copy of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "encoder/h264/h264_headers.h"
#include "encoder/pixels/packed_format.h"

namespace planecast {

/// The lines of one macroblock row: up to 16, of any width.
struct CompareRow {
  /// May be written by a guest at any time and may be slow to read: each byte is read once, and
  /// what was compared is what is copied.
  const uint8_t* source = nullptr;
  size_t source_stride_bytes = 0;
  uint8_t* shadow = nullptr;
  size_t shadow_stride_bytes = 0;
  uint32_t width_px = 0;
  uint32_t lines = 0;
};

/// Compares `row` with its shadow and copies into the shadow what differs. Sets changed_mbs[i] to 1
/// where a pixel of macroblock i differs, and leaves it alone where none does. Unused bits of a
/// pixel don't count. Returns whether anything differed.
bool CompareAndCopy(PackedFormat format, const CompareRow& row, uint8_t* changed_mbs);

}  // namespace planecast
