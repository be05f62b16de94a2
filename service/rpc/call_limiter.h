// How many calls a connection and an address may make.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "service/sockets/token_bucket.h"

namespace planecast {

/// Calls a second, and at once. What is there to be done by calls is little: a stream is one call
/// for as long as it lasts. A wall of 64 displays that starts, or takes a snapshot of each, makes
/// 64; at 2,000 a second nobody notices anything yet.
struct CallLimits {
  double connection_hz = 200;
  /// As many as may be under way at a time.
  double connection_burst = 256;
  /// For each viewer on a connection: a viewer over HTTP reports some 10 times a second, by calls.
  double viewer_hz = 20;
  /// An address, or a uid, may make so many times as many.
  double address_factor = 4;
  /// Of a connection that keeps its own limit, while others of its address use up what is theirs
  /// together: so many calls may be refused, and then it is one of those others.
  double refused_hz = 20;
  double refused_burst = 64;
  /// Operators' sockets: so many times as many. Whoever may stop a display may still not stop the
  /// house by a script that runs wild.
  double operator_factor = 10;
};

/// Thread-compatible. Times are monotonic.
class CallLimiter {
 public:
  enum class Verdict {
    kFine,
    /// Too many come from its address, and not by this connection: the call is to be refused.
    kRefused,
    /// Too many come by it: it is to be cut off.
    kTooMany,
  };

  explicit CallLimiter(CallLimits limits) : limits_(limits) {}

  /// A call came by a connection.
  Verdict Count(const std::string& connection, const std::string& address, double factor,
                int64_t now_ns);
  /// As above, for who has no connections that can be told apart. False if that is too many.
  bool CountAddress(const std::string& address, double factor, int64_t now_ns);
  /// Viewers of a connection, if it is still there, and of its address.
  void AddViewers(const std::string* connection, const std::string& address, int change,
                  int64_t now_ns);
  /// The connection has ended, and its viewers are no longer there. The next one of its name has no
  /// more calls at once than it had left.
  void EndConnection(const std::string& connection, int64_t now_ns);

 private:
  struct Entry {
    TokenBucket calls;
    /// Of a connection.
    TokenBucket refused;
    int viewers = 0;
  };
  using Entries = std::unordered_map<std::string, Entry>;

  Entry& EntryOf(Entries& entries, const std::string& key, double factor);
  void Forget(int64_t now_ns);

  const CallLimits limits_;
  Entries connections_;
  Entries addresses_;
  int counts_until_forget_ = 0;
};

}  // namespace planecast
