// Whom the daemon becomes.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace planecast {

inline constexpr std::string_view kDefaultUser = "planecast";

/// A user that a process can become.
struct DaemonUser {
  uid_t uid = 0;
  gid_t gid = 0;
  /// Further groups that /etc/group gives him; none of root's.
  std::vector<gid_t> groups;
  /// As DescribeUser.
  std::string text;

  bool is_root() const { return uid == 0; }
};

/// The user of `text`: NAME, UID or UID:GID. Numbers need not be in /etc/passwd; a UID that is not
/// there has the group of the same number.
///
/// NOT_FOUND if there is no user of that name, with how to make one; INVALID_ARGUMENT for what
/// can't be a user, and for root's group with another user.
absl::StatusOr<DaemonUser> FindDaemonUser(std::string_view text);

/// E.g. "planecast (uid 998)", or "uid 61234" where no name is known. Reads /etc/passwd.
std::string DescribeUser(uid_t uid);

}  // namespace planecast
