#include "encoder/testing/va_driver/deblocking.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>

#include "encoder/testing/va_driver/transform.h"

namespace planecast::sw_va {
namespace {

// Table 8-16.
constexpr uint8_t kAlpha[52] = {0,  0,  0,  0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
                                0,  0,  0,  4,   4,   5,   6,   7,   8,   9,   10,  12,  13,
                                15, 17, 20, 22,  25,  28,  32,  36,  40,  45,  50,  56,  63,
                                71, 80, 90, 101, 113, 127, 144, 162, 182, 203, 226, 255, 255};
constexpr uint8_t kBeta[52] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0,  0,  0,  0,  0,  0,  2,  2,  2,  3,  3,  3,  3,  4,  4,  4,
    6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18};
// Table 8-17 by [indexA][bS - 1].
constexpr uint8_t kTc0[52][3] = {
    {0, 0, 0},    {0, 0, 0},    {0, 0, 0},   {0, 0, 0},  {0, 0, 0},   {0, 0, 0},   {0, 0, 0},
    {0, 0, 0},    {0, 0, 0},    {0, 0, 0},   {0, 0, 0},  {0, 0, 0},   {0, 0, 0},   {0, 0, 0},
    {0, 0, 0},    {0, 0, 0},    {0, 0, 0},   {0, 0, 1},  {0, 0, 1},   {0, 0, 1},   {0, 0, 1},
    {0, 1, 1},    {0, 1, 1},    {1, 1, 1},   {1, 1, 1},  {1, 1, 1},   {1, 1, 1},   {1, 1, 2},
    {1, 1, 2},    {1, 1, 2},    {1, 1, 2},   {1, 2, 3},  {1, 2, 3},   {2, 2, 3},   {2, 2, 4},
    {2, 3, 4},    {2, 3, 4},    {3, 3, 5},   {3, 4, 6},  {3, 4, 6},   {4, 5, 7},   {4, 5, 8},
    {4, 6, 9},    {5, 7, 10},   {6, 8, 11},  {6, 8, 13}, {7, 10, 14}, {8, 11, 16}, {9, 12, 18},
    {10, 13, 20}, {11, 15, 23}, {13, 17, 25}};

/// What decides about the samples at one edge.
struct Thresholds {
  int alpha = 0;
  int beta = 0;
  int index_a = 0;
};

Thresholds ThresholdsOf(int qp_p, int qp_q, const DeblockingParams& params) {
  const int average = (qp_p + qp_q + 1) >> 1;
  const int index_a = std::clamp(average + params.alpha_c0_offset, 0, 51);
  const int index_b = std::clamp(average + params.beta_offset, 0, 51);
  return {kAlpha[index_a], kBeta[index_b], index_a};
}

/// Filters the samples across one edge at one place; `step` leads from q0 to q1.
void FilterLine(uint8_t* q, ptrdiff_t step, int strength, const Thresholds& t, bool chroma) {
  const int p0 = q[-step];
  const int p1 = q[-2 * step];
  const int q0 = q[0];
  const int q1 = q[step];
  if (std::abs(p0 - q0) >= t.alpha || std::abs(p1 - p0) >= t.beta || std::abs(q1 - q0) >= t.beta) {
    return;
  }
  // The samples further off exist for luma only.
  const int p2 = chroma ? 0 : q[-3 * step];
  const int q2 = chroma ? 0 : q[2 * step];
  const bool near_p = !chroma && std::abs(p2 - p0) < t.beta;
  const bool near_q = !chroma && std::abs(q2 - q0) < t.beta;
  if (strength < 4) {
    const int tc0 = kTc0[t.index_a][strength - 1];
    const int tc = chroma ? tc0 + 1 : tc0 + (near_p ? 1 : 0) + (near_q ? 1 : 0);
    const int delta = std::clamp(((q0 - p0) * 4 + (p1 - q1) + 4) >> 3, -tc, tc);
    q[-step] = static_cast<uint8_t>(std::clamp(p0 + delta, 0, 255));
    q[0] = static_cast<uint8_t>(std::clamp(q0 - delta, 0, 255));
    if (near_p) {
      q[-2 * step] = static_cast<uint8_t>(
          p1 + std::clamp((p2 + ((p0 + q0 + 1) >> 1) - 2 * p1) >> 1, -tc0, tc0));
    }
    if (near_q) {
      q[step] = static_cast<uint8_t>(
          q1 + std::clamp((q2 + ((p0 + q0 + 1) >> 1) - 2 * q1) >> 1, -tc0, tc0));
    }
    return;
  }
  const bool small_step = std::abs(p0 - q0) < (t.alpha >> 2) + 2;
  if (near_p && small_step) {
    const int p3 = q[-4 * step];
    q[-step] = static_cast<uint8_t>((p2 + 2 * p1 + 2 * p0 + 2 * q0 + q1 + 4) >> 3);
    q[-2 * step] = static_cast<uint8_t>((p2 + p1 + p0 + q0 + 2) >> 2);
    q[-3 * step] = static_cast<uint8_t>((2 * p3 + 3 * p2 + p1 + p0 + q0 + 4) >> 3);
  } else {
    q[-step] = static_cast<uint8_t>((2 * p1 + p0 + q1 + 2) >> 2);
  }
  if (near_q && small_step) {
    const int q3 = q[3 * step];
    q[0] = static_cast<uint8_t>((p1 + 2 * p0 + 2 * q0 + 2 * q1 + q2 + 4) >> 3);
    q[step] = static_cast<uint8_t>((p0 + q0 + q1 + q2 + 2) >> 2);
    q[2 * step] = static_cast<uint8_t>((2 * q3 + 3 * q2 + q1 + q0 + p0 + 4) >> 3);
  } else {
    q[0] = static_cast<uint8_t>((2 * q1 + q0 + p1 + 2) >> 2);
  }
}

class Filter {
 public:
  Filter(const PictureParams& picture, std::span<const Macroblock> macroblocks,
         std::span<const DeblockingParams> slices)
      : picture_(picture), macroblocks_(macroblocks), slices_(slices) {}

