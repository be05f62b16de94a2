#include "vfio/fake/paint.h"

#include <array>
#include <cmath>
#include <vector>

namespace planecast {
namespace {

constexpr uint32_t kOpaque = 0xff000000;
/// How dark the shadow is at the window's edge, of 255.
constexpr float kShadowStrength = 96.0F;

const Glyph& GlyphOf(const GlyphFace& face, char c) {
  const bool known = c >= kGlyphFirst && c <= kGlyphLast;
  return face.glyphs.at(static_cast<size_t>((known ? c : '?') - kGlyphFirst));
}

/// Shadow by squared distance would be large; by distance in quarter pixels it is small.
std::array<uint8_t, Painter::kShadowPx * 4 + 1> MakeShadowRamp() {
  std::array<uint8_t, Painter::kShadowPx * 4 + 1> ramp{};
  for (size_t i = 0; i < ramp.size(); ++i) {
    const float near = 1.0F - static_cast<float>(i) / static_cast<float>(ramp.size() - 1);
    ramp[i] = static_cast<uint8_t>(kShadowStrength * near * near);
  }
  return ramp;
}

}  // namespace

uint32_t Mix(uint32_t from, uint32_t to, uint32_t alpha) {
  // 0..255 to 0..256, so that both ends are exact.
  const uint32_t weight = alpha + (alpha >> 7);
  const uint32_t rb = (((from & 0xff00ff) * (256 - weight) + (to & 0xff00ff) * weight) >> 8);
  const uint32_t g = (((from & 0x00ff00) * (256 - weight) + (to & 0x00ff00) * weight) >> 8);
  return kOpaque | (rb & 0xff00ff) | (g & 0x00ff00);
}

Painter::Painter(const Canvas& canvas, const SceneRect& clip)
    : canvas_(canvas),
      clip_(Intersect(clip, {.left_px = 0,
                             .top_px = 0,
                             .right_px = static_cast<int32_t>(canvas.width_px),
                             .bottom_px = static_cast<int32_t>(canvas.height_px)})) {}

void Painter::Fill(const SceneRect& rect, uint32_t color) {
  const SceneRect part = Intersect(rect, clip_);
  if (IsEmpty(part)) return;
  for (int y = part.top_px; y < part.bottom_px; ++y) {
    std::fill(Row(y) + part.left_px, Row(y) + part.right_px, kOpaque | color);
  }
}

void Painter::FillCorners(const SceneRect& rect, int radius_px, uint32_t color, bool bottom_too) {
  const auto corner = [&](const SceneRect& box, float center_x, float center_y) {
    const SceneRect part = Intersect(box, clip_);
    for (int y = part.top_px; y < part.bottom_px; ++y) {
      for (int x = part.left_px; x < part.right_px; ++x) {
        const float distance = std::hypot(static_cast<float>(x) + 0.5F - center_x,
                                          static_cast<float>(y) + 0.5F - center_y);
        const float cover = std::clamp(static_cast<float>(radius_px) - distance + 0.5F, 0.0F, 1.0F);
        uint32_t& pixel = Row(y)[x];
        pixel = Mix(pixel, color, static_cast<uint32_t>(cover * 255.0F));
      }
    }
  };
  const int r = radius_px;
  const float left = static_cast<float>(rect.left_px + r);
  const float right = static_cast<float>(rect.right_px - r);
  const float top = static_cast<float>(rect.top_px + r);
  const float bottom = static_cast<float>(rect.bottom_px - r);
  corner({rect.left_px, rect.top_px, rect.left_px + r, rect.top_px + r}, left, top);
  corner({rect.right_px - r, rect.top_px, rect.right_px, rect.top_px + r}, right, top);
  if (!bottom_too) return;
  corner({rect.left_px, rect.bottom_px - r, rect.left_px + r, rect.bottom_px}, left, bottom);
  corner({rect.right_px - r, rect.bottom_px - r, rect.right_px, rect.bottom_px}, right, bottom);
}

void Painter::FillRounded(const SceneRect& rect, int radius_px, uint32_t color) {
  if (!Touches(rect)) return;
  const int r = radius_px;
  Fill({rect.left_px + r, rect.top_px, rect.right_px - r, rect.top_px + r}, color);
  Fill({rect.left_px, rect.top_px + r, rect.right_px, rect.bottom_px - r}, color);
  Fill({rect.left_px + r, rect.bottom_px - r, rect.right_px - r, rect.bottom_px}, color);
  FillCorners(rect, r, color, true);
}

void Painter::FillRoundedTop(const SceneRect& rect, int radius_px, uint32_t color) {
  if (!Touches(rect)) return;
  const int r = radius_px;
  Fill({rect.left_px + r, rect.top_px, rect.right_px - r, rect.top_px + r}, color);
  Fill({rect.left_px, rect.top_px + r, rect.right_px, rect.bottom_px}, color);
  FillCorners(rect, r, color, false);
}

void Painter::FillCircle(int x_px, int y_px, int radius_px, uint32_t color) {
  FillRounded({x_px - radius_px, y_px - radius_px, x_px + radius_px, y_px + radius_px}, radius_px,
              color);
}

void Painter::Shadow(const SceneRect& rect) {
  static const std::array<uint8_t, kShadowPx* 4 + 1> kRamp = MakeShadowRamp();
  // Lower than the window, as if the light came from above.
  constexpr int kDropPx = 6;
  const SceneRect dark = Moved(rect, 0, kDropPx);
  const SceneRect part = Intersect(Inflated(dark, kShadowPx), clip_);
  for (int y = part.top_px; y < part.bottom_px; ++y) {
    const int dy = std::max({dark.top_px - y, y - dark.bottom_px + 1, 0});
    uint32_t* row = Row(y);
    for (int x = part.left_px; x < part.right_px; ++x) {
      const int dx = std::max({dark.left_px - x, x - dark.right_px + 1, 0});
      // The window itself covers its middle.
      if (dx == 0 && dy == 0 && y < rect.bottom_px - kDropPx) {
        x = std::min(part.right_px, dark.right_px) - 1;
        continue;
      }
      const float distance = dx == 0 || dy == 0 ? static_cast<float>(dx + dy)
                                                : std::sqrt(static_cast<float>(dx * dx + dy * dy));
      const auto step = static_cast<size_t>(distance * 4.0F);
      if (step < kRamp.size()) row[x] = Mix(row[x], 0, kRamp[step]);
    }
  }
}

void Painter::Backdrop(std::span<const uint32_t> pixels) {
  for (int y = clip_.top_px; y < clip_.bottom_px; ++y) {
    const uint32_t* from = pixels.data() + static_cast<size_t>(y) * canvas_.width_px;
    std::copy(from + clip_.left_px, from + clip_.right_px, Row(y) + clip_.left_px);
  }
}

void Painter::BlendArgb(std::span<const uint32_t> argb, uint32_t width_px, int x_px, int y_px) {
  const int height_px = static_cast<int>(argb.size() / width_px);
  const SceneRect part =
      Intersect({x_px, y_px, x_px + static_cast<int>(width_px), y_px + height_px}, clip_);
  for (int y = part.top_px; y < part.bottom_px; ++y) {
    const uint32_t* from = argb.data() + static_cast<size_t>(y - y_px) * width_px;
    for (int x = part.left_px; x < part.right_px; ++x) {
      const uint32_t over = from[x - x_px];
      uint32_t& pixel = Row(y)[x];
      // Premultiplied: what shows through, plus what lies on it.
      pixel = kOpaque | ((Mix(pixel, 0, over >> 24) & 0xffffff) + (over & 0xffffff));
    }
  }
}

void Painter::Gradient(const std::function<uint32_t(int)>& by_column,
                       const std::function<uint32_t(int)>& by_row) {
  if (IsEmpty(clip_)) return;
  // Halves that can be added without a carry between channels.
  constexpr uint32_t kHalf = 0x7f7f7f;
  std::vector<uint32_t> columns(clip_.right_px - clip_.left_px);
  for (size_t i = 0; i < columns.size(); ++i) {
    columns[i] = by_column(clip_.left_px + static_cast<int>(i)) >> 1 & kHalf;
  }
  for (int y = clip_.top_px; y < clip_.bottom_px; ++y) {
    const uint32_t row_half = kOpaque | (by_row(y) >> 1 & kHalf);
    uint32_t* row = Row(y) + clip_.left_px;
    for (size_t i = 0; i < columns.size(); ++i) row[i] = row_half + columns[i];
  }
}

void Painter::Noise(const SceneRect& rect, uint32_t seed) {
  const SceneRect part = Intersect(rect, clip_);
  for (int y = part.top_px; y < part.bottom_px; ++y) {
    const uint32_t row_seed = seed + static_cast<uint32_t>(y) * 0x9e3779b1U;
    uint32_t* row = Row(y);
    for (int x = part.left_px; x < part.right_px; ++x) {
      uint32_t value = row_seed ^ static_cast<uint32_t>(x) * 0x85ebca6bU;
      value ^= value >> 15;
      value *= 0x2c1b3c6dU;
      row[x] = kOpaque | (value >> 24) * 0x010101;
    }
  }
}

int Painter::Text(int x_px, int baseline_px, std::string_view text, Typeface typeface,
                  uint32_t color) {
  const GlyphFace& face = FaceOf(typeface);
  const bool in_rows = baseline_px - face.line_height_px < clip_.bottom_px &&
                       baseline_px + face.line_height_px > clip_.top_px;
  int pen_px = x_px;
  for (const char c : text) {
    const Glyph& glyph = GlyphOf(face, c);
    const int left = pen_px + glyph.left;
    const int top = baseline_px - glyph.top;
    pen_px += glyph.advance;
    if (!in_rows) continue;
    const SceneRect part = Intersect({left, top, left + glyph.width, top + glyph.height}, clip_);
    for (int y = part.top_px; y < part.bottom_px; ++y) {
      const uint8_t* cover =
          face.coverage + glyph.offset + static_cast<size_t>(y - top) * glyph.width;
      uint32_t* row = Row(y);
      for (int x = part.left_px; x < part.right_px; ++x) {
        if (cover[x - left] != 0) row[x] = Mix(row[x], color, cover[x - left]);
      }
    }
  }
  return pen_px;
}

int TextWidthPx(std::string_view text, Typeface typeface) {
  int width_px = 0;
  for (const char c : text) width_px += GlyphOf(FaceOf(typeface), c).advance;
  return width_px;
}

}  // namespace planecast
