// The command line of planecast-broker.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace planecast {

inline constexpr char kBrokerSocketPath[] = "/run/planecast-broker/broker.sock";
inline constexpr char kStreamerUser[] = "planecast";

struct BrokerFlags {
  /// A name, or a number that need not be in passwd.
  std::string user = kStreamerUser;
  /// Where to listen if no socket was passed.
  std::string socket_path = kBrokerSocketPath;
  /// An fd that reads to its end once whoever started the broker has ended.
  std::optional<int> lifeline;
  bool dac_override = false;
  bool help = false;
  bool version = false;
};

/// `arguments` are those behind the program's name. INVALID_ARGUMENT names the flag.
absl::StatusOr<BrokerFlags> ParseBrokerFlags(std::span<char*> arguments);

std::string BrokerFlagsHelp();

/// The uid of a user's name, or of a number. NOT_FOUND with what to do.
absl::StatusOr<uid_t> FindUser(const std::string& user);

}  // namespace planecast
