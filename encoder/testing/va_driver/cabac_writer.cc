// Macroblocks by CABAC: binarisation and choice of contexts, clause 9.3.2 and 9.3.3.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>

#include "encoder/testing/va_driver/cabac_engine.h"
#include "encoder/testing/va_driver/entropy.h"

namespace planecast::sw_va {
namespace {

// First context of each syntax element, table 9-34.
constexpr int kTypeI = 3;
constexpr int kSkipP = 11;
constexpr int kTypePrefixP = 14;
constexpr int kTypeSuffixP = 17;
constexpr int kMvdX = 40;
constexpr int kMvdY = 47;
constexpr int kRefIdx = 54;
constexpr int kQpDelta = 60;
constexpr int kChromaMode = 64;
constexpr int kPatternLuma = 73;
constexpr int kPatternChroma = 77;
constexpr int kBlockCoded = 85;
constexpr int kSignificant = 105;
constexpr int kLast = 166;
constexpr int kAbsLevel = 227;
constexpr int kTransform8x8 = 399;

constexpr int kMvdPrefixMax = 9;
constexpr int kLevelPrefixMax = 14;

/// ctxBlockCat, table 9-42.
enum class Category { kLumaDc, kLumaAc, kLuma, kChromaDc, kChromaAc };

struct CategoryOffsets {
  int coded;
  int map;
  int level;
};
constexpr CategoryOffsets kOffsets[] = {
    {0, 0, 0}, {4, 15, 10}, {8, 29, 20}, {12, 44, 30}, {16, 47, 39}};

class CabacWriter final : public EntropyWriter {
 public:
  CabacWriter(const EntropyParams& params, BitSink& sink)
      : params_(params),
        sink_(Aligned(sink)),
        engine_(params.intra_slice ? 0 : 1 + params.cabac_init_idc, params.slice_qp, sink) {}

  void Write(const MacroblockContext& context, const MacroblockLevels& levels, bool last) override {
    const Macroblock& mb = *context.current;
    current_intra_ = mb.intra();
    if (!params_.intra_slice) WriteSkip(context);
    if (mb.intra()) {
      WriteIntra(context, levels);
    } else if (mb.kind == MbKind::kInter) {
      WriteInter(context, levels);
    }
    engine_.Terminate(last);
    if (last) sink_.Align();
  }

 private:
  static BitSink& Aligned(BitSink& sink) {
    while (!sink.byte_aligned()) sink.Bits(1, 1);  // cabac_alignment_one_bit
    return sink;
  }

  static bool Skipped(const Macroblock* mb) { return mb == nullptr || mb->kind == MbKind::kSkip; }

  void WriteSkip(const MacroblockContext& context) {
    const int increment = (Skipped(context.left) ? 0 : 1) + (Skipped(context.above) ? 0 : 1);
    engine_.Decision(kSkipP + increment, context.current->kind == MbKind::kSkip);
  }

  void WriteIntra(const MacroblockContext& context, const MacroblockLevels& levels) {
    const Macroblock& mb = *context.current;
    // I_NxN is never coded, so each neighbour counts.
    const int increment = (context.left != nullptr ? 1 : 0) + (context.above != nullptr ? 1 : 0);
    if (params_.intra_slice) {
      WriteIntraType(mb, kTypeI + increment,
                     {kTypeI + 3, kTypeI + 4, kTypeI + 5, kTypeI + 6, kTypeI + 7});
    } else {
      engine_.Decision(kTypePrefixP, true);
      WriteIntraType(mb, kTypeSuffixP,
                     {kTypeSuffixP + 1, kTypeSuffixP + 2, kTypeSuffixP + 2, kTypeSuffixP + 3,
                      kTypeSuffixP + 3});
    }
    WriteChromaMode(context);
    WriteQpDelta(context);
    WriteBlock(Category::kLumaDc, levels.luma_dc, mb.luma_dc_coded,
               DcCoded(context.left, -1) + 2 * DcCoded(context.above, -1));
    if (mb.cbp_luma != 0) WriteLuma(context, levels, Category::kLumaAc);
    WriteChroma(context, levels);
  }

  void WriteIntraType(const Macroblock& mb, int first, const std::array<int, 5>& contexts) {
    engine_.Decision(first, true);
    engine_.Terminate(false);  // not I_PCM
    engine_.Decision(contexts[0], mb.cbp_luma != 0);
    engine_.Decision(contexts[1], mb.cbp_chroma != 0);
    if (mb.cbp_chroma != 0) engine_.Decision(contexts[2], mb.cbp_chroma == 2);
    const int mode = static_cast<int>(mb.luma_mode);
    engine_.Decision(contexts[3], (mode & 2) != 0);
    engine_.Decision(contexts[4], (mode & 1) != 0);
  }

