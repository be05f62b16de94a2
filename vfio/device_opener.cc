#include "vfio/device_opener.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "vfio/fd.h"
#include "vfio/fd_kind.h"

namespace planecast {
namespace {

constexpr char kContainerNode[] = "/dev/vfio/vfio";
constexpr char kVfioDirectory[] = "/dev/vfio";
constexpr char kCdevDirectory[] = "/dev/vfio/devices";
constexpr char kCdevPrefix[] = "/dev/vfio/devices/vfio";
constexpr char kIommufdNode[] = "/dev/iommu";
constexpr char kPciDisplayClass[] = "0x03";
constexpr char kEffectiveKey[] = "CapEff:";
// linux/capability.h
constexpr int kCapDacOverride = 1;
constexpr int kCapDacReadSearch = 2;
constexpr int kCapSysPtrace = 19;

/// Whether `directory` has an entry besides `except`.
bool HasEntries(const char* directory, const char* except) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().filename() != except) return true;
  }
  return false;
}

std::string NodeProblem(const char* node, const char* remedy, const std::string& hint) {
  if (access(node, F_OK) != 0) return absl::StrCat("there is no ", node, "; ", remedy);
  if (access(node, R_OK | W_OK) != 0) {
    return absl::StrCat("no permission to open ", node, "; give it to who opens it, or ", hint);
  }
  return "";
}

std::string GroupProblem(const std::string& hint) {
  if (auto problem = NodeProblem(kContainerNode, "load the kernel module vfio", hint);
      !problem.empty()) {
    return problem;
  }
  if (HasEntries(kVfioDirectory, "vfio")) return "";
  return "no VFIO group exists; create a mediated device first";
}

std::string CdevProblem(const std::string& hint) {
  if (auto problem =
          NodeProblem(kIommufdNode, "it takes Linux 6.6 or later with CONFIG_IOMMUFD", hint);
      !problem.empty()) {
    return problem;
  }
  if (HasEntries(kCdevDirectory, "")) return "";
  return absl::StrCat("no device in ", kCdevDirectory,
                      "; create a mediated device on a kernel with CONFIG_VFIO_DEVICE_CDEV first");
}

/// The capabilities that this process may use now.
uint64_t EffectiveCapabilities(const std::string& proc_root) {
  std::ifstream status(proc_root + "/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!absl::StartsWith(line, kEffectiveKey)) continue;
    const size_t begin = line.find_first_not_of(" \t", sizeof(kEffectiveKey) - 1);
    uint64_t capabilities = 0;
    if (begin != std::string::npos && absl::SimpleHexAtoi(line.substr(begin), &capabilities)) {
      return capabilities;
    }
  }
  return 0;
}

bool MayBorrowFromAnybody(const std::string& proc_root) {
  const uint64_t capabilities = EffectiveCapabilities(proc_root);
  const auto has = [capabilities](int capability) { return (capabilities >> capability & 1) != 0; };
  return has(kCapSysPtrace) && (has(kCapDacReadSearch) || has(kCapDacOverride));
}

std::string VmmProblem(Sys& sys, const std::string& proc_root) {
  const int pidfd = sys.PidfdOpen(getpid());
  if (pidfd < 0) {
    return absl::StrCat("pidfd_open: ", std::strerror(-pidfd), "; it takes Linux 5.6 or later");
  }
  const Fd self(sys, pidfd);
  const int copy = sys.PidfdGetfd(pidfd, pidfd);
  if (copy < 0) {
    return absl::StrCat("pidfd_getfd: ", std::strerror(-copy),
                        "; it takes Linux 5.6 or later and a seccomp filter that allows it");
  }
  sys.Close(copy);
  if (MayBorrowFromAnybody(proc_root)) return "";
  return absl::StrCat(
      "only VMMs of uid ", geteuid(),
      ", and with kernel.yama.ptrace_scope=0: to borrow from others takes CAP_SYS_PTRACE and "
      "CAP_DAC_READ_SEARCH, which planecast-broker has");
}

/// A PCI function that is no display controller (class 03) is not even opened. What sysfs doesn't
/// know is left to the one who opens it.
absl::Status CheckPciClass(const std::string& device, const std::string& sys_root) {
  if (!IsDeviceName(device)) return absl::OkStatus();
  std::ifstream file(absl::StrCat(sys_root, "/bus/pci/devices/", device, "/class"));
  std::string text;
  if (!std::getline(file, text) || absl::StartsWith(text, kPciDisplayClass)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(device, " is no display: its PCI class is ", text));
}

/// The mdev or PCI function of a cdev; empty if sysfs does not know it.
std::string DeviceOfCdev(int number, const std::string& sys_root) {
  std::error_code error;
  const auto target = std::filesystem::read_symlink(
      absl::StrCat(sys_root, "/class/", kCdevClass, "/vfio", number, "/device"), error);
  return error ? "" : target.filename().string();
}

}  // namespace

absl::StatusOr<OpenedDevice> LocalOpener::WithHint(absl::StatusOr<OpenedDevice> opened) const {
  if (!absl::IsPermissionDenied(opened.status()) || permission_hint_.empty()) return opened;
  return absl::PermissionDeniedError(
      absl::StrCat(opened.status().message(), ", or ", permission_hint_));
}

absl::StatusOr<OpenedDevice> LocalOpener::OpenGroup(int group, std::string_view device) {
  if (auto status = CheckPciClass(std::string(device), paths_.sys_root); !status.ok()) {
    return status;
  }
  return WithHint(OpenGroupDevice(sys_, group, device));
}

absl::StatusOr<OpenedDevice> LocalOpener::OpenCdev(std::string_view path) {
  const auto number = CdevNumber(path);
  if (!number.ok()) return number.status();
  const std::string device = DeviceOfCdev(*number, paths_.sys_root);
  if (auto status = CheckPciClass(device, paths_.sys_root); !status.ok()) return status;
  return WithHint(OpenCdevDevice(sys_, path));
}

absl::StatusOr<OpenedDevice> LocalOpener::Borrow(const VmmProcess& vmm, std::string_view device) {
  return BorrowVmmDevice(sys_, vmm, device, paths_);
}

OpenerProblems LocalOpener::Problems() {
  return {GroupProblem(permission_hint_), CdevProblem(permission_hint_),
          VmmProblem(sys_, paths_.proc_root)};
}

absl::StatusOr<int> CdevNumber(std::string_view path) {
  constexpr size_t kPrefixChars = sizeof(kCdevPrefix) - 1;
  const std::string digits(path.substr(std::min(kPrefixChars, path.size())));
  const bool clean = !digits.empty() && std::all_of(digits.begin(), digits.end(),
                                                    [](char c) { return c >= '0' && c <= '9'; });
  int number = 0;
  if (path.substr(0, kPrefixChars) == kCdevPrefix && clean && absl::SimpleAtoi(digits, &number)) {
    return number;
  }
  return absl::InvalidArgumentError(
      "a character device of VFIO is /dev/vfio/devices/vfioN, where N is a number");
}

}  // namespace planecast
