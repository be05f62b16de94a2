// A helper of ours, or a program of somebody else's, as a child process.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/bench.h"

namespace planecast::bench {

/// How a child is made to end, and which ends are good.
enum class Manners {
  /// Ours: ends with its input, and with 0.
  kEndsWithInput,
  /// Ours: ends when it is asked to, and with 0.
  kEndsOnSignal,
  /// Somebody else's, asked to end: all that counts is that it lived until then. What it has to say
  /// on stderr is dropped.
  kForeign,
};

/// A child with pipes to its standard input and output. Ended and waited for when destroyed; an end
/// that is not good, or not in time, is told to the bench, and the case has no values then. Bound
/// to the main thread.
class ChildProcess {
 public:
  /// `words[0]` is looked up in PATH if it is no path; UNAVAILABLE if it is not installed.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const Bench& bench, Manners manners,
                                                             const std::vector<std::string>& words);
  /// Use Start.
  ChildProcess(const Bench& bench, Manners manners, std::string name, pid_t pid, std::FILE* in,
               std::FILE* out);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  int pid() const { return pid_; }
  /// One line of its output, without the end; an error at the output's end.
  absl::StatusOr<std::string> ReadLine();
  /// Writes a line and returns the words after "ok" of the answer.
  absl::StatusOr<std::vector<std::string>> Ask(const std::string& line);

 private:
  const Bench& bench_;
  const Manners manners_;
  const std::string name_;
  const pid_t pid_;
  std::FILE* in_;
  std::FILE* out_;
};

}  // namespace planecast::bench
