// Reading pixels of a plane on the CPU, for what is not video: snapshots and cursor images.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "vfio/frame.h"

namespace planecast {

/// True if the CPU path can read this format and modifier.
bool CpuFormatSupported(uint32_t fourcc, uint64_t modifier);

/// An 8-bit RGB picture without padding.
struct RgbImage {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  std::vector<uint8_t> rgb;
};

/// Converts a linear plane to RGB; alpha is ignored, 10-bit channels are rounded. UNIMPLEMENTED for
/// a format or modifier without a CPU path, INVALID_ARGUMENT if `bytes` is shorter than the layout.
absl::StatusOr<RgbImage> PlaneToRgb(const PlaneLayout& layout, std::span<const uint8_t> bytes);

/// Draws a premultiplied cursor over a picture, clipped to it.
void BlendCursor(RgbImage& image, const Cursor& cursor);

/// The picture in this width, at least 1 px, and the height that keeps its shape; each pixel is the
/// mean of those that it stands for. Nothing if the picture is not wider.
std::optional<RgbImage> ScaleDown(const RgbImage& image, uint32_t width_px);

/// Encodes a PNG file.
absl::StatusOr<std::vector<uint8_t>> EncodePng(const RgbImage& image);

}  // namespace planecast
