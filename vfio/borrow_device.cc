// BorrowVmmDevice: a copy of the device fd of a running VMM.
#include <errno.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "vfio/fd_kind.h"
#include "vfio/gfx_device.h"
#include "vfio/open_device.h"

namespace planecast {
namespace {

namespace fs = std::filesystem;

// Fds of a VMM that are looked at, and that may be VFIO's.
constexpr size_t kFdsMax = 65536;
constexpr size_t kVfioFdsMax = 256;
constexpr size_t kStatMaxBytes = 4096;
// Of /proc/PID/stat, counted from 0 behind the program's name.
constexpr size_t kStartTimeField = 19;
constexpr char kGroupDeviceLink[] = "anon_inode:[vfio-device]";
constexpr char kCdevPrefix[] = "/dev/vfio/devices/";
constexpr char kGroupPrefix[] = "/dev/vfio/";
// A line of fdinfo on newer kernels.
constexpr char kSyspathKey[] = "vfio-device-syspath:";
constexpr char kPtraceRemedy[] =
    "that takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, which planecast-broker has, or to run as "
    "the "
    "VMM's user with kernel.yama.ptrace_scope=0";

// What a device or a group can be to the kernel: nothing that is in a folder, or a character
// device. Files of other kinds may be of the VMM's own file system (FUSE), which never answers:
// whoever asks it something waits for ever, and who closes a copy asks it.
bool MayBeVfio(mode_t kind) {
  return (kind & S_IFMT) == 0 || S_ISCHR(kind);
}

// An fd of the VMM by what its link calls it: where to look closer.
struct VmmFd {
  enum class Kind { kDevice, kGroup };
  int number = -1;
  Kind kind = Kind::kDevice;
};

// A copy of a device with a gfx plane.
struct Candidate {
  int vmm_fd = -1;
  /// Of a cdev, else empty.
  std::string cdev_path;
  /// UUID or PCI address; empty where the kernel does not tell.
  std::string device_name;
  Fd copy;
};

std::string Name(const Candidate& candidate) {
  if (!candidate.device_name.empty()) return candidate.device_name;
  if (!candidate.cdev_path.empty()) return candidate.cdev_path;
  return absl::StrCat("fd ", candidate.vmm_fd, ", which this kernel does not name");
}

// The last component of a link's target; empty if there is no such link.
std::string LinkName(const fs::path& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  return error ? "" : target.filename().string();
}

std::string DeviceNameFromFdinfo(Sys& sys, int fd) {
  std::string text;
  if (sys.ReadFdInfo(fd, &text) != 0) return "";
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, kSyspathKey)) continue;
    const size_t last = line.find_last_not_of(" \t/");
    if (last < sizeof(kSyspathKey) - 1) return "";
    const absl::string_view path = line.substr(0, last + 1);
    return std::string(path.substr(path.rfind('/') + 1));
  }
  return "";
}

// By its link alone.
std::optional<VmmFd> AsVmmFd(const fs::path& link) {
  VmmFd fd;
  if (!absl::SimpleAtoi(link.filename().string(), &fd.number)) return std::nullopt;
  std::error_code error;
  const std::string target = fs::read_symlink(link, error).string();
  if (error) return std::nullopt;
  int group = 0;
  if (target == kGroupDeviceLink || absl::StartsWith(target, kCdevPrefix)) return fd;
  if (!absl::StartsWith(target, kGroupPrefix)) return std::nullopt;
  if (!absl::SimpleAtoi(target.substr(sizeof(kGroupPrefix) - 1), &group)) return std::nullopt;
  fd.kind = VmmFd::Kind::kGroup;
  return fd;
}

absl::StatusOr<std::vector<VmmFd>> FindFds(Sys& sys, pid_t pid, const BorrowPaths& paths) {
  std::error_code error;
  fs::directory_iterator entry(fs::path(paths.proc_root) / std::to_string(pid) / "fd", error);
  if (error == std::errc::permission_denied || error == std::errc::operation_not_permitted) {
    return absl::PermissionDeniedError(
        absl::StrCat("no permission to see the fds of process ", pid, "; ", kPtraceRemedy));
  }
  if (error) return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  std::vector<VmmFd> fds;
  size_t seen = 0;
  for (; entry != fs::directory_iterator(); entry.increment(error), ++seen) {
    // What was not seen could be another device, or another group.
    if (seen == kFdsMax) {
      return absl::FailedPreconditionError(
          absl::StrCat("process ", pid, " has more than ", kFdsMax, " files open; is it a VMM?"));
    }
    mode_t kind = 0;
    const auto fd = AsVmmFd(entry->path());
    const bool is_looked_at =
        fd.has_value() && sys.FileKind(entry->path().c_str(), &kind) == 0 && MayBeVfio(kind);
    if (is_looked_at) fds.push_back(*fd);
    if (fds.size() <= kVfioFdsMax) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "process ", pid, " has more than ", kVfioFdsMax, " files of VFIO open; is it a VMM?"));
  }
  if (error) return SysError(-error.value(), absl::StrCat("listing the fds of process ", pid));
  return fds;
}

