// From the guest's flip to the client's receipt, against encoding alone.
//
// The guest notes when it flips. A unit belongs to the last flip before its capture: buffers take
// turns, so what was captured is what was shown then.
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_host.h"
#include "tests/bench/viewer_fleet.h"

namespace planecast::bench {
namespace {

struct Quantiles {
  std::vector<double> p50;
  std::vector<double> p95;
  std::vector<double> p99;

  void Add(const std::vector<double>& samples) {
    p50.push_back(Quantile(samples, 0.50));
    p95.push_back(Quantile(samples, 0.95));
    p99.push_back(Quantile(samples, 0.99));
  }
  void Report(Bench& bench, const std::string& name, std::optional<Target> p95_target) const {
    bench.Report(name + "_p50", p50, "ms");
    bench.Report(name + "_p95", p95, "ms", p95_target);
    bench.Report(name + "_p99", p99, "ms");
  }
};

double Ms(int64_t duration_ns) {
  return static_cast<double>(duration_ns) / 1e6;
}

absl::Status Measure(Bench& bench, const std::string& scene, bool events) {
  Quantiles age;
  Quantiles encode;
  Quantiles received;
  std::vector<double> ratio;
  for (int round = 0; round < bench.effort().few_rounds(); ++round) {
    auto guest = BenchGuest::Make({.scene = scene, .flip_events = events});
    if (!guest.ok()) return guest.status();
    auto host = BenchHost::Start();
    if (!host.ok()) return host.status();
    if (absl::Status status = (*host)->Attach("d", **guest); !status.ok()) return status;
    auto fleet = ViewerFleet::Start(bench);
    if (!fleet.ok()) return fleet.status();
    (*guest)->Start();
    auto joined = (*fleet)->Add((*host)->server(), "d", 1, true);
    if (!joined.ok()) return joined.status();
    // The pacer has learnt the guest's cadence then.
    WaitUntilNs(MonotonicClock().NowNs() + bench.effort().Duration(1.5));
    if (absl::Status status = (*fleet)->Begin(); !status.ok()) return status;
    WaitUntilNs(MonotonicClock().NowNs() + bench.effort().Duration(3));
    if (auto counts = (*fleet)->End(); !counts.ok()) return counts.status();
    const auto times = (*fleet)->Times();
    if (!times.ok()) return times.status();
    std::vector<double> ages;
    std::vector<double> encodes;
    std::vector<double> receipts;
    for (const UnitTimes& unit : *times) {
      const auto flip_ns = (*guest)->FlipBefore(unit.capture_ns);
      if (!flip_ns.has_value()) continue;
      ages.push_back(Ms(unit.capture_ns - *flip_ns));
      encodes.push_back(Ms(unit.encoded_ns - unit.capture_ns));
      receipts.push_back(Ms(unit.received_ns - *flip_ns));
    }
    fleet->reset();
    host->reset();
    if (ages.empty()) return absl::InternalError("no unit came");
    age.Add(ages);
    encode.Add(encodes);
    received.Add(receipts);
    ratio.push_back(received.p50.back() / encode.p50.back());
  }
  age.Report(bench, "capture_age", AtMost(events ? 1 : 4));
  encode.Report(bench, "encode", std::nullopt);
  received.Report(bench, "flip_to_received", std::nullopt);
  bench.Report("received_of_encode", ratio, "ratio");
  return absl::OkStatus();
}

}  // namespace
}  // namespace planecast::bench

int main(int argc, char** argv) {
  using planecast::bench::Bench;
  Bench bench(argc, argv);
  for (const char* scene : {"desktop", "scroll"}) {
    for (const bool events : {false, true}) {
      bench.Case(absl::StrCat("latency.", scene, events ? ".event" : ".polling"),
                 [=](Bench& b) { return planecast::bench::Measure(b, scene, events); });
    }
  }
  return bench.Run();
}
