#include "encoder/pixels/cursor_png.h"

#include <png.h>

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr size_t kChannels = 4;

/// Appends R, G, B, A; false if the pixel would not come back.
bool AppendStraight(uint32_t argb, std::vector<uint8_t>& rgba) {
  const uint32_t alpha = argb >> 24;
  for (const int shift : {16, 8, 0}) {
    const uint32_t color = argb >> shift & 255;
    if (color > alpha) return false;
    rgba.push_back(static_cast<uint8_t>(alpha == 0 ? 0 : (color * 255 + alpha / 2) / alpha));
  }
  rgba.push_back(static_cast<uint8_t>(alpha));
  return true;
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> EncodeCursorPng(const CursorImage& image) {
  const size_t pixels = size_t{image.width_px} * image.height_px;
  if (pixels == 0 || image.width_px > kCursorSizeMaxPx || image.height_px > kCursorSizeMaxPx ||
      image.argb.size() != pixels) {
    return absl::InvalidArgumentError("an image without its pixels can't be a PNG file");
  }
  std::vector<uint8_t> rgba;
  rgba.reserve(pixels * kChannels);
  for (const uint32_t argb : image.argb) {
    if (AppendStraight(argb, rgba)) continue;
    return absl::FailedPreconditionError("straight alpha can't say a colour above its alpha");
  }
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = image.width_px;
  png.height = image.height_px;
  png.format = PNG_FORMAT_RGBA;
  png.flags = PNG_IMAGE_FLAG_FAST;
  png_alloc_size_t size_bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::vector<uint8_t> file(size_bytes);
  if (png_image_write_to_memory(&png, file.data(), &size_bytes, 0, rgba.data(), 0, nullptr) == 0) {
    return absl::InternalError(absl::StrCat("libpng: ", png.message));
  }
  file.resize(size_bytes);
  file.shrink_to_fit();
  return file;
}

}  // namespace planecast
