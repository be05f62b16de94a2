#include "service/sources/hand_over.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "service/sockets/unix_socket.h"

namespace planecast {
namespace {

constexpr std::string_view kGreeting = "PLANECAST 1";
constexpr size_t kPacketMaxBytes = 256;
/// More fds than two are received only to be closed.
constexpr size_t kFdsMax = 8;
constexpr size_t kTokenBytes = 16;
constexpr int kBacklog = 8;
constexpr int64_t kNsPerMs = 1'000'000;
/// After an accept that failed: a peer that can't be accepted stays in the backlog, and poll would
/// report it at once again. Most likely the process is out of fds.
constexpr int kAcceptRetryMs = 100;

absl::StatusOr<std::string> MakeToken() {
  std::array<uint8_t, kTokenBytes> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return absl::ErrnoToStatus(errno, "no random numbers");
  }
  std::string token;
  for (const uint8_t byte : bytes) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", byte);
    token += digits.data();
  }
  return token;
}

/// The peer must be who the daemon is, or root: who may hand over may make the daemon issue ioctls.
absl::Status CheckPeer(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return absl::ErrnoToStatus(errno, "can't tell who is calling");
  }
  if (peer.uid == 0 || peer.uid == geteuid()) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("uid ", peer.uid, " may not hand over devices; use the daemon's user or root"));
}

void CollectFds(const msghdr& header, std::vector<Fd>& fds) {
  for (const cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
       part = CMSG_NXTHDR(const_cast<msghdr*>(&header), const_cast<cmsghdr*>(part))) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.emplace_back(KernelSys(), fd);
    }
  }
}

/// Any other fd that happens to become readable would end the display.
absl::Status CheckPidfd(int fd) {
  constexpr std::string_view kPidKey = "Pid:";
  std::ifstream info(absl::StrCat("/proc/self/fdinfo/", fd));
  for (std::string line; std::getline(info, line);) {
    if (line.compare(0, kPidKey.size(), kPidKey) == 0) return absl::OkStatus();
  }
  return absl::InvalidArgumentError("the second fd must be the VMM's pidfd, as of pidfd_open");
}

/// Receives the one packet of the protocol. Every fd that came is owned, whatever else is wrong.
absl::StatusOr<HandedOver> ReceiveDevice(int peer) {
  std::array<char, kPacketMaxBytes> text{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kFdsMax)> control{};
  iovec part{text.data(), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t size = recvmsg(peer, &header, MSG_CMSG_CLOEXEC);
  if (size < 0) return absl::ErrnoToStatus(errno, "no packet came in time");
  std::vector<Fd> fds;
  CollectFds(header, fds);
  if (std::string_view(text.data(), static_cast<size_t>(size)) != kGreeting) {
    return absl::InvalidArgumentError(
        absl::StrCat("the packet's text must be '", std::string(kGreeting), "'"));
  }
  if (fds.empty() || fds.size() > 2 || (header.msg_flags & MSG_CTRUNC) != 0) {
    return absl::InvalidArgumentError(
        "one fd or two must come with the packet: the device, and the VMM's pidfd if there is one");
  }
  HandedOver handed_over;
  handed_over.device = std::move(fds[0]);
  if (fds.size() == 1) return handed_over;
  if (auto status = CheckPidfd(fds[1].get()); !status.ok()) return status;
  handed_over.vmm_pidfd = std::move(fds[1]);
  return handed_over;
}

}  // namespace

absl::StatusOr<Fd> HandOverServer::Bind(const std::string& path) {
  if (auto status = PrepareSocketPath(path); !status.ok()) return status;
  Fd listener(KernelSys(), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!listener.valid()) return absl::ErrnoToStatus(errno, "can't make a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a unix socket"));
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  int result = 0;
  {
    const OwnerOnlyFiles guard;
    result = bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  if (result != 0 || listen(listener.get(), kBacklog) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't listen on ", path));
  }
  return listener;
}

