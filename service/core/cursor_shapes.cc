#include "service/core/cursor_shapes.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "encoder/pixels/cursor_png.h"

namespace planecast {
namespace {

/// Of the pixels only: what else differs is compared.
size_t HashOf(const CursorImage& image) {
  const auto* bytes = reinterpret_cast<const char*>(image.argb.data());
  return std::hash<std::string_view>()({bytes, image.argb.size() * sizeof(uint32_t)});
}

}  // namespace

StreamEventPtr NamedCursor::Event(bool png, EventCodec* codec) {
  if (png) {
    StreamEventPtr event = PngEvent(codec);
    if (event != nullptr) return event;
  }
  if (raw_ == nullptr) raw_ = MakeEvent(CursorShape{image_, id_, nullptr}, codec);
  return raw_;
}

StreamEventPtr NamedCursor::PngEvent(EventCodec* codec) {
  if (std::exchange(png_tried_, true)) return png_;
  auto file = EncodeCursorPng(*image_);
  // One that straight alpha can't say goes raw; so does one that is no smaller.
  if (!file.ok() || file->size() >= pixel_bytes()) return nullptr;
  auto shared = std::make_shared<const std::vector<uint8_t>>(*std::move(file));
  png_ = MakeEvent(CursorShape{image_, id_, std::move(shared)}, codec);
  return png_;
}

std::shared_ptr<NamedCursor> CursorShapes::Find(std::shared_ptr<const CursorImage> image,
                                                bool* known) {
  const size_t hash = HashOf(*image);
  const auto found = std::find_if(shapes_.begin(), shapes_.end(), [&](const auto& shape) {
    return shape->hash() == hash && shape->image() == *image;
  });
  *known = found != shapes_.end();
  if (*known) {
    shapes_.splice(shapes_.begin(), shapes_, found);
    return shapes_.front();
  }
  // 0 is nobody's name.
  if (++last_id_ == 0) ++last_id_;
  shapes_.push_front(std::make_shared<NamedCursor>(last_id_, hash, std::move(image)));
  pixel_bytes_ += shapes_.front()->pixel_bytes();
  Forget();
  return shapes_.front();
}

void CursorShapes::Forget() {
  while (shapes_.size() > 1 &&
         (shapes_.size() > kCursorShapesMax || pixel_bytes_ > kCursorShapesBytesMax)) {
    pixel_bytes_ -= shapes_.back()->pixel_bytes();
    shapes_.pop_back();
  }
}

}  // namespace planecast
