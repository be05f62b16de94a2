#include "service/rpc/unix_acceptor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "service/rpc/connection_guard.h"
#include "service/sockets/unix_socket.h"

namespace planecast {
namespace {

/// Until the next try when the process has no fds left.
constexpr int kAcceptRetryMs = 100;
/// Of one listener, before the others have their turn: who comes and goes on one of them all the
/// time keeps nobody from the others.
constexpr int kAcceptsPerTurn = 16;

/// 0 if there is no such fd.
ino_t InodeOf(int fd) {
  struct stat info {};
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

std::shared_ptr<grpc::experimental::ExternalConnectionAcceptor> AddDoor(
    grpc::ServerBuilder& builder, std::shared_ptr<const DoorStamp> stamp, const CallSieve& sieve) {
  using Builder = grpc::ServerBuilder::experimental_type;
  // Plain text, like gRPC's insecure credentials, but with a context that can be stamped.
  auto credentials = grpc::experimental::LocalServerCredentials(UDS);
  StampConnections(*credentials, std::move(stamp), sieve);
  return builder.experimental().AddExternalConnectionAcceptor(
      Builder::ExternalConnectionType::FROM_FD, std::move(credentials));
}

}  // namespace

void UnixAcceptor::Add(grpc::ServerBuilder& builder, UnixListener listener) {
  Listener added{std::move(listener), {}, nullptr, {}};
  CallSieve sieve;
  if (guard_ != nullptr) {
    sieve = [guard = guard_](const DoorIdentity& identity) { return guard->AdmitCall(identity); };
  }
  for (size_t i = 0; i < kUnixUidsMax; ++i) {
    auto stamp = std::make_shared<DoorStamp>(DoorIdentity{added.facts.door, std::nullopt, -1});
    Acceptor acceptor = AddDoor(builder, stamp, sieve);
    added.slots.push_back({std::move(acceptor), std::move(stamp), std::nullopt, {}});
  }
  if (added.facts.known_uids.has_value()) {
    added.others = AddDoor(
        builder, std::make_shared<DoorStamp>(DoorIdentity{added.facts.door, std::nullopt, -1}),
        sieve);
  }
  listeners_.push_back(std::move(added));
}

absl::Status UnixAcceptor::Start() {
  stop_ = Fd(KernelSys(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_.valid()) return absl::ErrnoToStatus(errno, "can't make an eventfd");
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void UnixAcceptor::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof(one));
    thread_.join();
  }
  listeners_.clear();
}

void UnixAcceptor::Run() {
  std::vector<pollfd> fds = {{stop_.get(), POLLIN, 0}};
  for (const Listener& listener : listeners_) {
    fds.push_back({listener.facts.socket.get(), POLLIN, 0});
  }
  while (true) {
    poll(fds.data(), fds.size(), -1);
    if (fds[0].revents != 0) return;
    bool accepts = true;
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (fds[i + 1].revents != 0) accepts = AcceptSome(listeners_[i]) && accepts;
    }
    // Only the stop signal is waited for meanwhile.
    if (!accepts) poll(fds.data(), 1, kAcceptRetryMs);
  }
}

bool UnixAcceptor::AcceptSome(Listener& listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    Fd socket(KernelSys(),
              accept4(listener.facts.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
    }
    Pass(listener, std::move(socket));
  }
  return true;
}

void UnixAcceptor::Pass(Listener& listener, Fd socket) {
  const auto peer = PeerCredentials(socket);
  if (!peer.ok()) return;
  const auto& known = listener.facts.known_uids;
  const bool stranger =
      known.has_value() && !std::binary_search(known->begin(), known->end(), peer->uid);
  const Connection connection{socket.get(), InodeOf(socket.get())};
  if (stranger && !CountStranger(listener, peer->uid, connection)) {
    return TurnAway(listener, peer->uid, ConnectionRefusal::kStrangersTaken);
  }
  Slot* slot = SlotFor(listener, peer->uid, stranger ? kUnixUidsKept : 0);
  if (slot == nullptr && !stranger) {
    return TurnAway(listener, peer->uid, ConnectionRefusal::kUsersTaken);
  }
  DoorIdentity identity{listener.facts.door, std::nullopt, -1};
  if (slot != nullptr) identity.uid = peer->uid;
  if (guard_ != nullptr && !guard_->TakeUnix(socket.get(), peer->uid, identity)) return;
  if (slot != nullptr) slot->connections.push_back(connection);
  HandOver(slot != nullptr ? *slot->acceptor : *listener.others, listener, std::move(socket));
}

void UnixAcceptor::TurnAway(const Listener& listener, uint32_t uid, ConnectionRefusal why) const {
  if (guard_ != nullptr) guard_->TurnAway(uid, listener.facts.door, why);
}

void UnixAcceptor::HandOver(grpc::experimental::ExternalConnectionAcceptor& acceptor,
                            const Listener& listener, Fd socket) {
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.listener_fd = listener.facts.socket.get();
  connection.fd = socket.Release();
  // Takes the fd.
  acceptor.HandleNewConnection(&connection);
}

bool UnixAcceptor::CountStranger(Listener& listener, uint32_t uid, const Connection& connection) {
  size_t all = 0;
  for (auto& [stranger, connections] : listener.strangers) {
    DropClosed(connections);
    all += connections.size();
  }
  std::erase_if(listener.strangers, [](const auto& entry) { return entry.second.empty(); });
  std::vector<Connection>& own = listener.strangers[uid];
  if (own.size() >= kStrangersConnectionsMax || all >= kAllStrangersConnectionsMax) return false;
  own.push_back(connection);
  return true;
}

UnixAcceptor::Slot* UnixAcceptor::SlotFor(Listener& listener, uint32_t uid, size_t kept) {
  Slot* free = nullptr;
  size_t free_slots = 0;
  for (Slot& slot : listener.slots) {
    DropClosed(slot.connections);
    if (slot.uid == uid) return &slot;
    if (!slot.connections.empty()) continue;
    ++free_slots;
    free = &slot;
  }
  if (free_slots <= kept) return nullptr;
  free->uid = uid;
  free->stamp->Set({listener.facts.door, uid, -1});
  return free;
}

void UnixAcceptor::DropClosed(std::vector<Connection>& connections) {
  // gRPC closes a connection's fd only when no call of it is left.
  std::erase_if(connections, [](const Connection& one) { return InodeOf(one.fd) != one.inode; });
}

}  // namespace planecast
