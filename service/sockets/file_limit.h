// How many file descriptors this process may have, and has.
#pragma once

#include <cstddef>

#include "absl/status/status.h"

namespace planecast {

/// RLIMIT_NOFILE, the soft one.
size_t FileLimit();

/// Raises the soft limit to the hard one. The soft one is 1,024 where nobody set it, for programs
/// that use select(2), which we don't; a host full of displays needs more. To be called at start,
/// by one thread. An error says what the limit stays at.
absl::Status RaiseFileLimit();

/// Fds that are open in this process now; 0 if /proc is not there. Takes some microseconds for
/// each.
size_t CountOpenFiles();

}  // namespace planecast
