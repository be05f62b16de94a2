// What every bench program does alike: cases by name, rounds, results as lines of JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace planecast::bench {

/// Median and range of what the rounds gave.
struct Summary {
  double median = 0;
  double min = 0;
  double max = 0;
};
/// Of at least one value.
Summary Summarize(std::vector<double> values);
/// The nearest-rank quantile, 0 to 1, of at least one value.
double Quantile(std::vector<double> values, double quantile);

/// CPU time in ns: of this process, of the calling thread, of another process. Robust against being
/// scheduled out, not against a neighbour's use of caches.
int64_t ProcessCpuNs();
int64_t ThreadCpuNs();
int64_t CpuNsOf(int pid);

/// What a number should be.
struct Target {
  enum class Kind { kAtMost, kAtLeast };
  Kind kind = Kind::kAtMost;
  double value = 0;
};
inline Target AtMost(double value) {
  return {Target::Kind::kAtMost, value};
}
inline Target AtLeast(double value) {
  return {Target::Kind::kAtLeast, value};
}

/// How long to measure.
struct Effort {
  enum class Kind { kFull, kQuick, kTiny };
  Kind kind = Kind::kFull;
  int rounds = 5;
  /// Scales every duration: 1, 0.25, 0.1.
  double scale = 1;
  /// Rounds of a case that takes seconds for each.
  int few_rounds() const { return kind == Kind::kFull ? 3 : 1; }
  /// Rounds of a case whose two sides take about the same, so that noise decides what it says.
  int many_rounds() const { return kind == Kind::kFull ? 9 : rounds; }
  bool tiny() const { return kind == Kind::kTiny; }
  int64_t Duration(double seconds) const { return static_cast<int64_t>(seconds * scale * 1e9); }
};

/// A program's cases. Prints one JSON object per result to stdout; bench.py collects them.
///
///   program [--list] [--quick | --tiny] [--case NAME]...
///
/// Bound to the main thread.
class Bench {
 public:
  Bench(int argc, char** argv);

  /// Adds a case. Its results are called NAME.SOMETHING. An error becomes a result without value; a
  /// helper that ends badly, even after the last value, takes all values of its case with it.
  void Case(std::string name, std::function<absl::Status(Bench&)> run);
  /// Runs what was asked for. The exit code: 1 if anything failed.
  int Run();

  const Effort& effort() const { return effort_; }
  /// The folder of this program: its helpers are there.
  const std::string& folder() const { return folder_; }

  /// Reports the median of the rounds; `name` is appended to the case's.
  void Report(const std::string& name, const std::vector<double>& rounds, const std::string& unit,
              std::optional<Target> target = std::nullopt);
  /// Reports that there is no value; a failure unless UNAVAILABLE: what is missing on this machine
  /// is no failure of the bench.
  void Skip(const std::string& name, const absl::Status& reason);

  /// A child process that did not end as it should. `ours` is false for somebody else's program.
  void OnBadEnd(bool ours, std::string how) const { bad_ends_.push_back({ours, std::move(how)}); }
  /// What came of something that started child processes, once these are gone: ABORTED if one of
  /// them ended badly. Somebody else's that can't do what it should stays UNAVAILABLE.
  absl::Status WithBadEnds(const absl::Status& status) const;

 private:
  std::string folder_;
  Effort effort_;
  bool list_ = false;
  std::vector<std::string> chosen_;
  std::vector<std::pair<std::string, std::function<absl::Status(Bench&)>>> cases_;
  std::string current_;
  /// Of the current case: names and lines.
  std::vector<std::pair<std::string, std::string>> results_;
  int failed_ = 0;
  struct BadEnd {
    bool ours;
    std::string how;
  };
  /// Since they were last looked at. Who only measures with a bench may lose a helper.
  mutable std::vector<BadEnd> bad_ends_;
};

/// Waits for a moment of CLOCK_MONOTONIC.
void WaitUntilNs(int64_t deadline_ns);

}  // namespace planecast::bench
