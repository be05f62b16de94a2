#include "clients/cpp/cursor_images.h"

#include <png.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr size_t kBytesPerPixel = 4;
/// A PNG file is for being smaller than the pixels; this much its frame may take beyond them.
constexpr size_t kPngFrameMaxBytes = 1024;

absl::Status Broken(const std::string& what) {
  return absl::InternalError(absl::StrCat("the server sent a cursor that is none: ", what));
}

/// What a straight colour is once multiplied, rounded to the nearest.
char Premultiplied(uint32_t color, uint32_t alpha) {
  return static_cast<char>((color * alpha + 127) / 255);
}

/// R, G, B, A to premultiplied B, G, R, A.
std::string ToArgb(const std::vector<uint8_t>& rgba) {
  std::string argb(rgba.size(), '\0');
  for (size_t at = 0; at < rgba.size(); at += kBytesPerPixel) {
    const uint32_t alpha = rgba[at + 3];
    argb[at] = Premultiplied(rgba[at + 2], alpha);
    argb[at + 1] = Premultiplied(rgba[at + 1], alpha);
    argb[at + 2] = Premultiplied(rgba[at], alpha);
    argb[at + 3] = static_cast<char>(alpha);
  }
  return argb;
}

absl::StatusOr<std::string> DecodePng(const std::string& file, uint32_t width_px,
                                      uint32_t height_px) {
  const size_t pixel_bytes = size_t{width_px} * height_px * kBytesPerPixel;
  if (file.size() > pixel_bytes + kPngFrameMaxBytes) return Broken("its PNG file is too large");
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&png, file.data(), file.size()) == 0) {
    return Broken(absl::StrCat("libpng: ", png.message));
  }
  // The file's own size decides what libpng writes.
  if (png.width != width_px || png.height != height_px) {
    png_image_free(&png);
    return Broken(absl::StrCat("its PNG file has ", png.width, "x", png.height, " pixels"));
  }
  png.format = PNG_FORMAT_RGBA;
  std::vector<uint8_t> rgba(pixel_bytes);
  if (png_image_finish_read(&png, nullptr, rgba.data(), 0, nullptr) == 0) {
    return Broken(absl::StrCat("libpng: ", png.message));
  }
  return ToArgb(rgba);
}

}  // namespace

void CursorImages::Describe(v1::ClientCapabilities& capabilities) {
  capabilities.add_cursor_encodings(v1::CursorShape::ENCODING_PNG);
  capabilities.set_cursors_kept(kCursorsKept);
}

absl::StatusOr<CursorImages::Image> CursorImages::OnShape(const v1::CursorShape& shape) {
  const bool sized = shape.width_px() > 0 && shape.width_px() <= kCursorSideMaxPx &&
                     shape.height_px() > 0 && shape.height_px() <= kCursorSideMaxPx;
  if (!sized) return Broken(absl::StrCat(shape.width_px(), "x", shape.height_px(), " pixels"));
  const auto width_px = static_cast<uint32_t>(shape.width_px());
  const auto height_px = static_cast<uint32_t>(shape.height_px());
  auto whole = std::make_shared<v1::CursorShape>();
  if (shape.encoding() == v1::CursorShape::ENCODING_PNG) {
    auto argb = DecodePng(shape.png(), width_px, height_px);
    if (!argb.ok()) return argb.status();
    *whole = shape;
    whole->clear_png();
    whole->set_encoding(v1::CursorShape::ENCODING_RAW);
    whole->set_argb(*std::move(argb));
  } else {
    if (shape.argb().size() != size_t{width_px} * height_px * kBytesPerPixel) {
      return Broken(absl::StrCat(shape.argb().size(), " bytes of pixels"));
    }
    *whole = shape;
  }
  shown_ = std::move(whole);
  if (shown_->shape_id() != 0) Keep(shown_);
  return shown_;
}

absl::StatusOr<CursorImages::Image> CursorImages::OnMoved(const v1::CursorMoved& moved) {
  const uint32_t id = moved.shape_id();
  if (id == 0 || (shown_ != nullptr && shown_->shape_id() == id)) return Image();
  const auto found = std::find_if(kept_.begin(), kept_.end(),
                                  [id](const Image& image) { return image->shape_id() == id; });
  if (found == kept_.end()) return Broken(absl::StrCat("there was no image ", id));
  shown_ = *found;
  Keep(shown_);
  return shown_;
}

void CursorImages::Keep(const Image& image) {
  kept_.remove_if([&](const Image& kept) { return kept->shape_id() == image->shape_id(); });
  kept_.push_front(image);
  if (kept_.size() > kCursorsKept) kept_.pop_back();
}

}  // namespace planecast
