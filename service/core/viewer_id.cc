#include "service/core/viewer_id.h"

#include <sys/random.h>

#include <array>
#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"

namespace planecast {

absl::StatusOr<std::string> MakeViewerId() {
  std::array<char, 16> bytes = {};
  ssize_t got = -1;
  do {
    got = getrandom(bytes.data(), bytes.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(bytes.size())) {
    return absl::UnavailableError("the kernel gave no random bytes for a viewer id; try again");
  }
  return absl::BytesToHexString({bytes.data(), bytes.size()});
}

bool IsViewerId(std::string_view text) {
  constexpr size_t kDigits = 32;
  return text.size() == kDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace planecast