absl::Status CopyRefused(int negative_errno, pid_t pid) {
  if (negative_errno == -EPERM || negative_errno == -EACCES) {
    return absl::PermissionDeniedError(
        absl::StrCat("no permission to copy an fd of process ", pid, "; ", kPtraceRemedy));
  }
  if (negative_errno == -ENOSYS) {
    return absl::UnimplementedError("pidfd_getfd needs Linux 5.6 or later");
  }
  if (negative_errno == -ESRCH) {
    return absl::NotFoundError(absl::StrCat("process ", pid, " has ended"));
  }
  return SysError(negative_errno, absl::StrCat("pidfd_getfd of process ", pid));
}

// A VMM whose files are looked at. Only copies are believed: what a path or a link of the VMM says
// may be another file's a moment later, and is the VMM's own to choose.
class Vmm {
 public:
  Vmm(Sys& sys, const Fd& pidfd, pid_t pid, const BorrowPaths& paths)
      : sys_(sys), pidfd_(pidfd), pid_(pid), paths_(paths) {}

  absl::Status Look();

  std::vector<Candidate>& candidates() { return candidates_; }
  /// Groups that it has open.
  const std::set<std::string>& groups() const { return groups_; }

 private:
  void LookAtDevice(int vmm_fd, Fd copy);

  Sys& sys_;
  const Fd& pidfd_;
  const pid_t pid_;
  const BorrowPaths& paths_;
  std::vector<Candidate> candidates_;
  std::set<std::string> named_;
  std::set<std::string> groups_;
};

absl::Status Vmm::Look() {
  const auto fds = FindFds(sys_, pid_, paths_);
  if (!fds.ok()) return fds.status();
  for (const VmmFd& fd : *fds) {
    const int number = sys_.PidfdGetfd(pidfd_.get(), fd.number);
    // Closed meanwhile.
    if (number == -EBADF) continue;
    if (number < 0) return CopyRefused(number, pid_);
    Fd copy(sys_, number);
    struct stat info {};
    if (sys_.Fstat(number, &info) != 0 || !MayBeVfio(info.st_mode)) {
      // Left open for as long as this process lives.
      static_cast<void>(copy.Release());
      return absl::FailedPreconditionError(
          absl::StrCat("process ", pid_, " put another file in the place of its fd ", fd.number,
                       " while it was looked at; is it a VMM?"));
    }
    if (fd.kind == VmmFd::Kind::kDevice) {
      LookAtDevice(fd.number, std::move(copy));
    } else if (auto group = CharDeviceName(sys_, copy.get(), kGroupClass, paths_.sys_root)) {
      groups_.insert(*std::move(group));
    }
  }
  return absl::OkStatus();
}

// No ioctl before it is known to be a device: another file's could block, or do anything.
void Vmm::LookAtDevice(int vmm_fd, Fd copy) {
  Candidate candidate;
  candidate.vmm_fd = vmm_fd;
  if (const auto node = CharDeviceName(sys_, copy.get(), kCdevClass, paths_.sys_root)) {
    candidate.cdev_path = absl::StrCat(kCdevPrefix, *node);
    candidate.device_name =
        LinkName(fs::path(paths_.sys_root) / "class" / kCdevClass / *node / "device");
  } else if (!IsGroupDeviceFile(sys_, copy.get())) {
    return;
  }
  if (!GfxDevice(sys_, copy.get(), AbiDialect::kFinal).Probe().ok()) return;
  if (candidate.device_name.empty()) {
    candidate.device_name = DeviceNameFromFdinfo(sys_, copy.get());
  }
  // A VMM may hold several fds of one device.
  const bool is_named = !candidate.device_name.empty() || !candidate.cdev_path.empty();
  if (is_named && !named_.insert(Name(candidate)).second) return;
  candidate.copy = std::move(copy);
  candidates_.push_back(std::move(candidate));
}

