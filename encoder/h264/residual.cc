#include "encoder/h264/residual.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>

namespace planecast {
namespace {

using Coefficients = std::array<int32_t, 16>;

// Raster positions in zig-zag order, figure 8-8.
constexpr std::array<uint8_t, 16> kZigZag = {0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15};

// normAdjust4x4, clause 8.5.9, and what undoes it and the norm of the transform on the way forward;
// by quantiser modulo 6, for coefficients in even columns and lines, in odd ones, and for the
// others.
constexpr int kScale[6][3] = {{10, 16, 13}, {11, 18, 14}, {13, 20, 16},
                              {14, 23, 18}, {16, 25, 20}, {18, 29, 23}};
constexpr int kQuantize[6][3] = {{13107, 5243, 8066}, {11916, 4660, 7490}, {10082, 4194, 6554},
                                 {9362, 3647, 5825},  {8192, 3355, 5243},  {7282, 2893, 4559}};

constexpr size_t PositionClass(size_t raster) {
  const bool odd_x = raster % 2 != 0;
  const bool odd_y = raster / 4 % 2 != 0;
  return odd_x && odd_y ? 1 : odd_x || odd_y ? 2 : 0;
}

bool Same(const uint8_t* a, const uint8_t* b, size_t stride) {
  for (size_t y = 0; y < 4; ++y) {
    if (!std::equal(a + y * stride, a + y * stride + 4, b + y * stride)) return false;
  }
  return true;
}

// The core transform that 8.5.12.2 inverts.
void Forward(const uint8_t* source, const uint8_t* picture, size_t stride, Coefficients& out) {
  Coefficients rows;
  for (size_t y = 0; y < 4; ++y) {
    int d[4];
    for (size_t x = 0; x < 4; ++x) d[x] = source[y * stride + x] - picture[y * stride + x];
    const int s03 = d[0] + d[3];
    const int d03 = d[0] - d[3];
    const int s12 = d[1] + d[2];
    const int d12 = d[1] - d[2];
    rows[y * 4] = s03 + s12;
    rows[y * 4 + 1] = 2 * d03 + d12;
    rows[y * 4 + 2] = s03 - s12;
    rows[y * 4 + 3] = d03 - 2 * d12;
  }
  for (size_t x = 0; x < 4; ++x) {
    const int s03 = rows[x] + rows[12 + x];
    const int d03 = rows[x] - rows[12 + x];
    const int s12 = rows[4 + x] + rows[8 + x];
    const int d12 = rows[4 + x] - rows[8 + x];
    out[x] = s03 + s12;
    out[4 + x] = 2 * d03 + d12;
    out[8 + x] = s03 - s12;
    out[12 + x] = d03 - 2 * d12;
  }
}

// Clause 8.5.12.2, added to the prediction.
void InverseAdd(Coefficients& d, uint8_t* picture, size_t stride) {
  for (size_t y = 0; y < 4; ++y) {
    int32_t* row = &d[y * 4];
    const int e0 = row[0] + row[2];
    const int e1 = row[0] - row[2];
    const int e2 = (row[1] >> 1) - row[3];
    const int e3 = row[1] + (row[3] >> 1);
    row[0] = e0 + e3;
    row[1] = e1 + e2;
    row[2] = e1 - e2;
    row[3] = e0 - e3;
  }
  for (size_t x = 0; x < 4; ++x) {
    const int e0 = d[x] + d[8 + x];
    const int e1 = d[x] - d[8 + x];
    const int e2 = (d[4 + x] >> 1) - d[12 + x];
    const int e3 = d[4 + x] + (d[12 + x] >> 1);
    const int column[4] = {e0 + e3, e1 + e2, e1 - e2, e0 - e3};
    for (size_t y = 0; y < 4; ++y) {
      uint8_t& sample = picture[y * stride + x];
      sample = static_cast<uint8_t>(std::clamp(sample + ((column[y] + 32) >> 6), 0, 255));
    }
  }
}

int16_t Quantize(int coefficient, int factor, int shift, Rounding rounding) {
  const int64_t half = (int64_t{1} << shift) / (rounding == Rounding::kCheap ? 6 : 3);
  const auto level = static_cast<int>((int64_t{std::abs(coefficient)} * factor + half) >> shift);
  return static_cast<int16_t>(coefficient < 0 ? -level : level);
}

// Levels from zig-zag position `first` on; true if any is not zero.
bool QuantizeBlock(const Coefficients& coefficients, size_t first, int quantizer, Rounding rounding,
                   LevelBlock& levels) {
  const int* factors = kQuantize[quantizer % 6];
  int any = 0;
  for (size_t i = first; i < 16; ++i) {
    const size_t raster = kZigZag[i];
    levels[i] = Quantize(coefficients[raster], factors[PositionClass(raster)], 15 + quantizer / 6,
                         rounding);
    any |= levels[i];
  }
  return any != 0;
}

void ScaleBlock(const LevelBlock& levels, size_t first, int quantizer, Coefficients& d) {
  const int* scales = kScale[quantizer % 6];
  for (size_t i = first; i < 16; ++i) {
    const size_t raster = kZigZag[i];
    d[raster] = levels[i] * scales[PositionClass(raster)] * (1 << quantizer / 6);
  }
}

bool CodeLumaBlock(const MacroblockSamples& source, int block, int quantizer, Rounding rounding,
                   MacroblockSamples& picture, LevelBlock& levels) {
  const auto x = static_cast<size_t>(LumaBlockX(block)) * 4;
  const auto y = static_cast<size_t>(LumaBlockY(block)) * 4;
  const size_t offset = y * 16 + x;
  const uint8_t* from = source.y.data() + offset;
  uint8_t* to = picture.y.data() + offset;
  if (Same(from, to, 16)) return false;
  Coefficients c;
  Forward(from, to, 16, c);
  if (!QuantizeBlock(c, 0, quantizer, rounding, levels)) return false;
  ScaleBlock(levels, 0, quantizer, c);
  InverseAdd(c, to, 16);
  return true;
}

// The 2x2 transform is its own inverse but for the scale.
std::array<int, 4> Hadamard(const std::array<int, 4>& c) {
  return {c[0] + c[1] + c[2] + c[3], c[0] - c[1] + c[2] - c[3], c[0] + c[1] - c[2] - c[3],
          c[0] - c[1] - c[2] + c[3]};
}

struct ChromaCoded {
  bool dc = false;
  bool ac = false;
};

ChromaCoded CodeChroma(const std::array<uint8_t, 64>& source, int quantizer, Rounding rounding,
                       std::array<uint8_t, 64>& picture, std::array<int16_t, 4>& dc_levels,
                       std::array<LevelBlock, 4>& ac_levels) {
  ChromaCoded coded;
  if (source == picture) return coded;
  std::array<Coefficients, 4> c;
  std::array<int, 4> dc{};
  std::array<bool, 4> has_ac{};
  for (size_t block = 0; block < 4; ++block) {
    const size_t offset = block / 2 * 4 * 8 + block % 2 * 4;
    Forward(source.data() + offset, picture.data() + offset, 8, c[block]);
    dc[block] = c[block][0];
    has_ac[block] = QuantizeBlock(c[block], 1, quantizer, rounding, ac_levels[block]);
    coded.ac = coded.ac || has_ac[block];
  }
  const std::array<int, 4> f = Hadamard(dc);
  std::array<int, 4> levels{};
  for (size_t i = 0; i < 4; ++i) {
    dc_levels[i] = Quantize(f[i], kQuantize[quantizer % 6][0], 16 + quantizer / 6, rounding);
    levels[i] = dc_levels[i];
    coded.dc = coded.dc || dc_levels[i] != 0;
  }
  if (!coded.dc && !coded.ac) return coded;
  const std::array<int, 4> scaled = Hadamard(levels);
  for (size_t block = 0; block < 4; ++block) {
    Coefficients d{};
    if (has_ac[block]) ScaleBlock(ac_levels[block], 1, quantizer, d);
    // Clause 8.5.11.2, of which a sixteenth is in the scale already.
    d[0] = scaled[block] * 16 * kScale[quantizer % 6][0] * (1 << quantizer / 6) >> 5;
    InverseAdd(d, picture.data() + block / 2 * 4 * 8 + block % 2 * 4, 8);
  }
  return coded;
}

}  // namespace

int ChromaQuantizer(int quantizer) {
  static constexpr uint8_t kAbove29[] = {29, 30, 31, 32, 32, 33, 34, 34, 35, 35, 36,
                                         36, 37, 37, 37, 38, 38, 38, 39, 39, 39, 39};
  return quantizer < 30 ? quantizer : kAbove29[std::min(quantizer, 51) - 30];
}

MacroblockLevels CodeResidual(const MacroblockSamples& source, int quantizer, Rounding rounding,
                              MacroblockSamples& picture) {
  MacroblockLevels levels;
  for (int block = 0; block < 16; ++block) {
    LevelBlock& to = levels.luma[static_cast<size_t>(block)];
    if (!CodeLumaBlock(source, block, quantizer, rounding, picture, to)) continue;
    levels.pattern = static_cast<uint8_t>(levels.pattern | 1 << block / 4);
  }
  int chroma = 0;
  for (size_t plane = 0; plane < 2; ++plane) {
    const ChromaCoded coded =
        CodeChroma(source.chroma[plane], ChromaQuantizer(quantizer), rounding,
                   picture.chroma[plane], levels.chroma_dc[plane], levels.chroma_ac[plane]);
    chroma = std::max(chroma, coded.ac ? 2 : coded.dc ? 1 : 0);
  }
  levels.pattern = static_cast<uint8_t>(levels.pattern | chroma << 4);
  return levels;
}

}  // namespace planecast
