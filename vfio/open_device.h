// The ways to a VFIO device fd.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "vfio/opened_device.h"

namespace planecast {

/// Opens `device` (an mdev's UUID or a PCI address) of /dev/vfio/`group`, as the only owner.
///
/// FAILED_PRECONDITION if another process holds the group (borrow from it instead), NOT_FOUND if
/// group or device do not exist, PERMISSION_DENIED.
absl::StatusOr<OpenedDevice> OpenGroupDevice(Sys& sys, int group, std::string_view device);

/// Opens `path`, e.g. /dev/vfio/devices/vfio0, and binds it to a new iommufd (Linux 6.6 and later).
///
/// FAILED_PRECONDITION if another process has bound the device, NOT_FOUND, PERMISSION_DENIED.
absl::StatusOr<OpenedDevice> OpenCdevDevice(Sys& sys, std::string_view path);

/// Where BorrowVmmDevice looks; replaced by tests.
struct BorrowPaths {
  std::string proc_root = "/proc";
  std::string sys_root = "/sys";
};

/// Takes a copy of the fd of a gfx-plane device that process `pid` has open. The copy shares the
/// device with the VMM and must be given back when the VMM exits: watch `vmm_pidfd`.
///
/// `device` is a UUID, a PCI address or a cdev path; it may be empty if the VMM has only one such
/// device. On the legacy group path the kernel does not tell which device an fd is: there `device`
/// is not checked, and the description says so.
///
/// FAILED_PRECONDITION if it is ambiguous which device is meant, NOT_FOUND if the process or the
/// device does not exist, PERMISSION_DENIED with the remedy if ptrace rules forbid it.
absl::StatusOr<OpenedDevice> BorrowVmmDevice(Sys& sys, pid_t pid, std::string_view device,
                                             const BorrowPaths& paths = {});

/// Takes over a device fd that somebody handed to this process (SCM_RIGHTS), once it has been
/// checked to be a device with a gfx plane. It counts as borrowed. `vmm_pidfd` may be invalid: then
/// nobody learns of the VMM's exit.
///
/// FAILED_PRECONDITION if it is not.
absl::StatusOr<OpenedDevice> AdoptDevice(Fd fd, Fd vmm_pidfd = Fd());

}  // namespace planecast
