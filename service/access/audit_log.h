// One line for each decision that lets somebody in or turns him away.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/access/audit_file.h"
#include "service/access/try_limiter.h"
#include "vfio/clock.h"

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
  /// By which refusals are limited: Peer::limit_key. Empty: `peer`, which is no use where each try
  /// comes from a port of its own.
  std::string limit_key;
  /// Bare id; empty if the event concerns none.
  std::string display;
  /// The permission that it needed, e.g. `WATCH`.
  std::string permission;
  /// The rpc, e.g. `ViewerService.StreamDisplay`.
  std::string method;
  bool success = true;
  /// For a refusal or an end: why.
  std::string reason;
  /// What was given, or to whom it was done: a ticket's role, the viewer who was sent away.
  std::string detail;
  std::optional<int64_t> duration_ns;
  std::optional<int64_t> bytes;
};

/// Writes entries to the journal with fields of their own where stderr is the journal, else to the
/// log as one line; and, if told so, as one JSON object a line to a file (0640, appended). A file
/// that can't be written does not stop the service: Problem() says so and the next entry tries
/// again. Thread-safe. Write waits for the disk and the journal.
///
/// Refusals are limited per peer, and in total; other entries in total, far above what anybody's
/// work needs. What is left out is counted: the next line that is written says how many.
class AuditLog {
 public:
  struct Options {
    /// Empty for none.
    std::string file_path;
    /// Writes a line where the log goes (a word like `audit: ` in front is its own affair); for
    /// processes that don't log to the journal. Never null.
    std::function<void(const std::string& json)> log_line;
    /// Nanoseconds since the epoch; for the line's time. Never null.
    std::function<int64_t()> wall_ns;
    /// Never null.
    std::function<int64_t()> monotonic_ns;
    /// Takes fields `NAME=value` to the journal; false if it can't, and log_line is used. Null: to
    /// the machine's journal if stderr is it, else not at all. For tests.
    std::function<bool(const std::vector<std::string>& fields)> journal = {};
  };
  /// Errors: what is wrong with the file's path, for a person, if it can't be opened at start.
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(Options options);
  ~AuditLog();

  void Write(const AuditEntry& entry);
  /// An entry could not even be handed to Write.
  void CountLost();

  /// Why the file is not written now, for a person; empty if all is well.
  std::string Problem() const;
  /// Entries that did not reach the file.
  uint64_t lost() const;
  /// Entries that got no line of their own, as there were too many.
  uint64_t suppressed() const { return suppressed_; }

 private:
  class FunctionClock;

  explicit AuditLog(Options options);
  bool IsWithinLimits(const AuditEntry& entry);

  Options options_;
  const std::unique_ptr<FunctionClock> clock_;
  TryLimiter refusals_per_peer_;
  TryLimiter uses_per_peer_;
  TryLimiter totals_;
  std::atomic<uint64_t> suppressed_ = 0;
  std::atomic<uint64_t> dropped_{0};
  /// Of those, what no line has told of yet.
  std::atomic<uint64_t> untold_ = 0;
  /// Null for none.
  std::unique_ptr<AuditFile> file_;
};

}  // namespace planecast
