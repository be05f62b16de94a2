#include "service/sockets/connection_watch.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace planecast {
namespace {

/// The id that no connection has.
constexpr uint64_t kWakeId = 0;
constexpr size_t kEventsPerTurn = 64;
/// After so many looks without a byte the next byte is waited for instead.
constexpr int kQuietLooksMax = 20;
/// A unix socket is read by the server's thread; it was seen to be so often before that thread came
/// back. What is waiting for a thread that is busy with others only grows.
constexpr int kReadsInTurnMax = 4;
/// Nor does a unix socket have so much unread at so many more looks than it has less, if that
/// thread came back before each: it reads every socket in turn, and what a quick hand sends
/// meanwhile is little.
constexpr int kUnreadBytesMax = 8 << 10;
constexpr int kFullLooksMax = 20;
/// A flood that is read as fast as it comes leaves nothing waiting at many a look.
constexpr int64_t kQuickLooksNs = 200'000'000;
/// What waits unread in a socket that is cut off is thrown away, as gRPC would read it all: so many
/// times so much at most.
constexpr size_t kDiscardBytes = 64 << 10;
constexpr int kDiscardsMax = 128;
constexpr size_t kAddressesKept = 1024;
constexpr int64_t kNsPerMs = 1'000'000;

struct TcpBytes {
  uint64_t received = 0;
  /// What we sent, as far as the peer has it.
  uint64_t acknowledged = 0;
};

TcpBytes TcpBytesOf(int socket) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  return {info.tcpi_bytes_received, info.tcpi_bytes_acked};
}

int UnreadBytes(int socket) {
  int unread = 0;
  return ioctl(socket, FIONREAD, &unread) == 0 ? unread : 0;
}

void ShutDown(int socket, bool discard) {
  shutdown(socket, SHUT_RDWR);
  if (!discard) return;
  std::array<char, kDiscardBytes> nowhere;
  for (int i = 0; i < kDiscardsMax; ++i) {
    if (recv(socket, nowhere.data(), nowhere.size(), MSG_DONTWAIT) <= 0) return;
  }
}

}  // namespace

ConnectionWatch::ConnectionWatch(Options options)
    : options_(std::move(options)),
      unknown_bytes_(options_.limits.all_unknown_bytes_per_s,
                     options_.limits.all_unknown_burst_bytes) {}

absl::StatusOr<std::unique_ptr<ConnectionWatch>> ConnectionWatch::Make(Options options) {
  std::unique_ptr<ConnectionWatch> watch(new ConnectionWatch(std::move(options)));
  watch->epoll_ = Fd(KernelSys(), epoll_create1(EPOLL_CLOEXEC));
  watch->wake_ = Fd(KernelSys(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeId;
  if (!watch->epoll_.valid() || !watch->wake_.valid() ||
      epoll_ctl(watch->epoll_.get(), EPOLL_CTL_ADD, watch->wake_.get(), &event) != 0) {
    return absl::ErrnoToStatus(errno, "can't watch connections");
  }
  return watch;
}

void ConnectionWatch::Start() {
  thread_ = std::thread([this] { Run(); });
}

void ConnectionWatch::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
}

void ConnectionWatch::Run() {
  while (true) {
    Turn(-1);
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
  }
}

void ConnectionWatch::Wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
}

void ConnectionWatch::Turn(int max_ms) {
  int wait_ms = WaitMs();
  if (max_ms >= 0) wait_ms = wait_ms < 0 ? max_ms : std::min(wait_ms, max_ms);
  std::array<epoll_event, kEventsPerTurn> events;
  const int count =
      epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms);
  Ended ended;
  {
    const std::lock_guard lock(mutex_);
    const int64_t now_ns = options_.clock->NowNs();
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      OnEventLocked(event.data.u64, event.events, now_ns, ended);
    }
    LookLocked(now_ns, ended);
    LookQuicklyLocked(now_ns, ended);
    CutSilentLocked(now_ns, ended);
  }
  Tell(ended);
}

int ConnectionWatch::WaitMs() {
  const std::lock_guard lock(mutex_);
  return WaitMsLocked(options_.clock->NowNs());
}