// The devices of an IOMMU group.
std::vector<std::string> DevicesOf(const std::string& group, const std::string& sys_root) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(fs::path(sys_root) / "kernel" / "iommu_groups" / group / "devices",
                               error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  return names;
}

// The IOMMU group of an mdev or a PCI function; empty if there is no such device.
std::string GroupOf(const std::string& device, const std::string& sys_root) {
  for (const char* bus : {"mdev", "pci"}) {
    const std::string group =
        LinkName(fs::path(sys_root) / "bus" / bus / "devices" / device / "iommu_group");
    if (!group.empty()) return group;
  }
  return "";
}

absl::Status NotConfirmed(pid_t pid, const std::string& device, const std::string& why) {
  return absl::FailedPreconditionError(
      absl::StrCat("it can't be confirmed that process ", pid, "'s device is ", device, ": ", why,
                   "; attach without naming the device, if the process has only one with a gfx "
                   "plane, or have its manager hand it over"));
}

// The only device that the kernel does not name is `device` if nothing else is left for it to be:
// the one group that the VMM has open is the device's, and has no other.
absl::Status ConfirmByGroup(const Vmm& vmm, pid_t pid, const std::string& device,
                            const std::string& sys_root) {
  const std::string group = GroupOf(device, sys_root);
  if (group.empty()) {
    return absl::NotFoundError(absl::StrCat("this host has no device ", device,
                                            " that is in an IOMMU group: there is none in "
                                            "/sys/bus/mdev/devices nor in /sys/bus/pci/devices"));
  }
  if (!vmm.groups().contains(group)) {
    return absl::NotFoundError(absl::StrCat("process ", pid, " has no device ", device,
                                            " open: it does not hold /dev/vfio/", group,
                                            ", that device's group; is it the right VMM?"));
  }
  if (vmm.groups().size() > 1) {
    return NotConfirmed(
        pid, device,
        absl::StrCat("the process has several groups open (", absl::StrJoin(vmm.groups(), ", "),
                     "), and this kernel does not tell which device is whose"));
  }
  if (DevicesOf(group, sys_root) == std::vector<std::string>{device}) return absl::OkStatus();
  return NotConfirmed(pid, device,
                      absl::StrCat("its group ", group,
                                   " has other devices too, and this kernel does not tell them "
                                   "apart"));
}

std::string Names(const std::vector<Candidate>& candidates) {
  return absl::StrJoin(candidates, ", ", [](std::string* out, const Candidate& candidate) {
    absl::StrAppend(out, Name(candidate));
  });
}

// What is known of the device, for the description.
std::string Known(const Candidate& candidate, const Vmm& vmm, const std::string& sys_root) {
  std::string text = absl::StrCat("fd ", candidate.vmm_fd);
  if (!candidate.cdev_path.empty()) absl::StrAppend(&text, ", ", candidate.cdev_path);
  if (!candidate.device_name.empty()) {
    return absl::StrCat(text, ", device ", candidate.device_name, ", as the kernel names it");
  }
  if (!candidate.cdev_path.empty()) return text;
  if (vmm.groups().size() != 1) {
    return absl::StrCat(text, ", a device that this kernel does not name");
  }
  const std::string& group = *vmm.groups().begin();
  const std::vector<std::string> devices = DevicesOf(group, sys_root);
  if (devices.size() != 1) return absl::StrCat(text, ", a device of group ", group);
  return absl::StrCat(text, ", device ", devices[0], ", the only one of group ", group,
                      ", which is all that the process has open");
}

