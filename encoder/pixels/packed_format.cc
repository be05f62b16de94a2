#include "encoder/pixels/packed_format.h"

#include <drm_fourcc.h>

#include "absl/strings/str_format.h"

namespace planecast {

std::optional<PackedFormat> PackedFormatOf(uint32_t fourcc) {
  switch (fourcc) {
    case DRM_FORMAT_XRGB8888:
    case DRM_FORMAT_ARGB8888:
      return PackedFormat::kXrgb8888;
    case DRM_FORMAT_XBGR8888:
    case DRM_FORMAT_ABGR8888:
      return PackedFormat::kXbgr8888;
    case DRM_FORMAT_RGB565:
      return PackedFormat::kRgb565;
    case DRM_FORMAT_XRGB2101010:
      return PackedFormat::kXrgb2101010;
    case DRM_FORMAT_XBGR2101010:
      return PackedFormat::kXbgr2101010;
    default:
      return std::nullopt;
  }
}

std::string ModifierName(uint64_t modifier) {
  switch (modifier) {
    case DRM_FORMAT_MOD_LINEAR:
      return "DRM_FORMAT_MOD_LINEAR";
    case DRM_FORMAT_MOD_INVALID:
      return "DRM_FORMAT_MOD_INVALID";
    case I915_FORMAT_MOD_X_TILED:
      return "I915_FORMAT_MOD_X_TILED";
    case I915_FORMAT_MOD_Y_TILED:
      return "I915_FORMAT_MOD_Y_TILED";
    case I915_FORMAT_MOD_Yf_TILED:
      return "I915_FORMAT_MOD_Yf_TILED";
    case I915_FORMAT_MOD_Y_TILED_CCS:
      return "I915_FORMAT_MOD_Y_TILED_CCS";
    case I915_FORMAT_MOD_Yf_TILED_CCS:
      return "I915_FORMAT_MOD_Yf_TILED_CCS";
    default:
      return absl::StrFormat("0x%016x", modifier);
  }
}

}  // namespace planecast
