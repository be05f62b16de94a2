// The daemon's log: one line per event on stderr.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace planecast {

enum class LogLevel { kError = 0, kWarning = 1, kInfo = 2, kDebug = 3 };

/// Parses "error", "warning", "info" or "debug". INVALID_ARGUMENT names the choices.
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text);

/// Writes lines to a file descriptor, each with one write(2). Thread-safe.
///
/// Under systemd (JOURNAL_STREAM is set) a line begins with sd-daemon(3)'s priority, `<6>`;
/// elsewhere with the time of day in UTC and the level.
class Logger {
 public:
  /// `fd` is borrowed and must stay open; 2 is stderr.
  explicit Logger(LogLevel level, int fd = 2);

  /// `display` is a display's id, or empty for what concerns the whole daemon. Control characters
  /// in either text are escaped: both may come from a guest or a client.
  void Log(LogLevel level, std::string_view display, std::string_view message) const;

  /// A line that no level leaves out.
  void Always(std::string_view message) const;

  void Error(std::string_view display, std::string_view message) const {
    Log(LogLevel::kError, display, message);
  }
  void Warning(std::string_view display, std::string_view message) const {
    Log(LogLevel::kWarning, display, message);
  }
  void Info(std::string_view display, std::string_view message) const {
    Log(LogLevel::kInfo, display, message);
  }
  void Debug(std::string_view display, std::string_view message) const {
    Log(LogLevel::kDebug, display, message);
  }

 private:
  void Write(LogLevel level, std::string_view display, std::string_view message) const;

  LogLevel level_;
  int fd_;
  bool journal_;
};

}  // namespace planecast
