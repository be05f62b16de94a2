// Where a unix socket of ours may be put, who may connect to it, and who did.
#pragma once

#include <sys/socket.h>

#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/fd.h"

namespace planecast {

/// Makes room for a unix socket at `path`: creates the parent directory (0755; not its parents'
/// parents) and removes a socket that nobody listens on any more.
///
/// ALREADY_EXISTS if somebody answers there, FAILED_PRECONDITION if something else than a socket
/// lies there, otherwise the error of the system call with what to do.
absl::Status PrepareSocketPath(const std::string& path);

/// Takes `path` for this process for as long as the returned lock file, `path`.lock, is held, and
/// prepares it as PrepareSocketPath does. The lock file stays when it is closed: who removed it
/// could remove another process's.
///
/// ALREADY_EXISTS if another process holds it; else as PrepareSocketPath.
absl::StatusOr<Fd> ClaimSocketPath(const std::string& path);

/// Who may connect to a unix socket, by its file's mode.
struct UnixSocketAccess {
  enum class Who {
    /// 0600.
    kOwner,
    /// 0660, with the group of this name.
    kGroup,
    /// 0666.
    kEverybody,
  };
  Who who = Who::kOwner;
  /// For kGroup.
  std::string group;

  static UnixSocketAccess Owner() { return {}; }
  /// For the owner alone if `name` is empty.
  static UnixSocketAccess Group(std::string name) {
    return {name.empty() ? Who::kOwner : Who::kGroup, std::move(name)};
  }
  static UnixSocketAccess Everybody() { return {Who::kEverybody, ""}; }
};

/// A socket of this type that listens at `path`, which the caller has claimed; non-blocking, closed
/// on exec. At no moment may anybody connect whom `access` does not name.
///
/// The folder must be one that only its owner, this process's user or root, may write: whoever else
/// may could put something else in the file's place. The file stays when the Fd is closed: who has
/// claimed the path removes it.
///
/// NOT_FOUND if there is no such group, PERMISSION_DENIED if this process may not give the file to
/// it, each with what to do; otherwise the error of the system call. Then no file is left.
absl::StatusOr<Fd> ListenOnUnix(const std::string& path, const UnixSocketAccess& access,
                                int type = SOCK_STREAM);

/// Who connected this unix socket: pid, uid and gid as they were then, in this process's
/// namespaces. The system call's error for another kind of socket.
absl::StatusOr<ucred> PeerCredentials(const Fd& socket);

/// While one of these lives, sockets that this process binds are only for their owner (0600) from
/// their first moment on. Process-wide, since umask(2) is; holders wait for each other.
class OwnerOnlyFiles {
 public:
  OwnerOnlyFiles();
  ~OwnerOnlyFiles();
  OwnerOnlyFiles(const OwnerOnlyFiles&) = delete;
  OwnerOnlyFiles& operator=(const OwnerOnlyFiles&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
  unsigned previous_;
};

}  // namespace planecast