int ConnectionWatch::WaitMsLocked(int64_t now_ns) const {
  if (look_now_) return 0;
  std::optional<int64_t> next_ns;
  if (!active_.empty()) {
    next_ns = last_look_ns_ + LookInterval();
    if (now_ns < quick_until_ns_) {
      next_ns = std::min(*next_ns, last_quick_look_ns_ + options_.limits.quick_look_interval_ns);
    }
  }
  for (const uint64_t id : uncalled_) {
    const auto found = connections_.find(id);
    if (found == connections_.end() || found->second.called) continue;
    const int64_t deadline_ns = found->second.accepted_ns + options_.limits.first_call_max_ns;
    next_ns = next_ns.has_value() ? std::min(*next_ns, deadline_ns) : deadline_ns;
    break;
  }
  if (!next_ns.has_value()) return -1;
  // Rounded up: a wait that ends just before its time would be followed by one of nothing.
  return static_cast<int>(std::max<int64_t>(*next_ns - now_ns + kNsPerMs - 1, 0) / kNsPerMs);
}

absl::Status ConnectionWatch::Watch(int socket, WatchedConnection who) {
  Fd fd(KernelSys(), fcntl(socket, F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "can't watch a connection");
  const std::lock_guard lock(mutex_);
  const int64_t now_ns = options_.clock->NowNs();
  const uint64_t id = next_id_++;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) {
    return absl::ErrnoToStatus(errno, "can't watch a connection");
  }
  ForgetAddressesLocked(now_ns);
  ++AddressLocked(who.address).connections;
  if (who.kind == WatchedConnection::Kind::kTcp) by_name_[who.name] = id;
  const bool first_to_wait = who.awaits_call && uncalled_.empty();
  if (who.awaits_call) uncalled_.push_back(id);
  const bool tcp = who.kind == WatchedConnection::Kind::kTcp;
  const TokenBucket bytes = tcp ? UnknownBucket() : FullBucket();
  connections_.emplace(id, Connection{.id = id,
                                      .fd = std::move(fd),
                                      .who = std::move(who),
                                      .bytes = bytes,
                                      .aimless = AimlessMeter(options_.limits.aimless_bytes_per_s,
                                                              options_.limits.aimless_burst_bytes,
                                                              options_.limits.introduction_bytes),
                                      .accepted_ns = now_ns});
  // The thread may be waiting for ever.
  if (first_to_wait) Wake();
  return absl::OkStatus();
}

void ConnectionWatch::NoteCall(const std::string& name, size_t metadata_bytes,
                               size_t request_bytes) {
  const std::lock_guard lock(mutex_);
  Connection* connection = FindLocked(name);
  if (connection == nullptr) return;
  connection->called = true;
  connection->useful->NoteCall(metadata_bytes);
  connection->useful->NoteMessage(request_bytes);
}

void ConnectionWatch::NoteKnown(const std::string& name) {
  const std::lock_guard lock(mutex_);
  Connection* connection = FindLocked(name);
  if (connection == nullptr || connection->known) return;
  connection->known = true;
  ResizeLocked(*connection);
  Address& address = AddressLocked(connection->who.address);
  address.known = true;
  ResizeLocked(address);
}

void ConnectionWatch::ResizeLocked(Connection& connection) {
  const WatchLimits& limits = options_.limits;
  const int64_t now_ns = options_.clock->NowNs();
  const int further = std::max(connection.viewers - 1, 0);
  connection.bytes.Resize(limits.bytes_per_s + further * limits.further_viewer_bytes_per_s,
                          limits.burst_bytes, now_ns);
  connection.aimless.SetRate(
      limits.aimless_bytes_per_s +
          std::min(connection.viewers, kAimlessViewersMax) * limits.aimless_viewer_bytes_per_s,
      now_ns);
}

std::shared_ptr<UsefulBytes> ConnectionWatch::AddViewers(const std::string& name, int number) {
  const std::lock_guard lock(mutex_);
  Connection* connection = FindLocked(name);
  if (connection == nullptr) return nullptr;
  ChangeViewersLocked(*connection, number);
  return connection->useful;
}

