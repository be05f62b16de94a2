// Drawing for scenes: flat shapes, soft edges, text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "vfio/fake/glyph_atlas.h"
#include "vfio/fake/scene.h"

namespace planecast {

inline bool IsEmpty(const SceneRect& rect) {
  return rect.left_px >= rect.right_px || rect.top_px >= rect.bottom_px;
}
inline SceneRect Intersect(const SceneRect& a, const SceneRect& b) {
  return {.left_px = std::max(a.left_px, b.left_px),
          .top_px = std::max(a.top_px, b.top_px),
          .right_px = std::min(a.right_px, b.right_px),
          .bottom_px = std::min(a.bottom_px, b.bottom_px)};
}
inline SceneRect Inflated(const SceneRect& rect, int32_t by_px) {
  return {.left_px = rect.left_px - by_px,
          .top_px = rect.top_px - by_px,
          .right_px = rect.right_px + by_px,
          .bottom_px = rect.bottom_px + by_px};
}
inline SceneRect Moved(const SceneRect& rect, int32_t x_px, int32_t y_px) {
  return {.left_px = rect.left_px + x_px,
          .top_px = rect.top_px + y_px,
          .right_px = rect.right_px + x_px,
          .bottom_px = rect.bottom_px + y_px};
}

/// Between two colours; 0 is `from`, 255 is `to`. Exact at both ends, opaque.
uint32_t Mix(uint32_t from, uint32_t to, uint32_t alpha);

/// Draws on a canvas, never outside its clip rectangle. What a pixel becomes depends on the calls
/// that touch it and never on the clip, so that a picture drawn in pieces equals one drawn at once.
/// Colours are 0xRRGGBB. Cheap to make; the canvas must outlive it.
class Painter {
 public:
  Painter(const Canvas& canvas, const SceneRect& clip);

  const SceneRect& clip() const { return clip_; }
  bool Touches(const SceneRect& rect) const { return !IsEmpty(Intersect(rect, clip_)); }

  /// The same canvas with a smaller clip.
  Painter ClippedTo(const SceneRect& rect) const {
    return Painter(canvas_, Intersect(rect, clip_));
  }

  void Fill(const SceneRect& rect, uint32_t color);
  /// Corners are rounded and smooth.
  void FillRounded(const SceneRect& rect, int radius_px, uint32_t color);
  /// Rounded at the top only.
  void FillRoundedTop(const SceneRect& rect, int radius_px, uint32_t color);
  void FillCircle(int x_px, int y_px, int radius_px, uint32_t color);
  /// Darkens softly what lies around `rect`, out to kShadowPx.
  void Shadow(const SceneRect& rect);
  /// A picture of the size of the canvas, at its own place.
  void Backdrop(std::span<const uint32_t> pixels);
  /// Premultiplied ARGB over what is there.
  void BlendArgb(std::span<const uint32_t> argb, uint32_t width_px, int x_px, int y_px);
  /// The mean of a colour by column and a colour by row.
  void Gradient(const std::function<uint32_t(int)>& by_column,
                const std::function<uint32_t(int)>& by_row);
  /// Grey noise, by pixel and seed.
  void Noise(const SceneRect& rect, uint32_t seed);
  /// Returns where the pen is after the text.
  int Text(int x_px, int baseline_px, std::string_view text, Typeface typeface, uint32_t color);

  static constexpr int kShadowPx = 28;

 private:
  uint32_t* Row(int y_px) const {
    return canvas_.pixels + static_cast<size_t>(y_px) * canvas_.stride_px;
  }
  void FillCorners(const SceneRect& rect, int radius_px, uint32_t color, bool bottom_too);

  Canvas canvas_;
  SceneRect clip_;
};

int TextWidthPx(std::string_view text, Typeface typeface);

}  // namespace planecast
