// One coded picture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace planecast {

/// How a picture's pixels travelled from the plane to the encoder.
enum class PixelPath {
  /// The GPU read the plane's own memory; the conversion to what the encoder wants is that read.
  kZeroCopy,
  /// The GPU read the plane's own memory, but had to copy the pixels once before it could convert
  /// them.
  kGpuCopy,
  /// The CPU read the pixels.
  kCpuCopy
};

/// One coded picture. Immutable once made; shared by all viewers. Times are on the monotonic clock.
struct AccessUnit {
  /// H.264 Annex B with start codes. A key frame begins with its SPS and PPS.
  std::vector<uint8_t> bytes;
  /// The unit is an IDR.
  bool key_frame = false;
  PixelPath pixel_path = PixelPath::kCpuCopy;
  /// One sentence: why the path is no better. Set on key frames and on the first unit that took
  /// another path than the one before; empty on others, and with kZeroCopy.
  std::string pixel_path_reason;
  /// The quantiser it was coded with, 0 to 51.
  int quantizer = 0;
  /// It shows the same pixels as the unit before, sharper.
  bool refinement = false;
  /// No part of the picture is coarser than RateParams::sharp_quantizer: it is final, until pixels
  /// change. Encoders that don't know leave it false.
  bool sharp = false;
  int64_t flip_time_ns = 0;
  int64_t capture_time_ns = 0;
  /// When the pixels were what the encoder codes; on a GPU, when their conversion was handed to it.
  int64_t converted_time_ns = 0;
  int64_t encoded_time_ns = 0;
};

}  // namespace planecast
