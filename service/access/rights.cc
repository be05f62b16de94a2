#include "service/access/rights.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

/// A display's id has at most so many characters, a role's name too.
constexpr size_t kNameMaxBytes = 63;
/// Of a malformed text, so much is quoted.
constexpr size_t kQuotedMaxBytes = 80;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool IsPatternCharacter(char c) {
  return IsNameCharacter(c) || c == '*';
}

bool IsNonEmptyName(std::string_view text, bool (*is_character)(char)) {
  return !text.empty() && text.size() <= kNameMaxBytes &&
         std::all_of(text.begin(), text.end(), is_character);
}

std::string Quote(std::string_view text) {
  const std::string_view head = text.substr(0, kQuotedMaxBytes);
  return absl::StrCat("\"", absl::CHexEscape({head.data(), head.size()}),
                      text.size() > head.size() ? "...\"" : "\"");
}

}  // namespace

absl::StatusOr<DisplayPattern> DisplayPattern::Parse(std::string_view text) {
  if (IsNonEmptyName(text, IsPatternCharacter)) return DisplayPattern(std::string(text));
  return absl::InvalidArgumentError(
      absl::StrCat("display pattern ", Quote(text),
                   " is malformed: use 1 to 63 characters out of lower-case letters, digits, '-' "
                   "and '*'"));
}

DisplayPattern DisplayPattern::All() {
  return DisplayPattern("*");
}

bool DisplayPattern::Matches(std::string_view display_id) const {
  std::string_view pattern = text_;
  std::string_view id = display_id;
  const size_t first_star = pattern.find('*');
  if (first_star == std::string_view::npos) return pattern == id;
  const std::string_view head = pattern.substr(0, first_star);
  const std::string_view tail = pattern.substr(pattern.rfind('*') + 1);
  if (id.size() < head.size() + tail.size() || !id.starts_with(head) || !id.ends_with(tail)) {
    return false;
  }
  id = id.substr(head.size(), id.size() - head.size() - tail.size());
  pattern = pattern.substr(first_star, pattern.size() - head.size() - tail.size());
  // Between stars, the leftmost place of each piece leaves the most to those after it: there is
  // never a reason to go back.
  while (!pattern.empty()) {
    const size_t end = std::min(pattern.find('*'), pattern.size());
    const size_t at = id.find(pattern.substr(0, end));
    if (at == std::string_view::npos) return false;
    id.remove_prefix(at + end);
    pattern.remove_prefix(std::min(end + 1, pattern.size()));
  }
  return true;
}

bool DisplayPattern::all() const {
  return text_.find_first_not_of('*') == std::string::npos;
}

PermissionSet Rights::On(std::string_view display_id) const {
  PermissionSet all;
  for (const Grant& grant : grants_) {
    if (grant.displays.Matches(display_id)) all = all | grant.permissions;
  }
  return all;
}

bool Rights::Allows(Permission permission, std::string_view display_id) const {
  return On(display_id).Has(permission);
}

bool Rights::AllowsSomewhere(Permission permission) const {
  return std::any_of(grants_.begin(), grants_.end(), [permission](const Grant& grant) {
    return grant.permissions.Has(permission);
  });
}

bool Rights::AllowsEverywhere(Permission permission) const {
  return std::any_of(grants_.begin(), grants_.end(), [permission](const Grant& grant) {
    return grant.displays.all() && grant.permissions.Has(permission);
  });
}

bool Rights::empty() const {
  return std::all_of(grants_.begin(), grants_.end(),
                     [](const Grant& grant) { return grant.permissions.empty(); });
}

RoleSet::RoleSet() {
  const PermissionSet viewer = {Permission::kWatch, Permission::kSnapshot};
  roles_["viewer"] = viewer;
  roles_["controller"] = viewer | PermissionSet{Permission::kControl, Permission::kClipboardRead,
                                                Permission::kClipboardWrite};
  roles_["operator"] = PermissionSet::All();
}

absl::Status RoleSet::Set(std::string_view name, PermissionSet permissions) {
  if (!IsNonEmptyName(name, IsNameCharacter)) {
    return absl::InvalidArgumentError(
        absl::StrCat("role ", Quote(name),
                     " is malformed: use 1 to 63 characters out of lower-case letters, digits and "
                     "'-'"));
  }
  roles_[std::string(name)] = permissions;
  return absl::OkStatus();
}

absl::StatusOr<PermissionSet> RoleSet::Find(std::string_view name) const {
  const auto found = roles_.find(name);
  if (found != roles_.end()) return found->second;
  std::string names;
  for (const auto& [known, permissions] : roles_) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", known);
  }
  return absl::NotFoundError(absl::StrCat("no role ", Quote(name), "; there are ", names));
}

}  // namespace planecast
