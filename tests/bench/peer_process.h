// A program of somebody else's, or a helper of ours, as a child process.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace planecast::bench {

/// A child with pipes to its standard input and output; what it has to say on stderr is dropped.
/// Ended and waited for when destroyed. Thread-compatible.
class PeerProcess {
 public:
  /// `words[0]` is looked up in PATH; UNAVAILABLE if it is not installed.
  static absl::StatusOr<std::unique_ptr<PeerProcess>> Start(const std::vector<std::string>& words);
  /// Use Start.
  PeerProcess(pid_t pid, std::FILE* in, std::FILE* out) : pid_(pid), in_(in), out_(out) {}
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  int pid() const { return pid_; }
  /// One line of its output, without the end; an error at the output's end.
  absl::StatusOr<std::string> ReadLine();
  /// Writes a line and returns the words after "ok" of the answer.
  absl::StatusOr<std::vector<std::string>> Ask(const std::string& line);

 private:
  pid_t pid_;
  std::FILE* in_;
  std::FILE* out_;
};

}  // namespace planecast::bench
