// What an fd is, by what this kernel says of it and never by what somebody calls it.
#pragma once

#include <optional>
#include <string>

#include "vfio/sys.h"

namespace planecast {

/// The character devices of VFIO, as classes of sysfs.
inline constexpr char kGroupClass[] = "vfio";
inline constexpr char kCdevClass[] = "vfio-dev";

/// It is a dma-buf. Never false for one; a GET's answer is a number until this was asked.
bool IsDmabuf(Sys& sys, int fd);

/// It is a device as VFIO_GROUP_GET_DEVICE_FD gives one out: a file that no path leads to, which
/// only VFIO makes.
bool IsGroupDeviceFile(Sys& sys, int fd);

/// It is a process's pidfd, which becomes readable when the process ends; another file may be
/// readable at any time.
bool IsPidfd(Sys& sys, int fd);

/// The name in sysfs, e.g. `vfio3` of class `vfio-dev`, of the character device that `fd` is a
/// file of; nothing if it is none of that class.
///
/// Its path in /proc is only where to look: who has a mount namespace of his own can give any path
/// to any file. What proves it are the kernel's numbers in `sys_root`. A file that was opened with
/// O_PATH proves nothing, since that takes no permission.
std::optional<std::string> CharDeviceName(Sys& sys, int fd, const std::string& device_class,
                                          const std::string& sys_root);

}  // namespace planecast
