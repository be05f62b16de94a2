#include "service/access/audit_line.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kSecretPrefix = "pct_";
constexpr std::string_view kCut = "...";
constexpr int64_t kSecondNs = 1'000'000'000;

struct Character {
  char32_t code = 0;
  /// 0 if no character begins here.
  size_t size_bytes = 0;
};

/// The first character of a text that is not empty.
Character Decode(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  // 0x80 to 0xc1 begin nothing, or what has a shorter form; from 0xf5 on it is beyond Unicode.
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return {};
  char32_t code = first & (0xffU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3f);
  }
  const bool shorter_form = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return shorter_form || surrogate || code > 0x10ffff ? Character{} : Character{code, size};
}

/// Control characters, those of other lines, and those that turn the direction of writing.
bool IsDangerous(char32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

bool IsBase64Url(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
}

/// Takes what comes next off the text, as it is to be written.
std::string TakeEscaped(std::string_view& text) {
  if (text.starts_with(kSecretPrefix)) {
    text.remove_prefix(kSecretPrefix.size());
    while (!text.empty() && IsBase64Url(text.front())) text.remove_prefix(1);
    return std::string(kSecretPrefix).append(kCut);
  }
  const Character character = Decode(text);
  std::string raw(text.substr(0, std::max<size_t>(character.size_bytes, 1)));
  text.remove_prefix(raw.size());
  if (character.size_bytes == 0) return std::string(kReplacement);
  if (raw == "\"" || raw == "\\") return absl::StrCat("\\", raw);
  if (!IsDangerous(character.code)) return raw;
  return absl::StrCat("\\u", absl::Hex(static_cast<uint32_t>(character.code), absl::kZeroPad4));
}

struct Field {
  const char* name = "";
  std::string value;
  bool quoted = true;
};

/// What is known of an entry, but for its time; texts are escaped.
std::vector<Field> Fields(const AuditEntry& entry, uint64_t suppressed) {
  std::vector<Field> fields;
  const auto add = [&fields](const char* name, std::string_view text, size_t max_bytes) {
    if (!text.empty()) fields.push_back({name, AuditEscape(text, max_bytes)});
  };
  const auto add_number = [&fields](const char* name, std::string value) {
    fields.push_back({name, std::move(value), false});
  };
  add("event", AuditEventName(entry.event), kAuditNameMaxBytes);
  add("principal", entry.principal, kAuditTextMaxBytes);
  add("ticket", entry.ticket_id, kAuditNameMaxBytes);
  add("peer", entry.peer, kAuditNameMaxBytes);
  add("display", entry.display, kAuditNameMaxBytes);
  add("method", entry.method, kAuditNameMaxBytes);
  add("permission", entry.permission, kAuditNameMaxBytes);
  add_number("success", entry.success ? "true" : "false");
  add("reason", entry.reason, kAuditTextMaxBytes);
  add("detail", entry.detail, kAuditDetailMaxBytes);
  if (entry.duration_ns.has_value()) {
    std::array<char, 32> seconds{};
    std::snprintf(seconds.data(), seconds.size(), "%.3f",
                  static_cast<double>(*entry.duration_ns) / 1e9);
    add_number("duration_s", seconds.data());
  }
  if (entry.bytes.has_value()) add_number("bytes", absl::StrCat(*entry.bytes));
  if (suppressed > 0) add_number("suppressed", absl::StrCat(suppressed));
  return fields;
}

std::string Timestamp(int64_t wall_ns) {
  int64_t rest_ns = wall_ns % kSecondNs;
  if (rest_ns < 0) rest_ns += kSecondNs;
  const time_t seconds = (wall_ns - rest_ns) / kSecondNs;
  tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> day{};
  std::strftime(day.data(), day.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%s.%03dZ", day.data(),
                static_cast<int>(rest_ns / 1'000'000));
  return text.data();
}

/// For people: `planecast.refusal, principal uid:7, display desk, failed, reason no such right`.
std::string Message(const AuditEntry& entry, const std::vector<Field>& fields) {
  std::string message(AuditEventName(entry.event));
  for (const Field& field : fields) {
    const std::string_view name = field.name;
    if (name == "event") continue;
    if (name != "success") {
      absl::StrAppend(&message, ", ", field.name, " ", field.value);
    } else if (!entry.success) {
      message += ", failed";
    }
  }
  return message;
}

}  // namespace

std::string_view AuditEventName(AuditEvent event) {
  switch (event) {
    case AuditEvent::kDisplayAttach:
      return "planecast.display.attach";
    case AuditEvent::kDisplayDetach:
      return "planecast.display.detach";
    case AuditEvent::kDisplayUpdate:
      return "planecast.display.update";
    case AuditEvent::kModeChange:
      return "planecast.mode.change";
    case AuditEvent::kSnapshot:
      return "planecast.snapshot";
    case AuditEvent::kTicketCreate:
      return "planecast.ticket.create";
    case AuditEvent::kTicketUse:
      return "planecast.ticket.use";
    case AuditEvent::kTicketRevoke:
      return "planecast.ticket.revoke";
    case AuditEvent::kStreamStart:
      return "planecast.stream.start";
    case AuditEvent::kStreamEnd:
      return "planecast.stream.end";
    case AuditEvent::kViewerEnd:
      return "planecast.viewer.end";
    case AuditEvent::kRefusal:
      return "planecast.refusal";
  }
  return "planecast.unknown";
}

std::string AuditEscape(std::string_view text, size_t max_bytes) {
  std::string out;
  // Where a cut would leave room for its mark.
  size_t cut_at = 0;
  while (!text.empty()) {
    const std::string next = TakeEscaped(text);
    if (out.size() + next.size() > max_bytes) {
      out.resize(cut_at);
      return out.append(kCut);
    }
    out += next;
    if (out.size() + kCut.size() <= max_bytes) cut_at = out.size();
  }
  return out;
}

std::string AuditJson(const AuditEntry& entry, int64_t wall_ns, uint64_t suppressed) {
  std::string json = absl::StrCat("{\"time\":\"", Timestamp(wall_ns), "\"");
  for (const Field& field : Fields(entry, suppressed)) {
    const char* const quote = field.quoted ? "\"" : "";
    absl::StrAppend(&json, ",\"", field.name, "\":", quote, field.value, quote);
  }
  return json += '}';
}

std::vector<std::string> AuditJournalFields(const AuditEntry& entry, uint64_t suppressed) {
  const std::vector<Field> fields = Fields(entry, suppressed);
  std::vector<std::string> lines = {absl::StrCat("MESSAGE=audit: ", Message(entry, fields)),
                                    // Notice for what failed, info for the rest.
                                    absl::StrCat("PRIORITY=", entry.success ? 6 : 5)};
  for (const Field& field : fields) {
    lines.push_back(
        absl::StrCat("PLANECAST_", absl::AsciiStrToUpper(field.name), "=", field.value));
  }
  return lines;
}

bool IsJournal(int fd, const char* journal_stream) {
  struct stat info {};
  if (journal_stream == nullptr || fstat(fd, &info) != 0) return false;
  return journal_stream == absl::StrCat(info.st_dev, ":", info.st_ino);
}

}  // namespace planecast
