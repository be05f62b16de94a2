#include "vfio/cursor_tracker.h"

#include <cstring>
#include <utility>

namespace planecast {
namespace {

// What an image depends on: all but the position.
PlaneInfo WithoutPosition(PlaneInfo info) {
  info.x_pos = 0;
  info.y_pos = 0;
  return info;
}

}  // namespace

std::vector<uint32_t> CopyCursorPixels(const PlaneLayout& layout, std::span<const uint8_t> bytes) {
  std::vector<uint32_t> argb(size_t{layout.width_px} * layout.height_px);
  const size_t line_bytes = size_t{layout.width_px} * sizeof(uint32_t);
  for (size_t y = 0; y < layout.height_px; ++y) {
    std::memcpy(argb.data() + y * layout.width_px, bytes.data() + y * layout.stride_bytes,
                line_bytes);
  }
  return argb;
}

void CursorTracker::Update(const PlaneInfo& info, const PlaneInfo& primary, int64_t now_ns) {
  const bool is_primary =
      info.region_index_or_dmabuf_id == primary.region_index_or_dmabuf_id && !primary.is_empty();
  if (info.is_empty() || is_primary) {
    // Hidden. The image is kept: it is most often the same when the cursor comes back.
    cursor_.visible = false;
    return;
  }
  was_seen_ = true;
  cursor_.visible = true;
  cursor_.x_px = CursorPosition(info.x_pos);
  cursor_.y_px = CursorPosition(info.y_pos);
  const PlaneInfo readable = WithoutPosition(info);
  if (readable == read_info_ && now_ns - read_time_ns_ < kRereadNs) return;
  read_info_ = readable;
  read_time_ns_ = now_ns;
  ReadImage(info);
}

void CursorTracker::ReadImage(const PlaneInfo& info) {
  const auto layout = CheckCursor(info);
  problem_ = layout.status();
  if (!layout.ok()) {
    cursor_.image = nullptr;
    return;
  }
  auto buffer = cache_->Get(info.region_index_or_dmabuf_id, *layout);
  if (!buffer.ok()) {
    // A stale id: what was shown is the best guess until the next look.
    problem_ = buffer.status();
    read_info_ = {};
    return;
  }
  CursorImage image{.width_px = layout->width_px,
                    .height_px = layout->height_px,
                    .argb = {},
                    .hotspot = CursorHotspot(info)};
  {
    auto read = (*buffer)->ReadCpu();
    problem_ = read.status();
    if (!read.ok()) {
      cursor_.image = nullptr;
      return;
    }
    image.argb = CopyCursorPixels(*layout, read->bytes());
  }
  if (cursor_.image != nullptr && *cursor_.image == image) return;
  cursor_.image = std::make_shared<const CursorImage>(std::move(image));
}

}  // namespace planecast
