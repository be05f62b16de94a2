#include "service/access/permission.h"

#include <array>

namespace planecast {
namespace {

struct Named {
  Permission permission;
  std::string_view name;
};
constexpr std::array<Named, kPermissionLast> kNames = {
    {{Permission::kList, "LIST"},
     {Permission::kWatch, "WATCH"},
     {Permission::kControl, "CONTROL"},
     {Permission::kClipboardRead, "CLIPBOARD_READ"},
     {Permission::kClipboardWrite, "CLIPBOARD_WRITE"},
     {Permission::kSnapshot, "SNAPSHOT"},
     {Permission::kRecord, "RECORD"},
     {Permission::kManage, "MANAGE"}}};

}  // namespace

std::string_view PermissionName(Permission permission) {
  for (const Named& named : kNames) {
    if (named.permission == permission) return named.name;
  }
  return "?";
}

std::optional<Permission> PermissionFromName(std::string_view name) {
  for (const Named& named : kNames) {
    if (named.name == name) return named.permission;
  }
  return std::nullopt;
}

std::string PermissionSet::ToString() const {
  std::string text;
  for (const Named& named : kNames) {
    if (!Has(named.permission)) continue;
    if (!text.empty()) text += ", ";
    text += named.name;
  }
  return text;
}

}  // namespace planecast
