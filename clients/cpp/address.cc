#include "clients/cpp/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::string_view kNamePrefix = "displays/";
constexpr std::string_view kTicketPrefix = "tickets/";
constexpr std::string_view kViewersPart = "/viewers/";
constexpr size_t kIdLengthMax = 63;
constexpr int kPortMax = 65535;

// absl::string_view is a type of its own in Debian's abseil.
absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

absl::Status BadAddress(std::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "'", View(text), "' is no server address: give unix:PATH, HOST:PORT or [IPV6]:PORT"));
}

// By the address, not by a name that only begins like one: what is loopback gets secrets in plain
// text.
bool IsLoopback(std::string_view host) {
  if (host == "localhost" || host == "[::1]") return true;
  in_addr address{};
  return host.starts_with("127.") && inet_pton(AF_INET, std::string(host).c_str(), &address) == 1;
}

// What ids of tickets and viewers are made of.
bool IsId(std::string_view text) {
  return !text.empty() && text.size() <= kIdLengthMax &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

bool IsPort(std::string_view text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= kPortMax;
}

absl::StatusOr<ServerAddress> ParseTcp(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  const size_t bracket = text.rfind(']');
  const size_t colon = text.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  if (has_port) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (!IsPort(port)) return BadAddress(text);
  }
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  const bool bare_ipv6 = !bracketed && host.find(':') != std::string_view::npos;
  if (host.empty() || bare_ipv6 || host.find('/') != std::string_view::npos) {
    return BadAddress(text);
  }
  ServerAddress address;
  address.target = has_port ? std::string(text) : absl::StrCat(View(host), ":", kDefaultPort);
  address.is_local = IsLoopback(host);
  return address;
}

}  // namespace

absl::StatusOr<ServerAddress> ParseServerAddress(std::string_view text) {
  if (text.empty()) {
    const char* from_environment = std::getenv("PLANECAST_SERVER");
    text = from_environment != nullptr && *from_environment != '\0' ? from_environment
                                                                    : kDefaultServer;
  }
  if (text.starts_with('/')) {
    return ServerAddress{absl::StrCat("unix:", View(text)), /*is_local=*/true, /*is_unix=*/true};
  }
  if (text.starts_with(kUnixPrefix)) {
    if (text.size() == kUnixPrefix.size()) return BadAddress(text);
    return ServerAddress{std::string(text), /*is_local=*/true, /*is_unix=*/true};
  }
  return ParseTcp(text);
}

absl::StatusOr<std::string> ParseDisplayName(std::string_view text) {
  const std::string_view id = DisplayId(text);
  if (!IsId(id)) {
    return absl::InvalidArgumentError(absl::StrCat("'", View(text),
                                                   "' is no display name: use 1 to ", kIdLengthMax,
                                                   " lower-case letters, digits and '-'"));
  }
  return absl::StrCat(View(kNamePrefix), View(id));
}

absl::StatusOr<std::string> ParseTicketName(std::string_view text) {
  std::string_view id = text;
  if (id.starts_with(kTicketPrefix)) id.remove_prefix(kTicketPrefix.size());
  if (!IsId(id)) {
    return absl::InvalidArgumentError(
        "this is no name of a ticket: give tickets/ID or ID, as 'planecast tickets' shows it");
  }
  return absl::StrCat(View(kTicketPrefix), View(id));
}

absl::StatusOr<std::string> ParseViewerName(std::string_view display, std::string_view viewer) {
  const absl::StatusOr<std::string> parent = ParseDisplayName(display);
  if (!parent.ok()) return parent.status();
  const std::string prefix = absl::StrCat(*parent, View(kViewersPart));
  std::string_view id = viewer;
  if (id.starts_with(prefix)) id.remove_prefix(prefix.size());
  if (!IsId(id)) {
    return absl::InvalidArgumentError(absl::StrCat("'", View(viewer), "' names no viewer of ",
                                                   *parent, ": give its id or ", prefix, "ID"));
  }
  return absl::StrCat(prefix, View(id));
}

std::string_view DisplayId(std::string_view name) {
  return name.starts_with(kNamePrefix) ? name.substr(kNamePrefix.size()) : name;
}

}  // namespace planecast
