#include "service/access/try_limiter.h"

#include <algorithm>
#include <cassert>

namespace planecast {

TryLimiter::TryLimiter(Clock& clock, Options options) : clock_(clock), options_(options) {
  assert(options_.burst > 0 && options_.refill_ns > 0 && options_.peers_max > 0);
}

bool TryLimiter::Failed(std::string_view key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t now_ns = clock_.NowNs();
  const auto found = by_key_.find(key);
  if (found != by_key_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
  } else {
    if (entries_.size() >= options_.peers_max) {
      by_key_.erase(entries_.back().key);
      entries_.pop_back();
    }
    entries_.push_front({std::string(key), now_ns});
    by_key_[entries_.front().key] = entries_.begin();
  }
  Entry& entry = entries_.front();
  const int64_t full_at_ns = std::max(entry.full_at_ns, now_ns);
  if (full_at_ns - now_ns > (options_.burst - 1) * options_.refill_ns) return false;
  entry.full_at_ns = full_at_ns + options_.refill_ns;
  return true;
}

size_t TryLimiter::peers() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_.size();
}

}  // namespace planecast
