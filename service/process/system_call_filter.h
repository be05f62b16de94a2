// The kernel refuses the streamer what it never calls.
#pragma once

#include "absl/status/status.h"

namespace planecast {

/// What the filter must leave to the daemon beside what it always needs.
struct SystemCallNeeds {
  /// It opens and borrows devices itself, without a broker.
  bool opens_devices = false;
  /// A configured display asks for flip events of the draft that has an ioctl for them. By its
  /// number any device could be asked for VFIO_DEVICE_FEATURE.
  bool flip_eventfd_draft = false;
};

/// Empty if this build's process can be filtered, else why not, for a person: what the sanitizers
/// call is not ours to know.
const char* SystemCallFilterProblem();

/// From now on, for all threads that are and will be, and for good: calls that are not in
/// system_calls.h answer EPERM, the first of each kind with a line on stderr that names it; clone3
/// answers ENOSYS, so that glibc asks with clone, whose arguments can be seen; the deadly ones end
/// the process by SIGSYS. No new privileges can be had by executing anything either.
///
/// Takes SIGSYS for itself; a thread that blocks it ends the process with the first refused call.
/// FAILED_PRECONDITION, with what to do, if the kernel can't filter.
absl::Status InstallSystemCallFilter(const SystemCallNeeds& needs);

}  // namespace planecast
