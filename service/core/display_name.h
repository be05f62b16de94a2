// Names of displays and ids of requests.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace planecast {

/// Longest display id, in bytes.
inline constexpr size_t kDisplayIdMaxBytes = 63;
/// Longest request id, in bytes; a UUID has 36.
inline constexpr size_t kRequestIdMaxBytes = 64;

/// OK if `id` has 1 to 63 characters, all of them lower-case letters, digits and `-`; otherwise
/// INVALID_ARGUMENT, which quotes `id` with unprintable bytes escaped.
absl::Status ValidateDisplayId(std::string_view id);

/// OK if `id` has at most 64 printable ASCII characters; empty is fine.
absl::Status ValidateRequestId(std::string_view id);

/// Most labels of a display.
inline constexpr size_t kLabelsMax = 32;
inline constexpr size_t kLabelKeyMaxBytes = 63;
inline constexpr size_t kLabelValueMaxBytes = 256;

/// INVALID_ARGUMENT for too many labels, keys that are not 1 to 63 of `a-z`, `0-9`, `-`, `_`, `.`
/// and
/// `/`, and values of over 256 bytes or with control characters.
absl::Status ValidateLabels(const std::map<std::string, std::string>& labels);

/// The id in a resource name `displays/{display}`; INVALID_ARGUMENT for anything else.
absl::StatusOr<std::string> DisplayIdFromName(std::string_view name);

/// `displays/{id}`.
std::string DisplayNameFromId(std::string_view id);

}  // namespace planecast
