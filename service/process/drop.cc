#include "service/process/drop.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "vfio/fd.h"

namespace planecast {
namespace {

namespace fs = std::filesystem;

/// Above the last one of any kernel; asking for one that isn't there is an error that ends the
/// loop.
constexpr int kCapabilitiesMax = 64;

using CapabilitySets = std::array<__user_cap_data_struct, 2>;

/// glibc has no wrapper, and libcap would be a library for two calls.
absl::Status GetCapabilities(CapabilitySets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  if (syscall(SYS_capget, &header, sets.data()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "capget");
}

absl::Status ClearCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const CapabilitySets none{};
  if (syscall(SYS_capset, &header, none.data()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "can't clear the capabilities");
}

bool IsEmpty(const CapabilitySets& sets) {
  return std::all_of(sets.begin(), sets.end(), [](const __user_cap_data_struct& part) {
    return part.effective == 0 && part.permitted == 0 && part.inheritable == 0;
  });
}

absl::Status CheckOneThread() {
  std::error_code error;
  const fs::directory_iterator tasks("/proc/self/task", error);
  if (error) return absl::ErrnoToStatus(error.value(), "can't count the process's threads");
  if (std::distance(fs::begin(tasks), fs::end(tasks)) == 1) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "a thread was started before privileges were dropped, and would keep them");
}

/// Needs CAP_SETPCAP, so it comes before the user changes.
absl::Status EmptyBoundingSet() {
  for (int capability = 0; capability < kCapabilitiesMax; ++capability) {
    const int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (held < 0) break;
    if (held == 0 || prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    return absl::ErrnoToStatus(
        errno, absl::StrCat("can't take capability ", capability, " out of the bounding set"));
  }
  return absl::OkStatus();
}

absl::Status BecomeUser(const DaemonUser& user, const std::vector<gid_t>& more_groups) {
  std::vector<gid_t> groups = user.groups;
  groups.insert(groups.end(), more_groups.begin(), more_groups.end());
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  if (setgroups(groups.size(), groups.data()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't take on the groups of ", user.text));
  }
  if (setresgid(user.gid, user.gid, user.gid) != 0 ||
      setresuid(user.uid, user.uid, user.uid) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't become ", user.text));
  }
  return absl::OkStatus();
}

/// The calls that would bring privileges back must fail.
absl::Status CheckNoWayBack(const DaemonUser& user) {
  uid_t real = 0;
  uid_t effective = 0;
  uid_t saved = 0;
  if (getresuid(&real, &effective, &saved) != 0 || real != user.uid || effective != user.uid ||
      saved != user.uid) {
    return absl::InternalError(absl::StrCat("the process did not become ", user.text));
  }
  if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0 || setgroups(0, nullptr) == 0) {
    return absl::InternalError("the process could become root again");
  }
  CapabilitySets sets{};
  if (auto status = GetCapabilities(sets); !status.ok()) return status;
  bool left = !IsEmpty(sets);
  for (int capability = 0; capability < kCapabilitiesMax; ++capability) {
    left = left || prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1 ||
           prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1;
  }
  if (left) return absl::InternalError("the process has capabilities left");
  return absl::OkStatus();
}

}  // namespace

bool HasPrivileges() {
  CapabilitySets sets{};
  const bool readable = GetCapabilities(sets).ok();
  return geteuid() == 0 || (readable && !IsEmpty(sets));
}

std::vector<gid_t> RenderNodeGroups(const std::string& directory) {
  std::vector<gid_t> groups;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().string().starts_with("renderD")) continue;
    struct stat info {};
    if (stat(it->path().c_str(), &info) != 0 || info.st_gid == 0) continue;
    if (std::find(groups.begin(), groups.end(), info.st_gid) == groups.end()) {
      groups.push_back(info.st_gid);
    }
  }
  return groups;
}

std::vector<gid_t> GroupOfName(const std::string& name) {
  if (name.empty()) return {};
  // One thread.
  const group* entry = getgrnam(name.c_str());  // NOLINT(concurrency-mt-unsafe): see above
  if (entry == nullptr || entry->gr_gid == 0) return {};
  return {entry->gr_gid};
}

absl::Status LeaveTerminal() {
  const Fd null(KernelSys(), open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid() || dup2(null.get(), STDIN_FILENO) < 0) {
    return absl::ErrnoToStatus(errno, "can't take /dev/null as standard input");
  }
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    if (isatty(stream) == 0) continue;
    const Fd written(KernelSys(), open(absl::StrCat("/proc/self/fd/", stream).c_str(),
                                       O_WRONLY | O_NOCTTY | O_CLOEXEC));
    if (!written.valid() || dup2(written.get(), stream) < 0) {
      return absl::ErrnoToStatus(errno, "can't open the terminal for writing alone");
    }
  }
  // From a leader the kernel would take it from all of its session.
  if (getsid(0) == getpid()) return absl::OkStatus();
  const Fd terminal(KernelSys(), open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC));
  if (!terminal.valid()) return absl::OkStatus();
  if (ioctl(terminal.get(), TIOCNOTTY) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "can't give up the terminal");
}

absl::Status GiveUpCapabilities() {
  if (auto status = CheckOneThread(); !status.ok()) return status;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return absl::ErrnoToStatus(errno, "can't clear the ambient capabilities");
  }
  if (auto status = ClearCapabilities(); !status.ok()) return status;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "can't forbid new privileges");
}

absl::Status DropPrivileges(const DaemonUser& user, const std::vector<gid_t>& more_groups) {
  if (auto status = CheckOneThread(); !status.ok()) return status;
  if (auto status = EmptyBoundingSet(); !status.ok()) return status;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return absl::ErrnoToStatus(errno, "can't clear the ambient capabilities");
  }
  if (auto status = BecomeUser(user, more_groups); !status.ok()) return status;
  if (auto status = ClearCapabilities(); !status.ok()) return status;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return absl::ErrnoToStatus(errno, "can't forbid new privileges");
  }
  // The kernel makes /proc/self root's when a process changes its user, since it may still hold
  // what only root may see. This one reads its own fds there, and holds nothing that its user may
  // not see: what it read and opened as root is what he shall have.
  if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) {
    return absl::ErrnoToStatus(errno, "can't keep /proc/self readable");
  }
  return CheckNoWayBack(user);
}

}  // namespace planecast
