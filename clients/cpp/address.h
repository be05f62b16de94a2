// Addresses of a planecast server, as people type them.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace planecast {

/// The operators' unix socket, where a client looks if nothing names another server.
inline constexpr std::string_view kDefaultServer = "unix:/run/planecast/planecast.sock";

/// The port of viewers, where a TCP address names none.
inline constexpr int kDefaultPort = 7443;

/// Where a server listens.
struct ServerAddress {
  /// For gRPC and for messages: `unix:PATH` or `HOST:PORT`.
  std::string target;
  /// A unix socket or a loopback address: nobody on a network can listen in.
  bool is_local = false;
  /// A unix socket.
  bool is_unix = false;
};

/// Reads `unix:PATH`, an absolute path, `HOST`, `HOST:PORT` or `[IPV6]:PORT`. Empty text means
/// PLANECAST_SERVER, or kDefaultServer where that is unset.
///
/// Errors: INVALID_ARGUMENT, naming the forms that are understood.
absl::StatusOr<ServerAddress> ParseServerAddress(std::string_view text);

/// Reads a display's name as people type it, `desk` or `displays/desk`, into `displays/desk`.
///
/// Errors: INVALID_ARGUMENT if the id is not 1 to 63 lower-case letters, digits and `-`.
absl::StatusOr<std::string> ParseDisplayName(std::string_view text);

/// Reads a ticket's name as people type it, `8c1f2a3b4c5d6e7f` or `tickets/8c1f2a3b4c5d6e7f`, into
/// the latter.
///
/// Errors: INVALID_ARGUMENT if the id is none, without the text: it may be a ticket's secret.
absl::StatusOr<std::string> ParseTicketName(std::string_view text);

/// Reads a viewer's name as people type it, its id or `displays/{display}/viewers/{viewer}`, into
/// the latter.
///
/// Errors: INVALID_ARGUMENT for a malformed name, or one of another display.
absl::StatusOr<std::string> ParseViewerName(std::string_view display, std::string_view viewer);

/// The id of a resource name: what follows `displays/`. Other text is returned as it is.
std::string_view DisplayId(std::string_view name);

}  // namespace planecast
