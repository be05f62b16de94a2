#include "encoder/screen/rate_control.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace planecast {
namespace {

// How much of the cap may go out in a burst before the quantiser rises, in seconds of the cap.
constexpr double kBurstS = 0.25;
// How long a deficit or surplus takes to be evened out, in pictures.
constexpr double kEvenOutPictures = 8;
// A picture never has to shrink below this part of its steady share, lest it fall apart.
constexpr double kShareMin = 0.25;
// How fast the quantiser returns.
constexpr double kFallPerS = 6;
constexpr double kFallPerPicture = 1;
// More debt than this is forgiven: at the largest quantiser nothing more can be done.
constexpr double kDebtMaxS = 2;
// How fast the guess of a picture's bits follows when pictures become simpler.
constexpr double kDecay = 0.3;
// How fast the guess of a refinement's bits is forgotten by pictures that refine nothing.
constexpr double kRefinementDecay = 0.05;
// Pictures further apart than this don't count as a steady stream.
constexpr double kIntervalMaxS = 0.1;
// The first key frame: a desktop full of text takes half a bit per pixel at quantiser 23.
constexpr double kKeyBitsPerPixel = 0.5;
constexpr int kKeyQuantizer = 23;

// A refinement may take this much of the cap, in seconds; it waits until no more than the latter is
// left of what was sent before.
constexpr double kStillBurstS = 0.1;
constexpr double kStillStartS = 0.05;
// Less of the picture than this takes as much, lest the guess be drawn from next to nothing.
constexpr double kStillAreaMin = 0.01;
// The guess of a refinement's bits falls to no less than this part at once.
constexpr double kStillFall = 0.7;

// The first patch: a macroblock of new text takes 60 bytes at quantiser 23.
constexpr double kPatchBitsPerMb = 480;
// A patch may take this part of the room there is.
constexpr double kPatchRoom = 0.5;

double Scale(int quantizer) {
  return std::exp2(quantizer / 6.0);
}

// Of refinements by six steps, each takes about 1.4 times the bits of the one before (measured on
// text): what it codes is the last one's rounding error, not the picture.
double StillScale(int quantizer) {
  return std::exp2(quantizer / 12.0);
}

// What the guess for a refinement by six steps at quantiser 0 is to be multiplied with.
double StillShare(const RateControl::Coarse& coarse, int quantizer) {
  return std::max(coarse.area, kStillAreaMin) * (coarse.quantizer - quantizer) / 6 /
         StillScale(quantizer);
}

}  // namespace

RateControl::RateControl(const RateParams& rate, int frame_rate_hz, uint64_t pixels)
    : rate_(rate),
      frame_interval_min_s_(1.0 / frame_rate_hz),
      interval_s_(frame_interval_min_s_),
      key_complexity_bits_(static_cast<double>(pixels) * kKeyBitsPerPixel * Scale(kKeyQuantizer)),
      patch_bits_(kPatchBitsPerMb * Scale(kKeyQuantizer)) {}

void RateControl::Drain(int64_t now_ns) {
  if (!started_) {
    started_ = true;
    drained_ns_ = now_ns;
    coded_ns_ = now_ns;
  }
  const double elapsed_s = static_cast<double>(std::max<int64_t>(now_ns - drained_ns_, 0)) / 1e9;
  const auto cap_bps = static_cast<double>(rate_.bitrate_max_bps);
  level_bits_ = std::clamp(level_bits_ - elapsed_s * cap_bps, 0.0, kDebtMaxS * cap_bps);
  drained_ns_ = now_ns;
}

double RateControl::RoomBits() const {
  return kBurstS * static_cast<double>(rate_.bitrate_max_bps) - level_bits_;
}

double RateControl::AllowanceBits(bool key_frame) const {
  const auto cap_bps = static_cast<double>(rate_.bitrate_max_bps);
  const double share_bits = cap_bps * interval_s_;
  const double room_bits = RoomBits();
  // A key frame comes alone; it may take all the room there is.
  if (key_frame) return std::max(room_bits, share_bits);
  return std::max(share_bits + room_bits / kEvenOutPictures, share_bits * kShareMin);
}

