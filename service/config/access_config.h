// What a valid config says of rights, for those who decide by it and those who are told.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "planecast/config/v1/server_config.pb.h"
#include "service/access/policy.h"

namespace planecast {

/// The roles and bindings of a config that ParseConfig gave.
std::shared_ptr<const AccessPolicy> MakeAccessPolicy(const config::v1::ServerConfig& config);

/// What a config of the time before rights gave and gives no more: one sentence each, for a person,
/// with the line to write to have it back. Then whoever could connect, and with client_ca_path
/// whoever had a certificate, could do all.
///
/// A listener that served everybody is not told of once the config has a role, a binding, an
/// anonymous_role or an optional client certificate anywhere: who wrote that knows of rights. One
/// with client_ca_path is told of until a certificate is bound or it has an anonymous_role. Fake
/// devices are told of until they are allowed.
std::vector<std::string> UpgradeWarnings(const config::v1::ServerConfig& config);

/// Each listener that gives callers without credentials a role, and what they may do with it: one
/// sentence each, for a person. Addresses are the config's: who knows the bound ones puts them in
/// first.
std::vector<std::string> OpenDoors(const config::v1::ServerConfig& config);

}  // namespace planecast
