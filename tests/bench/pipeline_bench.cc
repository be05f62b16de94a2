// The whole pipeline against the bare encoder, fed the same frames as fast as they are taken.
//
// Pipeline: a look at a device, the display's thread, the encoder, the event codec, the viewer's
// queue, gRPC, and a viewer in another process that acknowledges. Bare encoder: Encoder::Encode in
// a loop. Library: x264 alone, given pictures that are converted and told what did not change. The
// bitrate cap is out of reach for all, so that they code the same pictures with the same quantiser.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "encoder/encoder.h"
#include "encoder/h264/h264_headers.h"
#include "encoder/pixels/color_convert.h"
#include "encoder/screen/frame_compare.h"
#include "encoder/software/h264_backend.h"
#include "service/core/registry.h"
#include "service/rpc/grpc_event_codec.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/grpc_viewer_service.h"
#include "service/rpc/wall_clock.h"
#include "service/telemetry/log.h"
#include "tests/bench/bench.h"
#include "tests/bench/ring_source.h"
#include "tests/bench/viewer_fleet.h"
#include "tests/service/rpc/test_gate.h"

namespace planecast::bench {
namespace {

constexpr int kFrameRateHz = 240;
/// No refinement either: a picture that stands still costs the same in all.
constexpr RateParams kRate = {
    .quantizer = 23, .bitrate_max_bps = 1'000'000'000, .sharp_quantizer = 23};

/// A display takes at most 240 frames a second. For a display on this clock seconds are short, so
/// that the cap is out of reach.
class ShortSeconds : public Clock {
 public:
  int64_t NowNs() override { return start_ns_ + (MonotonicClock().NowNs() - start_ns_) * 16; }

 private:
  const int64_t start_ns_ = MonotonicClock().NowNs();
};

/// CPU time and wall time per frame, in ms.
struct Cost {
  double cpu_ms = 0;
  double wall_ms = 0;
};

Cost CostOf(int64_t cpu_ns, int64_t wall_ns, uint64_t frames) {
  const auto count = static_cast<double>(frames);
  return {.cpu_ms = static_cast<double>(cpu_ns) / 1e6 / count,
          .wall_ms = static_cast<double>(wall_ns) / 1e6 / count};
}

/// The daemon's parts from the registry to the wire, without its cap of 60 frames a second.
class PipelineServer {
 public:
  explicit PipelineServer(std::shared_ptr<const FrameRing> ring)
      : progress_(std::make_shared<RingSource::Progress>()),
        log_(LogLevel::kError),
        wall_(clock_),
        codec_(wall_),
        registry_(Options(std::move(ring))),
        service_(registry_, codec_, wall_, log_),
        queue_(clock_, gate_.gate()) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    queue_.AddTo(builder);
    service_.AddTo(builder, queue_);
    server_ = builder.BuildAndStart();
    queue_.Serve();
  }
  ~PipelineServer() {
    registry_.Drain(
        {.reason = Goodbye::Reason::kDraining, .message = "done", .retry_after_ms = -1});
    service_.BeginDrain();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    queue_.Stop();
  }
  PipelineServer(const PipelineServer&) = delete;
  PipelineServer& operator=(const PipelineServer&) = delete;

  absl::Status Attach() {
    return registry_.Attach({.display_id = "d", .spec = {}, .request_id = ""}).status();
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }
  RingSource::Progress& progress() { return *progress_; }

 private:
  RegistryOptions Options(std::shared_ptr<const FrameRing> ring) {
    RegistryOptions options;
    options.open_source = [this, ring = std::move(ring)](const DisplaySpec& /*spec*/) {
      return RingSource::Make(ring, progress_);
    };
    options.display.clock = &clock_;
    options.display.codec = &codec_;
    options.display.rate = kRate;
    options.display.frame_rate_max_hz = kFrameRateHz;
    options.display.make_encoder = [this](const EncoderParams& params, const RateParams& rate) {
      return MakeEncoder("auto", params, rate, clock_);
    };
    return options;
  }

  ShortSeconds clock_;
  const std::shared_ptr<RingSource::Progress> progress_;
  const Logger log_;
  const WallClock wall_;
  GrpcEventCodec codec_;
  Registry registry_;
  GrpcViewerService service_;
  testing::TestGate gate_;
  GrpcQueue queue_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

absl::StatusOr<Cost> MeasurePipeline(const Bench& bench,
                                     const std::shared_ptr<const FrameRing>& ring,
                                     uint64_t frames) {
  PipelineServer server(ring);
  if (absl::Status status = server.Attach(); !status.ok()) return status;
  auto fleet = ViewerFleet::Start(bench);
  if (!fleet.ok()) return fleet.status();
  if (auto joined = (*fleet)->Add(server.address(), "d", 1, true); !joined.ok()) {
    return joined.status();
  }
  RingSource::Progress& progress = server.progress();
  if (!progress.WaitFor(progress.count() + ring->period())) {
    return absl::DeadlineExceededError("the pipeline stands still");
  }
  const uint64_t first = progress.count();
  const int64_t cpu_ns = ProcessCpuNs() - ThreadCpuNs();
  const int64_t wall_ns = MonotonicClock().NowNs();
  if (!progress.WaitFor(first + frames)) {
    return absl::DeadlineExceededError("the pipeline stands still");
  }
  const uint64_t done = progress.count() - first;
  return CostOf(ProcessCpuNs() - ThreadCpuNs() - cpu_ns, MonotonicClock().NowNs() - wall_ns, done);
}

/// Runs `code(count)` for a period to warm up, then for at least `frames` frames and `duration_ns`.
template <typename Code>
Cost MeasureLoop(const FrameRing& ring, uint64_t& frames, int64_t duration_ns, const Code& code) {
  uint64_t count = 0;
  while (count < ring.period()) code(count++);
  const int64_t cpu_ns = ThreadCpuNs();
  const int64_t wall_ns = MonotonicClock().NowNs();
  uint64_t done = 0;
  while (done < frames || MonotonicClock().NowNs() - wall_ns < duration_ns) {
    code(count++);
    ++done;
  }
  frames = done;
  return CostOf(ThreadCpuNs() - cpu_ns, MonotonicClock().NowNs() - wall_ns, done);
}

absl::StatusOr<Cost> MeasureEncoder(const FrameRing& ring, uint64_t& frames, int64_t duration_ns) {
  const EncoderParams params{
      .width_px = ring.width_px(), .height_px = ring.height_px(), .frame_rate_hz = kFrameRateHz};
  auto encoder = MakeEncoder("auto", params, kRate, MonotonicClock());
  if (!encoder.ok()) return encoder.status();
  absl::Status failure;
  const Cost cost = MeasureLoop(ring, frames, duration_ns, [&](uint64_t count) {
    const int64_t now_ns = MonotonicClock().NowNs();
    const Frame frame{.buffer = ring.at(count), .flip_time_ns = now_ns, .capture_time_ns = now_ns};
    failure.Update((*encoder)->Encode(frame, {.force_idr = count == 0}).status());
  });
  if (!failure.ok()) return failure;
  return cost;
}

/// The ring's pictures, converted, and what differs between neighbours.
class ConvertedRing {
 public:
  explicit ConvertedRing(const FrameRing& ring)
      : width_mbs_((ring.width_px() + kMacroblockPx - 1) / kMacroblockPx),
        height_mbs_((ring.height_px() + kMacroblockPx - 1) / kMacroblockPx) {
    const size_t shadow_stride_bytes = size_t{width_mbs_} * kMacroblockPx * 4;
    std::vector<uint8_t> shadow(shadow_stride_bytes * height_mbs_ * kMacroblockPx);
    for (const auto& buffer : ring.buffers()) Add(*buffer, shadow, shadow_stride_bytes);
  }

  uint32_t width_mbs() const { return width_mbs_; }
  uint32_t height_mbs() const { return height_mbs_; }

  CodingJob Job(const FrameRing& ring, uint64_t count) {
    const size_t index = ring.IndexOf(count);
    const size_t before = count == 0 ? index : ring.IndexOf(count - 1);
    CodingJob job;
    job.picture = Planes(index);
    job.key_frame = count == 0;
    job.quantizer = kRate.quantizer;
    job.changed_mbs = changed_[std::max(index, before)];
    return job;
  }

 private:
  I420Planes Planes(size_t index) {
    const size_t luma = size_t{width_mbs_} * height_mbs_ * kMacroblockPx * kMacroblockPx;
    uint8_t* y = samples_[index].data();
    return {.y = y,
            .u = y + luma,
            .v = y + luma + luma / 4,
            .y_stride_bytes = size_t{width_mbs_} * kMacroblockPx,
            .uv_stride_bytes = size_t{width_mbs_} * kMacroblockPx / 2};
  }

  void Add(const PlaneBuffer& buffer, std::vector<uint8_t>& shadow, size_t shadow_stride_bytes) {
    const PlaneLayout& layout = buffer.layout();
    auto read = buffer.ReadCpu();
    if (!read.ok()) return;
    samples_.emplace_back(size_t{width_mbs_} * height_mbs_ * kMacroblockPx * kMacroblockPx * 3 / 2);
    changed_.emplace_back(size_t{width_mbs_} * height_mbs_);
    for (uint32_t row = 0; row < height_mbs_; ++row) {
      const uint32_t line = row * kMacroblockPx;
      CompareAndCopy(PackedFormat::kXrgb8888,
                     {.source = read->bytes().data() + size_t{line} * layout.stride_bytes,
                      .source_stride_bytes = layout.stride_bytes,
                      .shadow = shadow.data() + line * shadow_stride_bytes,
                      .shadow_stride_bytes = shadow_stride_bytes,
                      .width_px = layout.width_px,
                      .lines = std::min(kMacroblockPx, layout.height_px - line)},
                     changed_.back().data() + size_t{row} * width_mbs_);
    }
    ConvertToI420(PackedFormat::kXrgb8888,
                  {.data = read->bytes().data(),
                   .stride_bytes = layout.stride_bytes,
                   .width_px = layout.width_px,
                   .lines = layout.height_px},
                  Planes(samples_.size() - 1));
  }

  uint32_t width_mbs_;
  uint32_t height_mbs_;
  std::vector<std::vector<uint8_t>> samples_;
  /// At i: between pictures i - 1 and i.
  std::vector<std::vector<uint8_t>> changed_;
};

absl::StatusOr<Cost> MeasureLibrary(const FrameRing& ring, uint64_t& frames, int64_t duration_ns) {
  ConvertedRing converted(ring);
  BackendParams params{.width_mbs = converted.width_mbs(),
                       .height_mbs = converted.height_mbs(),
                       .frame_rate_hz = kFrameRateHz,
                       .slices = 2};
  params.level_idc = LevelFor({.width_mbs = params.width_mbs,
                               .height_mbs = params.height_mbs,
                               .frame_rate_hz = static_cast<uint32_t>(kFrameRateHz)});
  auto backend = BuiltInBackends().front().make(params);
  if (!backend.ok()) return backend.status();
  absl::Status failure;
  const Cost cost = MeasureLoop(ring, frames, duration_ns, [&](uint64_t count) {
    failure.Update((*backend)->Encode(converted.Job(ring, count)).status());
  });
  if (!failure.ok()) return failure;
  return cost;
}

struct Size {
  const char* name;
  uint32_t width_px;
  uint32_t height_px;
  size_t ring;
};
constexpr Size kSizes[] = {
    {"720p", 1280, 720, 16}, {"1080p", 1920, 1080, 12}, {"4k", 3840, 2160, 6}};
constexpr const char* kScenes[] = {"desktop", "video", "static"};

absl::Status Measure(Bench& bench, const std::string& scene, const Size& size) {
  auto ring = FrameRing::Paint(scene, size.width_px, size.height_px, size.ring);
  if (!ring.ok()) return ring.status();
  const int64_t duration_ns = bench.effort().Duration(0.25);
  const bool has_library = scene != "static" && !BuiltInBackends().empty();
  std::vector<double> encoder_ms;
  std::vector<double> pipeline_ms;
  std::vector<double> fps;
  std::vector<double> fps_ratio;
  std::vector<double> cpu_ratio;
  std::vector<double> library_ratio;
  for (int round = 0; round < bench.effort().many_rounds(); ++round) {
    uint64_t frames = bench.effort().tiny() ? 1 : (*ring)->period();
    const auto encoder = MeasureEncoder(**ring, frames, duration_ns);
    if (!encoder.ok()) return encoder.status();
    const auto pipeline = MeasurePipeline(bench, *ring, frames);
    if (!pipeline.ok()) return pipeline.status();
    encoder_ms.push_back(encoder->cpu_ms);
    pipeline_ms.push_back(pipeline->cpu_ms);
    fps.push_back(1000 / pipeline->wall_ms);
    fps_ratio.push_back(encoder->wall_ms / pipeline->wall_ms);
    cpu_ratio.push_back(encoder->cpu_ms / pipeline->cpu_ms);
    if (!has_library) continue;
    const auto library = MeasureLibrary(**ring, frames, duration_ns / 2);
    if (!library.ok()) return library.status();
    library_ratio.push_back(library->cpu_ms / pipeline->cpu_ms);
  }
  bench.Report("frames_per_s", fps, "1/s");
  bench.Report("encoder_cpu_per_frame", encoder_ms, "ms");
  bench.Report("pipeline_cpu_per_frame", pipeline_ms, "ms");
  bench.Report("frames_per_s_of_encoder", fps_ratio, "ratio", AtLeast(0.95));
  bench.Report("cpu_of_encoder", cpu_ratio, "ratio", AtLeast(0.95));
  if (has_library) bench.Report("cpu_of_library", library_ratio, "ratio");
  return absl::OkStatus();
}

}  // namespace
}  // namespace planecast::bench

int main(int argc, char** argv) {
  using planecast::bench::Bench;
  Bench bench(argc, argv);
  for (const char* scene : planecast::bench::kScenes) {
    for (const auto& size : planecast::bench::kSizes) {
      bench.Case(absl::StrCat("pipeline.", scene, ".", size.name),
                 [=](Bench& b) { return planecast::bench::Measure(b, scene, size); });
    }
  }
  return bench.Run();
}
