// The parts that run per frame or per viewer, alone: finding changes, conversion, fan-out.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "encoder/pixels/color_convert.h"
#include "encoder/screen/frame_compare.h"
#include "service/core/viewer.h"
#include "service/core/wake_signal.h"
#include "service/rpc/grpc_event_codec.h"
#include "service/rpc/wall_clock.h"
#include "tests/bench/bench.h"

namespace planecast::bench {
namespace {

constexpr size_t kUnitBytes = 20'000;

struct Size {
  const char* name;
  uint32_t width_px;
  uint32_t height_px;
};
constexpr Size kSizes[] = {{"720p", 1280, 720}, {"1080p", 1920, 1080}, {"4k", 3840, 2160}};

/// XRGB8888 pixels that no kernel can take for equal or for one colour.
std::vector<uint32_t> Noise(const Size& size, uint32_t seed) {
  std::vector<uint32_t> pixels(size_t{size.width_px} * size.height_px);
  for (uint32_t& pixel : pixels) pixel = seed = seed * 1664525 + 1013904223;
  return pixels;
}

const uint8_t* Bytes(const std::vector<uint32_t>& pixels) {
  return reinterpret_cast<const uint8_t*>(pixels.data());
}

void CopyFrame(benchmark::State& state, const Size& size) {
  const std::vector<uint32_t> source = Noise(size, 1);
  std::vector<uint32_t> copy(source.size());
  while (state.KeepRunning()) {
    std::memcpy(copy.data(), source.data(), source.size() * sizeof(uint32_t));
    benchmark::ClobberMemory();
  }
}

/// With `changed` every macroblock differs each time.
void CompareFrame(benchmark::State& state, const Size& size, bool changed) {
  const std::vector<uint32_t> sources[] = {Noise(size, 1), Noise(size, changed ? 2 : 1)};
  std::vector<uint32_t> shadow = sources[0];
  std::vector<uint8_t> changed_mbs(size.width_px / kMacroblockPx);
  const size_t stride_bytes = size_t{size.width_px} * sizeof(uint32_t);
  size_t turn = 0;
  while (state.KeepRunning()) {
    const uint8_t* source = Bytes(sources[++turn % 2]);
    for (uint32_t line = 0; line < size.height_px; line += kMacroblockPx) {
      benchmark::DoNotOptimize(
          CompareAndCopy(PackedFormat::kXrgb8888,
                         {.source = source + line * stride_bytes,
                          .source_stride_bytes = stride_bytes,
                          .shadow = reinterpret_cast<uint8_t*>(shadow.data()) + line * stride_bytes,
                          .shadow_stride_bytes = stride_bytes,
                          .width_px = size.width_px,
                          .lines = std::min(kMacroblockPx, size.height_px - line)},
                         changed_mbs.data()));
    }
  }
}

void ConvertFrame(benchmark::State& state, const Size& size) {
  const std::vector<uint32_t> source = Noise(size, 1);
  const size_t luma = source.size();
  std::vector<uint8_t> samples(luma * 3 / 2);
  const I420Planes planes{.y = samples.data(),
                          .u = samples.data() + luma,
                          .v = samples.data() + luma + luma / 4,
                          .y_stride_bytes = size.width_px,
                          .uv_stride_bytes = size.width_px / 2};
  while (state.KeepRunning()) {
    ConvertToI420(PackedFormat::kXrgb8888,
                  {.data = Bytes(source),
                   .stride_bytes = size_t{size.width_px} * sizeof(uint32_t),
                   .width_px = size.width_px,
                   .lines = size.height_px},
                  planes);
    benchmark::ClobberMemory();
  }
}

std::shared_ptr<const AccessUnit> MakeUnit() {
  auto unit = std::make_shared<AccessUnit>();
  unit->bytes.assign(kUnitBytes, 0x55);
  unit->key_frame = true;
  return unit;
}

/// One unit to the bytes that all viewers share, and the message of one of them.
void EncodeEvent(benchmark::State& state) {
  const WallClock wall(MonotonicClock());
  GrpcEventCodec codec(wall);
  const auto unit = MakeUnit();
  const v1::StreamStarted viewer;
  uint64_t sequence = 0;
  while (state.KeepRunning()) {
    const StreamEventPtr event = MakeEvent(UnitEvent{++sequence, unit}, &codec);
    benchmark::DoNotOptimize(codec.Message(*event, viewer));
  }
}

/// A unit through the queues of so many viewers, without a transport. Per unit and viewer.
void FanOut(benchmark::State& state, int viewers) {
  const auto signal = std::make_shared<WakeSignal>();
  const auto metrics = std::make_shared<DisplayMetrics>();
  std::vector<std::unique_ptr<Viewer>> all;
  const StreamEventPtr started = MakeEvent(StreamStarted{}, nullptr);
  for (int i = 0; i < viewers; ++i) {
    all.push_back(std::make_unique<Viewer>(absl::StrCat(i), ViewerOptions{}, signal, metrics,
                                           MonotonicClock()));
    all.back()->SetNotify([] {});
    all.back()->OfferStarted(started);
  }
  const auto unit = MakeUnit();
  uint64_t sequence = 0;
  while (state.KeepRunning()) {
    const StreamEventPtr event = MakeEvent(UnitEvent{++sequence, unit}, nullptr);
    const int64_t now_ns = MonotonicClock().NowNs();
    for (const auto& viewer : all) viewer->OfferUnit(event, now_ns, true);
    for (const auto& viewer : all) {
      while (viewer->Take() != nullptr) viewer->OnWritten();
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * viewers);
}

/// Collects the CPU time of each repetition, in us; of each item where a benchmark counts them.
class Collector : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& /*context*/) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      const auto items = run.counters.find("items_per_second");
      const double us = run.cpu_accumulated_time * 1e6 / static_cast<double>(run.iterations);
      values.push_back(items == run.counters.end() ? us : 1e6 / items->second.value);
    }
  }
  std::vector<double> values;
};

