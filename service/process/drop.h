// From root to a user without privileges, for good.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/process/user.h"

namespace planecast {

/// This process is root's, or has capabilities.
bool HasPrivileges();

/// The groups that `directory`'s render nodes (renderD*) belong to, each once, but root's.
std::vector<gid_t> RenderNodeGroups(const std::string& directory = "/dev/dri");

/// The group of this name, if there is one.
std::vector<gid_t> GroupOfName(const std::string& name);

/// Takes root's terminal away from this process: standard input becomes /dev/null, the other
/// streams are only written to, and no terminal is the process's own, so that what root types there
/// can't be read. A process that leads its session keeps it. Signals of the terminal's keys still
/// come. The system's error with what failed.
absl::Status LeaveTerminal();

/// Gives up the capabilities that a process which is not root's was started with.
/// FAILED_PRECONDITION if it has a second thread.
absl::Status GiveUpCapabilities();

/// Turns this process, which root has started, into `user`'s for good: his uid and gid in all four
/// places, his groups and `more_groups`, no capability in any set, none to be gained by executing
/// anything. /proc/self stays readable.
///
/// Every step is checked, and that there is no way back. FAILED_PRECONDITION if the process has a
/// second thread, which would keep what this one lets go of; the system's error, with what failed,
/// otherwise. After an error the process must end.
absl::Status DropPrivileges(const DaemonUser& user, const std::vector<gid_t>& more_groups);

}  // namespace planecast