absl::StatusOr<std::unique_ptr<HandOverServer>> HandOverServer::Make(const std::string& path,
                                                                     Fd listener, const Logger& log,
                                                                     Clock& clock) {
  Fd stop(KernelSys(), eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return absl::ErrnoToStatus(errno, "can't make an eventfd");
  return std::make_unique<HandOverServer>(path, std::move(listener), std::move(stop), log, clock);
}

absl::StatusOr<std::unique_ptr<HandOverServer>> HandOverServer::Start(const std::string& path,
                                                                      const Logger& log,
                                                                      Clock& clock) {
  auto listener = Bind(path);
  if (!listener.ok()) return listener.status();
  auto server = Make(path, *std::move(listener), log, clock);
  if (server.ok()) (*server)->Serve();
  return server;
}

HandOverServer::HandOverServer(std::string path, Fd listener, Fd stop, const Logger& log,
                               Clock& clock)
    : path_(std::move(path)),
      listener_(std::move(listener)),
      stop_(std::move(stop)),
      log_(log),
      clock_(clock) {}

void HandOverServer::Serve() {
  thread_ = std::thread([this] { Run(); });
}

HandOverServer::~HandOverServer() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof(one));
  if (thread_.joinable()) thread_.join();
  unlink(path_.c_str());
}

void HandOverServer::Run() {
  for (;;) {
    std::array<pollfd, 2> fds = {{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    poll(fds.data(), fds.size(), PollTimeoutMs());
    if (fds[1].revents != 0) return;
    {
      const std::lock_guard lock(mutex_);
      DropExpiredLocked();
    }
    if (fds[0].revents == 0) continue;
    const Fd peer(KernelSys(), accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (peer.valid()) {
      ServePeer(peer);
    } else {
      poll(&fds[1], 1, kAcceptRetryMs);
    }
  }
}

void HandOverServer::ServePeer(const Fd& peer) {
  const timeval timeout{kHandOverReceiveTimeoutMs / 1000, 0};
  setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  setsockopt(peer.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  const auto token = Accept(peer);
  if (!token.ok()) log_.Warning("", absl::StrCat("hand-over refused: ", token.status().message()));
  const std::string answer =
      token.ok() ? absl::StrCat("OK ", *token) : absl::StrCat("ERROR ", token.status().message());
  send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
}

absl::StatusOr<std::string> HandOverServer::Accept(const Fd& peer) {
  if (auto status = CheckPeer(peer.get()); !status.ok()) return status;
  auto device = ReceiveDevice(peer.get());
  if (!device.ok()) return device.status();
  return Keep(*std::move(device));
}

absl::StatusOr<std::string> HandOverServer::Keep(HandedOver device) {
  auto token = MakeToken();
  if (!token.ok()) return token.status();
  const std::lock_guard lock(mutex_);
  if (pending_.size() >= kHandOversPendingMax) {
    return absl::ResourceExhaustedError("too many devices wait for an AttachDisplay");
  }
  pending_.emplace(*token, Pending{std::move(device), clock_.NowNs() + kHandOverLifetimeNs});
  return token;
}

absl::StatusOr<HandedOver> HandOverServer::Redeem(std::string_view token) {
  const std::lock_guard lock(mutex_);
  DropExpiredLocked();
  const auto it = pending_.find(token);
  if (it == pending_.end()) {
    return absl::NotFoundError(
        "the token is unknown, used up or older than 60 seconds; hand the device over again");
  }
  HandedOver device = std::move(it->second.device);
  pending_.erase(it);
  return device;
}

void HandOverServer::DropExpiredLocked() {
  const int64_t now_ns = clock_.NowNs();
  std::erase_if(pending_,
                [now_ns](const auto& entry) { return entry.second.expires_ns <= now_ns; });
}

int HandOverServer::PollTimeoutMs() {
  const std::lock_guard lock(mutex_);
  if (pending_.empty()) return -1;
  int64_t earliest_ns = INT64_MAX;
  for (const auto& [token, pending] : pending_) {
    earliest_ns = std::min(earliest_ns, pending.expires_ns);
  }
  const int64_t wait_ns = std::max<int64_t>(earliest_ns - clock_.NowNs(), 0);
  return static_cast<int>(std::min(wait_ns, kHandOverLifetimeNs) / kNsPerMs) + 1;
}

}  // namespace planecast
