#include "service/certificates/host_names.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr size_t kDnsNameMaxChars = 253;
constexpr size_t kLabelMaxChars = 63;
constexpr size_t kClientNameMaxChars = 63;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsLetterOrDigit(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// In one form, however it was written.
std::optional<std::string> ParseAddress(int family, const std::string& text) {
  in6_addr bytes{};
  std::array<char, INET6_ADDRSTRLEN> written{};
  if (inet_pton(family, text.c_str(), &bytes) != 1) return std::nullopt;
  if (inet_ntop(family, &bytes, written.data(), written.size()) == nullptr) return std::nullopt;
  return written.data();
}

bool IsLabel(std::string_view label) {
  return !label.empty() && label.size() <= kLabelMaxChars && label.front() != '-' &&
         label.back() != '-' && std::all_of(label.begin(), label.end(), [](char c) {
           return IsLetterOrDigit(c) || c == '-' || c == '_';
         });
}

bool IsDnsName(std::string_view name) {
  if (name.empty() || name.size() > kDnsNameMaxChars) return false;
  if (name.substr(0, 2) == "*.") name.remove_prefix(2);
  while (true) {
    const size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (!IsLabel(label)) return false;
    // A name that ends in a number is a mistyped address.
    if (dot == std::string_view::npos) return !std::all_of(label.begin(), label.end(), IsDigit);
    name.remove_prefix(dot + 1);
  }
}

}  // namespace

absl::StatusOr<HostName> ParseHostName(std::string_view text) {
  const bool brackets = text.size() > 2 && text.front() == '[' && text.back() == ']';
  const std::string bare(brackets ? text.substr(1, text.size() - 2) : text);
  if (auto v6 = ParseAddress(AF_INET6, bare); v6.has_value()) return HostName{true, *v6};
  if (!brackets) {
    if (auto v4 = ParseAddress(AF_INET, bare); v4.has_value()) return HostName{true, *v4};
    if (IsDnsName(bare)) return HostName{false, absl::AsciiStrToLower(bare)};
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", std::string(text.substr(0, kDnsNameMaxChars)),
      "' is neither a DNS name nor an IP address; use what clients connect to, without "
      "a port, e.g. vmhost.example.org or 192.0.2.1"));
}

absl::Status CheckClientName(std::string_view name) {
  const bool clean = std::all_of(name.begin(), name.end(), [](char c) {
    return IsLetterOrDigit(c) || c == '-' || c == '_' || c == '.';
  });
  if (!name.empty() && name.size() <= kClientNameMaxChars && clean && IsLetterOrDigit(name[0])) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", std::string(name.substr(0, kClientNameMaxChars)),
      "' is no client's name; use 1 to 63 letters, digits, '-', '_' and '.', the first "
      "a letter or a digit"));
}

}  // namespace planecast
