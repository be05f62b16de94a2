#include "encoder/pixels/cursor_blend.h"

#include <algorithm>

namespace planecast {
namespace {

// BT.709, limited range, times 2^16 and for channels of 0 to 255.
constexpr int kShift = 16;
constexpr int kYRed = 11966, kYGreen = 40254, kYBlue = 4064;
constexpr int kCbRed = -6596, kCbGreen = -22189, kCbBlue = 28785;
constexpr int kCrRed = 28785, kCrGreen = -26145, kCrBlue = -2640;
constexpr int kLumaBlack = 16;
constexpr int kChromaGrey = 128;

/// Sums of premultiplied channels over some pixels.
struct Sum {
  int alpha = 0;
  int red = 0;
  int green = 0;
  int blue = 0;

  void Add(uint32_t argb) {
    alpha += static_cast<int>(argb >> 24);
    red += static_cast<int>(argb >> 16 & 255);
    green += static_cast<int>(argb >> 8 & 255);
    blue += static_cast<int>(argb & 255);
  }
};

/// What shows of a sample behind `count` pixels with this coverage, and what they add to it.
uint8_t Blend(uint8_t behind, int zero, int red, int green, int blue, const Sum& sum, int count) {
  const int covered = 255 * count;
  const int64_t drawn =
      (int64_t{red} * sum.red + int64_t{green} * sum.green + int64_t{blue} * sum.blue) / count;
  const int64_t base = (int64_t{behind} * (covered - sum.alpha) + int64_t{zero} * sum.alpha);
  const int64_t value = (base * (1 << kShift) / covered + drawn + (1 << (kShift - 1))) >> kShift;
  return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255));
}

}  // namespace

PixelRect CursorRect(const Cursor& cursor, uint32_t width_px, uint32_t height_px) {
  if (!cursor.visible || cursor.image == nullptr) return {};
  const auto clip = [](int64_t begin, uint32_t length, uint32_t limit, uint32_t* out_begin,
                       uint32_t* out_length) {
    const int64_t low = std::max<int64_t>(begin, 0) / 2 * 2;
    const int64_t high = std::min<int64_t>((begin + length + 1) / 2 * 2, limit);
    *out_begin = static_cast<uint32_t>(std::min<int64_t>(low, limit));
    *out_length = static_cast<uint32_t>(std::max<int64_t>(high - low, 0));
  };
  PixelRect rect;
  clip(cursor.x_px, cursor.image->width_px, width_px, &rect.x_px, &rect.width_px);
  clip(cursor.y_px, cursor.image->height_px, height_px, &rect.y_px, &rect.height_px);
  if (rect.width_px == 0 || rect.height_px == 0) return {};
  return rect;
}

void BlendCursor(const Cursor& cursor, const ChromaSubsampled& picture) {
  const PixelRect rect = CursorRect(cursor, picture.width_px, picture.height_px);
  if (rect.width_px == 0) return;
  const CursorImage& image = *cursor.image;
  const auto pixel = [&](uint32_t x, uint32_t y) -> uint32_t {
    const int64_t in_x = int64_t{x} - cursor.x_px;
    const int64_t in_y = int64_t{y} - cursor.y_px;
    if (in_x < 0 || in_y < 0 || in_x >= image.width_px || in_y >= image.height_px) return 0;
    return image.argb[static_cast<size_t>(in_y) * image.width_px + static_cast<size_t>(in_x)];
  };
  for (uint32_t y = rect.y_px; y < rect.y_px + rect.height_px; y += 2) {
    for (uint32_t x = rect.x_px; x < rect.x_px + rect.width_px; x += 2) {
      Sum chroma;
      for (uint32_t dy = 0; dy < 2; ++dy) {
        for (uint32_t dx = 0; dx < 2; ++dx) {
          // An odd last column or line counts twice, as in the conversion.
          const uint32_t at_x = std::min(x + dx, picture.width_px - 1);
          const uint32_t at_y = std::min(y + dy, picture.height_px - 1);
          const uint32_t argb = pixel(at_x, at_y);
          chroma.Add(argb);
          if (at_x != x + dx || at_y != y + dy || argb >> 24 == 0) continue;
          Sum one;
          one.Add(argb);
          uint8_t& luma = picture.y[size_t{at_y} * picture.y_stride_bytes + at_x];
          luma = Blend(luma, kLumaBlack, kYRed, kYGreen, kYBlue, one, 1);
        }
      }
      if (chroma.alpha == 0) continue;
      const size_t at =
          size_t{y} / 2 * picture.uv_stride_bytes + size_t{x} / 2 * picture.uv_step_bytes;
      picture.u[at] = Blend(picture.u[at], kChromaGrey, kCbRed, kCbGreen, kCbBlue, chroma, 4);
      picture.v[at] = Blend(picture.v[at], kChromaGrey, kCrRed, kCrGreen, kCrBlue, chroma, 4);
    }
  }
}

}  // namespace planecast
