// What the parts of the picture coder tell each other about macroblocks.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace planecast::sw_va {

/// A motion vector in whole luma samples.
struct MotionVector {
  int x = 0;
  int y = 0;
  friend bool operator==(const MotionVector&, const MotionVector&) = default;
};

enum class MbKind : uint8_t { kSkip, kInter, kIntra };

/// Intra16x16PredMode, table 8-4.
enum class LumaMode : uint8_t { kVertical, kHorizontal, kDc, kPlane };
/// intra_chroma_pred_mode, table 7-16.
enum class ChromaMode : uint8_t { kDc, kHorizontal, kVertical, kPlane };

/// The levels of a 4x4 block in zig-zag order. For blocks without DC, entry 0 is unused.
using Levels = std::array<int16_t, 16>;

/// One coded macroblock, with all that later macroblocks and the deblocking filter ask about it.
struct Macroblock {
  /// Number of its slice in the picture; -1 before it is coded.
  int slice = -1;
  MbKind kind = MbKind::kSkip;
  /// QPY as the decoder derives it.
  int qp = 0;
  MotionVector mv;
  /// mv minus its prediction, in quarter samples.
  MotionVector mvd_quarters;
  LumaMode luma_mode = LumaMode::kDc;
  ChromaMode chroma_mode = ChromaMode::kDc;
  /// A bit for each 8x8 block; of an intra macroblock all or none.
  uint8_t cbp_luma = 0;
  /// 0: none, 1: DC, 2: DC and AC.
  uint8_t cbp_chroma = 0;
  int qp_delta = 0;
  /// Non-zero levels by 4x4 block in raster order; for intra without the DC.
  std::array<uint8_t, 16> luma_counts{};
  /// [Cb, Cr][block], without the DC.
  std::array<std::array<uint8_t, 4>, 2> chroma_counts{};
  /// coded_block_flag of the DC blocks: of intra luma, Cb, Cr.
  bool luma_dc_coded = false;
  std::array<bool, 2> chroma_dc_coded{};

  bool intra() const { return kind == MbKind::kIntra; }
};

/// The levels of one macroblock.
struct MacroblockLevels {
  Levels luma_dc{};
  /// By 4x4 block in raster order.
  std::array<Levels, 16> luma{};
  std::array<std::array<int16_t, 4>, 2> chroma_dc{};
  std::array<std::array<Levels, 4>, 2> chroma{};
};

/// A macroblock and what is around it; null where that is outside picture or slice.
struct MacroblockContext {
  const Macroblock* current = nullptr;
  const Macroblock* left = nullptr;
  const Macroblock* above = nullptr;
  /// The one before in decoding order, in the same slice.
  const Macroblock* previous = nullptr;
};

/// Raster index of the 4x4 block that comes as number `order` in decoding order, clause 6.4.3.
constexpr int BlockRaster(int order) {
  const int x = (order & 1) | (order >> 1 & 2);
  const int y = (order >> 1 & 1) | (order >> 2 & 2);
  return y * 4 + x;
}

/// Number of the 8x8 block that holds the 4x4 block at this raster index.
constexpr int EighthOf(int raster) {
  return raster / 8 * 2 + raster % 4 / 2;
}

}  // namespace planecast::sw_va