bool ConnectionWatch::RemoveViewers(const std::string& name,
                                    const std::shared_ptr<UsefulBytes>& theirs, int number) {
  const std::lock_guard lock(mutex_);
  Connection* connection = FindLocked(name);
  if (connection == nullptr || connection->useful != theirs) return false;
  ChangeViewersLocked(*connection, -number);
  return true;
}

void ConnectionWatch::ChangeViewersLocked(Connection& connection, int change) {
  connection.viewers = std::max(connection.viewers + change, 0);
  connection.known = true;
  ResizeLocked(connection);
  Address& address = AddressLocked(connection.who.address);
  address.viewers = std::max(address.viewers + change, 0);
  address.known = true;
  ResizeLocked(address);
}

void ConnectionWatch::ResizeLocked(Address& address) {
  const WatchLimits& limits = options_.limits;
  const int64_t now_ns = options_.clock->NowNs();
  address.bytes.Resize(AddressRate(address), limits.burst_bytes * kAddressConnections, now_ns);
  address.aimless.Resize(limits.aimless_bytes_per_s * kAddressConnections +
                             address.viewers * limits.aimless_viewer_bytes_per_s,
                         limits.aimless_burst_bytes * kAddressConnections, now_ns);
}

void ConnectionWatch::LookNow() {
  {
    const std::lock_guard lock(mutex_);
    if (look_now_) return;
    look_now_ = true;
  }
  Wake();
}

bool ConnectionWatch::CutOff(const std::string& name, ConnectionRefusal why) {
  Ended ended;
  {
    const std::lock_guard lock(mutex_);
    const Connection* connection = FindLocked(name);
    if (connection == nullptr) return false;
    EndLocked(connection->id, why, ended);
  }
  Tell(ended);
  return true;
}

void ConnectionWatch::CutOffAddress(const std::string& address, ConnectionRefusal why) {
  Ended ended;
  {
    const std::lock_guard lock(mutex_);
    std::vector<uint64_t> all;
    std::vector<uint64_t> sending;
    for (const auto& [id, connection] : connections_) {
      if (connection.who.address != address) continue;
      // The thread may not have heard yet of the first byte.
      if (connection.active || UnreadBytes(connection.fd.get()) > 0) sending.push_back(id);
    }
    for (const uint64_t id : sending) EndLocked(id, why, ended);
  }
  Tell(ended);
}

void ConnectionWatch::OnEventLocked(uint64_t id, uint32_t events, int64_t now_ns, Ended& ended) {
  if (id == kWakeId) {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(wake_.get(), &count, sizeof(count));
    return;
  }
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    return EndLocked(id, JudgeLeaverLocked(connection, now_ns), ended);
  }
  if (connection.active) return;
  epoll_event event{};
  event.events = EPOLLRDHUP;
  event.data.u64 = id;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd.get(), &event);
  if (active_.empty()) last_look_ns_ = now_ns;
  hurry_ = hurry_ || (connection.who.kind == WatchedConnection::Kind::kTcp && !connection.known);
  connection.active = true;
  connection.quiet_looks = 0;
  active_.push_back(id);
}

std::optional<ConnectionRefusal> ConnectionWatch::JudgeLeaverLocked(Connection& connection,
                                                                    int64_t now_ns) {
  // Who sends a flood and leaves at once was here, too.
  auto why = LookAtLocked(connection, now_ns);
  if (connection.who.kind != WatchedConnection::Kind::kTcp) return why;
  Address& address = AddressLocked(connection.who.address);
  const bool fine = address.bytes.Take(static_cast<double>(connection.bytes_new), now_ns) &&
                    address.aimless.Take(std::max(connection.aimless.last(), 0.0), now_ns);
  if (!fine) why = ConnectionRefusal::kBytes;
  // Where somebody known came from, who asks for health alone is not to pay for a flood of others.
  if (connection.known || address.known) return why;
  const double charged =
      std::min(static_cast<double>(connection.bytes_seen), options_.limits.introduction_bytes) +
      BeyondIntroduction(connection);
  if (!unknown_bytes_.Take(charged, now_ns)) why = ConnectionRefusal::kBytes;
  return why;
}

