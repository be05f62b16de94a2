// When to look at something that changes at a cadence of its own. Pure.
#pragma once

#include <cstdint>

namespace planecast {

/// Paces samples of a guest's screen so that a change is seen soon after it happened, at a cost in
/// proportion to what happens.
///
/// Once changes come regularly, samples crowd around the next expected one and are scarce between.
/// With no change for some expected times, sampling falls back to a steady rate, and then backs off
/// step by step to the idle interval. Never more than kSamplesMaxHz on average, never closer than
/// Options::window_step_ns.
///
/// Times are in ns on any monotonic clock. Thread-compatible.
class Pacer {
 public:
  static constexpr int kSamplesMaxHz = 240;

  struct Options {
    /// Between samples around an expected change.
    int64_t window_step_ns = 2'000'000;
    /// Between samples while nothing is expected: first, and at most.
    int64_t active_ns = 4'200'000;
    int64_t idle_max_ns = 16'000'000;
    /// Between samples before the window of a slow guest.
    int64_t coarse_ns = 8'000'000;
  };

  explicit Pacer(const Options& options) : options_(options) {}

  /// Forgets everything; the next sample is due at `now_ns`.
  void Restart(int64_t now_ns);

  /// A sample was taken: had it changed since the sample before?
  void OnSample(bool changed, int64_t now_ns);

  /// When the next sample is due.
  int64_t NextNs() const { return next_ns_; }

  /// The guest's period while one is locked on to, else 0.
  int64_t PeriodNs() const { return is_locked() ? period_ns_ : 0; }

 private:
  bool is_locked() const { return regular_count_ >= kRegularMin; }
  void OnChange(int64_t gap_ns, int64_t now_ns);
  void Learn(int64_t change_ns);
  int64_t WindowNs() const;
  int64_t DueNs(int64_t now_ns);
  int64_t DueWhileLockedNs(int64_t now_ns) const;

  /// Changes in a row, one period apart, that make a cadence.
  static constexpr int kRegularMin = 2;

  Options options_;
  int64_t next_ns_ = 0;
  int64_t sample_last_ns_ = 0;
  /// When the last change happened, as far as can be told; 0 if none did.
  int64_t change_last_ns_ = 0;
  int64_t expected_ns_ = 0;
  int64_t period_ns_ = 0;
  /// Mean distance of the changes from when they were expected.
  int64_t deviation_ns_ = 0;
  int regular_count_ = 0;
  /// Expected changes in a row that did not come.
  int missed_count_ = 0;
  /// Spacing while nothing is expected.
  int64_t interval_ns_ = 0;
  /// Samples that may be taken at once, as the time that they stand for.
  int64_t budget_ns_ = 0;
};

}  // namespace planecast
