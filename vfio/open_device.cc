#include "vfio/open_device.h"

#include <errno.h>
#include <fcntl.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vfio/abi.h"
#include "vfio/fd_kind.h"
#include "vfio/gfx_device.h"

namespace planecast {
namespace {

constexpr char kContainerPath[] = "/dev/vfio/vfio";
constexpr char kIommufdPath[] = "/dev/iommu";
// What to do about a file that is not there.
constexpr char kLoadVfio[] =
    "load the kernel's VFIO (modprobe -a vfio vfio_iommu_type1 mdev); in a container, pass "
    "/dev/vfio";
constexpr char kCreateDevice[] =
    "create the vGPU first (its mdev, or bind the PCI device to its VFIO driver) and check the "
    "number: it is the end of the link /sys/bus/mdev/devices/UUID/iommu_group";
constexpr char kNeedsCdev[] =
    "character devices of VFIO need Linux 6.6 with CONFIG_VFIO_DEVICE_CDEV; check the number (see "
    "vfio-dev/ in the device's directory in /sys) or attach by the VFIO group";
constexpr char kLoadIommufd[] =
    "load the kernel's iommufd (modprobe iommufd), which needs CONFIG_IOMMUFD, or attach by the "
    "VFIO group";
constexpr unsigned long kType1 = 1;
constexpr unsigned long kType1V2 = 3;

std::string ErrnoText(int negative_errno) {
  return std::strerror(-negative_errno);
}

// `if_missing` is what to do if there is no such file.
absl::StatusOr<Fd> OpenPath(Sys& sys, const std::string& path, absl::string_view if_missing) {
  const int fd = sys.Open(path.c_str(), O_RDWR);
  if (fd >= 0) return Fd(sys, fd);
  switch (-fd) {
    case EBUSY:
      return absl::FailedPreconditionError(absl::StrCat(
          path, " is in use by another process; if that is the VMM, borrow the device from it"));
    case ENOENT:
      return absl::NotFoundError(absl::StrCat(path, " does not exist: ", if_missing));
    case ENXIO:
    case ENODEV:
      return absl::NotFoundError(absl::StrCat("nothing is behind ", path, ": ", if_missing));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat("no permission to open ", path,
                       "; give it to the user who opens it (a udev rule, or chown)"));
    default:
      return SysError(fd, absl::StrCat("opening ", path));
  }
}

// VFIO takes small integers in the place of a pointer.
void* AsArgument(unsigned long value) {
  return reinterpret_cast<void*>(value);  // NOLINT(performance-no-int-to-ptr): the ABI says so.
}

absl::Status AttachContainer(const Fd& group, const Fd& container) {
  int32_t container_fd = container.get();
  int result = group.sys().Ioctl(group.get(), abi::kGroupSetContainer, &container_fd);
  if (result < 0) return SysError(result, "VFIO_GROUP_SET_CONTAINER");
  result = container.sys().Ioctl(container.get(), abi::kSetIommu, AsArgument(kType1V2));
  if (result < 0) {
    result = container.sys().Ioctl(container.get(), abi::kSetIommu, AsArgument(kType1));
  }
  if (result < 0) return SysError(result, "VFIO_SET_IOMMU (load it: modprobe vfio_iommu_type1)");
  return absl::OkStatus();
}

absl::StatusOr<Fd> GetGroupDevice(const Fd& group, const std::string& name) {
  std::string argument = name;
  const int fd = group.sys().Ioctl(group.get(), abi::kGroupGetDeviceFd, argument.data());
  if (fd >= 0) return Fd(group.sys(), fd);
  if (fd == -ENODEV) {
    return absl::NotFoundError(
        absl::StrCat("the group has no device ", name,
                     "; see the names in /sys/kernel/iommu_groups/GROUP/devices"));
  }
  if (fd == -ESRCH) {
    return absl::FailedPreconditionError(
        "this driver can only be opened by a VMM with a KVM VM; borrow the device from the VMM");
  }
  return SysError(fd, absl::StrCat("VFIO_GROUP_GET_DEVICE_FD of ", name));
}

/// Whoever opens for others gives out no device but displays: another one of VFIO is a way to
/// whatever it can reach.
absl::Status CheckHasPlane(const Fd& device, const std::string& name) {
  if (HasGfxPlane(device.sys(), device.get())) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(name, " has no gfx plane: it is no vGPU with a display"));
}

}  // namespace

