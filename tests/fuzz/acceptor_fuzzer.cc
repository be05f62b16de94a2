// Who comes, by which address and in which words, calls, sends, waits and goes: the acceptors'
// guard counts whom it has, lets in no more than may be, and knows each by the name that gRPC gives
// him.
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/rpc/connection_guard.h"
#include "tests/fuzz/connections.h"
#include "vfio/clock.h"

namespace {

using namespace planecast;        // NOLINT(google-build-using-namespace): nobody includes a fuzzer.
using namespace planecast::fuzz;  // NOLINT(google-build-using-namespace): as above.

constexpr size_t kConnectionsMax = 24;
constexpr CallLimits kCalls = {.connection_hz = 2,
                               .connection_burst = 6,
                               .viewer_hz = 1,
                               .address_factor = 2,
                               .operator_factor = 4};
constexpr int kCallsPerTurnMax = 8;

/// A peer in all the words that it has: to accept(), to gRPC, to a limit.
struct Peer {
  sockaddr_storage address{};
  std::string uri;
  std::string text;
  std::string key;
};

Peer V4Peer(int host, int port, bool mapped) {
  Peer peer;
  peer.key = absl::StrCat("10.0.0.", host);
  // gRPC tells an address of IPv4 as such, also on a socket of IPv6.
  peer.text = absl::StrCat(peer.key, ":", port);
  peer.uri = absl::StrCat("ipv4:", peer.text);
  const uint32_t number = htonl(0x0a000000U | static_cast<uint32_t>(host));
  if (mapped) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(peer.address);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(port));
    v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
    std::memcpy(v6.sin6_addr.s6_addr + 12, &number, sizeof(number));
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(peer.address);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    v4.sin_addr.s_addr = number;
  }
  return peer;
}

/// Of a /64 that it shares with others, on a link that has a name where it has one alone.
Peer V6Peer(int network, int host, int port, bool scoped) {
  Peer peer;
  auto& v6 = reinterpret_cast<sockaddr_in6&>(peer.address);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<uint16_t>(port));
  v6.sin6_scope_id = scoped ? 2 : 0;
  const std::array<uint8_t, 4> begin = {static_cast<uint8_t>(scoped ? 0xfe : 0xfd),
                                        static_cast<uint8_t>(scoped ? 0x80 : 0), 0,
                                        static_cast<uint8_t>(scoped ? 0 : network)};
  std::memcpy(v6.sin6_addr.s6_addr, begin.data(), begin.size());
  v6.sin6_addr.s6_addr[15] = static_cast<uint8_t>(host);
  const std::string prefix = scoped ? "fe80::" : absl::StrCat("fd00:", network, "::");
  peer.key = absl::StrCat(prefix, "/64");
  peer.text = absl::StrCat("[", prefix, host, "]:", port);
  peer.uri = absl::StrCat("ipv6:%5B", prefix, host, scoped ? "%252" : "", "%5D:", port);
  return peer;
}

Peer PeerOf(Input& input) {
  const int kind = input.Next(4);
  const int host = 1 + input.Next(3);
  const int port = 40'000 + input.Next(16);
  if (kind < 2) return V4Peer(host, port, kind == 1);
  return V6Peer(1 + input.Next(2), host, port, kind == 3);
}

class GuardRun {
 public:
  GuardRun() {
    ConnectionGuard::Options options;
    options.shares = kShares;
    options.watch = SmallLimits();
    options.calls = kCalls;
    options.calls_per_turn_max = kCallsPerTurnMax;
    options.clock = &clock_;
    options.on_refusal = [this](const std::string& peer, const std::string& key,
                                ConnectionRefusal why) { OnRefusal(peer, key, why); };
    auto made = ConnectionGuard::Make(log_, std::move(options));
    Require(made.ok());
    guard_ = *std::move(made);
  }

  void Step(Input& input) {
    switch (input.Next(9)) {
      case 0:
        return AcceptTcp(PeerOf(input));
      case 1:
        return AcceptUnix(input);
      case 2:
        return Call(PeerOf(input));
      case 3:
        return CallUnix(IdentityOf(input));
      case 4:
        guard_->NextTurn();
        admitted_ = 0;
        break;
      case 5:
        if (Link* link = Pick(input); link != nullptr) Send(link->ends.client, 1 << input.Next(12));
        break;
      case 6:
        if (Link* link = Pick(input); link != nullptr) Leave(*link);
        break;
      case 7:
        if (Link* link = Pick(input); link != nullptr) ReadAll(link->ends.server);
        break;
      default:
        clock_.Advance(int64_t{1'000'000} << input.Next(14));
    }
    guard_->Turn(0);
    CheckCounts();
  }

  /// Nobody is left, and whoever comes after a while finds an open door.
  void End() {
    for (Link& link : links_) Leave(link);
    Settle();
    const ConnectionReading nobody = guard_->Read();
    Require(nobody.tcp_open == 0 && nobody.unix_open == 0);
    guard_->NextTurn();
    clock_.Advance(kHourNs);
    for (int host = 1; host <= 3; ++host) {
      Require(Take(V4Peer(host, 1, false)));
      Require(guard_->OnCall(absl::StrCat("ipv4:10.0.0.", host, ":1"), nullptr));
    }
    Require(guard_->Read().tcp_open == 3);
  }

 private:
  struct Link {
    Ends ends;
    Peer peer;
    bool tcp = true;
    DoorIdentity identity;
    uint32_t uid = 0;
    int64_t accepted_ns = 0;
    bool called = false;
    bool left = false;
  };

