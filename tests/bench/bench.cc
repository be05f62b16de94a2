#include "tests/bench/bench.h"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace planecast::bench {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

int64_t ClockNs(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return 0;
  return int64_t{time.tv_sec} * kSecondNs + time.tv_nsec;
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
  return quoted + "\"";
}

std::string Number(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.6g", value) : "null";
}

std::string NotMeasured(const std::string& name, const absl::Status& reason) {
  return absl::StrFormat(
      "{\"name\": %s, \"value\": null, \"unit\": \"\", \"target\": null, \"met\": null, "
      "\"spread\": null, \"not_measured\": %s}",
      Quoted(name), Quoted(std::string(reason.message())));
}

bool Met(const Target& target, double value) {
  return target.kind == Target::Kind::kAtMost ? value <= target.value : value >= target.value;
}

}  // namespace

Summary Summarize(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {.median = median, .min = values.front(), .max = values.back()};
}

double Quantile(std::vector<double> values, double quantile) {
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(quantile * static_cast<double>(values.size())));
  return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
}

int64_t ProcessCpuNs() {
  return ClockNs(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t ThreadCpuNs() {
  return ClockNs(CLOCK_THREAD_CPUTIME_ID);
}

int64_t CpuNsOf(int pid) {
  clockid_t clock = 0;
  return clock_getcpuclockid(pid, &clock) == 0 ? ClockNs(clock) : 0;
}

void WaitUntilNs(int64_t deadline_ns) {
  const timespec deadline{.tv_sec = deadline_ns / kSecondNs, .tv_nsec = deadline_ns % kSecondNs};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, nullptr) == EINTR) {
  }
}

Bench::Bench(int argc, char** argv)
    : folder_(std::filesystem::read_symlink("/proc/self/exe").parent_path().string()) {
  // A helper that is gone is an error of one write, not the bench's end.
  std::signal(SIGPIPE, SIG_IGN);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--list") list_ = true;
    if (argument == "--quick") effort_ = {Effort::Kind::kQuick, 2, 0.25};
    if (argument == "--tiny") effort_ = {Effort::Kind::kTiny, 1, 0.1};
    if (argument == "--case" && i + 1 < argc) chosen_.emplace_back(argv[++i]);
  }
}

void Bench::Case(std::string name, std::function<absl::Status(Bench&)> run) {
  cases_.emplace_back(std::move(name), std::move(run));
}

int Bench::Run() {
  for (const auto& [name, run] : cases_) {
    if (list_) {
      std::puts(name.c_str());
      continue;
    }
    if (!chosen_.empty() && std::find(chosen_.begin(), chosen_.end(), name) == chosen_.end()) {
      continue;
    }
    current_ = name;
    std::fprintf(stderr, "%s\n", name.c_str());
    const absl::Status status = run(*this);
    const absl::Status judged = WithBadEnds(status);
    const bool lost_helper = judged != status;
    if (lost_helper) {
      for (auto& [result, line] : results_) line = NotMeasured(result, judged);
    }
    if (!status.ok() || results_.empty()) {
      Skip("", judged.ok() ? absl::InternalError("it measures nothing") : judged);
    }
    failed_ += lost_helper ? 1 : 0;
    for (const auto& [result, line] : results_) std::puts(line.c_str());
    std::fflush(stdout);
    results_.clear();
  }
  return failed_ == 0 ? 0 : 1;
}

void Bench::Report(const std::string& name, const std::vector<double>& rounds,
                   const std::string& unit, std::optional<Target> target) {
  if (rounds.empty()) return Skip(name, absl::InternalError("no round gave a value"));
  const Summary summary = Summarize(rounds);
  std::string wish = "null";
  std::string met = "null";
  if (target.has_value()) {
    const bool at_most = target->kind == Target::Kind::kAtMost;
    wish = Quoted(absl::StrCat(at_most ? "<= " : ">= ", Number(target->value)));
    met = Met(*target, summary.median) ? "true" : "false";
  }
  std::string full_name = absl::StrCat(current_, ".", name);
  std::string line = absl::StrFormat(
      "{\"name\": %s, \"value\": %s, \"unit\": %s, \"target\": %s, \"met\": %s, "
      "\"spread\": [%s, %s], \"rounds\": %d}",
      Quoted(full_name), Number(summary.median), Quoted(unit), wish, met, Number(summary.min),
      Number(summary.max), static_cast<int>(rounds.size()));
  results_.emplace_back(std::move(full_name), std::move(line));
}

void Bench::Skip(const std::string& name, const absl::Status& reason) {
  std::string full_name = name.empty() ? current_ : absl::StrCat(current_, ".", name);
  std::string line = NotMeasured(full_name, reason);
  results_.emplace_back(std::move(full_name), std::move(line));
  failed_ += absl::IsUnavailable(reason) ? 0 : 1;
}

absl::Status Bench::WithBadEnds(const absl::Status& status) const {
  const std::vector<BadEnd> ends = std::exchange(bad_ends_, {});
  const bool ours = std::any_of(ends.begin(), ends.end(), [](const auto& end) { return end.ours; });
  if (ends.empty() || (absl::IsUnavailable(status) && !ours)) return status;
  std::string what(status.message());
  for (const BadEnd& end : ends) {
    if (absl::StrContains(what, end.how)) continue;
    absl::StrAppend(&what, what.empty() ? "" : "; ", end.how);
  }
  return absl::AbortedError(what);
}

}  // namespace planecast::bench
