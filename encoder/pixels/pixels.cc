#include "encoder/pixels/pixels.h"

#include <drm_fourcc.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "encoder/pixels/packed_format.h"

namespace planecast {
namespace {

constexpr uint32_t kChannels = 3;
// Far beyond the largest plane; keeps the arithmetic of libpng in range.
constexpr uint32_t kPngSideMaxPx = 16384;

// The nearest 8-bit value of a channel with `max` as its largest.
constexpr uint8_t To8Bit(uint32_t value, uint32_t max) {
  return static_cast<uint8_t>((value * 255 + max / 2) / max);
}

void UnpackPixel(PackedFormat format, const uint8_t* source, uint8_t* rgb) {
  uint32_t word = 0;
  std::memcpy(&word, source, PackedBytesPerPixel(format));
  switch (format) {
    case PackedFormat::kXrgb8888:
      rgb[0] = static_cast<uint8_t>(word >> 16);
      rgb[1] = static_cast<uint8_t>(word >> 8);
      rgb[2] = static_cast<uint8_t>(word);
      return;
    case PackedFormat::kXbgr8888:
      rgb[0] = static_cast<uint8_t>(word);
      rgb[1] = static_cast<uint8_t>(word >> 8);
      rgb[2] = static_cast<uint8_t>(word >> 16);
      return;
    case PackedFormat::kRgb565:
      rgb[0] = To8Bit(word >> 11 & 31, 31);
      rgb[1] = To8Bit(word >> 5 & 63, 63);
      rgb[2] = To8Bit(word & 31, 31);
      return;
    case PackedFormat::kXrgb2101010:
      rgb[0] = To8Bit(word >> 20 & 1023, 1023);
      rgb[1] = To8Bit(word >> 10 & 1023, 1023);
      rgb[2] = To8Bit(word & 1023, 1023);
      return;
    case PackedFormat::kXbgr2101010:
      rgb[0] = To8Bit(word & 1023, 1023);
      rgb[1] = To8Bit(word >> 10 & 1023, 1023);
      rgb[2] = To8Bit(word >> 20 & 1023, 1023);
      return;
  }
}

// Premultiplied source over an opaque pixel.
void BlendPixel(uint32_t argb, uint8_t* rgb) {
  const uint32_t rest = 255 - (argb >> 24);
  const uint32_t source[kChannels] = {argb >> 16 & 255, argb >> 8 & 255, argb & 255};
  for (uint32_t i = 0; i < kChannels; ++i) {
    // A guest may break the promise of premultiplication; the sum must not wrap.
    rgb[i] = static_cast<uint8_t>(std::min<uint32_t>(source[i] + (rgb[i] * rest + 127) / 255, 255));
  }
}

}  // namespace

bool CpuFormatSupported(uint32_t fourcc, uint64_t modifier) {
  return modifier == DRM_FORMAT_MOD_LINEAR && PackedFormatOf(fourcc).has_value();
}

absl::StatusOr<RgbImage> PlaneToRgb(const PlaneLayout& layout, std::span<const uint8_t> bytes) {
  if (!CpuFormatSupported(layout.fourcc, layout.modifier)) {
    return absl::UnimplementedError(absl::StrCat("format ", FourccName(layout.fourcc),
                                                 " with modifier ", ModifierName(layout.modifier),
                                                 " can't be read by the CPU"));
  }
  const PackedFormat format = *PackedFormatOf(layout.fourcc);
  const uint64_t line_bytes = uint64_t{layout.width_px} * PackedBytesPerPixel(format);
  const bool size_ok = layout.width_px >= 1 && layout.width_px <= kPlaneWidthMaxPx &&
                       layout.height_px >= 1 && layout.height_px <= kPlaneHeightMaxPx &&
                       layout.stride_bytes >= line_bytes;
  if (!size_ok ||
      bytes.size() < uint64_t{layout.stride_bytes} * (layout.height_px - 1) + line_bytes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("plane of %ux%u pixels with a stride of %u bytes in a mapping of %u bytes",
                        layout.width_px, layout.height_px, layout.stride_bytes, bytes.size()));
  }
  RgbImage image{.width_px = layout.width_px, .height_px = layout.height_px, .rgb = {}};
  image.rgb.resize(size_t{layout.width_px} * layout.height_px * kChannels);
  uint8_t* target = image.rgb.data();
  for (uint32_t y = 0; y < layout.height_px; ++y) {
    const uint8_t* source = bytes.data() + size_t{y} * layout.stride_bytes;
    for (uint32_t x = 0; x < layout.width_px; ++x, target += kChannels) {
      UnpackPixel(format, source + size_t{x} * PackedBytesPerPixel(format), target);
    }
  }
  return image;
}

