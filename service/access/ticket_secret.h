// What a ticket's secret looks like, and what is kept of it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace planecast {

/// 256 random bits from the kernel as `pct_` and 43 characters of base64url. UNAVAILABLE if the
/// kernel has none. Nobody logs it.
absl::StatusOr<std::string> MakeTicketSecret();

/// 64 random bits from the kernel as 16 hexadecimal digits. UNAVAILABLE if the kernel has none.
absl::StatusOr<std::string> MakeTicketId();

/// True if the text has the form of a ticket's secret.
bool LooksLikeTicket(std::string_view text);

/// The 32 bytes of the text's SHA-256; empty if the library can't, which nothing may match.
std::string Sha256(std::string_view text);

}  // namespace planecast