double ConnectionWatch::BeyondIntroduction(const Connection& connection) const {
  const double beyond =
      static_cast<double>(connection.bytes_seen) - options_.limits.introduction_bytes;
  return std::clamp(beyond, 0.0, static_cast<double>(connection.bytes_new));
}

void ConnectionWatch::WaitForBytesLocked(Connection& connection) {
  connection.active = false;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.u64 = connection.id;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd.get(), &event);
}

void ConnectionWatch::LookLocked(int64_t now_ns, Ended& ended) {
  const int64_t passed_ns = now_ns - last_look_ns_;
  if (!look_now_ && (active_.empty() || passed_ns < LookInterval())) return;
  look_now_ = false;
  hurry_ = false;
  last_look_ns_ = now_ns;
  last_quick_look_ns_ = now_ns;
  for (const uint64_t id : std::vector<uint64_t>(active_)) {
    Connection& connection = connections_.at(id);
    if (const auto why = LookAtLocked(connection, now_ns); why.has_value()) {
      EndLocked(id, why, ended);
    }
  }
  CheckAddressesLocked(now_ns, passed_ns, ended);
  CheckAimlessLocked(now_ns, ended);
  CheckUnknownLocked(now_ns, passed_ns, ended);
  CutFullestLocked(ended);
  std::erase_if(active_, [this](uint64_t id) {
    Connection& connection = connections_.at(id);
    if (connection.quiet_looks < kQuietLooksMax) return false;
    WaitForBytesLocked(connection);
    return true;
  });
}

void ConnectionWatch::LookQuicklyLocked(int64_t now_ns, Ended& ended) {
  if (now_ns >= quick_until_ns_) return;
  if (now_ns - last_quick_look_ns_ < options_.limits.quick_look_interval_ns) return;
  last_quick_look_ns_ = now_ns;
  for (const uint64_t id : std::vector<uint64_t>(active_)) {
    Connection& connection = connections_.at(id);
    if (connection.who.kind != WatchedConnection::Kind::kUnix) continue;
    const auto why = LookAtUnixLocked(connection, now_ns, /*quick=*/true);
    if (why.has_value()) EndLocked(id, why, ended);
  }
  CutFullestLocked(ended);
}

std::optional<ConnectionRefusal> ConnectionWatch::LookAtLocked(Connection& connection,
                                                               int64_t now_ns) {
  return connection.who.kind == WatchedConnection::Kind::kTcp
             ? LookAtTcpLocked(connection, now_ns)
             : LookAtUnixLocked(connection, now_ns, /*quick=*/false);
}

std::optional<ConnectionRefusal> ConnectionWatch::LookAtTcpLocked(Connection& connection,
                                                                  int64_t now_ns) {
  // First: what was of use has come.
  const uint64_t useful = connection.useful->Read();
  const TcpBytes counts = TcpBytesOf(connection.fd.get());
  connection.bytes_new = counts.received - std::min(counts.received, connection.bytes_seen);
  connection.bytes_seen = std::max(counts.received, connection.bytes_seen);
  connection.quiet_looks = connection.bytes_new == 0 ? connection.quiet_looks + 1 : 0;
  hurry_ = hurry_ || !connection.known;
  const bool fine = connection.aimless.Take(
      {useful, counts.received, counts.acknowledged},
      [&connection] { return UnreadBytes(connection.fd.get()); }, now_ns);
  const auto came = static_cast<double>(connection.bytes_new);
  if (fine && connection.bytes.Take(came, now_ns)) return std::nullopt;
  return ConnectionRefusal::kBytes;
}

