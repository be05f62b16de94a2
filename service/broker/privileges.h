// What the broker keeps of root's privileges: as little as opening devices takes.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace planecast {

/// Gives up, for good, whatever borrowing and opening devices does not take.
///
/// Run by root the process keeps uid 0, since root's nodes may be root's only, CAP_SYS_PTRACE (to
/// copy a VMM's fd) and CAP_DAC_READ_SEARCH (to see the fds of another user's process), with
/// `keep_dac_override` CAP_DAC_OVERRIDE too (to open nodes that were given to another user), and
/// nothing else; no program that it would start regains anything. It leaves the network. Run by
/// another user it has nothing to give up but the right to gain something.
///
/// To be called before there is a second thread. Returns what it could not do and could do without,
/// for the log, e.g. because the service manager saw to it already. An error means that privileges
/// are left that must not be.
absl::StatusOr<std::vector<std::string>> DropPrivileges(bool keep_dac_override);

}  // namespace planecast
