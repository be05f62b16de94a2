// What a caller may do to a display.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace planecast {

/// As planecast.v1.Permission says; the numbers are the proto's.
enum class Permission : uint8_t {
  kList = 1,
  kWatch = 2,
  kControl = 3,
  kClipboardRead = 4,
  kClipboardWrite = 5,
  kSnapshot = 6,
  kRecord = 7,
  kManage = 8,
};
inline constexpr int kPermissionLast = static_cast<int>(Permission::kManage);

/// E.g. `WATCH`.
std::string_view PermissionName(Permission permission);
/// The permission with this name.
std::optional<Permission> PermissionFromName(std::string_view name);

/// Some permissions. One that is not empty has LIST: every other permission implies it.
class PermissionSet {
 public:
  constexpr PermissionSet() = default;
  constexpr PermissionSet(std::initializer_list<Permission> permissions) {
    for (const Permission permission : permissions) Add(permission);
  }
  static constexpr PermissionSet All() {
    PermissionSet all;
    for (int i = 1; i <= kPermissionLast; ++i) all.Add(static_cast<Permission>(i));
    return all;
  }

  constexpr void Add(Permission permission) { bits_ |= Bit(permission) | Bit(Permission::kList); }
  constexpr bool Has(Permission permission) const { return (bits_ & Bit(permission)) != 0; }
  constexpr bool Contains(PermissionSet other) const { return (other.bits_ & ~bits_) == 0; }
  constexpr bool empty() const { return bits_ == 0; }
  friend constexpr PermissionSet operator|(PermissionSet a, PermissionSet b) {
    a.bits_ |= b.bits_;
    return a;
  }
  friend constexpr PermissionSet operator&(PermissionSet a, PermissionSet b) {
    a.bits_ &= b.bits_;
    return a;
  }
  friend constexpr bool operator==(PermissionSet, PermissionSet) = default;

  /// Names, in the enum's order, with commas; e.g. `LIST, WATCH, SNAPSHOT`.
  std::string ToString() const;

 private:
  static constexpr uint16_t Bit(Permission permission) {
    return static_cast<uint16_t>(1U << static_cast<unsigned>(permission));
  }
  uint16_t bits_ = 0;
};

}  // namespace planecast
