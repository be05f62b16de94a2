// How often one viewer may tell the server something.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace planecast {

/// What comes in at a rate, with room for what comes at once after a pause. One number of state.
class TokenBucket {
 public:
  /// `per_second` tokens come in a second, at most `burst` wait. Both are above 0.
  constexpr TokenBucket(int64_t per_second, int64_t burst)
      : token_ns_(1'000'000'000 / per_second), room_ns_(token_ns_ * burst) {}

  /// Takes `count` tokens, from 0 to a thousand, if there are so many. Times don't go back.
  bool Take(int64_t count, int64_t now_ns) {
    const int64_t full_ns = (full_ns_ > now_ns ? full_ns_ : now_ns) + count * token_ns_;
    if (full_ns - now_ns > room_ns_) return false;
    full_ns_ = full_ns;
    return true;
  }

 private:
  const int64_t token_ns_;
  const int64_t room_ns_;
  /// When the bucket is full again, which says how full it is now.
  int64_t full_ns_ = 0;
};

/// What one viewer needs at most, twice: a picture shown at 240 Hz is acknowledged 240 times a
/// second, and a hand makes 1,000 events.
inline constexpr int64_t kAcknowledgementsPerSecondMax = 480;
inline constexpr int64_t kMessagesPerSecondMax = 2480;
/// More changes of the limits are put together to one.
inline constexpr int64_t kLimitsChangesPerSecond = 10;

/// Counts what one viewer tells. What a stalled network holds back comes at once afterwards, so two
/// seconds' worth may. Bound to one thread; asks for no clock.
class ViewerMeter {
 public:
  /// A message came, with so many acknowledgements (0 to 64). RESOURCE_EXHAUSTED, for a person, if
  /// that is more than any viewer needs.
  absl::Status Note(int acknowledgements, int64_t now_ns);
  /// Whether the limits may change now. If not, the newest are to be asked for again later.
  bool TakeLimitsChange(int64_t now_ns) { return limits_.Take(1, now_ns); }

 private:
  TokenBucket messages_{kMessagesPerSecondMax, 2 * kMessagesPerSecondMax};
  TokenBucket acknowledgements_{kAcknowledgementsPerSecondMax, 2 * kAcknowledgementsPerSecondMax};
  TokenBucket limits_{kLimitsChangesPerSecond, kLimitsChangesPerSecond};
};

}  // namespace planecast
