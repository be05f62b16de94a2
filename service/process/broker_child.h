// The broker of a daemon that root has started.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/process/user.h"
#include "vfio/fd.h"

namespace planecast {

/// The program of that name beside this process's own, or where the package puts it. NOT_FOUND,
/// with what to do, if there is none.
absl::StatusOr<std::string> FindBroker();

/// planecast-broker as a child of this process. It serves one socket, and ends when this process
/// does, however that comes: it reads the end of a pipe that nobody else holds.
///
/// Thread-compatible, but has_ended, which is thread-safe.
class BrokerChild {
 public:
  BrokerChild() = default;
  BrokerChild(const BrokerChild&) = delete;
  BrokerChild& operator=(const BrokerChild&) = delete;

  /// Starts `program` as root, to serve `user`, on a socket at `socket_path`: SOCK_SEQPACKET, the
  /// user's (0600), in a folder of root's that the user's group may pass (0710), which is made. The
  /// caller is root and has one thread.
  ///
  /// ALREADY_EXISTS if somebody serves that path, FAILED_PRECONDITION if the folder is not root's,
  /// else the system's error with what failed.
  absl::Status Start(const std::string& program, const std::string& socket_path,
                     const DaemonUser& user);

  /// -1 before Start.
  pid_t pid() const { return pid_; }
  /// Looks whether the child has ended; true once.
  bool Reap();
  bool has_ended() const { return has_ended_; }

 private:
  pid_t pid_ = -1;
  /// The write end: the child lives while this is open.
  Fd lifeline_;
  std::atomic<bool> has_ended_ = false;
};

}  // namespace planecast
