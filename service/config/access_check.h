// Checks of what the config says of rights: roles, bindings, anonymous callers.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "planecast/config/v1/server_config.pb.h"
#include "service/config/mistakes.h"

namespace planecast {

inline constexpr int kRolesMax = 100;
inline constexpr int kBindingsMax = 1000;

/// Adds the mistakes in roles, bindings and listeners' anonymous_role to `node`'s, which is the
/// whole config's.
void CheckAccess(const Node& node, const config::v1::ServerConfig& config);

/// INVALID_ARGUMENT, for a person, if no group has such a name. Does not look whether there is one.
absl::Status CheckGroupName(std::string_view name);

/// INVALID_ARGUMENT, for a person, if this is no user's name, no UID and no UID:GID. Does not look
/// whether there is one.
absl::Status CheckUser(std::string_view text);

/// INVALID_ARGUMENT, for a person, for what is not `DNS:`, `URI:`, `email:` or `IP:` and a name.
absl::Status CheckCertificateSan(std::string_view name);

/// INVALID_ARGUMENT, for a person, for what is no subject as RFC 2253 writes it, e.g. as `openssl
/// x509 -noout -subject` prints it without `-nameopt RFC2253`.
absl::Status CheckCertificateSubject(std::string_view subject);

}  // namespace planecast
