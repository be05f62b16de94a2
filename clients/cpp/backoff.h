// How long to wait before the next try.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace planecast {

/// Doubles the wait with each failure, up to a limit, with a random fifth added or taken so that
/// the clients of a server that restarts do not all come back at once. Thread-compatible.
class Backoff {
 public:
  using Duration = std::chrono::milliseconds;

  /// Waits from about `min` to about `max`.
  Backoff(Duration min, Duration max) : min_(min), max_(max), next_(min) {}

  /// The wait before the next try.
  Duration Next() {
    const Duration base = next_;
    next_ = std::min(max_, next_ * 2);
    std::uniform_real_distribution<double> spread(0.8, 1.2);
    return Duration(
        static_cast<Duration::rep>(static_cast<double>(base.count()) * spread(random_)));
  }

  /// Starts from `min` again, after a success.
  void Reset() { next_ = min_; }

 private:
  Duration min_;
  Duration max_;
  Duration next_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace planecast
