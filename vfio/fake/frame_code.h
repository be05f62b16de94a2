// A frame number and a time as black and white blocks that survive H.264.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "vfio/fake/scene.h"

namespace planecast {

/// A block's side. Macroblock-sized and -aligned, so that it stays clean at any quality.
inline constexpr uint32_t kFrameCodeBlockPx = 16;
/// Smaller pictures carry no code.
inline constexpr uint32_t kFrameCodeWidthMinPx = 160;
inline constexpr uint32_t kFrameCodeHeightMinPx = 160;

struct FrameCode {
  uint32_t frame = 0;
  uint32_t flip_time_ms = 0;
  friend bool operator==(const FrameCode&, const FrameCode&) = default;
};

/// Where the code is in a picture of this size: whole blocks at the bottom left. Empty if the
/// picture is too small.
SceneRect FrameCodeRect(uint32_t width_px, uint32_t height_px);

/// Draws the part of the code inside `clip`.
void DrawFrameCode(const FrameCode& code, const SceneRect& clip, const Canvas& canvas);

/// Reads the code by the luma (0 to 255, any range) of single pixels. Nothing if there is none or
/// its checksum is wrong.
std::optional<FrameCode> DecodeFrameCode(uint32_t width_px, uint32_t height_px,
                                         const std::function<uint8_t(uint32_t, uint32_t)>& luma);
/// From a luma plane of a decoded picture.
std::optional<FrameCode> DecodeFrameCodeLuma(uint32_t width_px, uint32_t height_px,
                                             const uint8_t* luma, size_t stride_bytes);
/// From XRGB8888.
std::optional<FrameCode> DecodeFrameCodeXrgb(const Canvas& canvas);

}  // namespace planecast
