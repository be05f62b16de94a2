// A file of lines that others may rotate away.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/fd.h"

namespace planecast {

/// Appends lines to a file (made with mode 0640), each with one write(2). A file that was renamed,
/// removed or replaced under its path is opened anew, within a second. Thread-safe; Append waits
/// for the disk, the rest does not.
class AuditFile {
 public:
  /// Errors, for a person, if the path can't be opened, or names no regular file. A symbolic link
  /// at the path's end is none: it would let whoever may write the folder choose another file.
  static absl::StatusOr<std::unique_ptr<AuditFile>> Open(std::string path,
                                                         std::function<int64_t()> monotonic_ns);

  /// Writes the line and a line feed. False if it did not get there as a whole; then Problem says
  /// why, and the next line tries anew.
  bool Append(std::string_view line);

  /// Why the last line is not there; empty if it is.
  std::string Problem() const;
  /// Lines that did not get there.
  uint64_t lost() const { return lost_; }

 private:
  AuditFile(std::string path, std::function<int64_t()> monotonic_ns);
  absl::Status EnsureOpen();
  absl::Status Reopen();
  absl::Status Write(std::string_view line);
  bool PathIsOurs() const;
  void SetProblem(std::string problem);

  const std::string path_;
  const std::function<int64_t()> monotonic_ns_;

  /// For what follows; held while the disk works.
  std::mutex mutex_;
  Fd fd_;
  int64_t checked_ns_ = 0;
  /// The file ends with a part of a line.
  bool torn_ = false;

  std::atomic<uint64_t> lost_ = 0;
  mutable std::mutex problem_mutex_;
  std::string problem_;
};

}  // namespace planecast
