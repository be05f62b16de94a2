// Checks of what a device says about a plane. Pure: the numbers are a guest's, and hostile.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/frame.h"

namespace planecast {

/// What a device said about a plane, whatever its dialect.
struct PlaneInfo {
  uint32_t drm_format = 0;
  uint64_t drm_format_mod = 0;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  uint32_t stride_bytes = 0;
  uint32_t size_bytes = 0;
  uint32_t x_pos = 0;
  uint32_t y_pos = 0;
  uint32_t x_hot = 0;
  uint32_t y_hot = 0;
  uint32_t region_index_or_dmabuf_id = 0;

  /// The guest has no framebuffer on this plane. Width says nothing about that.
  bool is_empty() const { return drm_format == 0 || size_bytes == 0; }

  friend bool operator==(const PlaneInfo&, const PlaneInfo&) = default;
};

/// Longest line, with whatever padding, that is believed.
inline constexpr uint32_t kPlaneStrideMaxBytes = 256 * 1024;
/// Most memory behind a plane that is believed.
inline constexpr uint64_t kPlaneMemoryMaxBytes = uint64_t{1} << 30;

/// Modifiers of i915 (drm_fourcc.h) that GVT-g reports.
inline constexpr uint64_t kModifierLinear = 0;
inline constexpr uint64_t kModifierXTiled = 0x0100000000000001;
inline constexpr uint64_t kModifierYTiled = 0x0100000000000002;
inline constexpr uint64_t kModifierYfTiled = 0x0100000000000003;

/// Bytes from the first pixel to the end of the last one; for a tiled layout, to the end of the
/// last row of tiles. `layout` must have passed CheckPlane.
uint64_t PixelExtentBytes(const PlaneLayout& layout);

/// Turns a non-empty `info` into a layout that can be trusted, as far as can be told without its
/// memory. Neither page alignment nor size == stride x height is asked for: drivers promise
/// neither.
///
/// A tiled plane of a GVT-g before Linux 4.20 looks linear here, since that driver left the
/// modifier out; nothing in the numbers gives it away.
///
/// INVALID_ARGUMENT for numbers that contradict each other or exceed limits, UNIMPLEMENTED for an
/// unknown format or modifier.
absl::StatusOr<PlaneLayout> CheckPlane(const PlaneInfo& info);

/// Fits `layout` to memory that really is `memory_size_bytes` long: size_bytes is cut down to it,
/// and to whole pages if no pixel is lost by that, because some drivers do not map the rest.
///
/// INVALID_ARGUMENT if the memory is too small for the pixels.
absl::StatusOr<PlaneLayout> FitToMemory(const PlaneLayout& layout, uint64_t memory_size_bytes);

/// Same as CheckPlane with the narrower rules for cursor images: linear ARGB8888, at most
/// kCursorSizeMaxPx in each direction.
absl::StatusOr<PlaneLayout> CheckCursor(const PlaneInfo& info);

/// A cursor position of the device as a signed number, clamped to what can be near a plane.
///
/// Values from 2^31 up count as negative. GVT-g drops the sign: -5 comes as 5 and can't be told
/// apart.
int32_t CursorPosition(uint32_t device_value);

/// The hot-spot in `info`, or nothing if the device doesn't know it or it is outside the image. A
/// guest that never said gives 0, 0, which can't be told from a real one.
std::optional<CursorImage::Hotspot> CursorHotspot(const PlaneInfo& info);

}  // namespace planecast
