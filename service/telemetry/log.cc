#include "service/telemetry/log.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "absl/status/status.h"

namespace planecast {
namespace {

/// A longer message is cut: the journal splits longer lines, and no message of ours needs it.
constexpr size_t kLineMaxBytes = 2000;

struct LevelName {
  std::string_view word;
  std::string_view journal_prefix;
};
constexpr std::array<LevelName, 4> kLevels = {
    {{"error", "<3>"}, {"warning", "<4>"}, {"info", "<6>"}, {"debug", "<7>"}}};

std::string TimeOfDay() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%02d:%02d:%02d.%03ld", parts.tm_hour, parts.tm_min,
                parts.tm_sec, now.tv_nsec / 1'000'000);
  return text.data();
}

void AppendEscaped(std::string& line, std::string_view text) {
  for (const char c : text) {
    if (line.size() >= kLineMaxBytes) return;
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      line += c;
      continue;
    }
    std::array<char, 8> escaped{};
    std::snprintf(escaped.data(), escaped.size(), "\\x%02x", static_cast<unsigned char>(c));
    line += escaped.data();
  }
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text) {
  for (size_t i = 0; i < kLevels.size(); ++i) {
    if (text == kLevels[i].word) return static_cast<LogLevel>(i);
  }
  return absl::InvalidArgumentError("no such log level; use error, warning, info or debug");
}

Logger::Logger(LogLevel level, int fd)
    : level_(level), fd_(fd), journal_(std::getenv("JOURNAL_STREAM") != nullptr) {}

void Logger::Log(LogLevel level, std::string_view display, std::string_view message) const {
  if (level <= level_) Write(level, display, message);
}

void Logger::Always(std::string_view message) const {
  Write(LogLevel::kInfo, "", message);
}

void Logger::Write(LogLevel level, std::string_view display, std::string_view message) const {
  const LevelName& name = kLevels[static_cast<size_t>(level)];
  std::string line;
  if (journal_) {
    line = name.journal_prefix;
  } else {
    line = TimeOfDay() + " " + std::string(name.word) + " ";
  }
  if (!display.empty()) {
    AppendEscaped(line, display);
    line += ": ";
  }
  AppendEscaped(line, message);
  line += '\n';
  // A log that can't be written must not stop the daemon, and there is nobody to tell.
  [[maybe_unused]] const ssize_t written = write(fd_, line.data(), line.size());
}

}  // namespace planecast