  void Run() {
    for (uint32_t mb_y = 0; mb_y < picture_.height_mbs; ++mb_y) {
      for (uint32_t mb_x = 0; mb_x < picture_.width_mbs; ++mb_x) FilterMacroblock(mb_x, mb_y);
    }
  }

 private:
  const Macroblock& At(uint32_t mb_x, uint32_t mb_y) const {
    return macroblocks_[size_t{mb_y} * picture_.width_mbs + mb_x];
  }

  void FilterMacroblock(uint32_t mb_x, uint32_t mb_y) {
    const Macroblock& q = At(mb_x, mb_y);
    const DeblockingParams& params = slices_[static_cast<size_t>(q.slice)];
    if (params.idc == 1) return;
    for (const bool vertical : {true, false}) {
      const Macroblock* outer = nullptr;
      if (vertical ? mb_x > 0 : mb_y > 0)
        outer = vertical ? &At(mb_x - 1, mb_y) : &At(mb_x, mb_y - 1);
      if (outer != nullptr && params.idc == 2 && outer->slice != q.slice) outer = nullptr;
      for (int edge = 0; edge < 4; ++edge) {
        const Macroblock* p = edge == 0 ? outer : &q;
        if (p != nullptr) FilterEdge(mb_x, mb_y, vertical, edge, *p, q, params);
      }
    }
  }

  /// bS of one of the four pieces of an edge, clause 8.7.2.1.
  static int Strength(const Macroblock& p, const Macroblock& q, bool vertical, int edge,
                      int piece) {
    if (p.intra() || q.intra()) return edge == 0 ? 4 : 3;
    const int q_block = vertical ? piece * 4 + edge : edge * 4 + piece;
    const int before = (edge + 3) % 4;
    const int p_block = vertical ? piece * 4 + before : before * 4 + piece;
    if (q.luma_counts[static_cast<size_t>(q_block)] != 0 ||
        p.luma_counts[static_cast<size_t>(p_block)] != 0) {
      return 2;
    }
    // A difference of a whole sample is one of four quarters.
    return p.mv != q.mv ? 1 : 0;
  }

  void FilterEdge(uint32_t mb_x, uint32_t mb_y, bool vertical, int edge, const Macroblock& p,
                  const Macroblock& q, const DeblockingParams& params) {
    std::array<int, 4> strengths;
    bool any = false;
    for (int piece = 0; piece < 4; ++piece) {
      strengths[static_cast<size_t>(piece)] = Strength(p, q, vertical, edge, piece);
      any = any || strengths[static_cast<size_t>(piece)] != 0;
    }
    if (!any) return;
    FilterLuma(mb_x, mb_y, vertical, edge, strengths, ThresholdsOf(p.qp, q.qp, params));
    if (edge % 2 != 0) return;
    for (size_t plane = 0; plane < 2; ++plane) {
      const int offset =
          plane == 0 ? picture_.chroma_qp_index_offset : picture_.second_chroma_qp_index_offset;
      const Thresholds thresholds =
          ThresholdsOf(ChromaQp(p.qp, offset), ChromaQp(q.qp, offset), params);
      FilterChroma(mb_x, mb_y, vertical, edge, plane, strengths, thresholds);
    }
  }

  void FilterLuma(uint32_t mb_x, uint32_t mb_y, bool vertical, int edge,
                  const std::array<int, 4>& strengths, const Thresholds& thresholds) {
    const auto stride = static_cast<ptrdiff_t>(picture_.reconstruction.y_stride_bytes);
    uint8_t* origin = picture_.reconstruction.y + mb_y * 16 * stride + mb_x * 16;
    const ptrdiff_t across = vertical ? 1 : stride;
    const ptrdiff_t along = vertical ? stride : 1;
    for (int i = 0; i < 16; ++i) {
      const int strength = strengths[static_cast<size_t>(i / 4)];
      if (strength == 0) continue;
      FilterLine(origin + edge * 4 * across + i * along, across, strength, thresholds, false);
    }
  }

  void FilterChroma(uint32_t mb_x, uint32_t mb_y, bool vertical, int edge, size_t plane,
                    const std::array<int, 4>& strengths, const Thresholds& thresholds) {
    const auto stride = static_cast<ptrdiff_t>(picture_.reconstruction.uv_stride_bytes);
    uint8_t* origin = picture_.reconstruction.uv + mb_y * 8 * stride + mb_x * 16 + plane;
    const ptrdiff_t across = vertical ? 2 : stride;
    const ptrdiff_t along = vertical ? stride : 2;
    for (int i = 0; i < 8; ++i) {
      const int strength = strengths[static_cast<size_t>(i / 2)];
      if (strength == 0) continue;
      FilterLine(origin + edge * 2 * across + i * along, across, strength, thresholds, true);
    }
  }

  const PictureParams& picture_;
  std::span<const Macroblock> macroblocks_;
  std::span<const DeblockingParams> slices_;
};

}  // namespace

void Deblock(const PictureParams& picture, std::span<const Macroblock> macroblocks,
             std::span<const DeblockingParams> slices) {
  Filter(picture, macroblocks, slices).Run();
}

}  // namespace planecast::sw_va
