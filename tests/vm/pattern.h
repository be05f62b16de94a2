// The picture that the guest role paints and that the checks expect: a pure function of seed, frame
// code and size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace planecast::vmtest {

/// A rectangle of one colour.
struct Patch {
  uint32_t x_px = 0;
  uint32_t y_px = 0;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  /// 0x00RRGGBB.
  uint32_t rgb = 0;
};

/// A test picture: a strip of black and white cells that spell the frame code, a field of flat
/// patches, and a strip of something like text. Each code has other colours and other text.
class Pattern {
 public:
  /// At least kWidthMinPx by kHeightMinPx.
  Pattern(uint32_t seed, uint16_t code, uint32_t width_px, uint32_t height_px);

  /// Paints XRGB8888 pixels, the strip with the code last: whoever reads from the top and finds
  /// the code finds the rest of the picture too.
  void Paint(volatile uint32_t* pixels, size_t stride_px) const;

  /// The flat patches, without the cells of the code.
  std::vector<Patch> Patches() const;

  /// First line of the strip with text; it reaches to the last line.
  uint32_t text_y_px() const { return height_px_ - kTextHeightPx; }

  /// The pixel at a place, 0x00RRGGBB.
  uint32_t At(uint32_t x_px, uint32_t y_px) const;

  uint32_t width_px() const { return width_px_; }
  uint32_t height_px() const { return height_px_; }

  /// Reads the code from a picture's luma (0 to 255, one byte per pixel); none if the strip is not
  /// one that was painted.
  static std::optional<uint16_t> ReadCode(const uint8_t* luma, size_t stride_bytes);

  static constexpr uint32_t kWidthMinPx = 320;
  static constexpr uint32_t kHeightMinPx = 200;

 private:
  static constexpr uint32_t kCellPx = 16;
  static constexpr uint32_t kCells = 20;
  static constexpr uint32_t kCodeHeightPx = 32;
  static constexpr uint32_t kTextHeightPx = 64;
  static constexpr uint32_t kColumns = 8;
  static constexpr uint32_t kRows = 5;

  /// Lines of one band are equal. 0 is the code's, then come the patches' rows.
  uint32_t Band(uint32_t y_px) const;
  static uint32_t CellBits(uint16_t code);
  uint32_t PatchColor(uint32_t column, uint32_t row) const;
  Patch PatchAt(uint32_t column, uint32_t row) const;

  uint32_t key_;
  uint32_t cells_;
  uint32_t width_px_;
  uint32_t height_px_;
};

}  // namespace planecast::vmtest
