#include "vfio/plane_check.h"

#include <drm_fourcc.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vfio/abi.h"

namespace planecast {
namespace {

static_assert(kModifierXTiled == I915_FORMAT_MOD_X_TILED);
static_assert(kModifierYTiled == I915_FORMAT_MOD_Y_TILED);
static_assert(kModifierYfTiled == I915_FORMAT_MOD_Yf_TILED);

constexpr uint64_t kPageBytes = 4096;

// Lines per tile, or 0 for an unknown modifier.
uint32_t TileHeight(uint64_t modifier) {
  switch (modifier) {
    case kModifierLinear:
      return 1;
    case kModifierXTiled:
      return 8;
    case kModifierYTiled:
    case kModifierYfTiled:
      return 32;
    default:
      return 0;
  }
}

std::string Describe(const PlaneInfo& info) {
  return absl::StrCat(info.width_px, "x", info.height_px, " ", FourccName(info.drm_format),
                      ", stride ", info.stride_bytes, ", size ", info.size_bytes);
}

absl::Status Contradiction(const PlaneInfo& info, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the device describes an impossible plane (", Describe(info), "): ", what));
}

}  // namespace

uint64_t PixelExtentBytes(const PlaneLayout& layout) {
  const uint64_t stride = layout.stride_bytes;
  const uint32_t tile_height = TileHeight(layout.modifier);
  if (tile_height > 1) {
    const uint64_t tile_rows = (uint64_t{layout.height_px} + tile_height - 1) / tile_height;
    return stride * tile_rows * tile_height;
  }
  const uint64_t line = uint64_t{layout.width_px} * BytesPerPixel(layout.fourcc);
  return stride * (uint64_t{layout.height_px} - 1) + line;
}

absl::StatusOr<PlaneLayout> CheckPlane(const PlaneInfo& info) {
  const uint32_t bytes_per_pixel = BytesPerPixel(info.drm_format);
  if (bytes_per_pixel == 0) {
    return absl::UnimplementedError(absl::StrFormat(
        "the guest shows the pixel format %s (0x%08x), which planecast does not know; set another "
        "colour depth in the guest",
        FourccName(info.drm_format), info.drm_format));
  }
  if (TileHeight(info.drm_format_mod) == 0) {
    return absl::UnimplementedError(absl::StrFormat(
        "the guest's framebuffer has the memory layout (DRM modifier) 0x%016x, which planecast "
        "does not know",
        info.drm_format_mod));
  }
  if (info.width_px == 0 || info.height_px == 0) return Contradiction(info, "it has no pixels");
  if (info.width_px > kPlaneWidthMaxPx || info.height_px > kPlaneHeightMaxPx) {
    return Contradiction(
        info, absl::StrCat("more than ", kPlaneWidthMaxPx, "x", kPlaneHeightMaxPx, " pixels"));
  }
  if (info.stride_bytes > kPlaneStrideMaxBytes) return Contradiction(info, "the stride is absurd");
  if (info.stride_bytes % bytes_per_pixel != 0) {
    return Contradiction(info, "the stride is no multiple of a pixel");
  }
  if (uint64_t{info.stride_bytes} < uint64_t{info.width_px} * bytes_per_pixel) {
    return Contradiction(info, "a line is longer than the stride");
  }
  if (info.size_bytes > kPlaneMemoryMaxBytes) return Contradiction(info, "the size is absurd");
  const PlaneLayout layout{.fourcc = info.drm_format,
                           .modifier = info.drm_format_mod,
                           .width_px = info.width_px,
                           .height_px = info.height_px,
                           .stride_bytes = info.stride_bytes,
                           .size_bytes = info.size_bytes};
  if (PixelExtentBytes(layout) > layout.size_bytes) {
    return Contradiction(info, "its pixels need more memory than it has");
  }
  return layout;
}

absl::StatusOr<PlaneLayout> FitToMemory(const PlaneLayout& layout, uint64_t memory_size_bytes) {
  const uint64_t extent = PixelExtentBytes(layout);
  if (extent > memory_size_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the device describes a plane of ", extent, " bytes (", layout.width_px, "x",
                     layout.height_px, " ", FourccName(layout.fourcc), ", stride ",
                     layout.stride_bytes, ") in memory of ", memory_size_bytes));
  }
  PlaneLayout fitted = layout;
  fitted.size_bytes = std::min(layout.size_bytes, memory_size_bytes);
  const uint64_t whole_pages = fitted.size_bytes / kPageBytes * kPageBytes;
  if (extent <= whole_pages) fitted.size_bytes = whole_pages;
  return fitted;
}

absl::StatusOr<PlaneLayout> CheckCursor(const PlaneInfo& info) {
  if (info.drm_format != DRM_FORMAT_ARGB8888 || info.drm_format_mod != kModifierLinear) {
    return absl::UnimplementedError(
        absl::StrFormat("the cursor's format %s with modifier 0x%016x is not supported",
                        FourccName(info.drm_format), info.drm_format_mod));
  }
  if (info.width_px > kCursorSizeMaxPx || info.height_px > kCursorSizeMaxPx) {
    return Contradiction(info, "too large for a cursor");
  }
  return CheckPlane(info);
}

int32_t CursorPosition(uint32_t device_value) {
  constexpr int32_t kLowest = -static_cast<int32_t>(kCursorSizeMaxPx);
  constexpr auto kHighest = static_cast<int32_t>(std::max(kPlaneWidthMaxPx, kPlaneHeightMaxPx));
  return std::clamp(static_cast<int32_t>(device_value), kLowest, kHighest);
}

std::optional<CursorImage::Hotspot> CursorHotspot(const PlaneInfo& info) {
  if (info.x_hot == abi::kHotspotUnknown || info.y_hot == abi::kHotspotUnknown) return std::nullopt;
  // Equal to the size is what GVT-g accepts, and harmless.
  if (info.x_hot > info.width_px || info.y_hot > info.height_px) return std::nullopt;
  if (info.x_hot > kCursorSizeMaxPx || info.y_hot > kCursorSizeMaxPx) return std::nullopt;
  return CursorImage::Hotspot{static_cast<int32_t>(info.x_hot), static_cast<int32_t>(info.y_hot)};
}

}  // namespace planecast
