// How many connections there may be: in all, of one address, and how fast they may come.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "service/sockets/token_bucket.h"

namespace planecast {

/// Why a connection was not taken, or was ended by us.
enum class ConnectionRefusal {
  // Not taken.
  /// There are as many as there may be.
  kAllTaken,
  /// Its address has as many as it may have.
  kAddressShare,
  /// They come faster than they may, in all or from its address.
  kTooFast,
  /// A connection of its address was cut off a moment ago.
  kAfterFlood,
  /// Connections of several addresses were, and nobody known has come from its own.
  kSiege,
  /// There is no file descriptor left to watch it with.
  kUnwatched,
  // Cut off.
  /// It called nothing.
  kSilent,
  /// More bytes came than any client needs to send.
  kBytes,
  /// More calls came than any client needs to make.
  kCalls,
};
inline constexpr size_t kConnectionRefusalsSize = 9;

/// As metrics and logs name it, e.g. `address_share`.
std::string_view ConnectionRefusalName(ConnectionRefusal refusal);

/// What was cut off has done harm, not only waited too long.
inline bool IsFlood(ConnectionRefusal refusal) {
  return refusal == ConnectionRefusal::kBytes || refusal == ConnectionRefusal::kCalls;
}

/// What a scrape is told of connections.
struct ConnectionReading {
  uint64_t tcp_open = 0;
  uint64_t unix_open = 0;
  /// By ConnectionRefusal.
  std::array<uint64_t, kConnectionRefusalsSize> refused{};
};

/// Connections of addresses, an address being an IPv4 address or an IPv6 /64 as text. Knows no
/// sockets. Thread-safe.
///
/// The newest is refused, never an older one ended: nobody is put out by who comes later.
class ConnectionShares {
 public:
  struct Limits {
    int all_max = 1024;
    int address_max = 64;
  };
  explicit ConnectionShares(Limits limits);

  /// A connection came; it counts, unless it is refused. Times are monotonic.
  std::optional<ConnectionRefusal> Enter(const std::string& address, int64_t now_ns);
  /// One that counted has ended. Of an address that has none, nothing happens.
  void Leave(const std::string& address);
  /// Somebody with a right here has come from the address: it may open its whole share at once.
  void NoteKnown(const std::string& address, int64_t now_ns);
  /// One was cut off for a flood: its address may open none for a while, longer each time that it
  /// comes back to do the same. Floods from several addresses are a siege: while it lasts,
  /// addresses that nobody known came from open only a few connections together.
  void Bar(const std::string& address, int64_t now_ns);
  int open() const;

 private:
  struct Address {
    TokenBucket pace;
    int open = 0;
    int64_t barred_until_ns = 0;
    int64_t last_bar_ns = 0;
    int64_t known_until_ns = 0;
  };
  Address& AddressLocked(const std::string& address);
  void ForgetLocked(int64_t now_ns);

  const Limits limits_;
  mutable std::mutex mutex_;
  TokenBucket pace_;
  TokenBucket siege_pace_;
  /// When the last addresses were barred, the latest last.
  std::deque<int64_t> bars_ns_;
  int64_t siege_until_ns_ = 0;
  int open_ = 0;
  std::unordered_map<std::string, Address> addresses_;
  int enters_until_forget_ = 0;
};

/// How long an address is barred after its first flood, and at most.
inline constexpr int64_t kFirstBarNs = 5'000'000'000;
inline constexpr int64_t kLongestBarNs = 80'000'000'000;
/// So many addresses barred within so long are a siege, which lasts so long after the last of them.
inline constexpr size_t kSiegeAddresses = 3;
inline constexpr int64_t kSiegeNs = 10'000'000'000;
/// Connections of unknown addresses during a siege, a second: each may be a flood again, and holds
/// the server's thread up for some hundredths of a second.
inline constexpr double kSiegeHz = 4;

}  // namespace planecast
