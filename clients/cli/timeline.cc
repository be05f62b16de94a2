#include "clients/cli/timeline.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace planecast::cli {
namespace {

// Pictures are at least this far apart, in ns; a file's clock must be able to tell them apart.
constexpr int64_t kStepMinNs = 1'000'000;
// A picture's time may differ from the client's clock by this much, in ns, before it is
// disbelieved.
constexpr int64_t kDriftMaxNs = 5'000'000'000;
// Keeps sums and differences of a server's numbers in range.
constexpr int64_t kServerTimeMaxNs = std::numeric_limits<int64_t>::max() / 4;

int64_t Clamped(int64_t server_time_ns) {
  return std::clamp<int64_t>(server_time_ns, 0, kServerTimeMaxNs);
}

}  // namespace

void Timeline::OnStarted(int64_t server_time_ns) {
  started_ns_ = Clamped(server_time_ns);
}

int64_t Timeline::Place(const v1::AccessUnit& unit, int64_t now_ns) {
  const int64_t flip_ns = Clamped(unit.flip_time_ns());
  const int64_t encoded_ns = Clamped(unit.encoded_time_ns());
  if (!began()) {
    // The guest may have flipped long before anyone looked on.
    base_ns_ = std::max(flip_ns, started_ns_);
    last_arrival_ns_ = now_ns;
    return 0;
  }
  const int64_t expected_ns = std::max(LengthAt(now_ns), last_ns_ + kStepMinNs);
  int64_t time_ns = flip_ns - base_ns_;
  if (std::exchange(rebase_, false)) {
    base_ns_ = encoded_ns - expected_ns;
    time_ns = expected_ns;
  }
  // A picture may be coded again, sharper or as a key frame, long after its flip.
  if (time_ns <= last_ns_) time_ns = encoded_ns - base_ns_;
  if (time_ns > expected_ns + kDriftMaxNs || time_ns < expected_ns - kDriftMaxNs) {
    time_ns = expected_ns;
  }
  last_ns_ = std::max(time_ns, last_ns_ + kStepMinNs);
  last_arrival_ns_ = now_ns;
  return last_ns_;
}

int64_t Timeline::LengthAt(int64_t now_ns) const {
  if (!began()) return 0;
  return last_ns_ + std::max<int64_t>(0, now_ns - *last_arrival_ns_);
}

}  // namespace planecast::cli
