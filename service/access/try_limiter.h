// How often one peer's failed tries are worth a line and a thought.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "vfio/clock.h"

namespace planecast {

/// Counts failed tries per peer: each has a bucket of tokens that fills with time, and a failure
/// takes one. Thread-safe.
///
/// Only failures are counted, and only after the fact: a valid ticket is never refused because
/// others behind the same address failed. It needs no such protection, as nobody guesses 256 bits;
/// the limit protects the log and the CPU.
class TryLimiter {
 public:
  struct Options {
    /// Failures at once.
    int burst = 20;
    /// One more after each of these.
    int64_t refill_ns = 1'000'000'000;
    /// Peers remembered. One more makes the one forgotten that failed least lately: its bucket is
    /// the fullest, or nearly so.
    size_t peers_max = 4096;
  };
  /// `clock` must outlive the limiter.
  TryLimiter(Clock& clock, Options options);

  /// A try of the peer with this Peer::limit_key failed. True if that is within the limit, false if
  /// it is over it.
  bool Failed(std::string_view key);
  /// Peers remembered now.
  size_t peers() const;

 private:
  struct Entry {
    std::string key;
    /// When the bucket is full again, monotonic: one number says how full it is now.
    int64_t full_at_ns = 0;
  };

  Clock& clock_;
  const Options options_;
  mutable std::mutex mutex_;
  /// The one that failed last in front.
  std::list<Entry> entries_;
  /// Keys point into entries_.
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;
};

}  // namespace planecast
