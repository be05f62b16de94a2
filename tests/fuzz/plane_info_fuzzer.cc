// What a device says about a plane: a layout that passes must really fit its memory.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "vfio/plane_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace planecast;
  PlaneInfo info;
  uint64_t memory_size_bytes = 0;
  constexpr size_t kNumbers = 10 * sizeof(uint32_t);
  if (size < kNumbers + 2 * sizeof(uint64_t)) return 0;
  uint32_t numbers[10];
  std::memcpy(numbers, data, kNumbers);
  std::memcpy(&info.drm_format_mod, data + kNumbers, sizeof(uint64_t));
  std::memcpy(&memory_size_bytes, data + kNumbers + sizeof(uint64_t), sizeof(uint64_t));
  info.drm_format = numbers[0];
  info.width_px = numbers[1];
  info.height_px = numbers[2];
  info.stride_bytes = numbers[3];
  info.size_bytes = numbers[4];
  info.x_pos = numbers[5];
  info.y_pos = numbers[6];
  info.x_hot = numbers[7];
  info.y_hot = numbers[8];
  info.region_index_or_dmabuf_id = numbers[9];

  const int32_t x_px = CursorPosition(info.x_pos);
  if (x_px < -65536 || x_px > 65536) abort();
  if (const auto hotspot = CursorHotspot(info)) {
    if (hotspot->x_px < 0 || static_cast<uint32_t>(hotspot->x_px) > info.width_px) abort();
  }
  if (const auto cursor = CheckCursor(info); cursor.ok()) {
    if (cursor->width_px > kCursorSizeMaxPx || cursor->height_px > kCursorSizeMaxPx) abort();
  }
  const auto layout = CheckPlane(info);
  if (!layout.ok()) return 0;
  if (layout->width_px == 0 || layout->width_px > kPlaneWidthMaxPx) abort();
  if (layout->height_px == 0 || layout->height_px > kPlaneHeightMaxPx) abort();
  const auto fitted = FitToMemory(*layout, memory_size_bytes);
  if (!fitted.ok()) return 0;
  if (fitted->size_bytes > memory_size_bytes) abort();
  if (PixelExtentBytes(*fitted) > fitted->size_bytes) abort();
  const uint64_t last_line = uint64_t{fitted->stride_bytes} * (fitted->height_px - 1);
  const uint64_t line = uint64_t{fitted->width_px} * BytesPerPixel(fitted->fourcc);
  if (fitted->modifier == 0 && last_line + line > fitted->size_bytes) abort();
  return 0;
}
