#include "service/rpc/connection_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr int kLinesPerWindow = 10;
constexpr int64_t kLineWindowNs = 60'000'000'000;

/// `10.0.0.3:5000`, `[::1]:5000`, as PeerAddressOf says it of gRPC's name for the same peer.
std::string TextOf(const sockaddr_storage& peer) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return absl::StrCat(text.data(), ":", ntohs(v4.sin_port));
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, text.data(), text.size());
    return absl::StrCat(text.data(), ":", ntohs(v6.sin6_port));
  }
  inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  return absl::StrCat("[", text.data(), "]:", ntohs(v6.sin6_port));
}

std::string NameOf(int listener, const std::string& peer) {
  return absl::StrCat(listener, " ", peer);
}

std::string NameOf(const grpc::ServerContext* context, const std::string& peer_uri) {
  const auto stamp = context == nullptr ? std::nullopt : StampOf(context->auth_context().get());
  return NameOf(stamp.has_value() ? stamp->listener : -1, PeerAddressOf(peer_uri));
}

size_t MetadataBytesOf(const grpc::ServerContext* context) {
  size_t bytes = 0;
  if (context == nullptr) return bytes;
  for (const auto& [key, value] : context->client_metadata()) bytes += key.size() + value.size();
  return bytes;
}

std::string UnixAddressOf(const DoorIdentity& identity) {
  const char* socket = identity.door == Door::kOperatorSocket ? "operators'" : "viewers'";
  return identity.uid.has_value()
             ? absl::StrCat("uid ", *identity.uid, " on the ", socket, " socket")
             : absl::StrCat("others on the ", socket, " socket");
}

std::optional<DoorIdentity> UnixStampOf(const grpc::ServerContext* context) {
  return context == nullptr ? std::nullopt : StampOf(context->auth_context().get());
}

bool IsTcp(const std::string& peer_uri) {
  return absl::StartsWith(peer_uri, "ipv4:") || absl::StartsWith(peer_uri, "ipv6:");
}

