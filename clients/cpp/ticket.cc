#include "clients/cpp/ticket.h"

#include <algorithm>

namespace planecast {
namespace {

constexpr std::string_view kPrefix = "pct_";
// 32 bytes in base64url.
constexpr size_t kSecretLength = 43;

bool IsBase64Url(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

}  // namespace

absl::Status CheckTicket(std::string_view ticket) {
  const bool good = ticket.starts_with(kPrefix) &&
                    ticket.size() == kPrefix.size() + kSecretLength &&
                    std::all_of(ticket.begin(), ticket.end(), IsBase64Url);
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "this is no ticket: a ticket is 'pct_' and 43 characters, as 'planecast ticket' prints it");
}

std::string WithoutTickets(std::string_view text) {
  std::string cleaned;
  while (true) {
    const size_t begin = text.find(kPrefix);
    if (begin == std::string_view::npos) return cleaned.append(text);
    const size_t secret = begin + kPrefix.size();
    cleaned.append(text.substr(0, secret));
    const auto end =
        std::find_if_not(text.begin() + static_cast<ptrdiff_t>(secret), text.end(), IsBase64Url);
    if (end != text.begin() + static_cast<ptrdiff_t>(secret)) cleaned += "...";
    text.remove_prefix(static_cast<size_t>(end - text.begin()));
  }
}

}  // namespace planecast
