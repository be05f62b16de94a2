#include "encoder/screen/patch_coder.h"

#include <algorithm>
#include <cstring>

#include "encoder/screen/frame_compare.h"

namespace planecast {
namespace {

constexpr size_t kChromaPx = kMacroblockPx / 2;

template <size_t kSide, size_t kSize>
void Load(const uint8_t* from, size_t stride_bytes, std::array<uint8_t, kSize>& to) {
  static_assert(kSide * kSide == kSize);
  for (size_t line = 0; line < kSide; ++line) {
    std::memcpy(to.data() + line * kSide, from + line * stride_bytes, kSide);
  }
}

template <size_t kSide, size_t kSize>
void Store(const std::array<uint8_t, kSize>& from, uint8_t* to, size_t stride_bytes) {
  static_assert(kSide * kSide == kSize);
  for (size_t line = 0; line < kSide; ++line) {
    std::memcpy(to + line * stride_bytes, from.data() + line * kSide, kSide);
  }
}

void LoadI420(const I420Planes& from, MacroblockSamples& to) {
  Load<kMacroblockPx>(from.y, from.y_stride_bytes, to.y);
  Load<kChromaPx>(from.u, from.uv_stride_bytes, to.chroma[0]);
  Load<kChromaPx>(from.v, from.uv_stride_bytes, to.chroma[1]);
}

}  // namespace

int PatchCoder::Counts::Context(size_t x, size_t y) const {
  const size_t place = y * width + x;
  if (x > 0 && y > 0) return (counts[place - 1] + counts[place - width] + 1) >> 1;
  if (x > 0) return counts[place - 1];
  return y > 0 ? counts[place - width] : 0;
}

PatchCoder::PatchCoder(uint32_t width_mbs, uint32_t height_mbs)
    : width_mbs_(width_mbs),
      height_mbs_(height_mbs),
      patched_mbs_(size_t{width_mbs} * height_mbs),
      samples_(size_t{width_mbs} * height_mbs * kMacroblockPx * kMacroblockPx * 3 / 2) {
  luma_counts_.width = size_t{width_mbs} * 4;
  luma_counts_.counts.resize(patched_mbs_.size() * 16);
  for (Counts& counts : chroma_counts_) {
    counts.width = size_t{width_mbs} * 2;
    counts.counts.resize(patched_mbs_.size() * 4);
  }
}

void PatchCoder::Restart(const Nv12Picture& decoded) {
  library_picture_ = decoded;
  std::fill(patched_mbs_.begin(), patched_mbs_.end(), 0);
}

size_t PatchCoder::PatchedWith(std::span<const uint8_t> mbs) const {
  size_t count = 0;
  for (size_t i = 0; i < mbs.size(); ++i) count += (mbs[i] | patched_mbs_[i]) != 0 ? 1 : 0;
  return count;
}

I420Planes PatchCoder::decoded() {
  const size_t y_stride = size_t{width_mbs_} * kMacroblockPx;
  const size_t y_size = y_stride * height_mbs_ * kMacroblockPx;
  return {.y = samples_.data(),
          .u = samples_.data() + y_size,
          .v = samples_.data() + y_size + y_size / 4,
          .y_stride_bytes = y_stride,
          .uv_stride_bytes = y_stride / 2};
}

I420Planes PatchCoder::At(const I420Planes& planes, uint32_t x_mbs, uint32_t y_mbs) {
  I420Planes at = planes;
  at.y += y_mbs * kMacroblockPx * at.y_stride_bytes + x_mbs * kMacroblockPx;
  const size_t chroma = y_mbs * kChromaPx * at.uv_stride_bytes + x_mbs * kChromaPx;
  at.u += chroma;
  at.v += chroma;
  return at;
}

void PatchCoder::Predict(uint32_t x_mbs, uint32_t y_mbs, MacroblockSamples& samples) {
  if (patched_mbs_[size_t{y_mbs} * width_mbs_ + x_mbs] != 0) {
    return LoadI420(At(decoded(), x_mbs, y_mbs), samples);
  }
  const Nv12Picture& from = library_picture_;
  Load<kMacroblockPx>(from.y + y_mbs * kMacroblockPx * from.y_stride_bytes + x_mbs * kMacroblockPx,
                      from.y_stride_bytes, samples.y);
  const uint8_t* uv = from.uv + y_mbs * kChromaPx * from.uv_stride_bytes + x_mbs * kMacroblockPx;
  for (size_t line = 0; line < kChromaPx; ++line, uv += from.uv_stride_bytes) {
    for (size_t x = 0; x < kChromaPx; ++x) {
      samples.chroma[0][line * kChromaPx + x] = uv[2 * x];
      samples.chroma[1][line * kChromaPx + x] = uv[2 * x + 1];
    }
  }
}

void PatchCoder::WriteLuma(uint32_t x_mbs, uint32_t y_mbs, const MacroblockLevels& levels,
                           BitWriter& out) {
  for (int block = 0; block < 16; ++block) {
    if ((levels.pattern >> block / 4 & 1) == 0) continue;
    const size_t x = size_t{x_mbs} * 4 + static_cast<size_t>(LumaBlockX(block));
    const size_t y = size_t{y_mbs} * 4 + static_cast<size_t>(LumaBlockY(block));
    luma_counts_.At(x, y) = static_cast<uint8_t>(
        WriteLevels(levels.luma[static_cast<size_t>(block)], luma_counts_.Context(x, y), out));
  }
}

void PatchCoder::WriteChroma(uint32_t x_mbs, uint32_t y_mbs, const MacroblockLevels& levels,
                             BitWriter& out) {
  const int chroma = levels.pattern >> 4;
  if (chroma == 0) return;
  for (const auto& dc : levels.chroma_dc) WriteLevels(dc, kChromaDcContext, out);
  if (chroma == 1) return;
  for (size_t plane = 0; plane < 2; ++plane) {
    for (size_t block = 0; block < 4; ++block) {
      const size_t x = size_t{x_mbs} * 2 + block % 2;
      const size_t y = size_t{y_mbs} * 2 + block / 2;
      Counts& counts = chroma_counts_[plane];
      const std::span<const int16_t> ac = std::span(levels.chroma_ac[plane][block]).subspan(1);
      counts.At(x, y) = static_cast<uint8_t>(WriteLevels(ac, counts.Context(x, y), out));
    }
  }
}

// macroblock_layer(), clause 7.3.5, of a P_L0_16x16. All vectors of the picture are zero, so they
// are as predicted, and so are those of what is skipped.
void PatchCoder::WriteMacroblock(uint32_t x_mbs, uint32_t y_mbs, const MacroblockLevels& levels,
                                 BitWriter& out) {
  out.Ue(0);  // mb_type
  out.Se(0);  // mvd_l0
  out.Se(0);
  out.Ue(InterPatternCode(levels.pattern));
  out.Se(0);  // mb_qp_delta
  WriteLuma(x_mbs, y_mbs, levels, out);
  WriteChroma(x_mbs, y_mbs, levels, out);
}

void PatchCoder::Code(const Job& job, BitWriter& out) {
  std::fill(luma_counts_.counts.begin(), luma_counts_.counts.end(), 0);
  for (Counts& counts : chroma_counts_) std::fill(counts.counts.begin(), counts.counts.end(), 0);
  MacroblockSamples source;
  MacroblockSamples samples;
  uint32_t skipped = 0;
  for (size_t i = 0; i < job.mbs.size(); ++i) {
    if (job.mbs[i] == 0) {
      ++skipped;
      continue;
    }
    const auto x_mbs = static_cast<uint32_t>(i % width_mbs_);
    const auto y_mbs = static_cast<uint32_t>(i / width_mbs_);
    LoadI420(At(job.picture, x_mbs, y_mbs), source);
    Predict(x_mbs, y_mbs, samples);
    const MacroblockLevels levels = CodeResidual(source, job.quantizer, job.rounding, samples);
    const I420Planes to = At(decoded(), x_mbs, y_mbs);
    Store<kMacroblockPx>(samples.y, to.y, to.y_stride_bytes);
    Store<kChromaPx>(samples.chroma[0], to.u, to.uv_stride_bytes);
    Store<kChromaPx>(samples.chroma[1], to.v, to.uv_stride_bytes);
    patched_mbs_[i] = 1;
    if (levels.pattern == 0) {
      ++skipped;
      continue;
    }
    out.Ue(skipped);
    skipped = 0;
    WriteMacroblock(x_mbs, y_mbs, levels, out);
  }
  if (skipped > 0) out.Ue(skipped);
}

}  // namespace planecast
