// One line for each decision that lets somebody in or turns him away.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace planecast {

/// What happened. The name on the line is `planecast.` and the words with dots, e.g.
/// `planecast.stream.start`.
enum class AuditEvent {
  kDisplayAttach,
  kDisplayDetach,
  kDisplayUpdate,
  kModeChange,
  kSnapshot,
  kTicketCreate,
  kTicketUse,
  kTicketRevoke,
  kStreamStart,
  kStreamEnd,
  kViewerEnd,
  kRefusal,
};

/// One event. Never a ticket's secret, a viewer's secret id or content.
struct AuditEntry {
  AuditEvent event = AuditEvent::kRefusal;
  std::string principal;
  /// Public id; empty without one.
  std::string ticket_id;
  std::string peer;
  /// Bare id; empty if the event concerns none.
  std::string display;
  /// The permission that it needed, e.g. `WATCH`.
  std::string permission;
  /// The rpc, e.g. `ViewerService.StreamDisplay`.
  std::string method;
  bool success = true;
  /// For a refusal or an end: why.
  std::string reason;
  std::optional<int64_t> duration_ns;
  std::optional<int64_t> bytes;
};

/// Writes entries to the journal with fields of their own where the process logs to the journal,
/// else to the log as one line `audit: {...}`; and, if told so, as one JSON object a line to a file
/// (0640, appended). A file that can't be written does not stop the service: Problem() says so and
/// the next entry tries again. Thread-safe.
///
/// Refusals are limited per peer: of more, the next line that is written for that peer says how
/// many were left out.
class AuditLog {
 public:
  struct Options {
    /// Empty for none.
    std::string file_path;
    /// Writes a line where the log goes; for processes that don't log to the journal. Never null.
    std::function<void(const std::string& json)> log_line;
    /// Nanoseconds since the epoch; for the line's time.
    std::function<int64_t()> wall_ns;
    std::function<int64_t()> monotonic_ns;
  };
  /// Errors: what is wrong with the file's path, for a person, if it can't be opened at start.
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(Options options);

  void Write(const AuditEntry& entry);

  /// Why the file is not written now, for a person; empty if all is well.
  std::string Problem() const;
  /// Entries that did not reach the file.
  uint64_t lost() const;
  /// Refusals that got no line of their own.
  uint64_t suppressed() const;
};

}  // namespace planecast
