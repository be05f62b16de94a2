#include "vfio/pacer.h"

#include <algorithm>
#include <cstdlib>

namespace planecast {
namespace {

constexpr int64_t kSampleCostNs = 1'000'000'000 / Pacer::kSamplesMaxHz;
// Samples that may follow each other in a window before the average has to be paid back.
constexpr int64_t kBudgetMaxNs = 8 * kSampleCostNs;
constexpr int64_t kPeriodMinNs = kSampleCostNs;
constexpr int64_t kPeriodMaxNs = 500'000'000;
constexpr int64_t kWindowMaxNs = 4'000'000;
// Expected changes that may fail to come before the cadence counts as over.
constexpr int kMissedMax = 3;
// Frames that a guest may drop without losing its cadence.
constexpr int64_t kDroppedMax = 3;

}  // namespace

void Pacer::Restart(int64_t now_ns) {
  *this = Pacer(options_);
  interval_ns_ = options_.active_ns;
  budget_ns_ = kBudgetMaxNs;
  sample_last_ns_ = now_ns;
  next_ns_ = now_ns;
}

int64_t Pacer::WindowNs() const {
  return std::min(2 * deviation_ns_ + options_.window_step_ns / 2, kWindowMaxNs);
}

void Pacer::Learn(int64_t change_ns) {
  const int64_t since_ns = change_ns - change_last_ns_;
  const bool is_first = change_last_ns_ == 0;
  change_last_ns_ = change_ns;
  missed_count_ = 0;
  if (is_first || since_ns > kPeriodMaxNs * kDroppedMax) {
    regular_count_ = 0;
    period_ns_ = 0;
    return;
  }
  if (period_ns_ > 0) {
    const int64_t periods =
        std::clamp<int64_t>((since_ns + period_ns_ / 2) / period_ns_, 1, kDroppedMax);
    const int64_t error_ns = since_ns - periods * period_ns_;
    if (std::abs(error_ns) <= period_ns_ / 4 + options_.window_step_ns) {
      regular_count_ = std::min(regular_count_ + 1, kRegularMin + 8);
      period_ns_ += error_ns / periods / (is_locked() ? 16 : 2);
      period_ns_ = std::clamp(period_ns_, kPeriodMinNs, kPeriodMaxNs);
      return;
    }
  }
  regular_count_ = 0;
  deviation_ns_ = options_.window_step_ns;
  period_ns_ = std::clamp(since_ns, kPeriodMinNs, kPeriodMaxNs);
}

void Pacer::OnChange(int64_t gap_ns, int64_t now_ns) {
  interval_ns_ = options_.active_ns;
  // The change lies between the last two samples. Where exactly, the expectation knows best; but
  // if it came before the window did, it is only known to have been early, so look earlier.
  const bool was_locked = is_locked();
  const int64_t change_ns = was_locked ? std::clamp(expected_ns_, now_ns - gap_ns, now_ns)
                                       : now_ns - std::min(gap_ns, options_.active_ns) / 2;
  if (was_locked) {
    const int64_t error_ns = change_ns - expected_ns_;
    deviation_ns_ += (std::abs(error_ns) - deviation_ns_) / 8;
  }
  Learn(change_ns);
  expected_ns_ = change_ns + period_ns_;
}

int64_t Pacer::DueWhileLockedNs(int64_t now_ns) const {
  const int64_t window_ns = WindowNs();
  const int64_t start_ns = expected_ns_ - window_ns;
  if (now_ns < start_ns) {
    return start_ns - now_ns > 2 * options_.coarse_ns ? now_ns + options_.coarse_ns : start_ns;
  }
  if (now_ns < expected_ns_ + window_ns) return now_ns + options_.window_step_ns;
  // Late.
  return std::min(now_ns + options_.active_ns, std::max(start_ns + period_ns_, now_ns + 1));
}

int64_t Pacer::DueNs(int64_t now_ns) {
  if (is_locked()) return DueWhileLockedNs(now_ns);
  const int64_t due_ns = now_ns + interval_ns_;
  interval_ns_ = std::min(interval_ns_ + interval_ns_ / 16, options_.idle_max_ns);
  return due_ns;
}

void Pacer::OnSample(bool changed, int64_t now_ns) {
  const int64_t gap_ns = std::max<int64_t>(now_ns - sample_last_ns_, 0);
  sample_last_ns_ = now_ns;
  budget_ns_ = std::min(budget_ns_ + gap_ns, kBudgetMaxNs) - kSampleCostNs;
  if (changed) {
    OnChange(gap_ns, now_ns);
  } else if (is_locked()) {
    while (now_ns > expected_ns_ + period_ns_ / 2 && missed_count_ < kMissedMax) {
      expected_ns_ += period_ns_;
      ++missed_count_;
    }
    if (missed_count_ >= kMissedMax) regular_count_ = 0;
  }
  const int64_t affordable_ns = now_ns + std::max<int64_t>(kSampleCostNs - budget_ns_, 0);
  next_ns_ = std::max({DueNs(now_ns), affordable_ns, now_ns + options_.window_step_ns});
}

}  // namespace planecast
