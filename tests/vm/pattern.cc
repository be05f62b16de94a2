#include "tests/vm/pattern.h"

#include <bit>

namespace planecast::vmtest {
namespace {

constexpr uint32_t kBlack = 0x000000;
constexpr uint32_t kWhite = 0xffffff;
constexpr uint32_t kPaper = 0xf0f0e8;
constexpr uint32_t kInk = 0x101820;
constexpr uint32_t kGlyphWidthPx = 8;
constexpr uint32_t kGlyphHeightPx = 12;

/// A well mixed 32-bit hash.
uint32_t Mix(uint32_t value) {
  value = (value ^ (value >> 16)) * 0x7feb352du;
  value = (value ^ (value >> 15)) * 0x846ca68bu;
  return value ^ (value >> 16);
}

}  // namespace

Pattern::Pattern(uint32_t seed, uint16_t code, uint32_t width_px, uint32_t height_px)
    : key_(Mix(seed * 0x9e3779b9u + code)),
      cells_(CellBits(code)),
      width_px_(width_px),
      height_px_(height_px) {}

/// Cell 0 is the highest bit: a white and a black cell, the code, parity, inverted parity.
uint32_t Pattern::CellBits(uint16_t code) {
  const uint32_t parity = std::popcount(code) & 1;
  return (0b10u << 18) | (uint32_t{code} << 2) | (parity << 1) | (parity ^ 1);
}

uint32_t Pattern::PatchColor(uint32_t column, uint32_t row) const {
  return Mix(key_ + 1 + row * kColumns + column) & 0xffffff;
}

Patch Pattern::PatchAt(uint32_t column, uint32_t row) const {
  const uint32_t field_height_px = height_px_ - kCodeHeightPx - kTextHeightPx;
  const uint32_t left = width_px_ * column / kColumns;
  const uint32_t right = width_px_ * (column + 1) / kColumns;
  const uint32_t top = kCodeHeightPx + field_height_px * row / kRows;
  const uint32_t bottom = kCodeHeightPx + field_height_px * (row + 1) / kRows;
  return {left, top, right - left, bottom - top, PatchColor(column, row)};
}

std::vector<Patch> Pattern::Patches() const {
  std::vector<Patch> patches;
  for (uint32_t row = 0; row < kRows; ++row) {
    for (uint32_t column = 0; column < kColumns; ++column) patches.push_back(PatchAt(column, row));
  }
  return patches;
}

uint32_t Pattern::At(uint32_t x_px, uint32_t y_px) const {
  if (y_px < kCodeHeightPx) {
    const uint32_t cell = x_px / kCellPx;
    if (cell >= kCells) return kBlack;
    return (cells_ >> (kCells - 1 - cell)) & 1 ? kWhite : kBlack;
  }
  if (y_px >= text_y_px()) {
    const uint32_t glyph_x = x_px % kGlyphWidthPx;
    const uint32_t glyph_y = (y_px - text_y_px()) % kGlyphHeightPx;
    if (glyph_x >= kGlyphWidthPx - 2 || glyph_y >= kGlyphHeightPx - 3) return kPaper;
    const uint32_t glyph =
        Mix(key_ ^ (x_px / kGlyphWidthPx) ^ ((y_px - text_y_px()) / kGlyphHeightPx << 16));
    // Strokes two pixels wide, as letters have them.
    return (glyph >> (glyph_y / 3 * 3 + glyph_x / 2)) & 1 ? kInk : kPaper;
  }
  const uint32_t column = ((x_px + 1) * kColumns - 1) / width_px_;
  return PatchColor(column, Band(y_px) - 1);
}

uint32_t Pattern::Band(uint32_t y_px) const {
  if (y_px < kCodeHeightPx) return 0;
  if (y_px >= text_y_px()) return 1 + kRows + (y_px - text_y_px());
  const uint32_t field_height_px = height_px_ - kCodeHeightPx - kTextHeightPx;
  return 1 + ((y_px - kCodeHeightPx + 1) * kRows - 1) / field_height_px;
}

void Pattern::Paint(volatile uint32_t* pixels, size_t stride_px) const {
  std::vector<uint32_t> line(width_px_);
  const auto paint = [&](uint32_t from, uint32_t to) {
    for (uint32_t y = from; y < to; ++y) {
      if (y == from || Band(y) != Band(y - 1)) {
        for (uint32_t x = 0; x < width_px_; ++x) line[x] = At(x, y);
      }
      for (uint32_t x = 0; x < width_px_; ++x) pixels[y * stride_px + x] = line[x];
    }
  };
  paint(kCodeHeightPx, height_px_);
  paint(0, kCodeHeightPx);
}

std::optional<uint16_t> Pattern::ReadCode(const uint8_t* luma, size_t stride_bytes) {
  uint32_t cells = 0;
  for (uint32_t cell = 0; cell < kCells; ++cell) {
    const uint8_t value = luma[kCodeHeightPx / 2 * stride_bytes + cell * kCellPx + kCellPx / 2];
    if (value > 70 && value < 185) return std::nullopt;
    cells = cells << 1 | (value >= 185);
  }
  const auto code = static_cast<uint16_t>(cells >> 2);
  if (cells != CellBits(code)) return std::nullopt;
  return code;
}

}  // namespace planecast::vmtest