  void WriteInter(const MacroblockContext& context, const MacroblockLevels& levels) {
    const Macroblock& mb = *context.current;
    for (int bin = 0; bin < 3; ++bin) engine_.Decision(kTypePrefixP + bin, false);
    if (params_.names_reference) engine_.Decision(kRefIdx, false);
    WriteMvd(kMvdX, mb.mvd_quarters.x, SumMvd(context, &MotionVector::x));
    WriteMvd(kMvdY, mb.mvd_quarters.y, SumMvd(context, &MotionVector::y));
    WritePattern(context);
    if (mb.cbp_luma != 0 && params_.transform_8x8_mode) engine_.Decision(kTransform8x8, false);
    if (mb.cbp_luma == 0 && mb.cbp_chroma == 0) return;
    WriteQpDelta(context);
    WriteLuma(context, levels, Category::kLuma);
    WriteChroma(context, levels);
  }

  static int SumMvd(const MacroblockContext& context, int MotionVector::*part) {
    int sum = 0;
    for (const Macroblock* mb : {context.left, context.above}) {
      if (mb != nullptr && mb->kind == MbKind::kInter) sum += std::abs(mb->mvd_quarters.*part);
    }
    return sum;
  }

  void WriteMvd(int base, int value, int sum) {
    const int magnitude = std::abs(value);
    const int prefix = std::min(magnitude, kMvdPrefixMax);
    int context = base + (sum < 3 ? 0 : sum > 32 ? 2 : 1);
    for (int i = 0; i < prefix; ++i) {
      engine_.Decision(context, true);
      context = base + std::min(3 + i, 6);
    }
    if (prefix < kMvdPrefixMax) {
      engine_.Decision(context, false);
    } else {
      WriteExpGolomb(static_cast<uint32_t>(magnitude - kMvdPrefixMax), 3);
    }
    if (value != 0) engine_.Bypass(value < 0);
  }

  /// Clause 9.3.2.5, the suffix.
  void WriteExpGolomb(uint32_t value, int k) {
    while (value >= 1u << k) {
      engine_.Bypass(true);
      value -= 1u << k;
      ++k;
    }
    engine_.Bypass(false);
    while (--k >= 0) engine_.Bypass((value >> k & 1) != 0);
  }

  void WritePattern(const MacroblockContext& context) {
    const Macroblock& mb = *context.current;
    const auto empty = [](const Macroblock* other, int eighth) {
      return other != nullptr && (other->cbp_luma >> eighth & 1) == 0 ? 1 : 0;
    };
    for (int eighth = 0; eighth < 4; ++eighth) {
      const int left = eighth % 2 == 1 ? empty(&mb, eighth - 1) : empty(context.left, eighth + 1);
      const int above = eighth >= 2 ? empty(&mb, eighth - 2) : empty(context.above, eighth + 2);
      engine_.Decision(kPatternLuma + left + 2 * above, (mb.cbp_luma >> eighth & 1) != 0);
    }
    const auto chroma = [&](int least) {
      const auto has = [&](const Macroblock* other) {
        return other != nullptr && other->cbp_chroma >= least ? 1 : 0;
      };
      return has(context.left) + 2 * has(context.above);
    };
    engine_.Decision(kPatternChroma + chroma(1), mb.cbp_chroma != 0);
    if (mb.cbp_chroma != 0) {
      engine_.Decision(kPatternChroma + 4 + chroma(2), mb.cbp_chroma == 2);
    }
  }

  void WriteChromaMode(const MacroblockContext& context) {
    const auto other_than_dc = [](const Macroblock* mb) {
      return mb != nullptr && mb->intra() && mb->chroma_mode != ChromaMode::kDc ? 1 : 0;
    };
    const int mode = static_cast<int>(context.current->chroma_mode);
    int index = kChromaMode + other_than_dc(context.left) + other_than_dc(context.above);
    for (int i = 0; i < mode; ++i) {
      engine_.Decision(index, true);
      index = kChromaMode + 3;
    }
    if (mode < 3) engine_.Decision(index, false);
  }

  void WriteQpDelta(const MacroblockContext& context) {
    const Macroblock* previous = context.previous;
    int index = kQpDelta + (previous != nullptr && previous->qp_delta != 0 ? 1 : 0);
    const int delta = context.current->qp_delta;
    const int bins = delta > 0 ? 2 * delta - 1 : -2 * delta;
    for (int i = 0; i < bins; ++i) {
      engine_.Decision(index, true);
      index = kQpDelta + (i == 0 ? 2 : 3);
    }
    engine_.Decision(index, false);
  }

  /// coded_block_flag of a neighbour's DC block; `plane` -1 is luma.
  int DcCoded(const Macroblock* other, int plane) const {
    if (other == nullptr) return current_intra_ ? 1 : 0;
    if (plane < 0) return other->intra() && other->luma_dc_coded ? 1 : 0;
    return other->chroma_dc_coded[static_cast<size_t>(plane)] ? 1 : 0;
  }

  int LumaCoded(const Macroblock* other, int raster) const {
    if (other == nullptr) return current_intra_ ? 1 : 0;
    return other->luma_counts[static_cast<size_t>(raster)] != 0 ? 1 : 0;
  }

