// BorrowVmmDevice: a copy of the device fd of a running VMM.
#include <errno.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "vfio/gfx_device.h"
#include "vfio/open_device.h"

namespace planecast {
namespace {

namespace fs = std::filesystem;

// Fds of a VMM that are looked at.
constexpr size_t kFdsMax = 65536;
constexpr std::string_view kGroupDeviceLink = "anon_inode:[vfio-device]";
constexpr std::string_view kCdevPrefix = "/dev/vfio/devices/";
// A line of /proc/PID/fdinfo/N on newer kernels.
constexpr std::string_view kSyspathKey = "vfio-device-syspath:";
constexpr char kPtraceRemedy[] =
    "run planecastd as the VMM's user with kernel.yama.ptrace_scope=0, or give it CAP_SYS_PTRACE";

// An fd of the VMM that is a VFIO device by its name.
struct Candidate {
  int vmm_fd = -1;
  /// Of a cdev, else empty.
  std::string cdev_path;
  /// UUID or PCI address; empty where the kernel does not tell.
  std::string device_name;
};

std::string Name(const Candidate& candidate) {
  if (!candidate.device_name.empty()) return candidate.device_name;
  if (!candidate.cdev_path.empty()) return candidate.cdev_path;
  return absl::StrCat("fd ", candidate.vmm_fd, " (unnamed by this kernel)");
}

std::string DeviceNameFromFdinfo(const fs::path& fdinfo) {
  std::ifstream file(fdinfo);
  std::string line;
  while (std::getline(file, line)) {
    if (line.compare(0, kSyspathKey.size(), kSyspathKey) != 0) continue;
    const size_t last = line.find_last_not_of(" \t/");
    if (last == std::string::npos || last < kSyspathKey.size()) return "";
    return fs::path(line.substr(0, last + 1)).filename().string();
  }
  return "";
}

std::string DeviceNameFromCdev(const fs::path& sys_root, const std::string& cdev_path) {
  const fs::path link = sys_root / "class" / "vfio-dev" / fs::path(cdev_path).filename() / "device";
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  return error ? "" : target.filename().string();
}

std::optional<Candidate> AsCandidate(const fs::path& fd_link, const fs::path& process,
                                     const BorrowPaths& paths) {
  Candidate candidate;
  const std::string number = fd_link.filename().string();
  if (!absl::SimpleAtoi(number, &candidate.vmm_fd)) return std::nullopt;
  std::error_code error;
  const std::string target = fs::read_symlink(fd_link, error).string();
  if (error) return std::nullopt;
  if (target.compare(0, kCdevPrefix.size(), kCdevPrefix) == 0) {
    candidate.cdev_path = target;
    candidate.device_name = DeviceNameFromCdev(paths.sys_root, target);
  } else if (target != kGroupDeviceLink) {
    return std::nullopt;
  }
  if (candidate.device_name.empty()) {
    candidate.device_name = DeviceNameFromFdinfo(process / "fdinfo" / number);
  }
  return candidate;
}

absl::StatusOr<std::vector<Candidate>> FindCandidates(pid_t pid, const BorrowPaths& paths) {
  const fs::path process = fs::path(paths.proc_root) / std::to_string(pid);
  std::error_code error;
  fs::directory_iterator entry(process / "fd", error);
  if (error == std::errc::permission_denied || error == std::errc::operation_not_permitted) {
    return absl::PermissionDeniedError(
        absl::StrCat("no permission to see the fds of process ", pid, "; ", kPtraceRemedy));
  }
  if (error) return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  std::vector<Candidate> candidates;
  size_t seen = 0;
  for (; entry != fs::directory_iterator() && seen < kFdsMax; entry.increment(error), ++seen) {
    if (auto candidate = AsCandidate(entry->path(), process, paths)) {
      candidates.push_back(*std::move(candidate));
    }
    if (error) break;
  }
  return candidates;
}

enum class Match { kYes, kNo, kCantTell };

Match Matches(const Candidate& candidate, std::string_view device) {
  if (device.empty()) return Match::kYes;
  if (candidate.device_name == device || candidate.cdev_path == device) return Match::kYes;
  if (candidate.device_name.empty() && candidate.cdev_path.empty()) return Match::kCantTell;
  // A cdev whose device sysfs does not name can't be told from a UUID, but from another path.
  const bool is_path = device.front() == '/';
  return candidate.device_name.empty() && !is_path ? Match::kCantTell : Match::kNo;
}

struct Found {
  Candidate candidate;
  Match match = Match::kNo;
  Fd fd;
};

absl::Status CopyRefused(int negative_errno, pid_t pid) {
  if (negative_errno == -EPERM || negative_errno == -EACCES) {
    return absl::PermissionDeniedError(
        absl::StrCat("no permission to copy an fd of process ", pid, "; ", kPtraceRemedy));
  }
  if (negative_errno == -ENOSYS) {
    return absl::UnimplementedError("pidfd_getfd needs Linux 5.6 or later");
  }
  return SysError(negative_errno, absl::StrCat("pidfd_getfd of process ", pid));
}

absl::StatusOr<std::vector<Found>> CopyPlanes(Sys& sys, const Fd& pidfd, pid_t pid,
                                              std::string_view device,
                                              const std::vector<Candidate>& candidates) {
  std::vector<Found> found;
  std::set<std::string> names;
  for (const Candidate& candidate : candidates) {
    const Match match = Matches(candidate, device);
    if (match == Match::kNo) continue;
    const int copy = sys.PidfdGetfd(pidfd.get(), candidate.vmm_fd);
    // Closed meanwhile.
    if (copy == -EBADF) continue;
    if (copy < 0) return CopyRefused(copy, pid);
    Fd fd(sys, copy);
    if (!GfxDevice(sys, fd.get(), AbiDialect::kFinal).Probe().ok()) continue;
    // A VMM may hold several fds of one device.
    const bool is_named = !candidate.device_name.empty() || !candidate.cdev_path.empty();
    if (is_named && !names.insert(Name(candidate)).second) continue;
    found.push_back({candidate, match, std::move(fd)});
  }
  return found;
}

absl::StatusOr<Found> Choose(std::vector<Found> found, pid_t pid, std::string_view device) {
  const std::string wanted = device.empty() ? std::string("device with a gfx plane")
                                            : absl::StrCat("device ", std::string(device));
  std::vector<std::string> names;
  std::optional<Found> sure;
  for (Found& one : found) {
    names.push_back(Name(one.candidate));
    if (one.match == Match::kYes && !device.empty()) sure = std::move(one);
  }
  if (sure) return *std::move(sure);
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("process ", pid, " has no ", wanted,
                                            " open; is it the VMM, and has it started?"));
  }
  if (found.size() > 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "process ", pid, " has several devices with a gfx plane (", absl::StrJoin(names, ", "), ")",
        device.empty() ? "; say which" : ", and this kernel does not tell which is which"));
  }
  return std::move(found.front());
}

}  // namespace

