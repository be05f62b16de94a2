// When the next frame may be coded, under a cap on the frame rate.
#pragma once

#include <cstdint>
#include <optional>

namespace planecast {

/// Of the time that passes, the part by which frames may be coded before their time.
inline constexpr int64_t kPaceForgivenShare = 100;

/// Keeps a cap on the frame rate, on average. Thread-compatible.
///
/// Two things keep it from costing latency when a guest flips at the very rate of the cap: half an
/// interval of credit for a guest's jitter, and forgiveness. Whatever is coded out of turn, a key
/// frame for instance, puts the pacer's beat out of the guest's; each flip would then wait for the
/// same part of an interval, for ever. So the wait of a frame that was held back is taken off the
/// next one, as long as that is no more than a hundredth of the time that has passed.
class FramePacer {
 public:
  /// A frame may be coded now.
  bool Due(int64_t now_ns) const { return now_ns >= next_ns_; }
  int64_t next_ns() const { return next_ns_; }

  /// A frame came that is not due.
  void NoteHeld(int64_t now_ns);
  /// A frame was coded, due or not. At the cap's rate frames are `interval_ns` apart.
  void NoteCoded(int64_t now_ns, int64_t interval_ns);
  /// The cap has changed: nobody waits longer than its interval.
  void Limit(int64_t now_ns, int64_t interval_ns);
  /// A frame may be coded at once.
  void Restart();

 private:
  int64_t next_ns_ = 0;
  std::optional<int64_t> held_since_ns_;
  int64_t coded_ns_ = 0;
  int64_t forgiven_max_ns_ = 0;
};

}  // namespace planecast