void BlendCursor(RgbImage& image, const Cursor& cursor) {
  if (!cursor.visible || cursor.image == nullptr) return;
  const CursorImage& shape = *cursor.image;
  if (shape.argb.size() < size_t{shape.width_px} * shape.height_px) return;
  const int64_t begin_x = std::max<int64_t>(0, -int64_t{cursor.x_px});
  const int64_t begin_y = std::max<int64_t>(0, -int64_t{cursor.y_px});
  const int64_t end_x = std::min<int64_t>(shape.width_px, int64_t{image.width_px} - cursor.x_px);
  const int64_t end_y = std::min<int64_t>(shape.height_px, int64_t{image.height_px} - cursor.y_px);
  for (int64_t y = begin_y; y < end_y; ++y) {
    for (int64_t x = begin_x; x < end_x; ++x) {
      const int64_t pixel = (cursor.y_px + y) * image.width_px + cursor.x_px + x;
      BlendPixel(shape.argb[static_cast<size_t>(y * shape.width_px + x)],
                 image.rgb.data() + pixel * kChannels);
    }
  }
}

std::optional<RgbImage> ScaleDown(const RgbImage& image, uint32_t width_px) {
  if (width_px == 0 || width_px >= image.width_px || image.height_px == 0) return std::nullopt;
  RgbImage scaled;
  scaled.width_px = width_px;
  scaled.height_px = static_cast<uint32_t>(
      std::max<uint64_t>(uint64_t{image.height_px} * width_px / image.width_px, 1));
  scaled.rgb.reserve(size_t{scaled.width_px} * scaled.height_px * kChannels);
  // Whole source pixels: what one target pixel stands for begins where the one before ends.
  const auto edge = [](uint64_t at, uint64_t from, uint64_t to) { return at * from / to; };
  for (uint32_t y = 0; y < scaled.height_px; ++y) {
    const uint64_t top = edge(y, image.height_px, scaled.height_px);
    const uint64_t bottom = edge(y + 1, image.height_px, scaled.height_px);
    for (uint32_t x = 0; x < width_px; ++x) {
      const uint64_t left = edge(x, image.width_px, width_px);
      const uint64_t right = edge(x + 1, image.width_px, width_px);
      std::array<uint64_t, kChannels> sum{};
      for (uint64_t row = top; row < bottom; ++row) {
        const uint8_t* pixel = &image.rgb[(row * image.width_px + left) * kChannels];
        for (uint64_t column = left; column < right; ++column, pixel += kChannels) {
          for (size_t i = 0; i < kChannels; ++i) sum[i] += pixel[i];
        }
      }
      // At least one: the picture is never scaled up.
      const uint64_t count = std::max<uint64_t>((bottom - top) * (right - left), 1);
      for (const uint64_t total : sum) {
        scaled.rgb.push_back(static_cast<uint8_t>((total + count / 2) / count));
      }
    }
  }
  return scaled;
}

absl::StatusOr<std::vector<uint8_t>> EncodePng(const RgbImage& image) {
  if (image.width_px == 0 || image.height_px == 0 || image.width_px > kPngSideMaxPx ||
      image.height_px > kPngSideMaxPx ||
      image.rgb.size() != size_t{image.width_px} * image.height_px * kChannels) {
    return absl::InvalidArgumentError(
        absl::StrFormat("picture of %ux%u pixels in %u bytes can't be a PNG file", image.width_px,
                        image.height_px, image.rgb.size()));
  }
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = image.width_px;
  png.height = image.height_px;
  png.format = PNG_FORMAT_RGB;
  png_alloc_size_t size_bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::vector<uint8_t> file(size_bytes);
  const int written =
      png_image_write_to_memory(&png, file.data(), &size_bytes, 0, image.rgb.data(), 0, nullptr);
  if (written == 0) return absl::InternalError(absl::StrCat("libpng: ", png.message));
  file.resize(size_bytes);
  file.shrink_to_fit();
  return file;
}

}  // namespace planecast
