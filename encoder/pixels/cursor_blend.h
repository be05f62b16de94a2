// Drawing a cursor into 4:2:0 samples on the CPU: for encoders whose picture is in memory, or whose
// GPU can't blend.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vfio/frame.h"

namespace planecast {

/// Planar or interleaved 4:2:0: `uv_step_bytes` is 1 for I420, 2 for NV12.
struct ChromaSubsampled {
  uint8_t* y = nullptr;
  uint8_t* u = nullptr;
  uint8_t* v = nullptr;
  size_t y_stride_bytes = 0;
  size_t uv_stride_bytes = 0;
  size_t uv_step_bytes = 1;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
};

/// A rectangle of pixels within a picture; empty if width or height is 0.
struct PixelRect {
  uint32_t x_px = 0;
  uint32_t y_px = 0;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
};

/// What of a picture the cursor covers, grown to even corners; empty if it is hidden or outside.
PixelRect CursorRect(const Cursor& cursor, uint32_t width_px, uint32_t height_px);

/// Draws the premultiplied cursor in BT.709 limited range, clipped to the picture.
void BlendCursor(const Cursor& cursor, const ChromaSubsampled& picture);

}  // namespace planecast
