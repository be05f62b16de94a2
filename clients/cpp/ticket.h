// Tickets: the form of the secret, and how to keep it out of what is printed.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace planecast {

/// Checks the form of a ticket's secret, `pct_` and 43 characters.
///
/// Errors: INVALID_ARGUMENT, without the text that was given: it may be a ticket but for a blank.
absl::Status CheckTicket(std::string_view ticket);

/// Replaces each ticket in a text by `pct_...`.
std::string WithoutTickets(std::string_view text);

}  // namespace planecast
