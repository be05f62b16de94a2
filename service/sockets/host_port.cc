#include "service/sockets/host_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>

#include "absl/status/status.h"

namespace planecast {

absl::StatusOr<HostPort> ParseHostPort(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) {
    return absl::InvalidArgumentError("an address is HOST:PORT, e.g. 127.0.0.1:7443");
  }
  HostPort result;
  std::string_view host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    result.is_ipv6_literal = true;
  } else if (host.find(':') != std::string_view::npos) {
    return absl::InvalidArgumentError("an IPv6 address stands in brackets, e.g. [::1]:7443");
  }
  if (host.empty()) {
    return absl::InvalidArgumentError(
        "the host is missing; use 0.0.0.0 or [::] to mean every address");
  }
  const bool clean = std::all_of(host.begin(), host.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f &&
           c != '/' && c != '%' && c != '[' && c != ']';
  });
  in6_addr parsed{};
  result.host = std::string(host);
  if (!clean ||
      (result.is_ipv6_literal && inet_pton(AF_INET6, result.host.c_str(), &parsed) != 1)) {
    return absl::InvalidArgumentError("the host is no name and no address");
  }
  const std::string_view port = address.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
  if (error != std::errc() || end != port.data() + port.size() || result.port < 0 ||
      result.port > 65535) {
    return absl::InvalidArgumentError("the port must be 0 to 65535");
  }
  return result;
}

bool IsLoopbackHost(std::string_view host) {
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
  return text == "localhost";
}

}  // namespace planecast