const char* WhyOf(ConnectionRefusal why) {
  switch (why) {
    case ConnectionRefusal::kAllTaken:
      return "was refused: there are as many connections as limits.connections_max allows";
    case ConnectionRefusal::kAddressShare:
      return "was refused: its address has as many connections as "
             "limits.per_address.connections_max allows";
    case ConnectionRefusal::kTooFast:
      return "was refused: too many came in too short a time";
    case ConnectionRefusal::kAfterFlood:
      return "was refused: its address sent a flood a moment ago";
    case ConnectionRefusal::kSiege:
      return "was refused: floods come from several addresses, and nobody known came from this one";
    case ConnectionRefusal::kUnwatched:
      return "was refused: no file descriptor is left to watch it; LimitNOFILE allows more";
    case ConnectionRefusal::kUsersTaken:
      return "was turned away: as many other users are connected as can be told apart";
    case ConnectionRefusal::kStrangersTaken:
      return "was turned away: users without a right here have as many connections as they may";
    case ConnectionRefusal::kSilent:
      return "was cut off: it called nothing in time";
    case ConnectionRefusal::kBytes:
      return "was cut off: it sent more bytes than any viewer needs";
    case ConnectionRefusal::kCalls:
      return "was cut off: it made more calls than anybody needs";
  }
  return "was refused";
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionGuard>> ConnectionGuard::Make(const Logger& log,
                                                                       Options options) {
  std::unique_ptr<ConnectionGuard> guard(new ConnectionGuard(log, std::move(options)));
  ConnectionWatch::Options watch;
  watch.clock = guard->options_.clock;
  watch.limits = guard->options_.watch;
  watch.turn = [turn = &guard->turn_] { return turn->load(); };
  watch.on_end = [owner = guard.get()](const WatchedConnection& who, auto cut_off) {
    owner->OnEnd(who, cut_off);
  };
  auto made = ConnectionWatch::Make(std::move(watch));
  if (!made.ok()) return made.status();
  guard->watch_ = *std::move(made);
  return guard;
}

ConnectionGuard::ConnectionGuard(const Logger& log, Options options)
    : log_(log),
      options_(std::move(options)),
      shares_(options_.shares, &taken_),
      unix_shares_(options_.shares, &taken_),
      calls_(options_.calls) {}

bool ConnectionGuard::TakeTcp(int socket, const sockaddr_storage& peer, int listener) {
  const std::string text = TextOf(peer);
  const std::string address = LimitKeyOf(absl::StrCat("ip:", text));
  if (const auto refusal = shares_.Enter(address, options_.clock->NowNs()); refusal.has_value()) {
    Refused(text, address, *refusal);
    return false;
  }
  const auto status =
      watch_->Watch(socket, {WatchedConnection::Kind::kTcp, NameOf(listener, text), address, true});
  if (status.ok()) return true;
  shares_.Leave(address);
  Refused(text, address, ConnectionRefusal::kUnwatched);
  return false;
}

bool ConnectionGuard::TakeUnix(int socket, uint32_t uid, const DoorIdentity& identity) {
  const bool operators = identity.door == Door::kOperatorSocket;
  const std::string name = UnixAddressOf({identity.door, uid, -1});
  if (!operators) {
    const auto refusal = unix_shares_.Enter(name, options_.clock->NowNs());
    if (refusal.has_value()) {
      Refused(name, name, *refusal);
      return false;
    }
  }
  // Without a call gRPC itself ends them, by its handshake's deadline.
  const auto status = watch_->Watch(
      socket, {WatchedConnection::Kind::kUnix, name, UnixAddressOf(identity), false, !operators});
  if (status.ok()) {
    ++unix_open_;
    return true;
  }
  // Operators come in unwatched, to mend what eats the file descriptors.
  if (operators) return true;
  unix_shares_.Leave(name);
  Refused(name, name, ConnectionRefusal::kUnwatched);
  return false;
}

void ConnectionGuard::TurnAway(uint32_t uid, Door door, ConnectionRefusal why) {
  const std::string name = UnixAddressOf({door, uid, -1});
  Refused(name, name, why);
}

bool ConnectionGuard::AdmitCall(const DoorIdentity& identity) {
  const bool operators = identity.door == Door::kOperatorSocket;
  if (identity.listener < 0) {
    const std::string address = UnixAddressOf(identity);
    const double factor =
        operators ? options_.calls.operator_factor / options_.calls.address_factor : 1;
    bool fine = true;
    {
      const std::lock_guard lock(calls_mutex_);
      fine = calls_.CountAddress(address, factor, options_.clock->NowNs());
    }
    if (!fine) {
      // Who calls and leaves at once has no connection any more that could be cut off.
      if (!operators) unix_shares_.Bar(address, options_.clock->NowNs());
      watch_->CutOffAddress(address, ConnectionRefusal::kCalls);
      return false;
    }
  }
  // While there is a flood, operators still come through.
  if (operators || ++calls_this_turn_ <= options_.calls_per_turn_max) return true;
  watch_->LookNow();
  return false;
}

bool ConnectionGuard::OnCall(const std::string& peer_uri, const grpc::ServerContext* context,
                             size_t request_bytes) {
  if (!IsTcp(peer_uri)) return true;
  const std::string name = NameOf(context, peer_uri);
  auto verdict = CallLimiter::Verdict::kFine;
  {
    const std::lock_guard lock(calls_mutex_);
    verdict = calls_.Count(name, LimitKeyOf(peer_uri), 1, options_.clock->NowNs());
  }
  if (verdict != CallLimiter::Verdict::kTooMany) {
    watch_->NoteCall(name, MetadataBytesOf(context), request_bytes);
    return verdict == CallLimiter::Verdict::kFine;
  }
  if (watch_->CutOff(name, ConnectionRefusal::kCalls)) return false;
  // Who calls and leaves at once is heard here only now.
  const std::string address = LimitKeyOf(peer_uri);
  shares_.Bar(address, options_.clock->NowNs());
  Refused(PeerAddressOf(peer_uri), address, ConnectionRefusal::kCalls);
  return false;
}

void ConnectionGuard::OnAdmitted(const std::string& peer_uri, const grpc::ServerContext* context) {
  if (!IsTcp(peer_uri)) {
    const auto stamp = UnixStampOf(context);
    if (stamp.has_value()) OnAdmitted(*stamp);
    return;
  }
  watch_->NoteKnown(NameOf(context, peer_uri));
  // Each time: connections are older than an address is remembered.
  shares_.NoteKnown(LimitKeyOf(peer_uri), options_.clock->NowNs());
}

void ConnectionGuard::OnAdmitted(const DoorIdentity& identity) {
  // Of strangers there is no uid to be known by.
  if (!identity.uid.has_value() || identity.door != Door::kViewerSocket) return;
  unix_shares_.NoteKnown(UnixAddressOf(identity), options_.clock->NowNs());
}

ConnectionGuard::ViewerHold ConnectionGuard::OnViewer(const std::string& peer_uri,
                                                      const grpc::ServerContext* context) {
  if (!IsTcp(peer_uri)) {
    const auto stamp = UnixStampOf(context);
    return stamp.has_value() ? OnViewer(*stamp) : ViewerHold();
  }
  std::string name = NameOf(context, peer_uri);
  std::string address = LimitKeyOf(peer_uri);
  auto useful = watch_->AddViewers(name, 1);
  // It has ended already.
  if (useful == nullptr) return {};
  const std::lock_guard lock(calls_mutex_);
  calls_.AddViewers(&name, address, 1, options_.clock->NowNs());
  return {this, std::move(address), std::move(name), std::move(useful)};
}

ConnectionGuard::ViewerHold ConnectionGuard::OnViewer(const DoorIdentity& identity) {
  // Operators may call more anyway.
  if (identity.door != Door::kViewerSocket) return {};
  std::string address = UnixAddressOf(identity);
  const std::lock_guard lock(calls_mutex_);
  calls_.AddViewers(nullptr, address, 1, options_.clock->NowNs());
  return {this, std::move(address), "", nullptr};
}

void ConnectionGuard::ViewerHold::Release() {
  ConnectionGuard* guard = std::exchange(guard_, nullptr);
  if (guard == nullptr) return;
  const bool there = useful_ != nullptr && guard->watch_->RemoveViewers(name_, useful_, 1);
  const int64_t now_ns = guard->options_.clock->NowNs();
  // Whoever watched for hours was here a moment ago.
  if (useful_ != nullptr) guard->shares_.NoteKnown(address_, now_ns);
  const std::lock_guard lock(guard->calls_mutex_);
  guard->calls_.AddViewers(there ? &name_ : nullptr, address_, -1, now_ns);
}

ConnectionReading ConnectionGuard::Read() const {
  ConnectionReading reading;
  reading.tcp_open = static_cast<uint64_t>(shares_.open());
  reading.unix_open = unix_open_;
  for (size_t i = 0; i < kConnectionRefusalsSize; ++i) reading.refused[i] = refused_[i];
  return reading;
}

void ConnectionGuard::OnEnd(const WatchedConnection& who,
                            std::optional<ConnectionRefusal> cut_off) {
  const bool tcp = who.kind == WatchedConnection::Kind::kTcp;
  if (tcp) {
    const std::lock_guard lock(calls_mutex_);
    calls_.EndConnection(who.name, options_.clock->NowNs());
  } else {
    --unix_open_;
  }
  ConnectionShares& shares = tcp ? shares_ : unix_shares_;
  const std::string& sharer = tcp ? who.address : who.name;
  if (who.has_share) shares.Leave(sharer);
  if (!cut_off.has_value()) return;
  if (who.has_share && IsFlood(*cut_off)) shares.Bar(sharer, options_.clock->NowNs());
  Refused(tcp ? who.name.substr(who.name.find(' ') + 1) : who.name, sharer, *cut_off);
}

void ConnectionGuard::Refused(const std::string& peer, const std::string& address,
                              ConnectionRefusal why) {
  ++refused_[static_cast<size_t>(why)];
  LogLine(absl::StrCat("a connection of ", peer, " ", WhyOf(why)));
  if (options_.on_refusal != nullptr) options_.on_refusal(peer, address, why);
}

void ConnectionGuard::LogLine(const std::string& line) {
  int left_out = 0;
  {
    const std::lock_guard lock(log_mutex_);
    const int64_t now_ns = options_.clock->NowNs();
    if (log_window_.lines == 0 || now_ns - log_window_.start_ns >= kLineWindowNs) {
      left_out = log_window_.left_out;
      log_window_ = {now_ns, 0, 0};
    }
    if (log_window_.lines >= kLinesPerWindow) {
      ++log_window_.left_out;
      return;
    }
    ++log_window_.lines;
  }
  log_.Warning(
      "", left_out == 0 ? line : absl::StrCat(line, " (so were ", left_out, " more, not told of)"));
}

}  // namespace planecast
