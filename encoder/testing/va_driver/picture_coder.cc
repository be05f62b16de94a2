#include "encoder/testing/va_driver/picture_coder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "encoder/testing/va_driver/cavlc.h"
#include "encoder/testing/va_driver/deblocking.h"
#include "encoder/testing/va_driver/entropy.h"
#include "encoder/testing/va_driver/macroblock.h"
#include "encoder/testing/va_driver/prediction.h"
#include "encoder/testing/va_driver/transform.h"

namespace planecast::sw_va {
namespace {

// Motion is searched this far. The range of every level allows more.
constexpr int kMotionMaxPx = 48;
constexpr int kSearchStepsMax = 24;
// What a vector or an intra macroblock costs, in absolute differences.
constexpr uint32_t kMotionBias = 48;
constexpr uint32_t kIntraBias = 512;
// A coded macroblock takes at least so many bits.
constexpr double kCodedBits = 24;

int WrappedDelta(int delta) {
  if (delta < -26) return delta + 52;
  return delta > 25 ? delta - 52 : delta;
}

int Median(int a, int b, int c) {
  return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

uint64_t SquaredError(const MacroblockSamples& a, const MacroblockSamples& b) {
  uint64_t sum = 0;
  const auto add = [&sum](const uint8_t* x, const uint8_t* y, size_t count) {
    for (size_t i = 0; i < count; ++i) sum += static_cast<uint64_t>((x[i] - y[i]) * (x[i] - y[i]));
  };
  add(a.y, b.y, 256);
  for (size_t plane = 0; plane < 2; ++plane) add(a.c[plane], b.c[plane], 64);
  return sum;
}

/// Squared error that one bit should buy at a quantiser: the usual trade of encoders.
double BitWorth(int qp) {
  return 0.85 * std::pow(2.0, (qp - 12) / 3.0);
}

Block Residual(const uint8_t* source, const uint8_t* prediction, int stride, int x, int y) {
  Block residual;
  for (int line = 0; line < 4; ++line) {
    for (int column = 0; column < 4; ++column) {
      const int at = (y + line) * stride + x + column;
      residual[static_cast<size_t>(line * 4 + column)] = source[at] - prediction[at];
    }
  }
  return residual;
}

}  // namespace

struct PictureCoder::State {
  explicit State(const PictureParams& picture)
      : params(picture), macroblocks(size_t{picture.width_mbs} * picture.height_mbs) {
    reference = {.picture = picture.reference,
                 .width_px = static_cast<int>(picture.width_mbs) * 16,
                 .height_px = static_cast<int>(picture.height_mbs) * 16};
  }

  SliceResult CodeSlice(const SliceParams& slice, BitSink& sink);

  /// The macroblock being coded.
  struct Work {
    uint32_t address = 0;
    uint32_t x = 0;
    uint32_t y = 0;
    /// The quantiser that was asked for, and the one that holds if nothing is coded.
    int qp = 0;
    int qp_before = 0;
    const Macroblock* left = nullptr;
    const Macroblock* above = nullptr;
    const Macroblock* above_right = nullptr;
    const Macroblock* above_left = nullptr;
    MacroblockSamples source;
    MacroblockSamples prediction;
    MacroblockLevels levels;
  };

  const Macroblock* Neighbour(int64_t x, int64_t y) const;
  void Begin(const SliceParams& slice, uint32_t address, int qp_before, Work& work) const;
  MotionVector PredictMotion(const Work& work) const;
  MotionVector SkipMotion(const Work& work) const;
  uint32_t PredictInter(Work& work, MotionVector mv) const;
  MotionVector SearchMotion(const Work& work, MotionVector predicted, uint32_t* cost) const;
  IntraNeighbours IntraAvailable(const Work& work) const;
  uint32_t ChooseIntra(Work& work, Macroblock& mb) const;
  void CodeIntra(Work& work, Macroblock& mb) const;
  void MakeSkip(Work& work, Macroblock& mb) const;
  bool TrySkip(Work& work, Macroblock& mb) const;
  void CodeInterOrSkip(Work& work, MotionVector mv, Macroblock& mb) const;
  void CodeInter(Work& work, MotionVector mv, Macroblock& mb) const;
  void CodeLumaAc(Work& work, Macroblock& mb, std::array<Block, 16>& scaled) const;
  void CodeChroma(Work& work, Macroblock& mb) const;
  void SettleQp(const Work& work, Macroblock& mb) const;
  Quantiser LumaQuantiser(const Work& work, bool intra) const;

