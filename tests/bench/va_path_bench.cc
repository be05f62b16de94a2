// What the daemon's own code costs per frame on the VA path: the look, the import that is already
// there, submitting, collecting, the event, the viewer's queue. Without the driver's work.
//
// The driver is the software one of the tests, behind the real libva; the GPU's work happens on its
// own thread. What the display's thread spends inside calls of libva is measured call by call and
// taken off, since there it is the driver that works; measuring it costs something itself, which is
// not taken off. Real drivers take other times inside those calls.
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "encoder/encoder.h"
#include "service/core/display_loop.h"
#include "service/core/viewer.h"
#include "service/core/wake_signal.h"
#include "service/rpc/grpc_event_codec.h"
#include "service/rpc/wall_clock.h"
#include "tests/bench/bench.h"
#include "tests/bench/ring_source.h"
#include "tests/bench/va_meter.h"

namespace planecast::bench {
namespace {

constexpr int64_t kFrameNs = 1'000'000'000 / 60;
/// The software driver takes long for a picture.
constexpr int kFramesMax = 60;

/// A display with one viewer that takes and acknowledges everything at once, on this thread.
class VaDisplayLoop {
 public:
  static absl::StatusOr<std::unique_ptr<VaDisplayLoop>> Make(
      std::shared_ptr<const FrameRing> ring) {
    auto progress = std::make_shared<RingSource::Progress>();
    auto source = RingSource::Make(std::move(ring), progress);
    if (!source.ok()) return source.status();
    return std::make_unique<VaDisplayLoop>(*std::move(source));
  }
  /// Use Make.
  explicit VaDisplayLoop(std::unique_ptr<PlaneSource> source)
      : wall_(clock_),
        codec_(wall_),
        signal_(std::make_shared<WakeSignal>()),
        loop_(Identity(), std::move(source), Options(), signal_, nullptr),
        viewer_(std::make_shared<Viewer>("viewer",
                                         ViewerOptions{.limits = {}, .acknowledges = true}, signal_,
                                         loop_.metrics(), clock_)) {
    viewer_->SetNotify([] {});
    loop_.AddViewer(viewer_);
  }

  /// One frame; returns how many units came of it, or what went wrong.
  absl::StatusOr<int> Step() {
    clock_.Advance(kFrameNs);
    loop_.Step(clock_.NowNs());
    int units = 0;
    while (const StreamEventPtr event = viewer_->Take()) {
      viewer_->OnWritten();
      const auto* unit = std::get_if<UnitEvent>(&event->body);
      if (unit == nullptr) continue;
      if (unit->unit->pixel_path != PixelPath::kZeroCopy) {
        return absl::InternalError(unit->unit->pixel_path_reason);
      }
      if (auto status = viewer_->Acknowledge(unit->sequence); !status.ok()) return status;
      ++units;
    }
    const StateReport& state = loop_.snapshot().state;
    if (units == 0 && loop_.metrics()->Value(Count::kEncodeErrors) > 0)
      return absl::InternalError(state.reason);
    return units;
  }

 private:
  static DisplaySnapshot Identity() {
    DisplaySnapshot identity;
    identity.id = "d";
    return identity;
  }
  DisplayOptions Options() {
    DisplayOptions options;
    options.clock = &clock_;
    options.codec = &codec_;
    options.encoder_reads_by_cpu = false;
    options.frame_rate_max_hz = 240;
    options.make_encoder = [this](EncoderParams params, const RateParams& rate) {
      // The device that the software driver takes for a render node.
      params.render_node = "/dev/null";
      return MakeEncoder("vaapi", params, rate, clock_);
    };
    return options;
  }

  ManualClock clock_;
  const WallClock wall_;
  GrpcEventCodec codec_;
  const std::shared_ptr<WakeSignal> signal_;
  DisplayLoop loop_;
  const std::shared_ptr<Viewer> viewer_;
};

/// Of one frame, in us.
struct Cost {
  double own_us = 0;
  double thread_us = 0;
  double calls = 0;
};

absl::StatusOr<Cost> MeasureRound(const Bench& bench,
                                  const std::shared_ptr<const FrameRing>& ring) {
  auto display = VaDisplayLoop::Make(ring);
  if (!display.ok()) return display.status();
  // Every buffer is imported then.
  for (size_t i = 0; i <= ring->period(); ++i) {
    if (auto units = (*display)->Step(); !units.ok()) return units.status();
  }
  const int64_t end_ns = MonotonicClock().NowNs() + bench.effort().Duration(2);
  const VaMeter meter = ThreadVaMeter();
  const int64_t cpu_ns = ThreadCpuNs();
  int frames = 0;
  while (frames < kFramesMax && (frames < 4 || MonotonicClock().NowNs() < end_ns)) {
    const auto units = (*display)->Step();
    if (!units.ok()) return units.status();
    if (*units != 1) return absl::InternalError("a frame gave no unit");
    ++frames;
  }
  const auto spent_ns = static_cast<double>(ThreadCpuNs() - cpu_ns);
  const VaMeter after = ThreadVaMeter();
  const auto inside_ns = static_cast<double>(after.inside_ns - meter.inside_ns);
  return Cost{.own_us = (spent_ns - inside_ns) / 1e3 / frames,
              .thread_us = spent_ns / 1e3 / frames,
              .calls = static_cast<double>(after.calls - meter.calls) / frames};
}

absl::Status Measure(Bench& bench, const std::string& persona, uint32_t width_px,
                     uint32_t height_px) {
  setenv("LIBVA_DRIVERS_PATH", (bench.folder() + "/../lib/dri").c_str(), 1);
  setenv("LIBVA_DRIVER_NAME", "planecast_sw", 1);
  setenv("PLANECAST_SW_PERSONA", persona.c_str(), 1);
  const auto ring = FrameRing::Paint("desktop", width_px, height_px, 4, FrameRing::Memory::kDmabuf);
  if (!ring.ok()) return ring.status();
  std::vector<double> own_us;
  std::vector<double> thread_us;
  std::vector<double> calls;
  for (int round = 0; round < bench.effort().few_rounds(); ++round) {
    const auto cost = MeasureRound(bench, *ring);
    if (!cost.ok()) return cost.status();
    own_us.push_back(cost->own_us);
    thread_us.push_back(cost->thread_us);
    calls.push_back(cost->calls);
  }
  bench.Report("own_cpu_per_frame", own_us, "us");
  bench.Report("cpu_per_frame_with_calls", thread_us, "us");
  bench.Report("libva_calls_per_frame", calls, "1");
  return absl::OkStatus();
}

}  // namespace
}  // namespace planecast::bench

int main(int argc, char** argv) {
  using planecast::bench::Bench;
  Bench bench(argc, argv);
  const auto add = [&](const char* size, uint32_t width_px, uint32_t height_px) {
    for (const char* persona : {"ihd", "radeonsi"}) {
      bench.Case(absl::StrCat("va_path.", persona, ".", size), [=](Bench& b) {
        return planecast::bench::Measure(b, persona, width_px, height_px);
      });
    }
  };
  add("360p", 640, 360);
  add("1080p", 1920, 1080);
  return bench.Run();
}
