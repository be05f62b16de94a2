// What a display costs in each sixtieth of a second at 1080p, encoded in software: CPU of the whole
// daemon, with one viewer in another process, less the guest's own. And what goes over the wire.
//
// Scenes: "still" never flips; "region" is a device whose guest paints in place, so that only
// pixels can tell; the others flip sixty times a second, whether or not anything changed.
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_host.h"
#include "tests/bench/viewer_fleet.h"

namespace planecast::bench {
namespace {

constexpr int kSlotsPerSecond = 60;
constexpr int64_t kSettleNs = 1'500'000'000;
/// A guest that does nothing at all is looked at ever less often.
constexpr int64_t kStillSettleNs = 6'000'000'000;
constexpr double kRoundS = 2;
constexpr double kStillRoundS = 8;
/// 0.06 % of a core: a message of numbers a second, and timers.
constexpr double kNothingMs = 0.01;

struct Slot {
  const char* name;
  BenchGuestOptions guest;
  bool watched = true;
  std::optional<Target> cpu_ms = std::nullopt;
  std::optional<Target> kbps = std::nullopt;
  std::optional<Target> units = std::nullopt;
};

std::vector<Slot> Slots() {
  return {
      {.name = "static_event",
       .guest = {.scene = "static", .still = true},
       .cpu_ms = AtMost(kNothingMs),
       .units = AtMost(0)},
      {.name = "static_polling",
       .guest = {.scene = "static", .flip_events = false, .still = true},
       .cpu_ms = AtMost(0.6),
       .units = AtMost(0)},
      {.name = "static_region",
       .guest = {.scene = "static", .region_plane = true, .still = true},
       .cpu_ms = AtMost(0.6),
       .units = AtMost(0)},
      {.name = "static_flipping",
       .guest = {.scene = "static"},
       .cpu_ms = AtMost(0.6),
       .units = AtMost(0)},
      {.name = "cursor", .guest = {.scene = "cursor"}, .units = AtMost(0)},
      {.name = "typing", .guest = {.scene = "typing"}, .cpu_ms = AtMost(1.3), .kbps = AtMost(20)},
      {.name = "scroll", .guest = {.scene = "scroll"}, .cpu_ms = AtMost(6.5)},
      {.name = "desktop", .guest = {.scene = "desktop"}},
      {.name = "video", .guest = {.scene = "video"}, .cpu_ms = AtMost(16)},
      {.name = "unwatched",
       .guest = {.scene = "desktop"},
       .watched = false,
       .cpu_ms = AtMost(kNothingMs)},
  };
}

struct Round {
  double cpu_ms = 0;
  double unit_kbps = 0;
  double message_kbps = 0;
  double units_per_s = 0;
  double cursor_moves_per_s = 0;
};

absl::StatusOr<Round> MeasureRound(const Bench& bench, const Slot& slot) {
  auto guest = BenchGuest::Make(slot.guest);
  if (!guest.ok()) return guest.status();
  auto host = BenchHost::Start();
  if (!host.ok()) return host.status();
  if (absl::Status status = (*host)->Attach("d", **guest); !status.ok()) return status;
  auto fleet = ViewerFleet::Start(bench);
  if (!fleet.ok()) return fleet.status();
  (*guest)->Start();
  if (slot.watched) {
    if (auto joined = (*fleet)->Add((*host)->server(), "d", 1, true); !joined.ok()) {
      return joined.status();
    }
  }
  // A picture that stands still is refined for a while; that is over then.
  const int64_t settle_ns = slot.guest.still ? kStillSettleNs : kSettleNs;
  WaitUntilNs(MonotonicClock().NowNs() + (bench.effort().tiny() ? 0 : settle_ns));
  if (absl::Status status = (*fleet)->Begin(); !status.ok()) return status;
  const int64_t start_ns = MonotonicClock().NowNs();
  const int64_t cpu_ns = (*host)->cpu_ns();
  WaitUntilNs(start_ns + bench.effort().Duration(slot.guest.still ? kStillRoundS : kRoundS));
  const int64_t spent_ns = (*host)->cpu_ns() - cpu_ns;
  auto counts = (*fleet)->End();
  const double seconds = static_cast<double>(MonotonicClock().NowNs() - start_ns) / 1e9;
  if (!counts.ok()) return counts.status();
  fleet->reset();
  host->reset();
  const auto per_second = [&](uint64_t count) { return static_cast<double>(count) / seconds; };
  return Round{.cpu_ms = static_cast<double>(spent_ns) / 1e6 / (seconds * kSlotsPerSecond),
               .unit_kbps = per_second(counts->unit_bytes) * 8 / 1000,
               .message_kbps = per_second(counts->message_bytes) * 8 / 1000,
               .units_per_s = per_second(counts->units),
               .cursor_moves_per_s = per_second(counts->cursor_moves)};
}

absl::Status Measure(Bench& bench, const Slot& slot) {
  std::vector<double> cpu_ms;
  std::vector<double> unit_kbps;
  std::vector<double> message_kbps;
  std::vector<double> units;
  std::vector<double> moves;
  for (int round = 0; round < bench.effort().few_rounds(); ++round) {
    const auto measured = MeasureRound(bench, slot);
    if (!measured.ok()) return measured.status();
    cpu_ms.push_back(measured->cpu_ms);
    unit_kbps.push_back(measured->unit_kbps);
    message_kbps.push_back(measured->message_kbps);
    units.push_back(measured->units_per_s);
    moves.push_back(measured->cursor_moves_per_s);
  }
  bench.Report("cpu_per_slot", cpu_ms, "ms", slot.cpu_ms);
  if (!slot.watched) return absl::OkStatus();
  bench.Report("video_bitrate", unit_kbps, "kbit/s", slot.kbps);
  bench.Report("all_bitrate", message_kbps, "kbit/s");
  bench.Report("units_per_s", units, "1/s", slot.units);
  if (slot.guest.scene == "cursor") bench.Report("cursor_moves_per_s", moves, "1/s", AtLeast(30));
  return absl::OkStatus();
}

}  // namespace
}  // namespace planecast::bench

int main(int argc, char** argv) {
  using planecast::bench::Bench;
  Bench bench(argc, argv);
  for (const auto& slot : planecast::bench::Slots()) {
    bench.Case(absl::StrCat("slot.", slot.name),
               [=](Bench& b) { return planecast::bench::Measure(b, slot); });
  }
  return bench.Run();
}