absl::StatusOr<OpenedDevice> OpenGroupDevice(Sys& sys, int group, std::string_view device) {
  if (group < 0) return absl::InvalidArgumentError("a VFIO group has a number from 0 up");
  if (device.empty() || device.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("name the device by its UUID or PCI address");
  }
  auto container = OpenPath(sys, kContainerPath, kLoadVfio);
  if (!container.ok()) return container.status();
  auto group_fd = OpenPath(sys, absl::StrCat("/dev/vfio/", group), kCreateDevice);
  if (!group_fd.ok()) return group_fd.status();
  if (absl::Status attached = AttachContainer(*group_fd, *container); !attached.ok()) {
    return attached;
  }
  const std::string name(device);
  auto device_fd = GetGroupDevice(*group_fd, name);
  if (!device_fd.ok()) return device_fd.status();
  if (auto status = CheckHasPlane(*device_fd, name); !status.ok()) return status;

  OpenedDevice opened;
  opened.keep_alive.push_back(*std::move(container));
  opened.keep_alive.push_back(*std::move(group_fd));
  opened.device = *std::move(device_fd);
  opened.description = absl::StrCat("VFIO group ", group, ", device ", name);
  return opened;
}

absl::StatusOr<OpenedDevice> OpenCdevDevice(Sys& sys, std::string_view path) {
  const std::string device_path(path);
  auto device = OpenPath(sys, device_path, kNeedsCdev);
  if (!device.ok()) return device.status();
  auto iommufd = OpenPath(sys, kIommufdPath, kLoadIommufd);
  if (!iommufd.ok()) return iommufd.status();
  abi::BindIommufd bind = {};
  bind.argsz = sizeof(bind);
  bind.iommufd = iommufd->get();
  const int result = sys.Ioctl(device->get(), abi::kDeviceBindIommufd, &bind);
  if (result == -EINVAL || result == -EBUSY) {
    return absl::FailedPreconditionError(absl::StrCat(
        device_path, " could not be bound (", ErrnoText(result),
        "): another process has the device open; if that is the VMM, borrow the device from it"));
  }
  if (result == -ESRCH) {
    return absl::FailedPreconditionError(
        "this driver can only be opened by a VMM with a KVM VM; borrow the device from the VMM");
  }
  if (result < 0) return SysError(result, "VFIO_DEVICE_BIND_IOMMUFD");
  if (auto status = CheckHasPlane(*device, device_path); !status.ok()) return status;
  OpenedDevice opened;
  opened.keep_alive.push_back(*std::move(iommufd));
  opened.device = *std::move(device);
  opened.description = absl::StrCat("VFIO device ", device_path);
  return opened;
}

absl::StatusOr<OpenedDevice> AdoptDevice(Fd fd, Fd vmm_pidfd, const BorrowPaths& paths) {
  if (!fd.valid()) return absl::InvalidArgumentError("no fd was handed over");
  const auto cdev = CharDeviceName(fd.sys(), fd.get(), kCdevClass, paths.sys_root);
  // First what it is: the ioctl of another file could do anything.
  const bool is_device = cdev.has_value() || IsGroupDeviceFile(fd.sys(), fd.get());
  if (!is_device || !GfxDevice(fd.sys(), fd.get(), AbiDialect::kFinal).Probe().ok()) {
    return absl::FailedPreconditionError(
        "the fd that was handed over is no VFIO device with a gfx plane, or not bound yet");
  }
  OpenedDevice opened;
  opened.device = std::move(fd);
  opened.vmm_pidfd = std::move(vmm_pidfd);
  opened.borrowed = true;
  opened.description = "VFIO device handed over by another process";
  if (cdev.has_value()) absl::StrAppend(&opened.description, ": /dev/vfio/devices/", *cdev);
  return opened;
}

}  // namespace planecast
