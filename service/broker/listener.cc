#include "service/broker/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "service/sockets/unix_socket.h"

namespace planecast {
namespace {

/// sd_listen_fds(3).
constexpr int kFirstPassedFd = 3;

std::string TakeFromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  unsetenv(name);
  return text;
}

int SocketOption(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

}  // namespace

absl::StatusOr<std::optional<Fd>> PassedListener() {
  const std::string pid = TakeFromEnvironment("LISTEN_PID");
  const std::string count = TakeFromEnvironment("LISTEN_FDS");
  if (pid != std::to_string(getpid())) return std::optional<Fd>();
  if (count != "1") {
    return absl::InvalidArgumentError(
        absl::StrCat("LISTEN_FDS is ", count, ": pass one socket, or none and --socket"));
  }
  Fd socket(KernelSys(), kFirstPassedFd);
  fcntl(socket.get(), F_SETFD, FD_CLOEXEC);
  fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  if (SocketOption(socket.get(), SO_DOMAIN) != AF_UNIX ||
      SocketOption(socket.get(), SO_TYPE) != SOCK_SEQPACKET ||
      SocketOption(socket.get(), SO_ACCEPTCONN) != 1) {
    return absl::InvalidArgumentError(
        "fd 3 is no SOCK_SEQPACKET unix socket that listens (ListenSequentialPacket= of systemd)");
  }
  return std::optional<Fd>(std::move(socket));
}

absl::StatusOr<OwnListener> ListenAt(const std::string& path, uid_t streamer) {
  auto lock = ClaimSocketPath(path);
  if (!lock.ok()) return lock.status();
  auto socket = ListenOnUnix(path, UnixSocketAccess::Owner(), SOCK_SEQPACKET);
  if (!socket.ok()) return socket.status();
  // Root may connect to any.
  if (streamer != geteuid() && lchown(path.c_str(), streamer, static_cast<gid_t>(-1)) != 0) {
    const absl::Status status = absl::ErrnoToStatus(
        errno, absl::StrCat("can't give ", path, " to uid ", streamer, "; run as root"));
    unlink(path.c_str());
    return status;
  }
  return OwnListener{*std::move(lock), *std::move(socket)};
}

}  // namespace planecast
