#include "service/core/latency_window.h"

#include <algorithm>

namespace planecast {
namespace {

int64_t Percentile(std::vector<int64_t>& samples_ns, size_t percent) {
  const size_t rank = (samples_ns.size() - 1) * percent / 100;
  const auto nth = samples_ns.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(samples_ns.begin(), nth, samples_ns.end());
  return *nth;
}

}  // namespace

void LatencyWindow::Add(int64_t duration_ns) {
  duration_ns = std::max<int64_t>(duration_ns, 0);
  ++count_;
  max_ns_ = std::max(max_ns_, duration_ns);
  if (samples_ns_.size() < kLatencySamplesMax) samples_ns_.push_back(duration_ns);
}

StageLatency LatencyWindow::Take() {
  StageLatency latency;
  if (!samples_ns_.empty()) {
    latency.samples = count_;
    latency.p50_ns = Percentile(samples_ns_, 50);
    latency.p95_ns = Percentile(samples_ns_, 95);
    latency.max_ns = max_ns_;
  }
  samples_ns_.clear();
  count_ = 0;
  max_ns_ = 0;
  return latency;
}

}  // namespace planecast
