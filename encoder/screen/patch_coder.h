// P pictures in which little changed, coded without an encoder library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "encoder/h264/cavlc.h"
#include "encoder/h264/h264_bits.h"
#include "encoder/h264/residual.h"
#include "encoder/pixels/color_convert.h"

namespace planecast {

/// Codes small changes: each changed macroblock is predicted from its own place in the last
/// picture, everything else is skipped.
///
/// An encoder library visits every macroblock of each picture, and copies and filters the whole of
/// it, which at 1920x1080 costs 2.8 ms before anything is coded; this costs some microseconds for
/// each macroblock that changed. It knows what the decoder has: the library's last picture, and on
/// top of it what it coded itself. All memory is allocated once, but for what is returned.
/// Thread-compatible.
class PatchCoder {
 public:
  PatchCoder(uint32_t width_mbs, uint32_t height_mbs);

  /// The library coded a picture: `decoded` is what a decoder has now, and stays valid until the
  /// next call.
  void Restart(const Nv12Picture& decoded);

  /// One per macroblock: 1 if it was patched since the library's last picture.
  std::span<const uint8_t> patched_mbs() const { return patched_mbs_; }
  /// How many there would be after patching `mbs` too, where one that is not 0 counts.
  size_t PatchedWith(std::span<const uint8_t> mbs) const;

  struct Job {
    I420Planes picture;
    /// One per macroblock: not 0 if it is to be coded.
    std::span<const uint8_t> mbs;
    /// 10 to 51.
    int quantizer = 23;
    Rounding rounding = Rounding::kCheap;
  };
  /// Writes the slice data of a whole picture behind a slice header.
  void Code(const Job& job, BitWriter& out);

 private:
  /// Where a macroblock's planes begin.
  static I420Planes At(const I420Planes& planes, uint32_t x_mbs, uint32_t y_mbs);
  I420Planes decoded();
  void Predict(uint32_t x_mbs, uint32_t y_mbs, MacroblockSamples& samples);
  void WriteMacroblock(uint32_t x_mbs, uint32_t y_mbs, const MacroblockLevels& levels,
                       BitWriter& out);
  void WriteLuma(uint32_t x_mbs, uint32_t y_mbs, const MacroblockLevels& levels, BitWriter& out);
  void WriteChroma(uint32_t x_mbs, uint32_t y_mbs, const MacroblockLevels& levels, BitWriter& out);

  /// How many levels each block of the current picture has, for the contexts of its neighbours.
  struct Counts {
    uint8_t& At(size_t x, size_t y) { return counts[y * width + x]; }
    /// nC, clause 9.2.1, in a picture of one slice.
    int Context(size_t x, size_t y) const;
    size_t width = 0;
    std::vector<uint8_t> counts;
  };

  const uint32_t width_mbs_;
  const uint32_t height_mbs_;
  Nv12Picture library_picture_;
  std::vector<uint8_t> patched_mbs_;
  /// I420 of the decoder's picture; only patched macroblocks are valid.
  std::vector<uint8_t> samples_;
  Counts luma_counts_;
  Counts chroma_counts_[2];
};

}  // namespace planecast
