#include "encoder/testing/va_driver/transform.h"

#include <algorithm>
#include <cstdlib>

namespace planecast::sw_va {
namespace {

// Zig-zag scan of frame blocks, figure 8-8, as raster indices.
constexpr std::array<uint8_t, 16> kScan = {0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15};

// normAdjust4x4 by [qp % 6] for the three kinds of positions, clause 8.5.9.
constexpr int kNorm[6][3] = {{10, 16, 13}, {11, 18, 14}, {13, 20, 16},
                             {14, 23, 18}, {16, 25, 20}, {18, 29, 23}};
// The encoder's inverse of it, 2^15 over norm and transform gain.
constexpr int kQuant[6][3] = {{13107, 5243, 8066}, {11916, 4660, 7490}, {10082, 4194, 6554},
                              {9362, 3647, 5825},  {8192, 3355, 5243},  {7282, 2893, 4559}};

// Table 8-15: QPc for qPI from 30 on.
constexpr uint8_t kChromaQp[] = {29, 30, 31, 32, 32, 33, 34, 34, 35, 35, 36,
                                 36, 37, 37, 37, 38, 38, 38, 39, 39, 39, 39};

constexpr int Kind(int raster) {
  const bool odd_x = raster % 2 == 1;
  const bool odd_y = raster / 4 % 2 == 1;
  return odd_x && odd_y ? 1 : odd_x || odd_y ? 2 : 0;
}

int QuantiseOne(int value, int factor, int shift, const Quantiser& quantiser) {
  const int64_t rounding = (int64_t{1} << shift) / (quantiser.intra ? 3 : 6);
  const int64_t magnitude = (int64_t{std::abs(value)} * factor + rounding) >> shift;
  const int level = static_cast<int>(std::min<int64_t>(magnitude, quantiser.level_max));
  return value < 0 ? -level : level;
}

// One direction of the core transform.
void Forward4(int a, int b, int c, int d, int* out, int step) {
  const int sum_outer = a + d;
  const int sum_inner = b + c;
  const int difference_outer = a - d;
  const int difference_inner = b - c;
  out[0] = sum_outer + sum_inner;
  out[step] = 2 * difference_outer + difference_inner;
  out[2 * step] = sum_outer - sum_inner;
  out[3 * step] = difference_outer - 2 * difference_inner;
}

void Inverse4(int a, int b, int c, int d, int* out, int step) {
  const int even_sum = a + c;
  const int even_difference = a - c;
  const int odd_difference = (b >> 1) - d;
  const int odd_sum = b + (d >> 1);
  out[0] = even_sum + odd_sum;
  out[step] = even_difference + odd_difference;
  out[2 * step] = even_difference - odd_difference;
  out[3 * step] = even_sum - odd_sum;
}

Block Hadamard(const Block& in) {
  Block rows;
  const auto pass = [](int a, int b, int c, int d, int* out, int step) {
    out[0] = a + b + c + d;
    out[step] = a + b - c - d;
    out[2 * step] = a - b - c + d;
    out[3 * step] = a - b + c - d;
  };
  for (size_t y = 0; y < 4; ++y) {
    pass(in[y * 4], in[y * 4 + 1], in[y * 4 + 2], in[y * 4 + 3], &rows[y * 4], 1);
  }
  Block out;
  for (size_t x = 0; x < 4; ++x) {
    pass(rows[x], rows[x + 4], rows[x + 8], rows[x + 12], &out[x], 4);
  }
  return out;
}

std::array<int, 4> Hadamard2(const std::array<int, 4>& in) {
  return {in[0] + in[1] + in[2] + in[3], in[0] - in[1] + in[2] - in[3],
          in[0] + in[1] - in[2] - in[3], in[0] - in[1] - in[2] + in[3]};
}

}  // namespace

int ChromaQp(int luma_qp, int offset) {
  const int index = std::clamp(luma_qp + offset, 0, 51);
  return index < 30 ? index : kChromaQp[index - 30];
}

Block ForwardTransform(const Block& r) {
  Block rows;
  for (size_t y = 0; y < 4; ++y) {
    Forward4(r[y * 4], r[y * 4 + 1], r[y * 4 + 2], r[y * 4 + 3], &rows[y * 4], 1);
  }
  Block out;
  for (size_t x = 0; x < 4; ++x) {
    Forward4(rows[x], rows[x + 4], rows[x + 8], rows[x + 12], &out[x], 4);
  }
  return out;
}

void AddInverseTransform(const Block& d, uint8_t* samples, int stride_bytes) {
  Block rows;
  for (size_t y = 0; y < 4; ++y) {
    Inverse4(d[y * 4], d[y * 4 + 1], d[y * 4 + 2], d[y * 4 + 3], &rows[y * 4], 1);
  }
  Block out;
  for (size_t x = 0; x < 4; ++x) {
    Inverse4(rows[x], rows[x + 4], rows[x + 8], rows[x + 12], &out[x], 4);
  }
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 4; ++x) {
      uint8_t& sample = samples[y * stride_bytes + x];
      const int residual = (out[static_cast<size_t>(y * 4 + x)] + 32) >> 6;
      sample = static_cast<uint8_t>(std::clamp(sample + residual, 0, 255));
    }
  }
}

