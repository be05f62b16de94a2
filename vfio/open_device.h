// The ways to a VFIO device fd.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "vfio/opened_device.h"

namespace planecast {

/// Opens `device` (an mdev's UUID or a PCI address) of /dev/vfio/`group`, as the only owner.
///
/// FAILED_PRECONDITION if another process holds the group (borrow from it instead) or if the device
/// has no gfx plane, NOT_FOUND if group or device do not exist, PERMISSION_DENIED.
absl::StatusOr<OpenedDevice> OpenGroupDevice(Sys& sys, int group, std::string_view device);

/// Opens `path`, e.g. /dev/vfio/devices/vfio0, and binds it to a new iommufd (Linux 6.6 and later).
///
/// FAILED_PRECONDITION if another process has bound the device or if it has no gfx plane,
/// NOT_FOUND, PERMISSION_DENIED.
absl::StatusOr<OpenedDevice> OpenCdevDevice(Sys& sys, std::string_view path);

/// Longest name of a device.
inline constexpr size_t kDeviceNameMaxChars = 64;

/// Whether `device` can be a UUID or a PCI address: a name in sysfs, and no way out of it.
bool IsDeviceName(std::string_view device);

/// Where the kernel's facts are; replaced by tests.
struct BorrowPaths {
  std::string proc_root = "/proc";
  std::string sys_root = "/sys";
};

/// A VMM's process: an id alone comes to mean another process once the first has ended.
struct VmmProcess {
  pid_t pid = 0;
  /// Field 22 of /proc/PID/stat: when it started, in clock ticks since boot.
  int64_t start_time_ticks = 0;
};

/// When process `pid` started, as VmmProcess wants it. NOT_FOUND if it is not there or can't be
/// seen.
absl::StatusOr<int64_t> ProcessStartTimeTicks(pid_t pid, const std::string& proc_root = "/proc");

/// Takes a copy of the fd of a gfx-plane device that process `vmm` has open. The copy shares the
/// device with the VMM and must be given back when the VMM exits: watch `vmm_pidfd`.
///
/// `device` is a UUID, a PCI address or a cdev path; it may be empty if the VMM has only one such
/// device. Nothing is believed that the VMM can make up: each copy is asked what it is. Where the
/// kernel does not name the device of an fd (the group path), `device` is confirmed by its IOMMU
/// group: the VMM has that one open and no other, and nothing else is in it.
///
/// FAILED_PRECONDITION if `vmm` is another process by now, if it is ambiguous which device is
/// meant, or if `device` can't be confirmed; NOT_FOUND if the process does not exist or does not
/// have the device; PERMISSION_DENIED with the remedy if ptrace rules forbid it; INVALID_ARGUMENT.
absl::StatusOr<OpenedDevice> BorrowVmmDevice(Sys& sys, const VmmProcess& vmm,
                                             std::string_view device,
                                             const BorrowPaths& paths = {});

/// Takes over a device fd that somebody handed to this process (SCM_RIGHTS), once it has been
/// checked to be a device of VFIO, and one with a gfx plane. It counts as borrowed. `vmm_pidfd` may
/// be invalid: then nobody learns of the VMM's exit.
///
/// FAILED_PRECONDITION if it is not.
absl::StatusOr<OpenedDevice> AdoptDevice(Fd fd, Fd vmm_pidfd = Fd(), const BorrowPaths& paths = {});

}  // namespace planecast