  static DoorIdentity IdentityOf(Input& input) {
    const Door door = input.Next(2) == 0 ? Door::kOperatorSocket : Door::kViewerSocket;
    const int uid = input.Next(4);
    return {door, uid == 0 ? std::nullopt : std::optional<uint32_t>(uid), -1};
  }

  Link* Pick(Input& input) {
    if (links_.empty()) return nullptr;
    return &*std::next(links_.begin(), input.Next(static_cast<int>(links_.size())));
  }

  static bool IsOpen(const Link& link) { return !link.left && !HasEnded(link.ends.server); }

  template <typename Is>
  uint64_t Count(Is is) const {
    return static_cast<uint64_t>(std::count_if(
        links_.begin(), links_.end(), [&](const Link& link) { return IsOpen(link) && is(link); }));
  }

  /// Its newest connection: a port may be used again before it is seen that it was left.
  Link* Find(const std::string& text) {
    const auto found = std::find_if(links_.rbegin(), links_.rend(), [&](const Link& link) {
      return link.tcp && link.peer.text == text;
    });
    return found == links_.rend() ? nullptr : &*found;
  }

  void OnRefusal(const std::string& peer, const std::string& key, ConnectionRefusal why) {
    ++refusals_[static_cast<size_t>(why)];
    if (IsFlood(why)) first_bar_ns_.emplace(key, clock_.NowNs());
    if (why != ConnectionRefusal::kSilent) return;
    const Link* link = Find(peer);
    Require(link != nullptr && link->peer.key == key && !link->called);
    Require(clock_.NowNs() - link->accepted_ns >= SmallLimits().first_call_max_ns);
  }

  bool Take(const Peer& peer) {
    links_.push_back({.ends = TcpEnds(), .peer = peer, .accepted_ns = clock_.NowNs()});
    if (guard_->TakeTcp(links_.back().ends.server.get(), peer.address, -1)) {
      const auto barred = first_bar_ns_.find(peer.key);
      Require(barred == first_bar_ns_.end() || clock_.NowNs() >= barred->second + kFirstBarNs);
      return true;
    }
    links_.pop_back();
    return false;
  }

  void AcceptTcp(const Peer& peer) {
    const Link* same = Find(peer.text);
    // Two connections of one port are one that was left, and another.
    if (links_.size() >= kConnectionsMax || (same != nullptr && IsOpen(*same))) return;
    const auto before = refusals_;
    const bool taken = Take(peer);
    Require(taken == (refusals_ == before));
    CheckCounts();
  }

  void AcceptUnix(Input& input) {
    if (links_.size() >= kConnectionsMax) return;
    const DoorIdentity identity = IdentityOf(input);
    const uint32_t uid = identity.uid.value_or(7);
    Link link{.ends = UnixEnds(), .tcp = false, .identity = identity, .uid = uid};
    const bool taken = guard_->TakeUnix(link.ends.server.get(), uid, identity);
    Require(taken || identity.door == Door::kViewerSocket);
    if (taken) links_.push_back(std::move(link));
    CheckCounts();
  }

  void Call(const Peer& peer) {
    Link* link = Find(peer.text);
    const auto before = refusals_;
    const bool fine = guard_->OnCall(peer.uri, nullptr);
    const bool cut_off = refusals_ != before;
    Require(!fine || !cut_off);
    // Cut off by its name, if gRPC's name for it is ours.
    if (cut_off) Require(link == nullptr || link->left || HasEnded(link->ends.server));
    if (!cut_off && link != nullptr) link->called = true;
    CheckCounts();
  }

  void CallUnix(const DoorIdentity& identity) {
    const bool operators = identity.door == Door::kOperatorSocket;
    if (guard_->AdmitCall(identity) && !operators) Require(++admitted_ <= kCallsPerTurnMax);
    CheckCounts();
  }

  static void Leave(Link& link) {
    link.ends.client.Reset();
    link.left = true;
  }

  /// Until the watch has heard of all who have left.
  void Settle() {
    Await([this] {
      guard_->Turn(0);
      const ConnectionReading reading = guard_->Read();
      return reading.tcp_open == Count([](const Link& link) { return link.tcp; }) &&
             reading.unix_open == Count([](const Link& link) { return !link.tcp; });
    });
  }

  void CheckCounts() {
    Settle();
    links_.remove_if([](const Link& link) { return !IsOpen(link); });
    const ConnectionReading reading = guard_->Read();
    Require(reading.refused == refusals_);
    Require(reading.tcp_open <= static_cast<uint64_t>(kShares.all_max));
    const auto viewers = [](const Link& link) {
      return !link.tcp && link.identity.door == Door::kViewerSocket;
    };
    Require(reading.tcp_open + Count(viewers) <= static_cast<uint64_t>(kShares.all_max));
    const auto share = static_cast<uint64_t>(kShares.address_max);
    for (const Link& one : links_) {
      if (one.tcp) {
        const auto same = [&](const Link& link) {
          return link.tcp && link.peer.key == one.peer.key;
        };
        Require(Count(same) <= share);
        const bool late =
            clock_.NowNs() - one.accepted_ns >= SmallLimits().first_call_max_ns && !one.called;
        Require(!late);
      } else if (viewers(one)) {
        const auto same = [&](const Link& link) { return viewers(link) && link.uid == one.uid; };
        Require(Count(same) <= share);
      }
    }
  }

  const Logger log_{LogLevel::kError};
  ManualClock clock_;
  std::list<Link> links_;
  std::array<uint64_t, kConnectionRefusalsSize> refusals_{};
  /// By limit key.
  std::map<std::string, int64_t> first_bar_ns_;
  int admitted_ = 0;
  std::unique_ptr<ConnectionGuard> guard_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Play<GuardRun>(data, size);
  return 0;
}
