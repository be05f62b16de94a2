// TCP addresses as people type them.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace planecast {

/// A TCP address as text, split.
struct HostPort {
  /// Without brackets.
  std::string host;
  int port = 0;
  bool is_ipv6_literal = false;
};

/// Splits "HOST:PORT" or "[IPV6]:PORT". INVALID_ARGUMENT says what is missing.
absl::StatusOr<HostPort> ParseHostPort(std::string_view address);

/// True if `host` is 127.0.0.0/8, ::1 or exactly "localhost".
bool IsLoopbackHost(std::string_view host);

}  // namespace planecast
