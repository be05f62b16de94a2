#include "service/sockets/connection_shares.h"

#include <algorithm>

namespace planecast {
namespace {

/// A share may be used up at once, and once more in so many seconds: a TLS handshake costs the
/// thread that serves everybody one or two milliseconds.
constexpr double kPaceSeconds = 8;
/// Of an address that nobody known came from, such a part of it at once.
constexpr double kUnknownPart = 0.5;
/// Who did nothing for so long after a bar has a clean sheet.
constexpr int64_t kBarMemoryNs = 60'000'000'000;
constexpr int kEntersPerForget = 256;
/// Where somebody known came from is remembered for so long, unless there are very many of them.
constexpr int64_t kKnownMemoryNs = 3'600'000'000'000;
constexpr size_t kKnownMax = 16'384;

}  // namespace

std::string_view ConnectionRefusalName(ConnectionRefusal refusal) {
  switch (refusal) {
    case ConnectionRefusal::kAllTaken:
      return "all_taken";
    case ConnectionRefusal::kAddressShare:
      return "address_share";
    case ConnectionRefusal::kTooFast:
      return "too_fast";
    case ConnectionRefusal::kAfterFlood:
      return "after_flood";
    case ConnectionRefusal::kSiege:
      return "siege";
    case ConnectionRefusal::kUnwatched:
      return "no_fd";
    case ConnectionRefusal::kSilent:
      return "silent";
    case ConnectionRefusal::kBytes:
      return "bytes";
    case ConnectionRefusal::kCalls:
      return "calls";
  }
  return "unknown";
}

ConnectionShares::ConnectionShares(Limits limits)
    : limits_(limits),
      pace_(limits.all_max / kPaceSeconds, limits.all_max),
      siege_pace_(kSiegeHz, kSiegeHz) {}

std::optional<ConnectionRefusal> ConnectionShares::Enter(const std::string& address,
                                                         int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  // Before anything is remembered of the address: whoever has very many of them fills no memory.
  if (open_ >= limits_.all_max) return ConnectionRefusal::kAllTaken;
  if (!pace_.Has(1, now_ns)) return ConnectionRefusal::kTooFast;
  ForgetLocked(now_ns);
  Address& own = AddressLocked(address);
  if (now_ns < own.barred_until_ns) return ConnectionRefusal::kAfterFlood;
  const bool suspect = now_ns < siege_until_ns_ && now_ns >= own.known_until_ns;
  if (suspect && !siege_pace_.Take(1, now_ns)) return ConnectionRefusal::kSiege;
  if (own.open >= limits_.address_max) return ConnectionRefusal::kAddressShare;
  if (!own.pace.Take(1, now_ns) || !pace_.Take(1, now_ns)) return ConnectionRefusal::kTooFast;
  ++own.open;
  ++open_;
  return std::nullopt;
}

void ConnectionShares::Leave(const std::string& address) {
  const std::lock_guard lock(mutex_);
  const auto own = addresses_.find(address);
  // Operators' connections end here, too, and never counted.
  if (own == addresses_.end() || own->second.open == 0) return;
  --own->second.open;
  --open_;
}

void ConnectionShares::NoteKnown(const std::string& address, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  Address& own = AddressLocked(address);
  own.known_until_ns = now_ns + kKnownMemoryNs;
  own.pace.Resize(limits_.address_max / kPaceSeconds, limits_.address_max, now_ns);
}

void ConnectionShares::Bar(const std::string& address, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  Address& own = AddressLocked(address);
  // What is cut off together counts once.
  if (now_ns < own.barred_until_ns) return;
  const bool again = own.last_bar_ns > 0 && now_ns < own.barred_until_ns + kBarMemoryNs;
  own.last_bar_ns = again ? std::min(2 * own.last_bar_ns, kLongestBarNs) : kFirstBarNs;
  own.barred_until_ns = now_ns + own.last_bar_ns;
  bars_ns_.push_back(now_ns);
  while (bars_ns_.size() > kSiegeAddresses) bars_ns_.pop_front();
  if (bars_ns_.size() == kSiegeAddresses && now_ns - bars_ns_.front() < kSiegeNs) {
    siege_until_ns_ = now_ns + kSiegeNs;
  }
}

int ConnectionShares::open() const {
  const std::lock_guard lock(mutex_);
  return open_;
}

ConnectionShares::Address& ConnectionShares::AddressLocked(const std::string& address) {
  const auto known = addresses_.find(address);
  if (known != addresses_.end()) return known->second;
  const double at_once = std::max(limits_.address_max * kUnknownPart, 1.0);
  Address fresh{TokenBucket(limits_.address_max / kPaceSeconds, at_once)};
  return addresses_.emplace(address, fresh).first->second;
}

void ConnectionShares::ForgetLocked(int64_t now_ns) {
  if (--enters_until_forget_ > 0) return;
  enters_until_forget_ = kEntersPerForget;
  const bool remembers = addresses_.size() < kKnownMax;
  std::erase_if(addresses_, [now_ns, remembers](const auto& entry) {
    const Address& one = entry.second;
    const bool clean = one.last_bar_ns == 0 || now_ns >= one.barred_until_ns + kBarMemoryNs;
    const bool known = remembers && now_ns < one.known_until_ns;
    return one.open == 0 && clean && !known && one.pace.IsFull(now_ns);
  });
}

}  // namespace planecast
