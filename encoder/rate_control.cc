#include "encoder/rate_control.h"

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

double Scale(int quantizer) {
  return std::exp2(quantizer / 6.0);
}

}  // namespace

RateControl::RateControl(const RateParams& rate, int frame_rate_hz, uint64_t pixels)
    : rate_(rate),
      frame_interval_min_s_(1.0 / frame_rate_hz),
      interval_s_(frame_interval_min_s_),
      key_complexity_bits_(static_cast<double>(pixels) * kKeyBitsPerPixel * Scale(kKeyQuantizer)) {}

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

double RateControl::AllowanceBits(bool key_frame) const {
  const auto cap_bps = static_cast<double>(rate_.bitrate_max_bps);
  const double share_bits = cap_bps * interval_s_;
  const double room_bits = kBurstS * cap_bps - level_bits_;
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

void RateControl::Coded(int64_t now_ns, int quantizer, bool key_frame, size_t bytes) {
  const double bits = static_cast<double>(bytes) * 8;
  Drain(now_ns);
  level_bits_ += bits;
  const double interval_s = static_cast<double>(std::max<int64_t>(now_ns - coded_ns_, 0)) / 1e9;
  interval_s_ += (std::clamp(interval_s, frame_interval_min_s_, kIntervalMaxS) - interval_s_) / 4;
  coded_ns_ = now_ns;
  const double complexity_bits = bits * Scale(quantizer);
  const bool refines = quantizer < std::exchange(quantizer_, quantizer);
  if (key_frame) {
    key_complexity_bits_ = complexity_bits;
    refinement_bits_ = complexity_bits;
    return;
  }
  refinement_bits_ += (refines ? kDecay : kRefinementDecay) * (complexity_bits - refinement_bits_);
  complexity_bits_ =
      std::max(complexity_bits, complexity_bits_ + kDecay * (complexity_bits - complexity_bits_));
}

}  // namespace planecast