std::optional<ConnectionRefusal> ConnectionWatch::LookAtUnixLocked(Connection& connection,
                                                                   int64_t now_ns, bool quick) {
  const int unread = UnreadBytes(connection.fd.get());
  const uint64_t turn = options_.turn == nullptr ? 0 : options_.turn();
  connection.quiet_looks = unread == 0 ? connection.quiet_looks + 1 : 0;
  if (unread > 0) quick_until_ns_ = now_ns + kQuickLooksNs;
  const int more = std::max(unread - connection.unread, 0);
  const bool same_turn = options_.turn != nullptr && turn == connection.turn;
  if (!same_turn) connection.reads_in_turn = 0;
  if (same_turn && unread < connection.unread) ++connection.reads_in_turn;
  // Quick looks are too close together: the thread may not have come to this one.
  if (!quick && unread < kUnreadBytesMax) {
    connection.full_looks = std::max(connection.full_looks - 1, 0);
  } else if (!quick && !same_turn) {
    ++connection.full_looks;
  }
  connection.turn = turn;
  connection.unread = unread;
  const bool too_much = !connection.bytes.Take(more, now_ns);
  if (connection.reads_in_turn < kReadsInTurnMax && !too_much) return std::nullopt;
  return ConnectionRefusal::kBytes;
}

void ConnectionWatch::CheckUnknownLocked(int64_t now_ns, int64_t passed_ns, Ended& ended) {
  std::vector<std::pair<uint64_t, uint64_t>> by_bytes;
  double sum = 0;
  for (const uint64_t id : active_) {
    const Connection& connection = connections_.at(id);
    const bool counts = connection.who.kind == WatchedConnection::Kind::kTcp && !connection.known;
    if (!counts || BeyondIntroduction(connection) == 0) continue;
    sum += BeyondIntroduction(connection);
    by_bytes.emplace_back(connection.bytes_new, id);
  }
  if (unknown_bytes_.Take(sum, now_ns)) return;
  // Those that send most now, not those that are here longest, until the rest sends no more than it
  // may.
  std::sort(by_bytes.rbegin(), by_bytes.rend());
  const double fair =
      options_.limits.all_unknown_bytes_per_s * static_cast<double>(passed_ns) / 1e9;
  for (const auto& [bytes, id] : by_bytes) {
    if (sum <= fair) return;
    sum -= BeyondIntroduction(connections_.at(id));
    EndLocked(id, ConnectionRefusal::kBytes, ended);
  }
}

void ConnectionWatch::CutFullestLocked(Ended& ended) {
  std::optional<uint64_t> fullest;
  for (const uint64_t id : active_) {
    const Connection& connection = connections_.at(id);
    if (connection.full_looks < kFullLooksMax) continue;
    if (!fullest.has_value() || connection.unread > connections_.at(*fullest).unread) fullest = id;
  }
  if (!fullest.has_value()) return;
  EndLocked(*fullest, ConnectionRefusal::kBytes, ended);
  // Without it others may be read again as fast as they send.
  for (const uint64_t id : active_) connections_.at(id).full_looks = 0;
}

void ConnectionWatch::CheckAddressesLocked(int64_t now_ns, int64_t passed_ns, Ended& ended) {
  std::unordered_map<std::string, uint64_t> sums;
  for (const uint64_t id : active_) {
    const Connection& connection = connections_.at(id);
    const bool counts =
        connection.who.kind == WatchedConnection::Kind::kTcp && connection.bytes_new > 0;
    if (counts) sums[connection.who.address] += connection.bytes_new;
  }
  for (const auto& [name, sum] : sums) {
    Address& address = AddressLocked(name);
    if (address.bytes.Take(static_cast<double>(sum), now_ns)) continue;
    // Those that send most, until the rest sends no more than it may.
    std::vector<std::pair<uint64_t, uint64_t>> by_bytes;
    for (const uint64_t id : active_) {
      const Connection& connection = connections_.at(id);
      if (connection.who.address == name) by_bytes.emplace_back(connection.bytes_new, id);
    }
    std::sort(by_bytes.rbegin(), by_bytes.rend());
    const double fair = AddressRate(address) * static_cast<double>(passed_ns) / 1e9;
    auto rest = static_cast<double>(sum);
    for (const auto& [bytes, id] : by_bytes) {
      if (rest <= fair) break;
      rest -= static_cast<double>(bytes);
      EndLocked(id, ConnectionRefusal::kBytes, ended);
    }
  }
}

