#include "service/sockets/fd_packet.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

/// More than may travel are received too, only to be closed.
constexpr size_t kReceivedFdsMax = 2 * kPacketFdsMax;

void CollectFds(msghdr& header, Sys& sys, std::vector<Fd>& fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.emplace_back(sys, fd);
    }
  }
}

/// One packet into `bytes`; its size. `header` has room for fds, or none.
absl::StatusOr<size_t> Receive(const Fd& socket, std::string& bytes, msghdr& header) {
  iovec part{bytes.data(), bytes.size()};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  const ssize_t size = recvmsg(socket.get(), &header, MSG_CMSG_CLOEXEC);
  header.msg_iov = nullptr;
  if (size >= 0) return static_cast<size_t>(size);
  if (errno == EAGAIN) return absl::DeadlineExceededError("no packet came in time");
  if (errno == ECONNRESET) return absl::UnavailableError("the peer hung up");
  return absl::ErrnoToStatus(errno, "can't receive a packet");
}

absl::Status CheckWhole(size_t size, const msghdr& header, size_t bytes_max) {
  if (size == 0) return absl::UnavailableError("the peer hung up");
  if ((header.msg_flags & MSG_TRUNC) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the packet is longer than ", bytes_max));
}

}  // namespace

absl::Status SetSocketTimeouts(const Fd& socket, int timeout_ms) {
  const timeval timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (setsockopt(socket.get(), SOL_SOCKET, option, &timeout, sizeof(timeout)) != 0) {
      return absl::ErrnoToStatus(errno, "can't limit the time of a socket");
    }
  }
  return absl::OkStatus();
}

absl::Status SendPacket(const Fd& socket, std::string_view bytes, const std::vector<int>& fds) {
  if (fds.size() > kPacketFdsMax) {
    return absl::InternalError(absl::StrCat(fds.size(), " fds are too many for a packet"));
  }
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kPacketFdsMax)> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * fds.size());
  }
  if (sendmsg(socket.get(), &header, MSG_NOSIGNAL) >= 0) return absl::OkStatus();
  if (errno == EAGAIN) return absl::DeadlineExceededError("a packet could not be sent in time");
  if (errno == EPIPE || errno == ECONNRESET) return absl::UnavailableError("the peer hung up");
  return absl::ErrnoToStatus(errno, "can't send a packet");
}

absl::StatusOr<std::string> ReceiveBytes(const Fd& socket, size_t bytes_max) {
  std::string bytes(bytes_max, '\0');
  msghdr header{};
  const auto size = Receive(socket, bytes, header);
  if (!size.ok()) return size.status();
  if ((header.msg_flags & MSG_CTRUNC) != 0) {
    return absl::InvalidArgumentError("the packet has fds, and none are taken");
  }
  if (auto status = CheckWhole(*size, header, bytes_max); !status.ok()) return status;
  bytes.resize(*size);
  return bytes;
}

absl::StatusOr<FdPacket> ReceivePacket(const Fd& socket, size_t bytes_max, Sys& sys) {
  FdPacket packet;
  packet.bytes.resize(bytes_max);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kReceivedFdsMax)> control{};
  msghdr header{};
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const auto size = Receive(socket, packet.bytes, header);
  if (!size.ok()) return size.status();
  CollectFds(header, sys, packet.fds);
  if (auto status = CheckWhole(*size, header, bytes_max); !status.ok()) return status;
  if ((header.msg_flags & MSG_CTRUNC) != 0 || packet.fds.size() > kPacketFdsMax) {
    return absl::InvalidArgumentError("the packet has too many fds");
  }
  packet.bytes.resize(*size);
  return packet;
}

}  // namespace planecast
