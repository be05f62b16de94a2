#include "service/process/user.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

/// An entry of /etc/passwd that needs more is no user.
constexpr size_t kEntryMaxBytes = 1 << 20;
/// Linux has no more groups for a process.
constexpr size_t kGroupsMax = 65536;

/// A user of the system's.
struct Entry {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// Calls getpwnam_r or getpwuid_r with as much room as it takes. Nothing: no such user.
template <typename Lookup>
absl::StatusOr<std::optional<Entry>> LookUp(Lookup lookup) {
  std::vector<char> buffer(4096);
  passwd entry{};
  passwd* found = nullptr;
  int error = 0;
  while ((error = lookup(&entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
         buffer.size() < kEntryMaxBytes) {
    buffer.resize(buffer.size() * 2);
  }
  if (found != nullptr) return Entry{found->pw_name, found->pw_uid, found->pw_gid};
  // What getpwnam(3) lists for "no such user".
  if (error == 0 || error == ENOENT || error == ESRCH || error == EPERM || error == EBADF) {
    return std::nullopt;
  }
  return absl::ErrnoToStatus(error, "can't look up a user");
}

absl::StatusOr<std::optional<Entry>> ByUid(uid_t uid) {
  return LookUp([uid](passwd* entry, char* buffer, size_t size, passwd** found) {
    return getpwuid_r(uid, entry, buffer, size, found);
  });
}

absl::StatusOr<std::optional<Entry>> ByName(const std::string& name) {
  return LookUp([&name](passwd* entry, char* buffer, size_t size, passwd** found) {
    return getpwnam_r(name.c_str(), entry, buffer, size, found);
  });
}

/// Nothing if this is no number that an id can be; all ones mean "unchanged" to the kernel.
std::optional<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (id == std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return id;
}

bool LooksLikeNumber(std::string_view text) {
  return !text.empty() && text[0] >= '0' && text[0] <= '9';
}

std::vector<gid_t> GroupsOf(const Entry& entry) {
  std::vector<gid_t> groups(64);
  int count = static_cast<int>(groups.size());
  while (getgrouplist(entry.name.c_str(), entry.gid, groups.data(), &count) < 0 &&
         groups.size() < kGroupsMax) {
    groups.resize(std::max<size_t>(static_cast<size_t>(std::max(count, 0)), groups.size() * 2));
    count = static_cast<int>(groups.size());
  }
  groups.resize(std::min(groups.size(), static_cast<size_t>(std::max(count, 0))));
  std::erase(groups, gid_t{0});
  std::erase(groups, entry.gid);
  return groups;
}

std::string Describe(const std::optional<Entry>& entry, uid_t uid) {
  return entry.has_value() ? absl::StrCat(entry->name, " (uid ", uid, ")")
                           : absl::StrCat("uid ", uid);
}

absl::StatusOr<DaemonUser> CheckedUser(DaemonUser user, std::string_view text) {
  if (user.gid != 0 || user.is_root()) return user;
  return absl::InvalidArgumentError(
      absl::StrCat("the user '", std::string(text),
                   "' has group 0, root's, whose files are not for the daemon; name another group "
                   "with --user UID:GID"));
}

absl::StatusOr<DaemonUser> FindByNumber(std::string_view text) {
  const size_t colon = text.find(':');
  const std::optional<uint32_t> uid = ParseId(text.substr(0, colon));
  const std::optional<uint32_t> gid =
      colon == std::string_view::npos ? std::nullopt : ParseId(text.substr(colon + 1));
  if (!uid.has_value() || (colon != std::string_view::npos && !gid.has_value())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", std::string(text), "' is no user: use NAME, or UID or UID:GID, numbers both"));
  }
  const auto entry = ByUid(*uid);
  if (!entry.ok()) return entry.status();
  DaemonUser user;
  user.uid = *uid;
  user.gid = gid.value_or(entry->has_value() ? (*entry)->gid : *uid);
  if (entry->has_value() && !gid.has_value()) user.groups = GroupsOf(**entry);
  user.text = Describe(*entry, *uid);
  return CheckedUser(std::move(user), text);
}

}  // namespace

absl::StatusOr<DaemonUser> FindDaemonUser(std::string_view text) {
  if (LooksLikeNumber(text)) return FindByNumber(text);
  const std::string name(text);
  const auto entry = ByName(name);
  if (!entry.ok()) return entry.status();
  if (!entry->has_value()) {
    return absl::NotFoundError(
        absl::StrCat("there is no user ", name,
                     ", whom the daemon becomes when root starts it; make him with "
                     "'useradd --system ",
                     name, "', or say --user with a name or a free UID"));
  }
  DaemonUser user{(*entry)->uid, (*entry)->gid, GroupsOf(**entry), Describe(*entry, (*entry)->uid)};
  return CheckedUser(std::move(user), text);
}

std::string DescribeUser(uid_t uid) {
  const auto entry = ByUid(uid);
  return Describe(entry.ok() ? *entry : std::nullopt, uid);
}

}  // namespace planecast