int RateControl::NextQuantizer(int64_t now_ns, bool key_frame) {
  Drain(now_ns);
  const double guess_bits =
      (key_frame ? key_complexity_bits_ : complexity_bits_) / Scale(rate_.quantizer);
  const double allowance_bits = AllowanceBits(key_frame);
  const double needed =
      guess_bits > allowance_bits ? 6 * std::log2(guess_bits / allowance_bits) : 0;
  const double since_s = static_cast<double>(std::max<int64_t>(now_ns - coded_ns_, 0)) / 1e9;
  const double fall = std::min(since_s * kFallPerS, key_frame ? kQuantizerMax : kFallPerPicture);
  // Also after a key frame: what it left coarse can't be made good by the next picture.
  excess_ = std::max(needed, excess_ - fall);
  excess_ = std::clamp<double>(excess_, 0, kQuantizerMax - rate_.quantizer);
  if (key_frame) {
    excess_ = std::ceil(excess_);
    return std::min(rate_.quantizer + static_cast<int>(std::ceil(needed)), kQuantizerMax);
  }
  const int quantizer = rate_.quantizer + static_cast<int>(std::ceil(excess_));
  if (quantizer >= quantizer_ || refinement_bits_ / Scale(quantizer) <= allowance_bits) {
    return quantizer;
  }
  excess_ = quantizer_ - rate_.quantizer;
  return quantizer_;
}

void RateControl::NotePicture(int64_t now_ns) {
  const double interval_s = static_cast<double>(std::max<int64_t>(now_ns - coded_ns_, 0)) / 1e9;
  interval_s_ += (std::clamp(interval_s, frame_interval_min_s_, kIntervalMaxS) - interval_s_) / 4;
  coded_ns_ = now_ns;
}

void RateControl::Coded(int64_t now_ns, int quantizer, bool key_frame, size_t bytes) {
  const double bits = static_cast<double>(bytes) * 8;
  Drain(now_ns);
  level_bits_ += bits;
  NotePicture(now_ns);
  const double complexity_bits = bits * Scale(quantizer);
  const bool refines = quantizer < std::exchange(quantizer_, quantizer);
  if (key_frame) {
    key_complexity_bits_ = complexity_bits;
    refinement_bits_ = complexity_bits;
    still_bits_ = bits * StillScale(quantizer);
    return;
  }
  refinement_bits_ += (refines ? kDecay : kRefinementDecay) * (complexity_bits - refinement_bits_);
  complexity_bits_ =
      std::max(complexity_bits, complexity_bits_ + kDecay * (complexity_bits - complexity_bits_));
}

int64_t RateControl::RefinementNs(int64_t now_ns) {
  Drain(now_ns);
  const double over_s = level_bits_ / static_cast<double>(rate_.bitrate_max_bps) - kStillStartS;
  return over_s > 0 ? now_ns + static_cast<int64_t>(std::ceil(over_s * 1e9)) : now_ns;
}

int RateControl::RefinementQuantizer(int64_t now_ns, const Coarse& coarse) {
  Drain(now_ns);
  const double room_bits = kStillBurstS * static_cast<double>(rate_.bitrate_max_bps) - level_bits_;
  for (int quantizer = rate_.sharp_quantizer; quantizer < coarse.quantizer - 1; ++quantizer) {
    if (still_bits_ * StillShare(coarse, quantizer) <= room_bits) return quantizer;
  }
  // The smallest step there is, even if it takes more: waiting would not make it smaller.
  return coarse.quantizer - 1;
}

void RateControl::Refined(int64_t now_ns, const Coarse& coarse, int quantizer, size_t bytes) {
  const double bits = static_cast<double>(bytes) * 8;
  Drain(now_ns);
  level_bits_ += bits;
  // A small step may take next to nothing, because the last rounding already was as fine.
  still_bits_ = std::max(bits / StillShare(coarse, quantizer), still_bits_ * kStillFall);
  // Nothing is coarser now, so the next picture need not be either.
  quantizer_ = quantizer;
  excess_ = std::clamp<double>(quantizer - rate_.quantizer, 0, excess_);
}

int RateControl::PatchQuantizer(int64_t now_ns, size_t macroblocks) {
  Drain(now_ns);
  const double guess_bits = patch_bits_ * static_cast<double>(macroblocks) / Scale(rate_.quantizer);
  const double share_bits = static_cast<double>(rate_.bitrate_max_bps) * interval_s_;
  const double allowance_bits = std::max(share_bits * kShareMin, RoomBits() * kPatchRoom);
  const double needed =
      guess_bits > allowance_bits ? std::ceil(6 * std::log2(guess_bits / allowance_bits)) : 0;
  return std::min(rate_.quantizer + static_cast<int>(needed), kQuantizerMax);
}

void RateControl::Patched(int64_t now_ns, int quantizer, size_t macroblocks, size_t bytes) {
  const double bits = static_cast<double>(bytes) * 8;
  Drain(now_ns);
  level_bits_ += bits;
  NotePicture(now_ns);
  const double each =
      bits * Scale(quantizer) / static_cast<double>(std::max<size_t>(macroblocks, 1));
  patch_bits_ = std::max(each, patch_bits_ + kDecay * (each - patch_bits_));
}

}  // namespace planecast
