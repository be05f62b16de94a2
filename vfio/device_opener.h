// Who opens VFIO devices for the daemon: this process itself, or one with more privileges.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "vfio/open_device.h"
#include "vfio/opened_device.h"
#include "vfio/sys.h"

namespace planecast {

/// Why each way can't work on this host, and what would help. Empty: nothing speaks against it.
struct OpenerProblems {
  std::string group;
  std::string cdev;
  std::string vmm;
};

/// Opens devices. Thread-safe; every call may block for as long as a driver does.
class DeviceOpener {
 public:
  virtual ~DeviceOpener() = default;

  /// As OpenGroupDevice, OpenCdevDevice and BorrowVmmDevice of vfio/open_device.h. UNAVAILABLE with
  /// what to do if who should open is not there.
  virtual absl::StatusOr<OpenedDevice> OpenGroup(int group, std::string_view device) = 0;
  virtual absl::StatusOr<OpenedDevice> OpenCdev(std::string_view path) = 0;
  virtual absl::StatusOr<OpenedDevice> Borrow(const VmmProcess& vmm, std::string_view device) = 0;

  /// What this opener could do, found out without opening a device.
  virtual OpenerProblems Problems() = 0;
};

/// Opens in this process, with its privileges.
class LocalOpener final : public DeviceOpener {
 public:
  /// `permission_hint` is what else helps where a node may not be opened, e.g. "let root do it".
  /// `sys` must outlive the opener and what it opens.
  LocalOpener(Sys& sys, std::string permission_hint, BorrowPaths paths = {})
      : sys_(sys), permission_hint_(std::move(permission_hint)), paths_(std::move(paths)) {}

  absl::StatusOr<OpenedDevice> OpenGroup(int group, std::string_view device) override;
  absl::StatusOr<OpenedDevice> OpenCdev(std::string_view path) override;
  absl::StatusOr<OpenedDevice> Borrow(const VmmProcess& vmm, std::string_view device) override;
  OpenerProblems Problems() override;

 private:
  absl::StatusOr<OpenedDevice> WithHint(absl::StatusOr<OpenedDevice> opened) const;

  Sys& sys_;
  const std::string permission_hint_;
  const BorrowPaths paths_;
};

/// The number of a path as /dev/vfio/devices/vfioN. INVALID_ARGUMENT for any other path.
absl::StatusOr<int> CdevNumber(std::string_view path);

}  // namespace planecast
