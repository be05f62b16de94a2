// The letters that scenes are written in; made from DejaVu fonts when planecast is built.
#pragma once

#include <array>
#include <cstdint>

namespace planecast {

inline constexpr char kGlyphFirst = ' ';
inline constexpr char kGlyphLast = '~';
inline constexpr int kGlyphCount = kGlyphLast - kGlyphFirst + 1;

/// One letter: an antialiased picture and its place. Lengths in px.
struct Glyph {
  /// First byte in GlyphFace::coverage; row by row, 255 is ink.
  uint32_t offset = 0;
  uint8_t width = 0;
  uint8_t height = 0;
  /// From the pen to the picture's left edge.
  int8_t left = 0;
  /// From the baseline up to the picture's top edge.
  int8_t top = 0;
  uint8_t advance = 0;
};

struct GlyphFace {
  int ascent_px = 0;
  int line_height_px = 0;
  std::array<Glyph, kGlyphCount> glyphs = {};
  const uint8_t* coverage = nullptr;
};

enum class Typeface {
  /// 15 px, for code.
  kMono,
  /// 14 px, for titles and menus.
  kSans,
  kSansBold,
  /// 40 px, for words that must survive a thumbnail.
  kHuge,
};

const GlyphFace& FaceOf(Typeface typeface);

}  // namespace planecast
