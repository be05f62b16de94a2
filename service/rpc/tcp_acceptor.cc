#include "service/rpc/tcp_acceptor.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/rpc/connection_guard.h"
#include "service/sockets/host_port.h"

namespace planecast {
namespace {

constexpr int kBacklog = 256;
/// Bytes that may come before they are read: what clients send is small, and of what is cut off for
/// sending too much so much is wasted work at most. Enough for kViewerBytesPerSecond over the
/// slowest link.
constexpr int kReceiveBufferBytes = 64 << 10;
/// Until the next try when the process has no fds left.
constexpr int kAcceptRetryMs = 100;
/// What was sent and is not acknowledged by the peer's kernel for so long ends the connection. gRPC
/// sets it on the sockets that it accepts itself; its keep-alive takes as long.
constexpr unsigned kPeerSilentMaxMs = 30'000;

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

void SetPort(sockaddr* address, int port) {
  const auto network_port = htons(static_cast<uint16_t>(port));
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = network_port;
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = network_port;
  }
}

int PortOf(const Fd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

void SetOption(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof(value));
}

/// An invalid Fd, with errno, if that can't be.
Fd BindAndListen(const addrinfo& entry) {
  Fd fd(KernelSys(), socket(entry.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fd;
  SetOption(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  // Those that it accepts have it from their first segment on.
  SetOption(fd.get(), SOL_SOCKET, SO_RCVBUF, kReceiveBufferBytes);
  // [::] means every address, also those of IPv4.
  if (entry.ai_family == AF_INET6) SetOption(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  const bool listens =
      bind(fd.get(), entry.ai_addr, entry.ai_addrlen) == 0 && listen(fd.get(), kBacklog) == 0;
  if (listens) return fd;
  const int error = errno;
  fd.Reset();
  errno = error;
  return fd;
}

void SetUpConnection(int fd) {
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentBytesMax);
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(kPeerSilentMaxMs));
}

}  // namespace

constexpr char kLowPort[] =
    ": ports below 1024 are root's; choose another, or start planecastd as root, who binds them "
    "before he drops his privileges, or have 'systemctl edit planecastd' say [Service] "
    "AmbientCapabilities=CAP_NET_BIND_SERVICE CapabilityBoundingSet=CAP_NET_BIND_SERVICE, one a "
    "line, which the daemon gives up once it has bound";

absl::StatusOr<TcpListener> ListenOnTcp(const std::string& address) {
  auto parts = ParseHostPort(address);
  if (!parts.ok()) return parts.status();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(parts->port);
  if (const int error = getaddrinfo(parts->host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return absl::UnavailableError(gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, FreeAddresses> owned(found);
  TcpListener listener;
  listener.port = parts->port;
  std::string why = "the host has no address";
  for (addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    SetPort(entry->ai_addr, listener.port);
    Fd socket = BindAndListen(*entry);
    if (socket.valid()) {
      listener.port = PortOf(socket);
      listener.sockets.push_back(std::move(socket));
      continue;
    }
    const int error = errno;
    why = std::strerror(error);
    if (error == EACCES && listener.port < IPPORT_RESERVED) absl::StrAppend(&why, kLowPort);
    // A name may stand for a family of addresses that this machine doesn't have.
    if (error != EAFNOSUPPORT && error != EADDRNOTAVAIL) return absl::UnavailableError(why);
  }
  if (listener.sockets.empty()) return absl::UnavailableError(why);
  return listener;
}

void TcpAcceptor::Add(grpc::ServerBuilder& builder, TcpListener listener,
                      std::shared_ptr<grpc::ServerCredentials> credentials, int index) {
  using Builder = grpc::ServerBuilder::experimental_type;
  std::shared_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor =
      builder.experimental().AddExternalConnectionAcceptor(Builder::ExternalConnectionType::FROM_FD,
                                                           std::move(credentials));
  for (Fd& socket : listener.sockets) doors_.push_back({std::move(socket), acceptor, index});
}

absl::Status TcpAcceptor::Start() {
  if (doors_.empty()) return absl::OkStatus();
  stop_ = Fd(KernelSys(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_.valid()) return absl::ErrnoToStatus(errno, "can't make an eventfd");
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void TcpAcceptor::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof(one));
    thread_.join();
  }
  doors_.clear();
}

void TcpAcceptor::Run() {
  std::vector<pollfd> fds = {{stop_.get(), POLLIN, 0}};
  for (const Door& door : doors_) fds.push_back({door.socket.get(), POLLIN, 0});
  while (true) {
    poll(fds.data(), fds.size(), -1);
    if (fds[0].revents != 0) return;
    bool accepts = true;
    for (size_t i = 0; i < doors_.size(); ++i) {
      if (fds[i + 1].revents != 0) accepts = AcceptSome(doors_[i]) && accepts;
    }
    // Only the stop signal is waited for meanwhile.
    if (!accepts) poll(fds.data(), 1, kAcceptRetryMs);
  }
}

bool TcpAcceptor::AcceptSome(const Door& door) const {
  for (int i = 0; i < kTcpAcceptsPerTurn; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    Fd socket(KernelSys(), accept4(door.socket.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                                   SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
    }
    if (guard_ != nullptr && !guard_->TakeTcp(socket.get(), peer, door.index)) continue;
    SetUpConnection(socket.get());
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.listener_fd = door.socket.get();
    connection.fd = socket.Release();
    // Takes the fd.
    door.acceptor->HandleNewConnection(&connection);
  }
  return true;
}

}  // namespace planecast
