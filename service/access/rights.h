// What somebody may do, and to which displays.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/access/permission.h"

namespace planecast {

/// Which displays: an id's characters and `*`, which stands for any number of any characters.
class DisplayPattern {
 public:
  /// INVALID_ARGUMENT, for a person, for an empty text, one of over 63 characters, or characters
  /// that no id has.
  static absl::StatusOr<DisplayPattern> Parse(std::string_view text);
  /// The pattern `*`.
  static DisplayPattern All();

  /// Never goes back over the id: at most length times length steps, whatever the pattern.
  bool Matches(std::string_view display_id) const;
  /// It is `*` (or `**`): displays of the future too.
  bool all() const;
  const std::string& text() const { return text_; }

 private:
  explicit DisplayPattern(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// Permissions on some displays.
struct Grant {
  PermissionSet permissions;
  DisplayPattern displays;
};

/// All that somebody may do. Value type.
class Rights {
 public:
  Rights() = default;
  explicit Rights(std::vector<Grant> grants) : grants_(std::move(grants)) {}

  void Add(Grant grant) { grants_.push_back(std::move(grant)); }
  /// All permissions on this display together.
  PermissionSet On(std::string_view display_id) const;
  bool Allows(Permission permission, std::string_view display_id) const;
  /// On some display.
  bool AllowsSomewhere(Permission permission) const;
  /// On all displays, those of the future too.
  bool AllowsEverywhere(Permission permission) const;
  bool empty() const;
  const std::vector<Grant>& grants() const { return grants_; }

 private:
  std::vector<Grant> grants_;
};

/// Named sets of permissions. `viewer`, `controller` and `operator` are always there, unless
/// replaced; see access.proto.
class RoleSet {
 public:
  /// The built-in ones.
  RoleSet();
  /// Adds a role, or replaces one. INVALID_ARGUMENT for a name that is not 1 to 63 lower-case
  /// letters, digits and `-`.
  absl::Status Set(std::string_view name, PermissionSet permissions);
  /// NOT_FOUND, for a person, with the names that there are.
  absl::StatusOr<PermissionSet> Find(std::string_view name) const;

 private:
  std::map<std::string, PermissionSet, std::less<>> roles_;
};

}  // namespace planecast
