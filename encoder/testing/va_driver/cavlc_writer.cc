// Macroblocks by CAVLC, clause 7.3.5 with the columns for entropy_coding_mode_flag 0.
#include <array>
#include <span>

#include "encoder/testing/va_driver/cavlc.h"
#include "encoder/testing/va_driver/entropy.h"

namespace planecast::sw_va {
namespace {

// Table 9-4, inter column of ChromaArrayType 1: coded_block_pattern by codeNum.
constexpr std::array<uint8_t, 48> kInterPattern = {
    0,  16, 1,  2,  4,  8,  32, 3,  5,  10, 12, 15, 47, 7,  11, 13, 14, 6,  9,  31, 35, 37, 42, 44,
    33, 34, 36, 40, 39, 43, 45, 46, 17, 18, 20, 24, 19, 21, 26, 28, 23, 27, 29, 30, 22, 25, 38, 41};

uint32_t PatternCode(int pattern) {
  uint32_t code = 0;
  while (kInterPattern[code] != pattern) ++code;
  return code;
}

int Average(int left, int above) {
  if (left < 0 || above < 0) return left < 0 ? above < 0 ? 0 : above : left;
  return (left + above + 1) / 2;
}

/// nC of a luma block, clause 9.2.1.
int LumaNc(const MacroblockContext& context, int raster) {
  const int x = raster % 4;
  const int y = raster / 4;
  int left = -1;
  if (x > 0) {
    left = context.current->luma_counts[static_cast<size_t>(raster - 1)];
  } else if (context.left != nullptr) {
    left = context.left->luma_counts[static_cast<size_t>(raster + 3)];
  }
  int above = -1;
  if (y > 0) {
    above = context.current->luma_counts[static_cast<size_t>(raster - 4)];
  } else if (context.above != nullptr) {
    above = context.above->luma_counts[static_cast<size_t>(raster + 12)];
  }
  return Average(left, above);
}

int ChromaNc(const MacroblockContext& context, size_t plane, int block) {
  const auto count = [&](const Macroblock* mb, int index) {
    return mb == nullptr ? -1 : int{mb->chroma_counts[plane][static_cast<size_t>(index)]};
  };
  const int left =
      block % 2 == 1 ? count(context.current, block - 1) : count(context.left, block + 1);
  const int above =
      block >= 2 ? count(context.current, block - 2) : count(context.above, block + 2);
  return Average(left, above);
}

class CavlcWriter final : public EntropyWriter {
 public:
  CavlcWriter(const EntropyParams& params, BitSink& sink) : params_(params), sink_(sink) {}

  void Write(const MacroblockContext& context, const MacroblockLevels& levels, bool last) override {
    const Macroblock& mb = *context.current;
    if (mb.kind == MbKind::kSkip) {
      ++skip_run_;
    } else {
      if (!params_.intra_slice) sink_.Ue(skip_run_);
      skip_run_ = 0;
      if (mb.intra()) {
        WriteIntra(context, levels);
      } else {
        WriteInter(context, levels);
      }
    }
    if (last) Close();
  }

 private:
  void Close() {
    if (skip_run_ > 0) sink_.Ue(skip_run_);
    sink_.Bits(1, 1);
    sink_.Align();
  }

  void WriteIntra(const MacroblockContext& context, const MacroblockLevels& levels) {
    const Macroblock& mb = *context.current;
    const uint32_t type = 1 + static_cast<uint32_t>(mb.luma_mode) + 4u * mb.cbp_chroma +
                          (mb.cbp_luma != 0 ? 12u : 0u);
    sink_.Ue(type + (params_.intra_slice ? 0 : 5));
    sink_.Ue(static_cast<uint32_t>(mb.chroma_mode));
    sink_.Se(mb.qp_delta);
    WriteBlockCavlc(levels.luma_dc, LumaNc(context, 0), sink_);
    if (mb.cbp_luma != 0) {
      for (int order = 0; order < 16; ++order) {
        const int raster = BlockRaster(order);
        WriteBlockCavlc(std::span(levels.luma[static_cast<size_t>(raster)]).subspan(1),
                        LumaNc(context, raster), sink_);
      }
    }
    WriteChroma(context, levels);
  }

  void WriteInter(const MacroblockContext& context, const MacroblockLevels& levels) {
    const Macroblock& mb = *context.current;
    sink_.Ue(0);  // P_L0_16x16
    // ref_idx_l0 0 is a single one bit, both as te(v) of one bit and as ue(v).
    if (params_.names_reference) sink_.Bits(1, 1);
    sink_.Se(mb.mvd_quarters.x);
    sink_.Se(mb.mvd_quarters.y);
    sink_.Ue(PatternCode(mb.cbp_luma | mb.cbp_chroma << 4));
    if (mb.cbp_luma != 0 && params_.transform_8x8_mode) sink_.Bits(0, 1);
    if (mb.cbp_luma == 0 && mb.cbp_chroma == 0) return;
    sink_.Se(mb.qp_delta);
    for (int order = 0; order < 16; ++order) {
      if ((mb.cbp_luma >> (order / 4) & 1) == 0) continue;
      const int raster = BlockRaster(order);
      WriteBlockCavlc(levels.luma[static_cast<size_t>(raster)], LumaNc(context, raster), sink_);
    }
    WriteChroma(context, levels);
  }

  void WriteChroma(const MacroblockContext& context, const MacroblockLevels& levels) {
    const Macroblock& mb = *context.current;
    if (mb.cbp_chroma == 0) return;
    for (const auto& dc : levels.chroma_dc) WriteBlockCavlc(dc, kChromaDcNc, sink_);
    if (mb.cbp_chroma != 2) return;
    for (size_t plane = 0; plane < 2; ++plane) {
      for (int block = 0; block < 4; ++block) {
        WriteBlockCavlc(std::span(levels.chroma[plane][static_cast<size_t>(block)]).subspan(1),
                        ChromaNc(context, plane, block), sink_);
      }
    }
  }

  const EntropyParams params_;
  BitSink& sink_;
  uint32_t skip_run_ = 0;
};

}  // namespace

std::unique_ptr<EntropyWriter> MakeCavlcWriter(const EntropyParams& params, BitSink& sink) {
  return std::make_unique<CavlcWriter>(params, sink);
}

}  // namespace planecast::sw_va
