// RGB to BT.709 limited-range YCbCr 4:2:0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "encoder/pixels/packed_format.h"

namespace planecast {

/// A decoder's picture: luma, and Cb and Cr in turn. Borrowed.
struct Nv12Picture {
  const uint8_t* y = nullptr;
  const uint8_t* uv = nullptr;
  size_t y_stride_bytes = 0;
  size_t uv_stride_bytes = 0;
};

/// A rectangle of packed pixels.
struct PackedPixels {
  const uint8_t* data = nullptr;
  size_t stride_bytes = 0;
  uint32_t width_px = 0;
  uint32_t lines = 0;
};

/// Where the three planes of a picture, or of a part of it, begin.
struct I420Planes {
  uint8_t* y = nullptr;
  uint8_t* u = nullptr;
  uint8_t* v = nullptr;
  size_t y_stride_bytes = 0;
  size_t uv_stride_bytes = 0;
};

/// Converts a rectangle that begins at an even column and line of its picture. Within one code
/// value of the exact result. A chroma sample is the average of its four pixels; where the width or
/// the number of lines is odd, the last pixel or line counts twice.
void ConvertToI420(PackedFormat format, const PackedPixels& source, const I420Planes& planes);

}  // namespace planecast
