// Which quantiser a picture gets: constant quality until the bitrate cap asks for less.
#pragma once

#include <cstddef>
#include <cstdint>

#include "encoder/encoder.h"

namespace planecast {

/// A slow rate control of our own. CRF and CBR of the encoder libraries drift on static content, so
/// that unchanged text is coded again and again; this one gives exactly RateParams::quantizer
/// whenever the cap allows.
///
/// A bucket that drains at the cap tells how much was sent lately; the bits of the next picture are
/// guessed from the last ones, halving for every six steps of the quantiser (H.264 doubles its
/// quantiser step every six). The quantiser rises at once and falls slowly, so that quality doesn't
/// flicker, and only as far as the cap has room: a finer quantiser than the last picture's codes
/// the whole picture anew, however little changed. A picture that stands still is refined in steps,
/// each of which leaves room for a change that comes right after. Pure: time comes in as an
/// argument. Thread-compatible.
class RateControl {
 public:
  /// `pixels` is the size of a picture.
  RateControl(const RateParams& rate, int frame_rate_hz, uint64_t pixels);

  void SetRate(const RateParams& rate) { rate_ = rate; }

  /// The quantiser for a picture to be coded now, RateParams::quantizer to kQuantizerMax.
  int NextQuantizer(int64_t now_ns, bool key_frame);

  /// Tells what the picture took.
  void Coded(int64_t now_ns, int quantizer, bool key_frame, size_t bytes);

  /// When the cap has room to refine a picture that stands still.
  int64_t RefinementNs(int64_t now_ns);

  /// What of a picture is coarser than it should be in the end.
  struct Coarse {
    /// The coarsest quantiser of any macroblock, above RateParams::sharp_quantizer.
    int quantizer = kQuantizerMax;
    /// Their part of the picture, 0 to 1.
    double area = 1;
  };

  /// The quantiser of a refinement to be coded now: below that of `coarse`, not below
  /// RateParams::sharp_quantizer.
  int RefinementQuantizer(int64_t now_ns, const Coarse& coarse);

  /// Tells what a refinement took.
  void Refined(int64_t now_ns, const Coarse& coarse, int quantizer, size_t bytes);

  /// The quantiser of a patch (patch_coder.h) of so many macroblocks. Unlike another picture, it
  /// codes nothing but those, so it need not wait for the rest of the picture to become finer.
  int PatchQuantizer(int64_t now_ns, size_t macroblocks);

  /// Tells what a patch took.
  void Patched(int64_t now_ns, int quantizer, size_t macroblocks, size_t bytes);

  static constexpr int kQuantizerMax = 51;

 private:
  void NotePicture(int64_t now_ns);
  double RoomBits() const;
  void Drain(int64_t now_ns);
  double AllowanceBits(bool key_frame) const;

  RateParams rate_;
  double frame_interval_min_s_;
  double interval_s_;
  // Bits in the bucket.
  double level_bits_ = 0;
  // Guessed bits of a picture at quantiser 0, key frames apart from others.
  double key_complexity_bits_;
  double complexity_bits_ = 0;
  // Guessed bits, at quantiser 0, of making the whole picture finer.
  double refinement_bits_ = 0;
  // Guessed bits, at quantiser 0, of refining the whole picture by six steps while it stands still.
  double still_bits_ = 0;
  // Guessed bits, at quantiser 0, of a macroblock of a patch.
  double patch_bits_;
  // How far above RateParams::quantizer the last picture was.
  double excess_ = 0;
  // The last picture's.
  int quantizer_ = 0;
  int64_t drained_ns_ = 0;
  int64_t coded_ns_ = 0;
  bool started_ = false;
};

}  // namespace planecast
