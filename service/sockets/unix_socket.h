// Where a unix socket of ours may be put.
#pragma once

#include <mutex>
#include <string>

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
