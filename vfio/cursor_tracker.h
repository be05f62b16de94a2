// The cursor plane, look by look.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "vfio/dmabuf_cache.h"
#include "vfio/frame.h"
#include "vfio/plane_check.h"

namespace planecast {

/// Follows the cursor plane: position and visibility at each look, the image when it may have
/// changed.
///
/// An image is read when the plane's buffer or hot-spot is another, and now and then while it stays
/// the same, because guests redraw cursors in place without a sign. A new CursorImage is made only
/// if pixels or hot-spot really differ. Bound to the display's thread.
class CursorTracker {
 public:
  /// Between reads of an image whose buffer stays the same.
  static constexpr int64_t kRereadNs = 100'000'000;

  /// `cache` must outlive this.
  explicit CursorTracker(DmabufCache& cache) : cache_(&cache) {}

  /// Takes what the cursor query said. `primary` is what the primary query said in the same look:
  /// a device that answers with it for any plane has no cursor plane.
  void Update(const PlaneInfo& info, const PlaneInfo& primary, int64_t now_ns);

  const Cursor& cursor() const { return cursor_; }
  /// A cursor has been seen, so the device has a plane for it. Never turns false again.
  bool was_seen() const { return was_seen_; }
  /// Why the image of the visible cursor is not known; OK if it is.
  const absl::Status& problem() const { return problem_; }

 private:
  void ReadImage(const PlaneInfo& info);

  DmabufCache* cache_;
  Cursor cursor_;
  bool was_seen_ = false;
  absl::Status problem_;
  /// What the image was last read from, position left out.
  PlaneInfo read_info_;
  int64_t read_time_ns_ = 0;
};

/// The pixels of `bytes`, laid out as `layout` says, without padding. `layout` must have passed
/// CheckCursor and fit `bytes`.
std::vector<uint32_t> CopyCursorPixels(const PlaneLayout& layout, std::span<const uint8_t> bytes);

}  // namespace planecast
