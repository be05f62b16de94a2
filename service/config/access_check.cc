#include "service/config/access_check.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "service/access/rights.h"
#include "service/config/config.h"
#include "service/sockets/host_port.h"

namespace planecast {
namespace {

using config::v1::Binding;
using config::v1::Listener;
using config::v1::Role;
using config::v1::ServerConfig;

/// As Linux's utmp and shadow have it.
constexpr size_t kGroupNameMaxChars = 32;
constexpr std::array<std::string_view, 4> kSanPrefixes = {"DNS:", "URI:", "email:", "IP:"};

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsGroupChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '_' || c == '-' ||
         c == '.';
}

bool IsIpAddress(const std::string& text) {
  in6_addr parsed{};
  return inet_pton(AF_INET, text.c_str(), &parsed) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

void CheckRole(const Node& node, const Role& role, std::set<std::string>& names, RoleSet& roles) {
  // Known even if its permissions are not: who names it has made no mistake.
  if (auto status = roles.Set(role.name(), {Permission::kList}); !status.ok()) {
    node.Add("name", status.message());
  } else if (!names.insert(role.name()).second) {
    node.Add("name", "is used by an earlier role; give all permissions in one");
  }
  if (role.permissions().empty()) {
    node.Add("permissions", "is empty; name at least one, e.g. PERMISSION_WATCH");
  }
  std::set<int> seen;
  for (int i = 0; i < role.permissions_size(); ++i) {
    const v1::Permission permission = role.permissions(i);
    if (permission == v1::PERMISSION_UNSPECIFIED || !v1::Permission_IsValid(permission)) {
      node.Add("permissions", "is no permission that can be given; use e.g. PERMISSION_WATCH", i);
    } else if (!seen.insert(permission).second) {
      node.Add("permissions", "stands there twice", i);
    }
  }
}

/// Reports what is wrong with the roles; returns those that there are.
RoleSet CheckRoles(const Node& node, const ServerConfig& config) {
  RoleSet roles;
  std::set<std::string> names;
  if (config.roles_size() > kRolesMax) {
    node.Add("roles", absl::StrCat(config.roles_size(), " are more than ", kRolesMax));
  }
  const int count = std::min(config.roles_size(), kRolesMax);
  for (int i = 0; i < count; ++i) {
    CheckRole(node.Child("roles", config.roles(i), i), config.roles(i), names, roles);
  }
  return roles;
}

void CheckSubject(const Node& node, const Binding& binding) {
  switch (binding.subject_case()) {
    case Binding::kUid:
      return;
    case Binding::kCertificateSubject:
      if (auto status = CheckCertificateSubject(binding.certificate_subject()); !status.ok()) {
        node.Add("certificate_subject", status.message());
      }
      return;
    case Binding::kCertificateSan:
      if (auto status = CheckCertificateSan(binding.certificate_san()); !status.ok()) {
        node.Add("certificate_san", status.message());
      }
      return;
    case Binding::SUBJECT_NOT_SET:
      break;
  }
  node.Add("uid", "nobody is named; set one of uid, certificate_subject, certificate_san");
}

void CheckBinding(const Node& node, const Binding& binding, const RoleSet& roles) {
  CheckSubject(node, binding);
  if (auto role = roles.Find(binding.role()); !role.ok()) node.Add("role", role.status().message());
  if (binding.displays().empty()) {
    node.Add("displays", "is empty; name displays' ids, or \"*\" for all");
  }
  for (int i = 0; i < binding.displays_size(); ++i) {
    if (auto pattern = DisplayPattern::Parse(binding.displays(i)); !pattern.ok()) {
      node.Add("displays", pattern.status().message(), i);
    }
  }
}

void CheckBindings(const Node& node, const ServerConfig& config, const RoleSet& roles) {
  if (config.bindings_size() > kBindingsMax) {
    node.Add("bindings",
             absl::StrCat(config.bindings_size(), " are more than ", kBindingsMax,
                          "; one binding can name many displays, and tickets need none"));
    return;
  }
  for (int i = 0; i < config.bindings_size(); ++i) {
    CheckBinding(node.Child("bindings", config.bindings(i), i), config.bindings(i), roles);
  }
}

/// A call that came in by plain TCP from afar does not tell by which of the listeners.
void CheckOneRoleOffLoopback(const Node& node, const ServerConfig& config) {
  std::optional<int> first;
  for (int i = 0; i < config.listeners_size(); ++i) {
    const Listener& listener = config.listeners(i);
    if (TellsItsCalls(listener)) continue;
    if (!first.has_value()) first = i;
    const std::string& want = config.listeners(*first).anonymous_role();
    if (listener.anonymous_role() == want) continue;
    node.Child("listeners", listener, i)
        .Add("anonymous_role",
             absl::StrCat("all listeners without TLS but 127.0.0.1 and ::1 must have the same, and "
                          "listeners[",
                          *first, "] has ", want.empty() ? "none" : absl::StrCat("\"", want, "\""),
                          "; give both the same, or TLS to one"));
  }
}

/// A binding names a certificate, and not whose: a CA that is good enough for one listener must not
/// give what another one's certificates have.
void CheckOneClientCa(const Node& node, const ServerConfig& config) {
  const bool bound =
      std::any_of(config.bindings().begin(), config.bindings().end(),
                  [](const config::v1::Binding& binding) { return !binding.has_uid(); });
  if (!bound) return;
  std::optional<std::string> first;
  for (int i = 0; i < config.listeners_size(); ++i) {
    const std::string& ca = config.listeners(i).tls().client_ca_path();
    if (ca.empty()) continue;
    if (!first.has_value()) first = ca;
    if (ca == *first) continue;
    const Node listener = node.Child("listeners", config.listeners(i), i);
    listener.Child("tls", config.listeners(i).tls())
        .Add("client_ca_path",
             absl::StrCat("bindings don't tell certificates of one CA from another's; use ", *first,
                          " here too, or one file with both"));
  }
}

}  // namespace

void CheckAccess(const Node& node, const ServerConfig& config) {
  const RoleSet roles = CheckRoles(node, config);
  CheckBindings(node, config, roles);
  CheckOneClientCa(node, config);
  for (int i = 0; i < config.listeners_size(); ++i) {
    const Listener& listener = config.listeners(i);
    if (listener.anonymous_role().empty()) continue;
    if (auto role = roles.Find(listener.anonymous_role()); !role.ok()) {
      node.Child("listeners", listener, i).Add("anonymous_role", role.status().message());
    }
  }
  CheckOneRoleOffLoopback(node, config);
}

absl::Status CheckGroupName(std::string_view name) {
  const bool clean = std::all_of(name.begin(), name.end(), IsGroupChar);
  const bool number = std::all_of(name.begin(), name.end(), IsDigit);
  if (!name.empty() && name.size() <= kGroupNameMaxChars && clean && !number && name[0] != '-') {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "is no group's name; use one from `getent group`, e.g. planecast, not its number");
}

absl::Status CheckUser(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view first = text.substr(0, colon);
  const bool number = !first.empty() && std::all_of(first.begin(), first.end(), IsDigit);
  const bool named = CheckGroupName(first).ok() && colon == std::string_view::npos;
  const std::string_view group =
      colon == std::string_view::npos ? std::string_view("0") : text.substr(colon + 1);
  const bool grouped = !group.empty() && std::all_of(group.begin(), group.end(), IsDigit);
  if (named || (number && grouped)) return absl::OkStatus();
  return absl::InvalidArgumentError("is no user; use NAME, or UID or UID:GID, numbers both");
}

absl::Status CheckCertificateSan(std::string_view name) {
  for (const std::string_view prefix : kSanPrefixes) {
    if (!absl::StartsWith(absl::string_view(name.data(), name.size()),
                          absl::string_view(prefix.data(), prefix.size()))) {
      continue;
    }
    const std::string rest(name.substr(prefix.size()));
    if (rest.empty()) break;
    if (prefix != "IP:" || IsIpAddress(rest)) return absl::OkStatus();
    return absl::InvalidArgumentError("IP: and no address; use e.g. IP:192.0.2.1");
  }
  return absl::InvalidArgumentError(
      "is no alternative name; use DNS:NAME, URI:URI, email:ADDRESS or IP:ADDRESS, e.g. "
      "DNS:web1.example.org");
}

absl::Status CheckCertificateSubject(std::string_view subject) {
  const std::string_view key = subject.substr(0, subject.find('='));
  const bool named = !key.empty() && key.size() < subject.size() && key != "subject" &&
                     key.find_first_of(" /,") == std::string_view::npos;
  // RFC 2253 escapes a comma of a value and a blank in front of one: this is another form.
  const size_t blank = subject.find(", ");
  const bool spaced = blank != std::string_view::npos && blank > 0 && subject[blank - 1] != '\\';
  if (named && !spaced) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "is no whole subject; write what `openssl x509 -noout -subject -nameopt RFC2253` prints "
      "behind "
      "subject=, e.g. CN=web1,O=Example");
}

}  // namespace planecast
