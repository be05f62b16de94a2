// The daemon's command line.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/telemetry/log.h"

namespace planecast {

/// What the command line says. Unset means: as the config says, or the default.
struct Flags {
  std::optional<std::string> config_path;
  std::optional<std::string> socket_path;
  /// An absolute path, or `none`.
  std::optional<std::string> viewer_socket;
  std::optional<std::string> socket_group;
  /// HOST:PORT each.
  std::vector<std::string> listen;
  /// HOST:PORT.
  std::optional<std::string> metrics;
  /// An encoder's id, checked with the config.
  std::optional<std::string> encoder;
  std::optional<std::string> render_node;
  /// A role for loopback listeners that have none, checked with the config.
  std::optional<std::string> anonymous;
  /// A role for all listeners that have none then, checked with the config.
  std::optional<std::string> anonymous_remote;
  /// NAME, UID or UID:GID; whether there is one is not looked at.
  std::optional<std::string> user;
  bool no_seccomp = false;
  bool insecure = false;
  bool allow_fake = false;
  LogLevel log_level = LogLevel::kInfo;
  /// A folder: make certificates there instead of serving.
  std::optional<std::string> make_certificate;
  /// For --make-certificate: whom a server's certificate is for, checked there.
  std::vector<std::string> hosts;
  /// For --make-certificate: a client's certificate each, checked there.
  std::vector<std::string> clients;
  bool help = false;
  bool version = false;
};

/// Parses arguments without the program's name. Both `--flag value` and `--flag=value` are taken. A
/// flag that may be given once and is repeated takes its last value.
///
/// INVALID_ARGUMENT, with what to do, for anything else: the caller exits with code 2.
absl::StatusOr<Flags> ParseFlags(std::span<const char* const> arguments);

/// The text of --help.
std::string FlagsHelp();

}  // namespace planecast
