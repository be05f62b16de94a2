#include "vfio/fake/fake_pixels.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "vfio/fake/fake_profile.h"

namespace planecast {
namespace {

/// Y tiles are written in columns of this width.
constexpr uint32_t kYTileColumnBytes = 16;
constexpr uint32_t kTileBytes = 4096;

uint32_t Red(uint32_t pixel) {
  return pixel >> 16 & 0xff;
}
uint32_t Green(uint32_t pixel) {
  return pixel >> 8 & 0xff;
}
uint32_t Blue(uint32_t pixel) {
  return pixel & 0xff;
}
uint32_t TenBits(uint32_t eight) {
  return eight << 2 | eight >> 6;
}

uint32_t Pack(uint32_t fourcc, uint32_t pixel) {
  const uint32_t r = Red(pixel);
  const uint32_t g = Green(pixel);
  const uint32_t b = Blue(pixel);
  switch (fourcc) {
    case DRM_FORMAT_ARGB8888:
      return kFakeAlpha << 24 | r << 16 | g << 8 | b;
    case DRM_FORMAT_XBGR8888:
      return 0xff000000 | b << 16 | g << 8 | r;
    case DRM_FORMAT_ABGR8888:
      return kFakeAlpha << 24 | b << 16 | g << 8 | r;
    case DRM_FORMAT_XRGB2101010:
      return 0xc0000000 | TenBits(r) << 20 | TenBits(g) << 10 | TenBits(b);
    case DRM_FORMAT_XBGR2101010:
      return 0xc0000000 | TenBits(b) << 20 | TenBits(g) << 10 | TenBits(r);
    case DRM_FORMAT_RGB565:
      return (r >> 3) << 11 | (g >> 2) << 5 | b >> 3;
    case DRM_FORMAT_C8:
      return (r >> 5) << 5 | (g >> 5) << 2 | b >> 6;
    default:
      return pixel;
  }
}

bool IsYuv(uint32_t fourcc) {
  return fourcc == DRM_FORMAT_YUYV || fourcc == DRM_FORMAT_UYVY || fourcc == DRM_FORMAT_YVYU ||
         fourcc == DRM_FORMAT_VYUY;
}

/// BT.709, limited range, two pixels that share their chroma, in 16.16 fixed point.
void PackYuvPair(uint32_t fourcc, uint32_t left, uint32_t right, uint8_t* to) {
  const auto luma = [](uint32_t p) {
    return static_cast<uint8_t>(16 + ((11966 * Red(p) + 40254 * Green(p) + 4064 * Blue(p)) >> 16));
  };
  const auto chroma = [&](int red, int green, int blue) {
    const int r = static_cast<int>(Red(left) + Red(right));
    const int g = static_cast<int>(Green(left) + Green(right));
    const int b = static_cast<int>(Blue(left) + Blue(right));
    return static_cast<uint8_t>(128 + (red * r + green * g + blue * b) / (1 << 17));
  };
  const uint8_t y0 = luma(left);
  const uint8_t y1 = luma(right);
  const uint8_t u = chroma(-6596, -22189, 28785);
  const uint8_t v = chroma(28785, -26145, -2640);
  const bool u_first = fourcc == DRM_FORMAT_YUYV || fourcc == DRM_FORMAT_UYVY;
  const uint8_t first = u_first ? u : v;
  const uint8_t second = u_first ? v : u;
  const bool y_first = fourcc == DRM_FORMAT_YUYV || fourcc == DRM_FORMAT_YVYU;
  const uint8_t bytes[4] = {y_first ? y0 : first, y_first ? first : y0, y_first ? y1 : second,
                            y_first ? second : y1};
  std::memcpy(to, bytes, sizeof bytes);
}

/// One line of pixels to bytes; `count` is even for YUV.
void PackLine(uint32_t fourcc, const uint32_t* from, uint32_t count, uint8_t* to) {
  if (IsYuv(fourcc)) {
    for (uint32_t i = 0; i < count; i += 2) PackYuvPair(fourcc, from[i], from[i + 1], to + i * 2U);
    return;
  }
  const uint32_t bytes = BytesPerPixel(fourcc);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t packed = Pack(fourcc, from[i]);
    std::memcpy(to + i * bytes, &packed, bytes);
  }
}

/// Bytes of a line that lie next to each other in memory.
uint32_t RunBytes(const PlaneLayout& layout) {
  if (layout.modifier == I915_FORMAT_MOD_X_TILED) return TileOf(layout.modifier).width_bytes;
  if (layout.modifier == I915_FORMAT_MOD_Y_TILED) return kYTileColumnBytes;
  return layout.stride_bytes;
}

}  // namespace

uint64_t PlaneByteOffset(const PlaneLayout& layout, uint32_t byte_in_line, uint32_t line) {
  if (layout.modifier == DRM_FORMAT_MOD_LINEAR) {
    return uint64_t{line} * layout.stride_bytes + byte_in_line;
  }
  const FakeTile tile = TileOf(layout.modifier);
  const uint64_t tiles_per_row = layout.stride_bytes / tile.width_bytes;
  const uint64_t tile_index =
      line / tile.height_lines * tiles_per_row + byte_in_line / tile.width_bytes;
  const uint32_t x = byte_in_line % tile.width_bytes;
  const uint32_t y = line % tile.height_lines;
  const uint32_t within = layout.modifier == I915_FORMAT_MOD_Y_TILED
                              ? x / kYTileColumnBytes * (kYTileColumnBytes * tile.height_lines) +
                                    y * kYTileColumnBytes + x % kYTileColumnBytes
                              : y * tile.width_bytes + x;
  return tile_index * kTileBytes + within;
}

void PackPixels(const Canvas& from, const SceneRect& rect, const PlaneLayout& layout,
                std::span<uint8_t> to) {
  auto left = static_cast<uint32_t>(std::max(rect.left_px, 0));
  const auto top = static_cast<uint32_t>(std::max(rect.top_px, 0));
  uint32_t right = std::min(static_cast<uint32_t>(std::max(rect.right_px, 0)), from.width_px);
  const uint32_t bottom =
      std::min(static_cast<uint32_t>(std::max(rect.bottom_px, 0)), from.height_px);
  // Pairs of pixels share their chroma; an odd last column has none to share with.
  if (IsYuv(layout.fourcc)) {
    left &= ~1U;
    right = std::min(right + 1, from.width_px) & ~1U;
  }
  if (left >= right) return;
  const uint32_t pixel_bytes = BytesPerPixel(layout.fourcc);
  const uint32_t run_bytes = RunBytes(layout);
  std::vector<uint8_t> line(size_t{right - left} * pixel_bytes);
  for (uint32_t y = top; y < bottom; ++y) {
    PackLine(layout.fourcc, from.pixels + size_t{y} * from.stride_px + left, right - left,
             line.data());
    const uint32_t first = left * pixel_bytes;
    for (uint32_t done = 0; done < line.size();) {
      const uint32_t at = first + done;
      const auto count =
          std::min(static_cast<uint32_t>(line.size()) - done, run_bytes - at % run_bytes);
      const uint64_t offset = PlaneByteOffset(layout, at, y);
      if (offset + count > to.size()) return;
      std::memcpy(to.data() + offset, line.data() + done, count);
      done += count;
    }
  }
}

}  // namespace planecast