int Quantise(const Block& coefficients, const Quantiser& quantiser, int first, Levels& levels) {
  const int shift = 15 + quantiser.qp / 6;
  int count = 0;
  levels[0] = 0;
  for (size_t i = static_cast<size_t>(first); i < 16; ++i) {
    const int raster = kScan[i];
    const int level = QuantiseOne(coefficients[static_cast<size_t>(raster)],
                                  kQuant[quantiser.qp % 6][Kind(raster)], shift, quantiser);
    levels[i] = static_cast<int16_t>(level);
    count += level != 0 ? 1 : 0;
  }
  return count;
}

Block Scale(const Levels& levels, int qp, int first) {
  Block scaled{};
  for (size_t i = static_cast<size_t>(first); i < 16; ++i) {
    const int raster = kScan[i];
    scaled[static_cast<size_t>(raster)] = levels[i] * kNorm[qp % 6][Kind(raster)] * (1 << (qp / 6));
  }
  return scaled;
}

int QuantiseLumaDc(const Block& dc, const Quantiser& quantiser, Levels& levels) {
  const Block transformed = Hadamard(dc);
  const int shift = 16 + quantiser.qp / 6;
  int count = 0;
  for (size_t i = 0; i < 16; ++i) {
    const int level =
        QuantiseOne(transformed[kScan[i]] / 2, kQuant[quantiser.qp % 6][0], shift, quantiser);
    levels[i] = static_cast<int16_t>(level);
    count += level != 0 ? 1 : 0;
  }
  return count;
}

Block ScaleLumaDc(const Levels& levels, int qp) {
  Block raster;
  for (size_t i = 0; i < 16; ++i) raster[kScan[i]] = levels[i];
  Block dc = Hadamard(raster);
  const int scale = kNorm[qp % 6][0] * 16;
  for (int& value : dc) {
    value = qp >= 36 ? value * scale * (1 << (qp / 6 - 6))
                     : (value * scale + (1 << (5 - qp / 6))) >> (6 - qp / 6);
  }
  return dc;
}

int QuantiseChromaDc(const std::array<int, 4>& dc, const Quantiser& quantiser,
                     std::array<int16_t, 4>& levels) {
  const std::array<int, 4> transformed = Hadamard2(dc);
  const int shift = 16 + quantiser.qp / 6;
  int count = 0;
  for (size_t i = 0; i < 4; ++i) {
    const int level = QuantiseOne(transformed[i], kQuant[quantiser.qp % 6][0], shift, quantiser);
    levels[i] = static_cast<int16_t>(level);
    count += level != 0 ? 1 : 0;
  }
  return count;
}

std::array<int, 4> ScaleChromaDc(const std::array<int16_t, 4>& levels, int qp) {
  std::array<int, 4> dc = Hadamard2({levels[0], levels[1], levels[2], levels[3]});
  const int scale = kNorm[qp % 6][0] * 16;
  for (int& value : dc) value = (value * scale * (1 << (qp / 6))) >> 5;
  return dc;
}

}  // namespace planecast::sw_va
