#include "vfio/frame.h"

#include <drm_fourcc.h>

namespace planecast {

std::string FourccName(uint32_t fourcc) {
  std::string name;
  for (int shift = 0; shift < 32; shift += 8) {
    const char c = static_cast<char>(fourcc >> shift);
    name.push_back(c >= 0x20 && c < 0x7f ? c : '?');
  }
  return name;
}

uint32_t BytesPerPixel(uint32_t fourcc) {
  switch (fourcc) {
    case DRM_FORMAT_XRGB8888:
    case DRM_FORMAT_ARGB8888:
    case DRM_FORMAT_XBGR8888:
    case DRM_FORMAT_ABGR8888:
    case DRM_FORMAT_XRGB2101010:
    case DRM_FORMAT_XBGR2101010:
      return 4;
    case DRM_FORMAT_RGB565:
    case DRM_FORMAT_YUYV:
    case DRM_FORMAT_UYVY:
    case DRM_FORMAT_YVYU:
    case DRM_FORMAT_VYUY:
      return 2;
    case DRM_FORMAT_C8:
      return 1;
    default:
      return 0;
  }
}

}  // namespace planecast
