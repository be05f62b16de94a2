#include "vfio/open_device.h"

#include <errno.h>
#include <fcntl.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vfio/abi.h"
#include "vfio/gfx_device.h"

namespace planecast {
namespace {

constexpr char kContainerPath[] = "/dev/vfio/vfio";
constexpr char kIommufdPath[] = "/dev/iommu";
constexpr unsigned long kType1 = 1;
constexpr unsigned long kType1V2 = 3;

std::string ErrnoText(int negative_errno) {
  return std::strerror(-negative_errno);
}

absl::StatusOr<Fd> OpenPath(Sys& sys, const std::string& path) {
  const int fd = sys.Open(path.c_str(), O_RDWR);
  if (fd >= 0) return Fd(sys, fd);
  switch (-fd) {
    case EBUSY:
      return absl::FailedPreconditionError(absl::StrCat(
          path, " is in use by another process; if that is the VMM, borrow the device from it"));
    case ENOENT:
    case ENXIO:
    case ENODEV:
      return absl::NotFoundError(absl::StrCat(path, " does not exist: ", ErrnoText(fd)));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat("no permission to open ", path, "; run as its owner or change its mode"));
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
  if (result < 0) return SysError(result, "VFIO_SET_IOMMU (is vfio_iommu_type1 loaded?)");
  return absl::OkStatus();
}

absl::StatusOr<Fd> GetGroupDevice(const Fd& group, const std::string& name) {
  std::string argument = name;
  const int fd = group.sys().Ioctl(group.get(), abi::kGroupGetDeviceFd, argument.data());
  if (fd >= 0) return Fd(group.sys(), fd);
  if (fd == -ENODEV) {
    return absl::NotFoundError(absl::StrCat("the group has no device ", name));
  }
  if (fd == -ESRCH) {
    return absl::FailedPreconditionError(
        "this driver can only be opened by a VMM with a KVM VM; borrow the device from the VMM");
  }
  return SysError(fd, absl::StrCat("VFIO_GROUP_GET_DEVICE_FD of ", name));
}

}  // namespace

absl::StatusOr<OpenedDevice> OpenGroupDevice(Sys& sys, int group, std::string_view device) {
  if (group < 0) return absl::InvalidArgumentError("a VFIO group has a number from 0 up");
  if (device.empty() || device.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("name the device by its UUID or PCI address");
  }
  auto container = OpenPath(sys, kContainerPath);
  if (!container.ok()) return container.status();
  auto group_fd = OpenPath(sys, absl::StrCat("/dev/vfio/", group));
  if (!group_fd.ok()) return group_fd.status();
  if (absl::Status attached = AttachContainer(*group_fd, *container); !attached.ok()) {
    return attached;
  }
  const std::string name(device);
  auto device_fd = GetGroupDevice(*group_fd, name);
  if (!device_fd.ok()) return device_fd.status();

  OpenedDevice opened;
  opened.keep_alive.push_back(*std::move(container));
  opened.keep_alive.push_back(*std::move(group_fd));
  opened.device = *std::move(device_fd);
  opened.description = absl::StrCat("VFIO group ", group, ", device ", name);
  return opened;
}

absl::StatusOr<OpenedDevice> OpenCdevDevice(Sys& sys, std::string_view path) {
  const std::string device_path(path);
  auto device = OpenPath(sys, device_path);
  if (!device.ok()) return device.status();
  auto iommufd = OpenPath(sys, kIommufdPath);
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
  OpenedDevice opened;
  opened.keep_alive.push_back(*std::move(iommufd));
  opened.device = *std::move(device);
  opened.description = absl::StrCat("VFIO device ", device_path);
  return opened;
}

absl::StatusOr<OpenedDevice> AdoptDevice(Fd fd, Fd vmm_pidfd) {
  if (!fd.valid()) return absl::InvalidArgumentError("no fd was handed over");
  const auto kind = GfxDevice(fd.sys(), fd.get(), AbiDialect::kFinal).Probe();
  if (!kind.ok()) {
    return absl::FailedPreconditionError(
        "the fd that was handed over is no VFIO device with a gfx plane, or not bound yet");
  }
  OpenedDevice opened;
  opened.device = std::move(fd);
  opened.vmm_pidfd = std::move(vmm_pidfd);
  opened.borrowed = true;
  opened.description = "VFIO device handed over by another process";
  return opened;
}

}  // namespace planecast
