#include "service/config/access_config.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "service/sockets/host_port.h"

namespace planecast {
namespace {

using config::v1::Listener;
using config::v1::ServerConfig;
using config::v1::TlsConfig;

constexpr absl::string_view kIpPrefix = "IP:";

PermissionSet PermissionsOf(const config::v1::Role& role) {
  PermissionSet permissions;
  for (const int number : role.permissions()) permissions.Add(static_cast<Permission>(number));
  return permissions;
}

RoleSet RolesOf(const ServerConfig& config) {
  RoleSet roles;
  for (const config::v1::Role& role : config.roles()) {
    roles.Set(role.name(), PermissionsOf(role)).IgnoreError();
  }
  return roles;
}

/// An address can be written in several ways; a certificate's is told in one.
std::string CanonicalSan(const std::string& name) {
  if (!absl::StartsWith(name, kIpPrefix)) return name;
  const std::string address = name.substr(kIpPrefix.size());
  in6_addr v6{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (inet_pton(AF_INET6, address.c_str(), &v6) != 1) return name;
  inet_ntop(AF_INET6, &v6, text.data(), text.size());
  return absl::StrCat(kIpPrefix, text.data());
}

BindingSubject SubjectOf(const config::v1::Binding& binding) {
  BindingSubject subject;
  if (binding.has_uid()) subject.uid = binding.uid();
  subject.certificate_subject = binding.certificate_subject();
  subject.certificate_san = CanonicalSan(binding.certificate_san());
  return subject;
}

bool IsOnLoopback(const Listener& listener) {
  const auto address = ParseHostPort(listener.address());
  return address.ok() && IsLoopbackHost(address->host);
}

bool NeedsCertificate(const Listener& listener) {
  return !listener.tls().client_ca_path().empty() &&
         listener.tls().client_certificate() != TlsConfig::CLIENT_CERTIFICATE_OPTIONAL;
}

/// E.g. `listeners[1], 0.0.0.0:7443 (plain text)`.
std::string NameOf(const ServerConfig& config, int index) {
  const Listener& listener = config.listeners(index);
  return absl::StrCat("listeners[", index, "], ", listener.address(),
                      listener.has_tls() ? " (TLS)" : " (plain text)");
}

bool TakesNoCertificateToo(const Listener& listener) {
  return listener.tls().client_certificate() == TlsConfig::CLIENT_CERTIFICATE_OPTIONAL;
}

/// Whoever wrote this knows that there are rights.
bool SpeaksOfRights(const ServerConfig& config) {
  return !config.roles().empty() || !config.bindings().empty() ||
         std::any_of(config.listeners().begin(), config.listeners().end(),
                     [](const Listener& listener) {
                       return !listener.anonymous_role().empty() || TakesNoCertificateToo(listener);
                     });
}

bool BindsACertificate(const ServerConfig& config) {
  return std::any_of(config.bindings().begin(), config.bindings().end(),
                     [](const config::v1::Binding& binding) { return !binding.has_uid(); });
}

/// Its client CA's certificates could do all, and can do nothing.
bool LostCertificates(const Listener& listener) {
  return !listener.tls().client_ca_path().empty() && listener.anonymous_role().empty() &&
         !TakesNoCertificateToo(listener);
}

std::string WarnOfNobody(const ServerConfig& config, int index) {
  const Listener& listener = config.listeners(index);
  const bool loopback = IsOnLoopback(listener);
  const bool tickets = listener.has_tls() || loopback;
  return absl::StrCat(
      NameOf(config, index), ": until now ",
      loopback ? "every local user" : "everyone who could connect",
      " could see and control all displays there; now nobody is served without ",
      tickets ? "a ticket. `planecast ticket` makes one"
              : "a right, and tickets are refused on plain text; TLS lets in who has one",
      ". To let everybody in as before, write into that listener:  anonymous_role: \"operator\"  "
      "(for an address of --listen, start with ",
      loopback ? "--anonymous" : "--anonymous-remote", " operator)");
}

std::string WarnOfCertificates(const std::vector<std::string>& listeners) {
  return absl::StrCat(
      absl::StrJoin(listeners, "; "),
      ": until now every certificate that client_ca_path's CA signed could see and control all "
      "displays there; now a certificate gives no right unless it is bound. Write for each, with "
      "the subject that `openssl x509 -noout -subject -nameopt RFC2253` prints behind subject=:  "
      "bindings { certificate_subject: \"CN=web1,O=Example\" role: \"operator\" displays: \"*\" }  "
      "To let all of them in as before, write into each listener:  anonymous_role: \"operator\"");
}

std::string WarnOfFakes(const std::vector<std::string>& displays) {
  return absl::StrCat(
      absl::StrJoin(displays, "; "),
      displays.size() == 1 ? ": is a fake device and" : ": are fake devices and",
      " left out. Until now any daemon could have them; they take a core each and are for demos "
      "and "
      "tests. To have them as before, write into the config:  allow_fake_devices: true  (or start "
      "with --allow-fake)");
}

std::string WhoComes(const Listener& listener) {
  if (NeedsCertificate(listener)) return "everyone with a certificate of its client CA";
  if (IsOnLoopback(listener)) return "every local user";
  return "everyone who can connect";
}

}  // namespace

std::shared_ptr<const AccessPolicy> MakeAccessPolicy(const ServerConfig& config) {
  const RoleSet roles = RolesOf(config);
  std::vector<Binding> bindings;
  for (const config::v1::Binding& binding : config.bindings()) {
    const auto permissions = roles.Find(binding.role());
    for (const std::string& displays : binding.displays()) {
      auto pattern = DisplayPattern::Parse(displays);
      // ParseConfig checked both; what is wrong gives nothing.
      if (!permissions.ok() || !pattern.ok()) continue;
      bindings.push_back({SubjectOf(binding), {*permissions, *std::move(pattern)}});
    }
  }
  return std::make_shared<const AccessPolicy>(roles, std::move(bindings));
}

std::vector<std::string> UpgradeWarnings(const ServerConfig& config) {
  std::vector<std::string> warnings;
  std::vector<std::string> lost_certificates;
  const bool speaks = SpeaksOfRights(config);
  for (int i = 0; i < config.listeners_size(); ++i) {
    const Listener& listener = config.listeners(i);
    if (listener.tls().client_ca_path().empty()) {
      if (!speaks) warnings.push_back(WarnOfNobody(config, i));
    } else if (LostCertificates(listener)) {
      lost_certificates.push_back(NameOf(config, i));
    }
  }
  if (!lost_certificates.empty() && !BindsACertificate(config)) {
    warnings.push_back(WarnOfCertificates(lost_certificates));
  }
  std::vector<std::string> fakes;
  for (int i = 0; i < config.displays_size(); ++i) {
    if (!config.displays(i).source().has_fake()) continue;
    fakes.push_back(absl::StrCat("displays[", i, "], ", config.displays(i).display_id()));
  }
  if (!fakes.empty() && !config.allow_fake_devices()) warnings.push_back(WarnOfFakes(fakes));
  return warnings;
}

std::vector<std::string> OpenDoors(const ServerConfig& config) {
  const RoleSet roles = RolesOf(config);
  std::vector<std::string> doors;
  for (int i = 0; i < config.listeners_size(); ++i) {
    const Listener& listener = config.listeners(i);
    if (listener.anonymous_role().empty()) continue;
    const auto permissions = roles.Find(listener.anonymous_role());
    doors.push_back(absl::StrCat(
        NameOf(config, i), ": ", WhoComes(listener), " is ", listener.anonymous_role(),
        " without further credentials: ", permissions.ok() ? permissions->ToString() : "nothing",
        " on all displays",
        !listener.has_tls() && !IsOnLoopback(listener)
            ? ", and the network between sees what they see"
            : ""));
  }
  return doors;
}

}  // namespace planecast
