#include "service/core/display_name.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr std::string_view kCollection = "displays/";
/// Of a malformed id, so much is quoted.
constexpr size_t kQuotedMaxBytes = 80;

bool IsIdCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool IsLabelKeyCharacter(char c) {
  return IsIdCharacter(c) || c == '_' || c == '.' || c == '/';
}

bool IsControlCharacter(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

bool IsPrintable(char c) {
  return c > ' ' && c <= '~';
}

std::string Quote(std::string_view text) {
  const std::string_view head = text.substr(0, kQuotedMaxBytes);
  return absl::StrCat("\"", absl::CHexEscape({head.data(), head.size()}),
                      text.size() > head.size() ? "...\"" : "\"");
}

}  // namespace

absl::Status ValidateDisplayId(std::string_view id) {
  const bool length_ok = !id.empty() && id.size() <= kDisplayIdMaxBytes;
  if (length_ok && std::all_of(id.begin(), id.end(), IsIdCharacter)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "display id ", Quote(id),
      " is malformed: use 1 to 63 characters out of lower-case letters, digits and '-'"));
}

absl::Status ValidateRequestId(std::string_view id) {
  const bool length_ok = id.size() <= kRequestIdMaxBytes;
  if (length_ok && std::all_of(id.begin(), id.end(), IsPrintable)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("request id ", Quote(id), " is malformed: use a UUID"));
}

absl::Status ValidateLabels(const std::map<std::string, std::string>& labels) {
  if (labels.size() > kLabelsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(labels.size(), " labels are too many: a display has at most ", kLabelsMax));
  }
  for (const auto& [key, value] : labels) {
    const bool key_ok = !key.empty() && key.size() <= kLabelKeyMaxBytes &&
                        std::all_of(key.begin(), key.end(), IsLabelKeyCharacter);
    if (!key_ok) {
      return absl::InvalidArgumentError(absl::StrCat(
          "label ", Quote(key),
          " is malformed: use 1 to 63 characters out of a-z, 0-9, '-', '_', '.' and '/'"));
    }
    const bool value_ok = value.size() <= kLabelValueMaxBytes &&
                          std::none_of(value.begin(), value.end(), IsControlCharacter);
    if (!value_ok) {
      return absl::InvalidArgumentError(
          absl::StrCat("the value of label ", key, " is malformed: use at most ",
                       kLabelValueMaxBytes, " bytes without control characters"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DisplayIdFromName(std::string_view name) {
  if (name.substr(0, kCollection.size()) != kCollection) {
    return absl::InvalidArgumentError(absl::StrCat(
        "display name ", Quote(name), " is malformed: write displays/ and the display's id"));
  }
  const std::string_view id = name.substr(kCollection.size());
  absl::Status valid = ValidateDisplayId(id);
  if (!valid.ok()) return valid;
  return std::string(id);
}

std::string DisplayNameFromId(std::string_view id) {
  return std::string(kCollection).append(id);
}

}  // namespace planecast
