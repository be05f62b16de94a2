#include "service/core/frame_pacer.h"

#include <algorithm>
#include <utility>

namespace planecast {

void FramePacer::NoteHeld(int64_t now_ns) {
  if (!held_since_ns_.has_value()) held_since_ns_ = now_ns;
}

void FramePacer::NoteCoded(int64_t now_ns, int64_t interval_ns) {
  const int64_t earned_ns = (now_ns - std::exchange(coded_ns_, now_ns)) / kPaceForgivenShare;
  forgiven_max_ns_ = std::min(forgiven_max_ns_ + earned_ns, interval_ns);
  // What key frames use up of the cap is not owed for ever.
  const int64_t beat_ns = std::clamp(next_ns_, now_ns - interval_ns / 2, now_ns);
  const int64_t waited_ns = now_ns - held_since_ns_.value_or(now_ns);
  const int64_t forgiven_ns = std::min(waited_ns, forgiven_max_ns_);
  held_since_ns_.reset();
  forgiven_max_ns_ -= forgiven_ns;
  next_ns_ = beat_ns - forgiven_ns + interval_ns;
}

void FramePacer::Limit(int64_t now_ns, int64_t interval_ns) {
  next_ns_ = std::min(next_ns_, now_ns + interval_ns);
}

void FramePacer::Restart() {
  next_ns_ = 0;
  held_since_ns_.reset();
}

}  // namespace planecast
