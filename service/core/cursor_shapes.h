// The images of a display's cursor, by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>

#include "service/core/stream_event.h"
#include "vfio/frame.h"

namespace planecast {

/// Images that a display remembers, and bytes of their pixels. A guest has about ten cursors, of 16
/// KiB mostly.
inline constexpr size_t kCursorShapesMax = 32;
inline constexpr size_t kCursorShapesBytesMax = size_t{2} << 20;

/// One image, and the events that tell it. Bound to the display's thread.
class NamedCursor {
 public:
  NamedCursor(uint32_t id, size_t hash, std::shared_ptr<const CursorImage> image)
      : id_(id), hash_(hash), image_(std::move(image)) {}

  uint32_t id() const { return id_; }
  size_t hash() const { return hash_; }
  const CursorImage& image() const { return *image_; }
  size_t pixel_bytes() const { return image_->argb.size() * sizeof(uint32_t); }

  /// The CursorShape event, made at the first call: as PNG if `png` and that is smaller, else raw.
  StreamEventPtr Event(bool png, EventCodec* codec);

 private:
  StreamEventPtr PngEvent(EventCodec* codec);

  const uint32_t id_;
  const size_t hash_;
  const std::shared_ptr<const CursorImage> image_;
  StreamEventPtr raw_;
  StreamEventPtr png_;
  bool png_tried_ = false;
};

/// Gives images names: the same pixels with the same hot-spot have the same name, for as long as
/// they are remembered. Bound to the display's thread.
class CursorShapes {
 public:
  /// The name of `image`, which becomes the most recent one. `*known` says whether it was there.
  std::shared_ptr<NamedCursor> Find(std::shared_ptr<const CursorImage> image, bool* known);

 private:
  void Forget();

  uint32_t last_id_ = 0;
  size_t pixel_bytes_ = 0;
  /// The most recent first. At least one is kept.
  std::list<std::shared_ptr<NamedCursor>> shapes_;
};

}  // namespace planecast
