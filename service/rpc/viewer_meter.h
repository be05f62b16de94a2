// How often one viewer may tell the server something.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "service/sockets/token_bucket.h"

namespace planecast {

/// What one viewer needs at most, twice: a picture shown at 240 Hz is acknowledged 240 times a
/// second, and a hand makes 1,000 events.
inline constexpr double kAcknowledgementsPerSecondMax = 480;
inline constexpr double kMessagesPerSecondMax = 2480;
/// More changes of the limits are put together to one.
inline constexpr double kLimitsChangesPerSecond = 10;

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