  const PictureParams params;
  Reference reference;
  std::vector<Macroblock> macroblocks;
  std::vector<DeblockingParams> slices;
};

const Macroblock* PictureCoder::State::Neighbour(int64_t x, int64_t y) const {
  if (x < 0 || y < 0 || x >= params.width_mbs) return nullptr;
  const Macroblock& mb =
      macroblocks[static_cast<size_t>(y) * params.width_mbs + static_cast<size_t>(x)];
  // Slices are coded in order: those that came before have another number, those to come none.
  return mb.slice == static_cast<int>(slices.size()) - 1 ? &mb : nullptr;
}

void PictureCoder::State::Begin(const SliceParams& slice, uint32_t address, int qp_before,
                                Work& work) const {
  work.address = address;
  work.x = address % params.width_mbs;
  work.y = address / params.width_mbs;
  int offset = 0;
  if (address < slice.mb_qp_offsets.size()) offset = slice.mb_qp_offsets[address];
  work.qp = std::clamp(slice.target_qp + offset, 0, 51);
  work.qp_before = qp_before;
  const int64_t x = work.x;
  const int64_t y = work.y;
  work.left = Neighbour(x - 1, y);
  work.above = Neighbour(x, y - 1);
  work.above_right = Neighbour(x + 1, y - 1);
  work.above_left = Neighbour(x - 1, y - 1);
  LoadMacroblock(params.source, work.x, work.y, work.source);
}

// Clause 8.4.1.3 for 16x16.
MotionVector PictureCoder::State::PredictMotion(const Work& work) const {
  const Macroblock* a = work.left;
  const Macroblock* b = work.above;
  const Macroblock* c = work.above_right != nullptr ? work.above_right : work.above_left;
  const auto motion = [](const Macroblock* mb) {
    return mb == nullptr || mb->intra() ? MotionVector() : mb->mv;
  };
  if (a != nullptr && b == nullptr && c == nullptr) return motion(a);
  const auto refers = [](const Macroblock* mb) { return mb != nullptr && !mb->intra(); };
  if (refers(a) + refers(b) + refers(c) == 1) return motion(refers(a) ? a : refers(b) ? b : c);
  return {Median(motion(a).x, motion(b).x, motion(c).x),
          Median(motion(a).y, motion(b).y, motion(c).y)};
}

// Clause 8.4.1.1.
MotionVector PictureCoder::State::SkipMotion(const Work& work) const {
  const auto still = [](const Macroblock* mb) {
    return mb == nullptr || (!mb->intra() && mb->mv == MotionVector());
  };
  if (still(work.left) || still(work.above)) return {};
  return PredictMotion(work);
}

uint32_t PictureCoder::State::PredictInter(Work& work, MotionVector mv) const {
  PredictInterLuma(reference, work.x, work.y, mv, work.prediction.y);
  for (size_t plane = 0; plane < 2; ++plane) {
    PredictInterChroma(reference, work.x, work.y, mv, plane, work.prediction.c[plane]);
  }
  return Sad(work.source.y, work.prediction.y, 256);
}

MotionVector PictureCoder::State::SearchMotion(const Work& work, MotionVector predicted,
                                               uint32_t* cost) const {
  uint8_t luma[256];
  MotionVector best;
  uint32_t best_cost = UINT32_MAX;
  const auto consider = [&](MotionVector mv) {
    mv.x = std::clamp(mv.x, -kMotionMaxPx, kMotionMaxPx);
    mv.y = std::clamp(mv.y, -kMotionMaxPx, kMotionMaxPx);
    PredictInterLuma(reference, work.x, work.y, mv, luma);
    const uint32_t sad = Sad(work.source.y, luma, 256) + (mv == predicted ? 0 : kMotionBias);
    if (sad >= best_cost) return false;
    best = mv;
    best_cost = sad;
    return true;
  };
  consider({});
  consider(predicted);
  for (const Macroblock* mb : {work.left, work.above, work.above_right}) {
    if (mb != nullptr && !mb->intra()) consider(mb->mv);
  }
  int step = 8;
  for (int i = 0; i < kSearchStepsMax && step > 0; ++i) {
    const MotionVector from = best;
    bool better = false;
    for (const MotionVector d : {MotionVector{step, 0}, MotionVector{-step, 0},
                                 MotionVector{0, step}, MotionVector{0, -step}}) {
      better = consider({from.x + d.x, from.y + d.y}) || better;
    }
    if (!better) step /= 2;
  }
  *cost = best_cost;
  return best;
}

IntraNeighbours PictureCoder::State::IntraAvailable(const Work& work) const {
  const auto usable = [&](const Macroblock* mb) {
    return mb != nullptr && (mb->intra() || !params.constrained_intra_pred);
  };
  return {usable(work.left), usable(work.above), usable(work.above_left)};
}

// Predicts, and returns the cost of the luma mode chosen.
uint32_t PictureCoder::State::ChooseIntra(Work& work, Macroblock& mb) const {
  const IntraNeighbours neighbours = IntraAvailable(work);
  uint8_t samples[256];
  uint32_t best = UINT32_MAX;
  for (const LumaMode mode :
       {LumaMode::kDc, LumaMode::kVertical, LumaMode::kHorizontal, LumaMode::kPlane}) {
    if (!Possible(mode, neighbours)) continue;
    PredictLuma(params.reconstruction, work.x, work.y, mode, neighbours, samples);
    const uint32_t sad = Sad(work.source.y, samples, 256);
    if (sad >= best) continue;
    best = sad;
    mb.luma_mode = mode;
    std::memcpy(work.prediction.y, samples, 256);
  }
  uint32_t best_chroma = UINT32_MAX;
  for (const ChromaMode mode :
       {ChromaMode::kDc, ChromaMode::kHorizontal, ChromaMode::kVertical, ChromaMode::kPlane}) {
    if (!Possible(mode, neighbours)) continue;
    uint8_t chroma[2][64];
    uint32_t sad = 0;
    for (size_t plane = 0; plane < 2; ++plane) {
      PredictChroma(params.reconstruction, work.x, work.y, plane, mode, neighbours, chroma[plane]);
      sad += Sad(work.source.c[plane], chroma[plane], 64);
    }
    if (sad >= best_chroma) continue;
    best_chroma = sad;
    mb.chroma_mode = mode;
    std::memcpy(work.prediction.c, chroma, sizeof(chroma));
  }
  return best;
}

Quantiser PictureCoder::State::LumaQuantiser(const Work& work, bool intra) const {
  return {.qp = work.qp,
          .intra = intra,
          .level_max = params.cabac ? Quantiser().level_max : kCavlcLevelMax};
}

void PictureCoder::State::CodeLumaAc(Work& work, Macroblock& mb,
                                     std::array<Block, 16>& scaled) const {
  const Quantiser quantiser = LumaQuantiser(work, mb.intra());
  const int first = mb.intra() ? 1 : 0;
  for (int raster = 0; raster < 16; ++raster) {
    const auto at = static_cast<size_t>(raster);
    const Block coefficients = ForwardTransform(
        Residual(work.source.y, work.prediction.y, 16, raster % 4 * 4, raster / 4 * 4));
    // The DC goes its own way for intra; it is kept in place 0 until then.
    const int count = Quantise(coefficients, quantiser, first, work.levels.luma[at]);
    mb.luma_counts[at] = static_cast<uint8_t>(count);
    if (count != 0) mb.cbp_luma |= static_cast<uint8_t>(1 << EighthOf(raster));
    scaled[at] = Scale(work.levels.luma[at], work.qp, first);
    if (mb.intra()) scaled[at][0] = coefficients[0];
  }
}

void PictureCoder::State::CodeChroma(Work& work, Macroblock& mb) const {
  for (size_t plane = 0; plane < 2; ++plane) {
    Quantiser quantiser = LumaQuantiser(work, mb.intra());
    quantiser.qp = ChromaQp(
        work.qp, plane == 0 ? params.chroma_qp_index_offset : params.second_chroma_qp_index_offset);
    std::array<int, 4> dc;
    for (int block = 0; block < 4; ++block) {
      const auto at = static_cast<size_t>(block);
      const Block coefficients = ForwardTransform(Residual(
          work.source.c[plane], work.prediction.c[plane], 8, block % 2 * 4, block / 2 * 4));
      dc[at] = coefficients[0];
      const int count = Quantise(coefficients, quantiser, 1, work.levels.chroma[plane][at]);
      mb.chroma_counts[plane][at] = static_cast<uint8_t>(count);
      if (count != 0) mb.cbp_chroma = 2;
    }
    mb.chroma_dc_coded[plane] = QuantiseChromaDc(dc, quantiser, work.levels.chroma_dc[plane]) != 0;
    if (mb.chroma_dc_coded[plane]) mb.cbp_chroma = std::max<uint8_t>(mb.cbp_chroma, 1);
  }
  // Reconstruction, from the levels alone.
  for (size_t plane = 0; plane < 2; ++plane) {
    const int qp = ChromaQp(
        work.qp, plane == 0 ? params.chroma_qp_index_offset : params.second_chroma_qp_index_offset);
    const std::array<int, 4> dc = ScaleChromaDc(work.levels.chroma_dc[plane], qp);
    for (int block = 0; block < 4; ++block) {
      Block scaled = Scale(work.levels.chroma[plane][static_cast<size_t>(block)], qp, 1);
      scaled[0] = dc[static_cast<size_t>(block)];
      AddInverseTransform(scaled, work.prediction.c[plane] + block / 2 * 32 + block % 2 * 4, 8);
    }
  }
}

// What the decoder takes for QPY, and the difference that tells it.
void PictureCoder::State::SettleQp(const Work& work, Macroblock& mb) const {
  const bool told = mb.intra() || mb.cbp_luma != 0 || mb.cbp_chroma != 0;
  mb.qp = told ? work.qp : work.qp_before;
  mb.qp_delta = told ? WrappedDelta(work.qp - work.qp_before) : 0;
}

void PictureCoder::State::CodeIntra(Work& work, Macroblock& mb) const {
  mb.kind = MbKind::kIntra;
  std::array<Block, 16> scaled;
  CodeLumaAc(work, mb, scaled);
  // The pattern of an intra macroblock is all or nothing.
  if (mb.cbp_luma != 0) mb.cbp_luma = 15;
  Block dc;
  for (size_t i = 0; i < 16; ++i) dc[i] = scaled[i][0];
  mb.luma_dc_coded = QuantiseLumaDc(dc, LumaQuantiser(work, true), work.levels.luma_dc) != 0;
  const Block scaled_dc = ScaleLumaDc(work.levels.luma_dc, work.qp);
  for (int raster = 0; raster < 16; ++raster) {
    const auto at = static_cast<size_t>(raster);
    scaled[at][0] = scaled_dc[at];
    AddInverseTransform(scaled[at], work.prediction.y + raster / 4 * 64 + raster % 4 * 4, 16);
  }
  CodeChroma(work, mb);
  SettleQp(work, mb);
}

void PictureCoder::State::CodeInter(Work& work, MotionVector mv, Macroblock& mb) const {
  mb.kind = MbKind::kInter;
  mb.mv = mv;
  const MotionVector predicted = PredictMotion(work);
  mb.mvd_quarters = {(mv.x - predicted.x) * 4, (mv.y - predicted.y) * 4};
  std::array<Block, 16> scaled;
  CodeLumaAc(work, mb, scaled);
  for (int raster = 0; raster < 16; ++raster) {
    const auto at = static_cast<size_t>(raster);
    if (mb.luma_counts[at] == 0) continue;
    AddInverseTransform(scaled[at], work.prediction.y + raster / 4 * 64 + raster % 4 * 4, 16);
  }
  CodeChroma(work, mb);
  SettleQp(work, mb);
  if (mb.cbp_luma == 0 && mb.cbp_chroma == 0 && mv == SkipMotion(work)) {
    mb.kind = MbKind::kSkip;
    mb.mvd_quarters = {};
  }
}

void PictureCoder::State::MakeSkip(Work& work, Macroblock& mb) const {
  mb = Macroblock();
  mb.kind = MbKind::kSkip;
  mb.mv = SkipMotion(work);
  work.levels = MacroblockLevels();
  PredictInter(work, mb.mv);
  SettleQp(work, mb);
}

// True if the reference shows exactly what the source does.
bool PictureCoder::State::TrySkip(Work& work, Macroblock& mb) const {
  if (PredictInter(work, SkipMotion(work)) != 0) return false;
  if (std::memcmp(work.source.c, work.prediction.c, sizeof(work.source.c)) != 0) return false;
  MakeSkip(work, mb);
  return true;
}

// Codes with this vector, or not at all where that buys too little: what coding gains, the
// deblocking filter may take back, and a still picture would be coded for ever.
void PictureCoder::State::CodeInterOrSkip(Work& work, MotionVector mv, Macroblock& mb) const {
  PredictInter(work, SkipMotion(work));
  const uint64_t skipped_error = SquaredError(work.source, work.prediction);
  PredictInter(work, mv);
  CodeInter(work, mv, mb);
  if (mb.kind == MbKind::kSkip) return;
  const uint64_t coded_error = SquaredError(work.source, work.prediction);
  const double gain = static_cast<double>(skipped_error) - static_cast<double>(coded_error);
  if (gain < BitWorth(work.qp) * kCodedBits) MakeSkip(work, mb);
}

SliceResult PictureCoder::State::CodeSlice(const SliceParams& slice, BitSink& sink) {
  slices.push_back({slice.deblocking_idc, slice.alpha_c0_offset, slice.beta_offset});
  const EntropyParams entropy{.intra_slice = slice.intra,
                              .transform_8x8_mode = params.transform_8x8_mode,
                              .slice_qp = slice.slice_qp,
                              .cabac_init_idc = slice.cabac_init_idc,
                              .names_reference = slice.ref_idx_l0_active_minus1 > 0};
  const auto writer =
      params.cabac ? MakeCabacWriter(entropy, sink) : MakeCavlcWriter(entropy, sink);
  SliceResult result;
  const Macroblock* previous = nullptr;
  int qp = slice.slice_qp;
  for (uint32_t i = 0; i < slice.mb_count; ++i) {
    Work work;
    Begin(slice, slice.first_mb + i, qp, work);
    Macroblock mb;
    if (slice.intra || !TrySkip(work, mb)) {
      uint32_t inter_cost = UINT32_MAX;
      MotionVector mv;
      if (!slice.intra) mv = SearchMotion(work, PredictMotion(work), &inter_cost);
      // Good enough needs no second opinion.
      const bool ask_intra = slice.intra || inter_cost > kIntraBias;
      const uint32_t intra_cost = ask_intra ? ChooseIntra(work, mb) + kIntraBias : UINT32_MAX;
      if (slice.intra || intra_cost < inter_cost) {
        CodeIntra(work, mb);
      } else {
        CodeInterOrSkip(work, mv, mb);
      }
    }
    StoreMacroblock(work.prediction, work.x, work.y, params.reconstruction);
    mb.slice = static_cast<int>(slices.size()) - 1;
    Macroblock& stored = macroblocks[work.address];
    stored = mb;
    writer->Write({&stored, work.left, work.above, previous}, work.levels, i + 1 == slice.mb_count);
    previous = &stored;
    qp = stored.qp;
    result.qp_sum += static_cast<uint64_t>(stored.qp);
    result.skipped_mbs += stored.kind == MbKind::kSkip ? 1 : 0;
    result.intra_mbs += stored.intra() ? 1 : 0;
  }
  return result;
}

PictureCoder::PictureCoder(const PictureParams& params) : state_(std::make_unique<State>(params)) {}

PictureCoder::~PictureCoder() = default;

SliceResult PictureCoder::CodeSlice(const SliceParams& slice, BitSink& sink) {
  return state_->CodeSlice(slice, sink);
}

void PictureCoder::Finish() {
  // A picture with a macroblock that no slice coded can't be filtered.
  for (const Macroblock& mb : state_->macroblocks) {
    if (mb.slice < 0) return;
  }
  Deblock(state_->params, state_->macroblocks, state_->slices);
}

}  // namespace planecast::sw_va
