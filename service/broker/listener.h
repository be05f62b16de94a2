// The socket that the broker serves.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "vfio/fd.h"

namespace planecast {

/// The one that was passed to this process as systemd passes sockets: LISTEN_PID is its pid,
/// LISTEN_FDS is 1, and fd 3 listens. Nothing if none was passed. Takes both variables out of the
/// environment. INVALID_ARGUMENT if what was passed is another thing.
absl::StatusOr<std::optional<Fd>> PassedListener();

/// One at `path` of its own, which only root and `streamer` may connect to. `lock` holds the path.
struct OwnListener {
  Fd lock;
  Fd socket;
};
/// Errors as ClaimSocketPath and ListenOnUnix.
absl::StatusOr<OwnListener> ListenAt(const std::string& path, uid_t streamer);

}  // namespace planecast