void ConnectionWatch::CheckAimlessLocked(int64_t now_ns, Ended& ended) {
  struct Sum {
    double bytes = 0;
    const Connection* worst = nullptr;
  };
  std::unordered_map<std::string, Sum> sums;
  for (const uint64_t id : active_) {
    const Connection& connection = connections_.at(id);
    if (connection.aimless.last() == 0) continue;
    Sum& sum = sums[connection.who.address];
    sum.bytes += connection.aimless.last();
    if (sum.worst == nullptr || connection.aimless.last() > sum.worst->aimless.last()) {
      sum.worst = &connection;
    }
  }
  for (const auto& [name, sum] : sums) {
    TokenBucket& aimless = AddressLocked(name).aimless;
    if (sum.bytes < 0) aimless.Give(-sum.bytes, now_ns);
    // The next look finds the next.
    if (sum.bytes > 0 && !aimless.Take(sum.bytes, now_ns)) {
      EndLocked(sum.worst->id, ConnectionRefusal::kBytes, ended);
    }
  }
}

void ConnectionWatch::CutSilentLocked(int64_t now_ns, Ended& ended) {
  while (!uncalled_.empty()) {
    const auto found = connections_.find(uncalled_.front());
    if (found != connections_.end() && !found->second.called) {
      if (now_ns - found->second.accepted_ns < options_.limits.first_call_max_ns) return;
      EndLocked(found->first, ConnectionRefusal::kSilent, ended);
    }
    uncalled_.pop_front();
  }
}

void ConnectionWatch::EndLocked(uint64_t id, std::optional<ConnectionRefusal> why, Ended& ended) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  // gRPC has the same file: closing ours alone takes it out of no epoll set.
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.fd.get(), nullptr);
  ShutDown(connection.fd.get(), why.has_value());
  if (connection.active) std::erase(active_, id);
  const auto named = by_name_.find(connection.who.name);
  if (named != by_name_.end() && named->second == id) by_name_.erase(named);
  Address& address = AddressLocked(connection.who.address);
  --address.connections;
  if (connection.viewers > 0) {
    address.viewers = std::max(address.viewers - connection.viewers, 0);
    ResizeLocked(address);
  }
  ended.emplace_back(std::move(connection.who), why);
  connections_.erase(found);
}

ConnectionWatch::Connection* ConnectionWatch::FindLocked(const std::string& name) {
  const auto named = by_name_.find(name);
  return named == by_name_.end() ? nullptr : &connections_.at(named->second);
}

ConnectionWatch::Address& ConnectionWatch::AddressLocked(const std::string& address) {
  const auto known = addresses_.find(address);
  if (known != addresses_.end()) return known->second;
  const WatchLimits& limits = options_.limits;
  Address fresh{TokenBucket(limits.unknown_bytes_per_s * kAddressConnections,
                            limits.unknown_burst_bytes * kAddressConnections),
                TokenBucket(limits.aimless_bytes_per_s * kAddressConnections,
                            limits.aimless_burst_bytes * kAddressConnections)};
  return addresses_.emplace(address, fresh).first->second;
}

double ConnectionWatch::AddressRate(const Address& address) const {
  const WatchLimits& limits = options_.limits;
  return (address.known ? limits.bytes_per_s : limits.unknown_bytes_per_s) * kAddressConnections +
         address.viewers * limits.further_viewer_bytes_per_s;
}

void ConnectionWatch::ForgetAddressesLocked(int64_t now_ns) {
  if (addresses_.size() < 2 * connections_.size() + kAddressesKept) return;
  std::erase_if(addresses_, [now_ns](const auto& entry) {
    const Address& one = entry.second;
    return one.connections == 0 && one.bytes.IsFull(now_ns) && one.aimless.IsFull(now_ns);
  });
}

void ConnectionWatch::Tell(const Ended& ended) const {
  if (options_.on_end == nullptr) return;
  for (const auto& [who, why] : ended) options_.on_end(who, why);
}

}  // namespace planecast
