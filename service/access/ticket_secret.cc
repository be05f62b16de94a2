#include "service/access/ticket_secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"

namespace planecast {
namespace {

constexpr std::string_view kPrefix = "pct_";
constexpr size_t kSecretBytes = 32;
constexpr size_t kSecretDigits = 43;
constexpr size_t kIdBytes = 8;

absl::Status FillRandom(std::span<char> bytes) {
  ssize_t got = -1;
  do {
    got = getrandom(bytes.data(), bytes.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(bytes.size())) return absl::OkStatus();
  return absl::UnavailableError("the kernel gave no random bytes for a ticket; try again");
}

bool IsBase64Url(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

}  // namespace

absl::StatusOr<std::string> MakeTicketSecret() {
  std::array<char, kSecretBytes> bytes = {};
  absl::Status filled = FillRandom(bytes);
  if (!filled.ok()) return filled;
  std::string secret(kPrefix);
  secret += absl::WebSafeBase64Escape({bytes.data(), bytes.size()});
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return secret;
}

absl::StatusOr<std::string> MakeTicketId() {
  std::array<char, kIdBytes> bytes = {};
  absl::Status filled = FillRandom(bytes);
  if (!filled.ok()) return filled;
  return absl::BytesToHexString({bytes.data(), bytes.size()});
}

bool LooksLikeTicket(std::string_view text) {
  if (!text.starts_with(kPrefix)) return false;
  text.remove_prefix(kPrefix.size());
  return text.size() == kSecretDigits && std::all_of(text.begin(), text.end(), IsBase64Url);
}

std::string Sha256(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned int size_bytes = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size_bytes, EVP_sha256(), nullptr) !=
      1) {
    return {};
  }
  return {digest.begin(), digest.begin() + size_bytes};
}

}  // namespace planecast
