// An open VFIO device and what has to stay open with it.
#pragma once

#include <string>
#include <vector>

#include "vfio/fd.h"
#include "vfio/fd_budget.h"

namespace planecast {

/// An open VFIO device, ready for the gfx-plane ioctls. Move-only.
///
/// Made by vfio/open_device.h, consumed by MakeVfioSource. Destruction closes everything, the
/// device first. Thread-compatible.
struct OpenedDevice {
  /// The place of all its fds in the process's budget; not valid where there is none. First, so
  /// that it is given back last.
  FdClaim fds;
  /// What `device` needs open beside it: group and container, or the iommufd. Not used otherwise.
  /// Declared before it, so that it is closed after it.
  std::vector<Fd> keep_alive;
  /// The device. All system calls on it go through device.sys().
  Fd device;
  /// Readable once the VMM that owns the device has exited; invalid where nobody but this process
  /// owns it.
  Fd vmm_pidfd;
  /// Somebody else owns the device: only the gfx ioctls, region info and mappings may be used.
  bool borrowed = false;
  /// For a person: what was opened, and by what it is known to be the right device.
  std::string description;
};

}  // namespace planecast
