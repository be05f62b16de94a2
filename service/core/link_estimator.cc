#include "service/core/link_estimator.h"

#include <algorithm>
#include <cmath>

namespace planecast {
namespace {

constexpr int64_t kPeriodNs = 10'000'000'000;
constexpr int64_t kCarriedPeriodNs = 2'000'000'000;
/// What may be tried beyond the most that was carried lately, while there is no congestion.
constexpr double kTryShare = 1.5;
/// How often the rate grows.
constexpr int64_t kUsePeriodNs = 250'000'000;
/// A rate that is used by less than this says nothing about what more the link would carry.
constexpr double kUsedShare = 0.8;
/// Growth per second right after congestion, and how much that grows per second.
constexpr double kGrowth = 0.05;
constexpr double kGrowthGrowth = 0.05;
constexpr double kGrowthMax = 1.0;
/// A rate above this is no limit to any display.
constexpr double kUnlimitedBps = 1e9;
/// A client that is busy for more than this part of the time is what holds units up, not its link.
constexpr double kClientBusyShare = 0.7;
/// How fast the measure of that follows, in seconds: before congestion is believed.
constexpr double kClientFollowS = 0.2;

double Seconds(int64_t duration_ns) {
  return static_cast<double>(duration_ns) / 1e9;
}

}  // namespace

LinkEstimator::Mark LinkEstimator::Sent(size_t bytes, bool alone, int64_t now_ns) {
  // The time that the link was idle is not held against it.
  if (alone) arrived_ns_ = now_ns;
  return {bytes, now_ns, alone, arrived_bytes_, arrived_ns_};
}

void LinkEstimator::Acknowledged(const Mark& mark, int64_t client_ns, int64_t now_ns) {
  const int64_t whole_ns = std::max<int64_t>(now_ns - mark.sent_ns, 1);
  const int64_t round_trip_ns = std::max<int64_t>(whole_ns - std::max<int64_t>(client_ns, 0), 1);
  arrived_bytes_ += mark.bytes;
  arrived_ns_ = now_ns;
  NoteRoundTrip(round_trip_ns, now_ns);
  const double carried_bps = NoteCarried(mark, now_ns);
  if (mark.alone) {
    alone_ns_ = now_ns;
    draining_ = false;
  }
  NoteClient(std::clamp<int64_t>(client_ns, 0, whole_ns), now_ns);
  queue_ns_ = round_trip_ns - this->round_trip_ns();
  if (queue_ns_ < kQueueHighNs) queued_since_ns_ = 0;
  if (queue_ns_ >= kQueueLowNs) use_queued_ = true;
  if (queue_ns_ >= kQueueHighNs) {
    if (queued_since_ns_ == 0) queued_since_ns_ = now_ns;
    // What was sent before the rate was lowered says nothing about the lower rate.
    const bool news = mark.sent_ns > congested_ns_ || congested_ns_ == 0;
    if (news && now_ns - queued_since_ns_ >= kCongestionLastsNs) Lower(carried_bps, now_ns);
  }
  Raise(now_ns);
}

size_t LinkEstimator::window_bytes() const {
  const double rate_bps = rate_max_bps_ > 0 ? static_cast<double>(rate_max_bps_)
                                            : std::max(most_bps_[0], most_bps_[1]) * kTryShare;
  const double bytes = std::min(rate_bps, kUnlimitedBps) / 8 * Seconds(patience_ns());
  return std::max(kWindowBytesMin, static_cast<size_t>(bytes));
}

int64_t LinkEstimator::carries_bps() const {
  if (rate_max_bps_ > 0) return rate_max_bps_;
  return static_cast<int64_t>(static_cast<double>(window_bytes()) * 8 / Seconds(patience_ns()));
}

int64_t LinkEstimator::round_trip_ns() const {
  if (least_ns_[1] == 0) return least_ns_[0];
  return std::min(least_ns_[0], least_ns_[1]);
}

void LinkEstimator::NoteRoundTrip(int64_t round_trip_ns, int64_t now_ns) {
  if (now_ns >= period_end_ns_) {
    period_end_ns_ = now_ns + kPeriodNs;
    least_ns_ = {round_trip_ns, least_ns_[0]};
    return;
  }
  least_ns_[0] = std::min(least_ns_[0], round_trip_ns);
}

double LinkEstimator::NoteCarried(const Mark& mark, int64_t now_ns) {
  const double elapsed_s = Seconds(std::max<int64_t>(now_ns - mark.arrived_ns, 1));
  const double carried_bps =
      static_cast<double>(arrived_bytes_ - mark.arrived_bytes) * 8 / elapsed_s;
  if (now_ns >= most_end_ns_) {
    most_end_ns_ = now_ns + kCarriedPeriodNs;
    most_bps_ = {0, most_bps_[0]};
  }
  most_bps_[0] = std::max(most_bps_[0], carried_bps);
  return carried_bps;
}

void LinkEstimator::NoteClient(int64_t client_ns, int64_t now_ns) {
  const double elapsed_s = Seconds(std::max<int64_t>(now_ns - client_noted_ns_, 1));
  if (client_noted_ns_ != 0) {
    const double busy = std::min(Seconds(client_ns) / elapsed_s, 1.0);
    client_busy_ += (busy - client_busy_) * std::min(elapsed_s / kClientFollowS, 1.0);
  }
  client_noted_ns_ = now_ns;
}

void LinkEstimator::Lower(double carried_bps, int64_t now_ns) {
  if (client_busy_ > kClientBusyShare) return;
  double rate_bps = std::min(carried_bps * kDrainShare, kUnlimitedBps);
  if (rate_max_bps_ > 0) rate_bps = std::min(rate_bps, static_cast<double>(rate_max_bps_));
  rate_max_bps_ = std::max(static_cast<int64_t>(rate_bps), kLinkRateMinBps);
  congested_ns_ = now_ns;
  queued_since_ns_ = 0;
  draining_ = now_ns - alone_ns_ > kPeriodNs || alone_ns_ == 0;
  use_start_ns_ = now_ns;
  use_start_bytes_ = arrived_bytes_;
  use_queued_ = false;
}

void LinkEstimator::Raise(int64_t now_ns) {
  const int64_t window_ns = now_ns - use_start_ns_;
  if (rate_max_bps_ == 0 || window_ns < kUsePeriodNs) return;
  const double window_s = Seconds(std::min<int64_t>(window_ns, kPeriodNs));
  const double used_bps = static_cast<double>(arrived_bytes_ - use_start_bytes_) * 8 / window_s;
  const auto rate_bps = static_cast<double>(rate_max_bps_);
  if (!use_queued_ && used_bps >= rate_bps * kUsedShare) {
    const double growth =
        std::min(kGrowth + kGrowthGrowth * Seconds(now_ns - congested_ns_), kGrowthMax);
    const double raised_bps = rate_bps * (1 + growth * std::min(window_s, 1.0));
    rate_max_bps_ = raised_bps >= kUnlimitedBps ? 0 : static_cast<int64_t>(raised_bps);
  }
  use_start_ns_ = now_ns;
  use_start_bytes_ = arrived_bytes_;
  use_queued_ = false;
}

}  // namespace planecast