using Code = std::function<void(benchmark::State&)>;

/// Runs a function.
class CodeFixture : public benchmark::Fixture {
 public:
  explicit CodeFixture(Code code) : code_(std::move(code)) { SetName("case"); }

 protected:
  void BenchmarkCase(benchmark::State& state) override { code_(state); }

 private:
  const Code code_;
};

absl::Status Measure(Bench& bench, const Code& code) {
  benchmark::ClearRegisteredBenchmarks();
  const int rounds = bench.effort().rounds;
  // The library owns what is registered.
  benchmark::internal::RegisterBenchmarkInternal(std::make_unique<CodeFixture>(code).release())
      ->MinTime(0.3 * bench.effort().scale)
      ->Repetitions(std::max(rounds, 2));
  Collector collector;
  benchmark::RunSpecifiedBenchmarks(&collector);
  bench.Report("cpu", collector.values, "us");
  return absl::OkStatus();
}

}  // namespace
}  // namespace planecast::bench

int main(int argc, char** argv) {
  using namespace planecast::bench;  // NOLINT(google-build-using-namespace): of this file
  Bench bench(argc, argv);
  int no_arguments = 1;
  benchmark::Initialize(&no_arguments, argv);
  const auto add = [&](const std::string& name, Code code) {
    bench.Case("micro." + name, [code = std::move(code)](Bench& b) { return Measure(b, code); });
  };
  for (const Size& size : kSizes) {
    const std::string name = size.name;
    add("memcpy." + name, [=](benchmark::State& state) { CopyFrame(state, size); });
    add("compare_equal." + name,
        [=](benchmark::State& state) { CompareFrame(state, size, false); });
    add("compare_changed." + name,
        [=](benchmark::State& state) { CompareFrame(state, size, true); });
    add("convert." + name, [=](benchmark::State& state) { ConvertFrame(state, size); });
  }
  add("event_codec", EncodeEvent);
  for (const int viewers : {1, 32, 256}) {
    add(absl::StrCat("fan_out_per_viewer.", viewers),
        [=](benchmark::State& state) { FanOut(state, viewers); });
  }
  return bench.Run();
}