absl::StatusOr<OpenedDevice> BorrowVmmDevice(Sys& sys, pid_t pid, std::string_view device,
                                             const BorrowPaths& paths) {
  if (pid <= 0) return absl::InvalidArgumentError("a process id is a number from 1 up");
  // First of all: from here on the number can't come to mean another process.
  const int pidfd_number = sys.PidfdOpen(pid);
  if (pidfd_number == -ESRCH) return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  if (pidfd_number < 0) return SysError(pidfd_number, absl::StrCat("pidfd_open of process ", pid));
  Fd pidfd(sys, pidfd_number);
  const auto candidates = FindCandidates(pid, paths);
  if (!candidates.ok()) return candidates.status();
  auto found = CopyPlanes(sys, pidfd, pid, device, *candidates);
  if (!found.ok()) return found.status();
  auto chosen = Choose(*std::move(found), pid, device);
  if (!chosen.ok()) return chosen.status();

  OpenedDevice opened;
  opened.borrowed = true;
  opened.description = absl::StrCat("borrowed from process ", pid, ": ", Name(chosen->candidate));
  if (chosen->match == Match::kCantTell) {
    absl::StrAppend(&opened.description, ", taken to be ", std::string(device),
                    " because it is the only one");
  }
  opened.device = std::move(chosen->fd);
  opened.vmm_pidfd = std::move(pidfd);
  return opened;
}

}  // namespace planecast
