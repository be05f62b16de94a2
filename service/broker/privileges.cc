#include "service/broker/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

/// Root's uid gives a program that is started nothing, and losing it takes nothing away.
constexpr unsigned long kSecureBits =
    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
constexpr int kCapabilitiesMax = 64;

constexpr uint64_t Bit(int capability) {
  return uint64_t{1} << capability;
}

std::string Because() {
  return std::strerror(errno);
}

void LeaveNetwork(std::vector<std::string>& notes) {
  if (unshare(CLONE_NEWNET) == 0) return;
  notes.push_back(absl::StrCat("stays in the network namespace that it was started in: ", Because(),
                               "; the unit's PrivateNetwork= does as well"));
}

/// What no program could get that this process would start.
void DropBounds(uint64_t kept, std::vector<std::string>& notes) {
  std::string failed;
  for (int capability = 0; capability < kCapabilitiesMax; ++capability) {
    // Beyond the last that this kernel has, reading one is an error.
    const int has = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (has < 0) break;
    if (has == 0 || (kept & Bit(capability)) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && failed.empty()) failed = Because();
  }
  if (!failed.empty()) {
    notes.push_back(absl::StrCat("the bounding set of capabilities stays as it is: ", failed));
  }
}

void LockSecureBits(std::vector<std::string>& notes) {
  if (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == static_cast<int>(kSecureBits)) return;
  if (prctl(PR_SET_SECUREBITS, kSecureBits, 0, 0, 0) == 0) return;
  notes.push_back(absl::StrCat("the secure bits stay as they are: ", Because(),
                               "; no_new_privs holds all the same"));
}

/// Those that root's user is in open what is theirs.
void LeaveGroups(std::vector<std::string>& notes) {
  std::vector<gid_t> groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
  const int count = getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<size_t>(std::max(count, 0)));
  std::erase(groups, getegid());
  if (groups.empty() || setgroups(0, nullptr) == 0) return;
  notes.push_back(absl::StrCat("stays in ", groups.size(), " groups: ", Because(),
                               "; take SupplementaryGroups= out of its unit"));
}

/// Keeps of `kept` what this process has, and nothing else.
absl::Status SetCapabilities(uint64_t kept) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (syscall(SYS_capget, &header, sets.data()) != 0) {
    return absl::ErrnoToStatus(errno, "can't read the process's capabilities");
  }
  for (size_t i = 0; i < sets.size(); ++i) {
    const auto part = static_cast<uint32_t>(kept >> (32 * i));
    sets[i].permitted &= part;
    sets[i].effective = sets[i].permitted;
    sets[i].inheritable = 0;
  }
  if (syscall(SYS_capset, &header, sets.data()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "can't give up capabilities");
}

}  // namespace

absl::StatusOr<std::vector<std::string>> DropPrivileges(bool keep_dac_override) {
  std::vector<std::string> notes;
  if (geteuid() == 0) {
    uint64_t kept = Bit(CAP_SYS_PTRACE) | Bit(CAP_DAC_READ_SEARCH);
    if (keep_dac_override) kept |= Bit(CAP_DAC_OVERRIDE);
    // All four take capabilities that go last.
    LeaveGroups(notes);
    LeaveNetwork(notes);
    DropBounds(kept, notes);
    LockSecureBits(notes);
    if (auto status = SetCapabilities(kept); !status.ok()) return status;
  } else {
    notes.push_back(absl::StrCat("runs as uid ", geteuid(),
                                 ", not as root: it can open what this user can, and no more"));
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return absl::ErrnoToStatus(errno, "can't set no_new_privs");
  }
  return notes;
}

}  // namespace planecast