  int ChromaCoded(const Macroblock* other, size_t plane, int block) const {
    if (other == nullptr) return current_intra_ ? 1 : 0;
    return other->chroma_counts[plane][static_cast<size_t>(block)] != 0 ? 1 : 0;
  }

  void WriteLuma(const MacroblockContext& context, const MacroblockLevels& levels,
                 Category category) {
    const Macroblock& mb = *context.current;
    for (int order = 0; order < 16; ++order) {
      if ((mb.cbp_luma >> (order / 4) & 1) == 0) continue;
      const int raster = BlockRaster(order);
      const int left =
          raster % 4 > 0 ? LumaCoded(&mb, raster - 1) : LumaCoded(context.left, raster + 3);
      const int above =
          raster >= 4 ? LumaCoded(&mb, raster - 4) : LumaCoded(context.above, raster + 12);
      const std::span<const int16_t> block(levels.luma[static_cast<size_t>(raster)]);
      WriteBlock(category, category == Category::kLumaAc ? block.subspan(1) : block,
                 mb.luma_counts[static_cast<size_t>(raster)] != 0, left + 2 * above);
    }
  }

  void WriteChroma(const MacroblockContext& context, const MacroblockLevels& levels) {
    const Macroblock& mb = *context.current;
    if (mb.cbp_chroma == 0) return;
    for (size_t plane = 0; plane < 2; ++plane) {
      const int index = static_cast<int>(plane);
      WriteBlock(Category::kChromaDc, levels.chroma_dc[plane], mb.chroma_dc_coded[plane],
                 DcCoded(context.left, index) + 2 * DcCoded(context.above, index));
    }
    if (mb.cbp_chroma != 2) return;
    for (size_t plane = 0; plane < 2; ++plane) {
      for (int block = 0; block < 4; ++block) {
        const int left = block % 2 == 1 ? ChromaCoded(&mb, plane, block - 1)
                                        : ChromaCoded(context.left, plane, block + 1);
        const int above = block >= 2 ? ChromaCoded(&mb, plane, block - 2)
                                     : ChromaCoded(context.above, plane, block + 2);
        WriteBlock(Category::kChromaAc,
                   std::span(levels.chroma[plane][static_cast<size_t>(block)]).subspan(1),
                   mb.chroma_counts[plane][static_cast<size_t>(block)] != 0, left + 2 * above);
      }
    }
  }

  /// residual_block_cabac().
  void WriteBlock(Category category, std::span<const int16_t> levels, bool coded, int neighbours) {
    const CategoryOffsets offsets = kOffsets[static_cast<size_t>(category)];
    engine_.Decision(kBlockCoded + offsets.coded + neighbours, coded);
    if (!coded) return;
    int last = static_cast<int>(levels.size()) - 1;
    while (levels[static_cast<size_t>(last)] == 0) --last;
    const int end = static_cast<int>(levels.size()) - 1;
    for (int i = 0; i < end; ++i) {
      const int index = offsets.map + (category == Category::kChromaDc ? std::min(i, 2) : i);
      const bool significant = levels[static_cast<size_t>(i)] != 0;
      engine_.Decision(kSignificant + index, significant);
      if (!significant) continue;
      engine_.Decision(kLast + index, i == last);
      if (i == last) break;
    }
    WriteLevels(category, offsets.level, levels.first(static_cast<size_t>(last) + 1));
  }

  void WriteLevels(Category category, int offset, std::span<const int16_t> levels) {
    int ones = 0;
    int greater = 0;
    const int greater_max = category == Category::kChromaDc ? 3 : 4;
    for (auto level = levels.rbegin(); level != levels.rend(); ++level) {
      if (*level == 0) continue;
      const int magnitude = std::abs(*level);
      const int first = kAbsLevel + offset + (greater != 0 ? 0 : std::min(4, 1 + ones));
      const int other = kAbsLevel + offset + 5 + std::min(greater_max, greater);
      engine_.Decision(first, magnitude > 1);
      if (magnitude == 1) {
        ++ones;
      } else {
        const int prefix = std::min(magnitude - 1, kLevelPrefixMax);
        for (int i = 1; i < prefix; ++i) engine_.Decision(other, true);
        if (prefix < kLevelPrefixMax) {
          engine_.Decision(other, false);
        } else {
          WriteExpGolomb(static_cast<uint32_t>(magnitude - 1 - kLevelPrefixMax), 0);
        }
        ++greater;
      }
      engine_.Bypass(*level < 0);
    }
  }

  const EntropyParams params_;
  BitSink& sink_;
  CabacEngine engine_;
  /// Absent neighbours count as coded for intra macroblocks only.
  bool current_intra_ = true;
};

}  // namespace

std::unique_ptr<EntropyWriter> MakeCabacWriter(const EntropyParams& params, BitSink& sink) {
  return std::make_unique<CabacWriter>(params, sink);
}

}  // namespace planecast::sw_va