// Which of the candidates is meant, by its place.
absl::StatusOr<size_t> Choose(const Vmm& vmm, const std::vector<Candidate>& candidates, pid_t pid,
                              const std::string& device, const std::string& sys_root) {
  const std::string wanted =
      device.empty() ? std::string("device with a gfx plane") : absl::StrCat("device ", device);
  size_t unnamed = 0;
  size_t unnamed_at = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& one = candidates[i];
    if (!device.empty() && (one.device_name == device || one.cdev_path == device)) return i;
    if (!one.device_name.empty() || !one.cdev_path.empty()) continue;
    ++unnamed;
    unnamed_at = i;
  }
  // What the kernel does not name is no cdev either.
  const bool is_elsewhere = !device.empty() && (unnamed == 0 || device[0] == '/');
  if (candidates.empty() || is_elsewhere) {
    return absl::NotFoundError(
        absl::StrCat("process ", pid, " has no ", wanted, " open",
                     candidates.empty() ? "" : absl::StrCat(" but ", Names(candidates)),
                     "; is it the VMM, and has it started?"));
  }
  if (!device.empty() && unnamed == 1) {
    const absl::Status confirmed = ConfirmByGroup(vmm, pid, device, sys_root);
    if (!confirmed.ok()) return confirmed;
    return unnamed_at;
  }
  if (candidates.size() == 1) return 0;
  return absl::FailedPreconditionError(absl::StrCat(
      "process ", pid, " has several devices with a gfx plane (", Names(candidates), ")",
      device.empty() ? "; say which" : ", and this kernel does not tell which is which"));
}

absl::Status CheckStartTime(const VmmProcess& vmm, const std::string& proc_root) {
  const auto start = ProcessStartTimeTicks(vmm.pid, proc_root);
  if (!start.ok()) return start.status();
  if (*start == vmm.start_time_ticks) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("process ", vmm.pid, " is another process by now: it started at tick ", *start,
                   ", not ", vmm.start_time_ticks, "; look up the VMM's process again"));
}

}  // namespace

bool IsDeviceName(std::string_view device) {
  if (device.empty() || device.size() > kDeviceNameMaxChars || device[0] == '.') return false;
  return std::all_of(device.begin(), device.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == ':' || c == '.' || c == '_';
  });
}

absl::StatusOr<int64_t> ProcessStartTimeTicks(pid_t pid, const std::string& proc_root) {
  std::ifstream file(absl::StrCat(proc_root, "/", pid, "/stat"));
  std::string text(kStatMaxBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.empty()) return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  // The program's name stands in parentheses and may hold any character, these included.
  const size_t name_end = text.rfind(')');
  std::vector<std::string> fields;
  if (name_end != std::string::npos) {
    fields = absl::StrSplit(text.substr(name_end + 1), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  }
  int64_t ticks = 0;
  if (fields.size() > kStartTimeField && absl::SimpleAtoi(fields[kStartTimeField], &ticks)) {
    return ticks;
  }
  return absl::InternalError(
      absl::StrCat("/proc/", pid, "/stat does not say when the process started"));
}

absl::StatusOr<OpenedDevice> BorrowVmmDevice(Sys& sys, const VmmProcess& vmm,
                                             std::string_view device, const BorrowPaths& paths) {
  if (vmm.pid <= 0) return absl::InvalidArgumentError("a process id is a number from 1 up");
  if (vmm.start_time_ticks <= 0) {
    return absl::InvalidArgumentError(
        "say when the VMM's process started, which is field 22 of /proc/PID/stat: its id alone may "
        "be another process's by now");
  }
  const bool is_path = absl::StartsWith(absl::string_view(device.data(), device.size()), "/");
  if (!device.empty() && !is_path && !IsDeviceName(device)) {
    return absl::InvalidArgumentError("name the device by its UUID or PCI address");
  }
  // First of all: from here on the number can't come to mean another process.
  const int pidfd_number = sys.PidfdOpen(vmm.pid);
  if (pidfd_number == -ESRCH) {
    return absl::NotFoundError(absl::StrCat("there is no process ", vmm.pid));
  }
  if (pidfd_number < 0) {
    return SysError(pidfd_number, absl::StrCat("pidfd_open of process ", vmm.pid));
  }
  Fd pidfd(sys, pidfd_number);
  if (auto status = CheckStartTime(vmm, paths.proc_root); !status.ok()) return status;
  Vmm looked(sys, pidfd, vmm.pid, paths);
  if (auto status = looked.Look(); !status.ok()) return status;
  std::vector<Candidate>& candidates = looked.candidates();
  const auto chosen = Choose(looked, candidates, vmm.pid, std::string(device), paths.sys_root);
  if (!chosen.ok()) return chosen.status();

  OpenedDevice opened;
  opened.borrowed = true;
  opened.description = absl::StrCat("borrowed from process ", vmm.pid, ": ",
                                    Known(candidates[*chosen], looked, paths.sys_root));
  opened.device = std::move(candidates[*chosen].copy);
  opened.vmm_pidfd = std::move(pidfd);
  return opened;
}

}  // namespace planecast
