// The daemon's config: the textproto file, its defaults and limits, and what the command line adds.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planecast/config/v1/server_config.pb.h"
#include "service/config/flags.h"

namespace planecast {

inline constexpr std::string_view kDefaultSocketPath = "/run/planecast/planecast.sock";

/// The viewers' socket in the folder of the operators', by default.
inline constexpr std::string_view kViewerSocketName = "viewers.sock";

inline constexpr std::string_view kDefaultBrokerSocketPath = "/run/planecast-broker/broker.sock";

/// What viewer_socket_path and broker_socket_path say for none, also after ParseConfig.
inline constexpr std::string_view kNoSocket = "none";

/// Largest config file, in bytes.
inline constexpr size_t kConfigMaxBytes = 1 << 20;

/// Parses a textproto ServerConfig, merges the flags in as FlagsHelp() says, fills in every default
/// and validates the whole.
///
/// Pure: looks at neither the file system nor the network, and is safe on hostile text. Errors are
/// INVALID_ARGUMENT with one line per mistake, `FILE:LINE:COLUMN: FIELD: what is wrong and what is
/// right`; `file_name` is only for that.
absl::StatusOr<config::v1::ServerConfig> ParseConfig(std::string_view text,
                                                     std::string_view file_name,
                                                     const Flags& flags = {});

/// As ParseConfig, for the file that the flags name, or for none. NOT_FOUND or UNAVAILABLE if it
/// can't be read.
absl::StatusOr<config::v1::ServerConfig> LoadConfig(const Flags& flags);

/// INVALID_ARGUMENT, for a person, if a unix socket can't have this path or gRPC can't address it.
absl::Status CheckSocketPath(std::string_view path);

/// As CheckSocketPath; `none` is right too.
absl::Status CheckViewerSocketPath(std::string_view path);

/// The config that ParseConfig gave has the default viewers' socket, or none where that can't be:
/// nobody asked for it. Two daemons with sockets in one folder have the same default: who finds it
/// taken goes on without it.
bool ViewerSocketIsDefault(const config::v1::ServerConfig& config);

/// INVALID_ARGUMENT, for a person, if this is no HOST:PORT, or its host is not localhost or
/// in 127.0.0.0/8. The HTTP library that serves metrics knows no IPv6.
absl::Status CheckMetricsAddress(std::string_view address);

/// Whether the calls of this listener know that they came by it. gRPC's plain text tells nothing
/// but on exactly 127.0.0.1 and ::1: all other listeners without TLS are one to their calls.
bool TellsItsCalls(const config::v1::Listener& listener);

/// FAILED_PRECONDITION if this listener would serve plain text off loopback without having been
/// told to in as many words.
absl::Status CheckPlainText(const config::v1::Listener& listener);

}  // namespace planecast
