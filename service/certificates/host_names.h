// Names that certificates can be for.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace planecast {

/// Whom a server's certificate is for.
struct HostName {
  bool is_address = false;
  /// An IP address as the system writes it, without brackets; or a DNS name, in lower case.
  std::string text;
};

/// Reads an IP address, with or without brackets, or a DNS name, whose first label may be `*`.
/// INVALID_ARGUMENT, for a person, for anything else.
absl::StatusOr<HostName> ParseHostName(std::string_view text);

/// INVALID_ARGUMENT, for a person, unless `name` can be a client's: 1 to 63 letters, digits, `-`,
/// `_` and `.`, the first a letter or a digit. It is safe in a file's name and needs no escapes in
/// a certificate's subject.
absl::Status CheckClientName(std::string_view name);

}  // namespace planecast
