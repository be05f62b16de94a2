// How much of something may come: so much at once, and so much per second.
#pragma once

#include <algorithm>
#include <cstdint>

namespace planecast {

/// Full at first; what is taken comes back with time. Times are monotonic. Thread-compatible.
class TokenBucket {
 public:
  TokenBucket(double rate_per_s, double burst)
      : rate_per_s_(rate_per_s), burst_(burst), level_(burst) {}

  /// False if there is not that much: then nothing is taken.
  bool Take(double amount, int64_t now_ns) {
    if (!Has(amount, now_ns)) return false;
    level_ -= amount;
    return true;
  }
  /// What doesn't fit in is lost.
  void Give(double amount, int64_t now_ns) {
    Refill(now_ns);
    level_ = std::min(level_ + amount, burst_);
  }
  bool Has(double amount, int64_t now_ns) {
    Refill(now_ns);
    return amount <= level_;
  }
  bool IsFull(int64_t now_ns) const { return LevelAt(now_ns) >= burst_; }
  /// What is in stays in; a larger burst is there at once.
  void Resize(double rate_per_s, double burst, int64_t now_ns) {
    Refill(now_ns);
    level_ = std::min(level_ + std::max(burst - burst_, 0.0), burst);
    rate_per_s_ = rate_per_s;
    burst_ = burst;
  }

 private:
  double LevelAt(int64_t now_ns) const {
    const auto passed_s = static_cast<double>(std::max<int64_t>(now_ns - last_ns_, 0)) / 1e9;
    return std::min(burst_, level_ + passed_s * rate_per_s_);
  }
  void Refill(int64_t now_ns) {
    level_ = LevelAt(now_ns);
    last_ns_ = now_ns;
  }

  double rate_per_s_;
  double burst_;
  double level_;
  int64_t last_ns_ = 0;
};

}  // namespace planecast
