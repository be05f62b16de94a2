// A scripted source, encoder and viewer's transport, for tests of service/core/.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "encoder/encoder.h"
#include "service/core/display_loop.h"
#include "service/core/display_options.h"
#include "service/core/viewer.h"
#include "service/core/wake_signal.h"
#include "vfio/clock.h"
#include "vfio/frame.h"
#include "vfio/plane_source.h"

namespace planecast::testing {

inline constexpr int64_t kMs = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;
inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
/// DRM_FORMAT_XRGB8888.
inline constexpr uint32_t kXr24 = 0x34325258;

/// Memory of one colour, or without a CPU path.
class TestMemory : public PlaneMemory {
 public:
  TestMemory(size_t size_bytes, absl::Status cpu_path)
      : bytes_(size_bytes, 0x40), cpu_path_(std::move(cpu_path)) {}
  int dmabuf_fd() const override { return -1; }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override {
    if (!cpu_path_.ok()) return cpu_path_;
    return std::span<const uint8_t>(bytes_);
  }
  void EndCpuRead() override {}

 private:
  std::vector<uint8_t> bytes_;
  absl::Status cpu_path_;
};

inline std::shared_ptr<const PlaneBuffer> MakeBuffer(uint32_t width_px, uint32_t height_px,
                                                     absl::Status cpu_path = absl::OkStatus(),
                                                     uint32_t fourcc = kXr24) {
  static std::atomic<uint64_t> next_serial{1};
  PlaneLayout layout;
  layout.fourcc = fourcc;
  layout.width_px = width_px;
  layout.height_px = height_px;
  layout.stride_bytes = width_px * 4;
  layout.size_bytes = uint64_t{layout.stride_bytes} * height_px;
  auto memory = std::make_unique<TestMemory>(layout.size_bytes, std::move(cpu_path));
  return std::make_shared<const PlaneBuffer>(next_serial++, layout, std::move(memory));
}

inline PlaneLook LookWithFrame(std::shared_ptr<const PlaneBuffer> buffer) {
  PlaneLook look;
  look.primary = PlaneLook::Primary::kFrame;
  look.frame = Frame{std::move(buffer), 0, 0};
  return look;
}

inline PlaneLook LookWithout(PlaneLook::Primary primary, absl::Status problem = absl::OkStatus()) {
  PlaneLook look;
  look.primary = primary;
  look.problem = std::move(problem);
  return look;
}

/// What a scripted source answers, and what was asked of it. The test keeps it.
struct SourceScript {
  std::mutex mutex;
  PlaneSourceInfo info;
  PlaneLook look = LookWithFrame(MakeBuffer(64, 64));
  PlaneSource::Events events;
  std::vector<int> wait_fds;
  /// From one look to the next; 0 means only events.
  int64_t poll_interval_ns = 0;
  int64_t next_timed_work_ns = kNever;
  absl::Status mode_answer;

  int looks = 0;
  int cursor_looks = 0;
  bool watched = false;
  bool destroyed = false;
  std::vector<bool> reports;
  std::vector<std::pair<uint32_t, uint32_t>> modes;
};

class ScriptedSource : public PlaneSource {
 public:
  explicit ScriptedSource(std::shared_ptr<SourceScript> script) : script_(std::move(script)) {}
  ~ScriptedSource() override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    script_->destroyed = true;
  }
  const PlaneSourceInfo& info() const override { return script_->info; }
  std::vector<int> wait_fds() const override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    return script_->wait_fds;
  }
  Events HandleEvents(int64_t /*now_ns*/) override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    return std::exchange(script_->events, {});
  }
  int64_t NextLookNs() const override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    return script_->poll_interval_ns == 0 ? kNever : last_look_ns_ + script_->poll_interval_ns;
  }
  int64_t NextTimedWorkNs() const override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    return script_->next_timed_work_ns;
  }
  PlaneLook Look(int64_t now_ns) override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    last_look_ns_ = now_ns;
    ++script_->looks;
    PlaneLook look = script_->look;
    if (look.frame.has_value()) look.frame->capture_time_ns = look.frame->flip_time_ns = now_ns;
    return look;
  }
  Cursor LookAtCursor(int64_t /*now_ns*/) override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    ++script_->cursor_looks;
    return script_->look.cursor;
  }
  void ReportContent(bool changed, int64_t /*now_ns*/) override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    script_->reports.push_back(changed);
  }
  void SetWatched(bool watched, int64_t /*now_ns*/) override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    script_->watched = watched;
  }
  absl::Status SetMode(uint32_t width_px, uint32_t height_px, int64_t /*now_ns*/) override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    script_->modes.emplace_back(width_px, height_px);
    return script_->mode_answer;
  }

 private:
  std::shared_ptr<SourceScript> script_;
  int64_t last_look_ns_ = 0;
};

/// What scripted encoders do, and what was asked of them. The test keeps it.
struct EncoderScript {
  std::mutex mutex;
  /// The pixels differ from those of the last frame; stays so unless change_once.
  bool changed = true;
  bool change_once = false;
  /// A broken encoder: only its first unit is a key frame.
  bool ignores_force_idr = false;
  size_t unit_bytes = 1000;
  /// Units are no larger than the bitrate allows at 60 Hz.
  bool keeps_bitrate = false;
  /// What the parts of an encode take, on a clock that stands still otherwise.
  int64_t convert_ns = 0;
  int64_t encode_ns = 0;
  /// Refinements that a picture takes after each change, until it is sharp, and how long each waits
  /// for room under the cap.
  int refinements = 0;
  int64_t refinement_wait_ns = 0;
  /// A broken encoder: it says that there is room to refine, and does not.
  bool refuses_refinement = false;
  /// It says that it runs on a GPU, unless asked for software.
  bool hardware = false;
  /// Errors of the next encodes on the GPU only.
  std::deque<absl::Status> hardware_errors;
  /// Errors of the next encodes, and of the next makings.
  std::deque<absl::Status> encode_errors;
  std::deque<absl::Status> make_errors;

  int made = 0;
  int alive = 0;
  int encodes = 0;
  int forced = 0;
  int refined = 0;
  /// What was drawn into the last picture that was asked for.
  std::optional<Cursor> cursor;
  EncoderParams params;
  RateParams rate;
};

class ScriptedEncoder : public Encoder {
 public:
  ScriptedEncoder(std::shared_ptr<EncoderScript> script, const EncoderParams& params,
                  const RateParams& rate, Clock& clock)
      : script_(std::move(script)), clock_(clock), rate_(rate) {
    identity_.hardware = script_->hardware && !params.software_only;
    if (identity_.hardware) identity_.id = identity_.detail = "gpu";
    description_.codec = "avc1.42C01F";
    description_.profile = "constrained-baseline";
    description_.visible_width_px = params.width_px;
    description_.visible_height_px = params.height_px;
    description_.coded_width_px = (params.width_px + 15) / 16 * 16;
    description_.coded_height_px = (params.height_px + 15) / 16 * 16;
  }
  ~ScriptedEncoder() override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    --script_->alive;
  }
  absl::StatusOr<EncodeResult> Encode(const Frame& frame, const EncodeRequest& request) override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    ++script_->encodes;
    if (request.force_idr) ++script_->forced;
    if (identity_.hardware && !script_->hardware_errors.empty()) {
      const absl::Status error = script_->hardware_errors.front();
      script_->hardware_errors.pop_front();
      if (!error.ok()) return error;
    }
    if (!script_->encode_errors.empty()) {
      const absl::Status error = script_->encode_errors.front();
      script_->encode_errors.pop_front();
      if (!error.ok()) return error;
    }
    EncodeResult result;
    const bool first = std::exchange(first_, false);
    std::optional<Cursor> cursor;
    if (request.cursor != nullptr && request.cursor->visible) cursor = *request.cursor;
    const bool changed = script_->changed || first || cursor != cursor_;
    cursor_ = script_->cursor = cursor;
    if (script_->change_once) script_->changed = false;
    result.changed_rows = changed ? 1 : 0;
    if (changed || request.force_idr) {
      refinements_left_ = script_->refinements;
      room_ns_ = clock_.NowNs() + script_->refinement_wait_ns;
    }
    const bool refines = !changed && !request.force_idr && request.refine &&
                         refinements_left_ > 0 && room_ns_ <= clock_.NowNs() &&
                         !script_->refuses_refinement;
    if (refines) {
      ++script_->refined;
      --refinements_left_;
      room_ns_ = clock_.NowNs() + script_->refinement_wait_ns;
    }
    if (refinements_left_ > 0) result.refine_ns = room_ns_;
    if (!changed && !request.force_idr && !refines) return result;
    auto unit = std::make_shared<AccessUnit>();
    const auto share = static_cast<size_t>(rate_.bitrate_max_bps / 8 / 60);
    unit->bytes.assign(
        script_->keeps_bitrate ? std::min(script_->unit_bytes, share) : script_->unit_bytes, 0x5a);
    unit->key_frame = first || (request.force_idr && !script_->ignores_force_idr);
    unit->quantizer = 23;
    unit->refinement = refines;
    unit->sharp = refinements_left_ == 0;
    unit->flip_time_ns = frame.flip_time_ns;
    unit->capture_time_ns = frame.capture_time_ns;
    unit->converted_time_ns = clock_.NowNs() + script_->convert_ns;
    unit->encoded_time_ns = unit->converted_time_ns + script_->encode_ns;
    result.unit = std::move(unit);
    return result;
  }
  void SetRate(const RateParams& rate) override {
    const std::lock_guard<std::mutex> lock(script_->mutex);
    script_->rate = rate;
    rate_ = rate;
  }
  const StreamDescription& description() const override { return description_; }
  const EncoderIdentity& identity() const override { return identity_; }

 private:
  std::shared_ptr<EncoderScript> script_;
  Clock& clock_;
  RateParams rate_;
  StreamDescription description_;
  EncoderIdentity identity_{
      .id = "scripted", .detail = "scripted", .hardware = false, .degraded_reason = ""};
  bool first_ = true;
  std::optional<Cursor> cursor_;
  int refinements_left_ = 0;
  int64_t room_ns_ = 0;
};

inline EncoderFactory ScriptedEncoderFactory(std::shared_ptr<EncoderScript> script, Clock& clock) {
  return [script = std::move(script), &clock](
             const EncoderParams& params,
             const RateParams& rate) -> absl::StatusOr<std::unique_ptr<Encoder>> {
    {
      const std::lock_guard<std::mutex> lock(script->mutex);
      ++script->made;
      if (!script->make_errors.empty()) {
        const absl::Status error = script->make_errors.front();
        script->make_errors.pop_front();
        if (!error.ok()) return error;
      }
      ++script->alive;
      script->params = params;
      script->rate = rate;
    }
    return std::make_unique<ScriptedEncoder>(script, params, rate, clock);
  };
}

/// Counts what it serialised.
class CountingCodec : public EventCodec {
 public:
  std::shared_ptr<const void> Encode(const StreamEvent& /*event*/) override {
    ++encoded;
    return std::make_shared<int>(encoded.load());
  }
  std::atomic<int> encoded{0};
};

/// A word for an event: "started", "state:ACTIVE", "shape", "moved", "key7", "unit8", "stats",
/// "goodbye".
inline std::string Describe(const StreamEvent& event) {
  if (std::holds_alternative<StreamStarted>(event.body)) return "started";
  if (const auto* state = std::get_if<StateChanged>(&event.body)) {
    return "state:" + std::string(DisplayStateName(state->report.state));
  }
  if (std::holds_alternative<CursorShape>(event.body)) return "shape";
  if (std::holds_alternative<CursorMoved>(event.body)) return "moved";
  if (const auto* unit = std::get_if<UnitEvent>(&event.body)) {
    return (unit->unit->key_frame ? "key" : "unit") + std::to_string(unit->sequence);
  }
  return std::holds_alternative<StreamStats>(event.body) ? "stats" : "goodbye";
}

/// Takes and writes everything; the words joined by spaces.
inline std::string TakeAll(Viewer& viewer) {
  std::string words;
  while (const StreamEventPtr event = viewer.Take()) {
    viewer.OnWritten();
    if (!words.empty()) words += ' ';
    words += Describe(*event);
  }
  return words;
}

/// Takes and writes everything; the last event of type T, or null.
template <typename T>
std::shared_ptr<const T> TakeLast(Viewer& viewer) {
  std::shared_ptr<const T> last;
  while (const StreamEventPtr event = viewer.Take()) {
    viewer.OnWritten();
    if (const T* body = std::get_if<T>(&event->body)) last = {event, body};
  }
  return last;
}

inline StreamEventPtr UnitOfSize(uint64_t sequence, bool key_frame, size_t size_bytes = 1000,
                                 int64_t encoded_time_ns = 0) {
  auto unit = std::make_shared<AccessUnit>();
  unit->bytes.resize(size_bytes);
  unit->key_frame = key_frame;
  unit->encoded_time_ns = encoded_time_ns;
  return MakeEvent(UnitEvent{sequence, std::move(unit)}, nullptr);
}

/// A display's loop on a scripted source and encoder, and a clock that the test moves.
struct LoopHarness {
  explicit LoopHarness(int frame_rate_max_hz = 240) {
    options.clock = &clock;
    options.make_encoder = ScriptedEncoderFactory(encoder, clock);
    options.frame_rate_max_hz = frame_rate_max_hz;
  }

  /// Makes the loop at first use, so that a test can set options before.
  DisplayLoop& loop() {
    if (loop_ == nullptr) {
      DisplaySnapshot identity;
      identity.id = "test";
      loop_ = std::make_unique<DisplayLoop>(
          identity, std::make_unique<ScriptedSource>(source), options, signal,
          [this](const DisplaySnapshot& snapshot) { published.push_back(snapshot); });
    }
    return *loop_;
  }
  int64_t Step() {
    signal->Clear();
    return loop().Step(clock.NowNs());
  }
  int64_t Step(int64_t after_ns) {
    clock.Advance(after_ns);
    return Step();
  }
  /// One flip of the guest, and the step that it wakes.
  int64_t Flip(int64_t after_ns = 17 * kMs) {
    source->events.flipped = true;
    return Step(after_ns);
  }
  std::shared_ptr<Viewer> Join(const ViewerOptions& viewer_options = {}) {
    auto viewer =
        std::make_shared<Viewer>("viewer", viewer_options, signal, loop().metrics(), clock);
    loop().AddViewer(viewer);
    return viewer;
  }
  uint64_t Value(Count count) { return loop().metrics()->Value(count); }
  DisplayState state() { return loop().snapshot().state.state; }

  ManualClock clock;
  std::shared_ptr<SourceScript> source = std::make_shared<SourceScript>();
  std::shared_ptr<EncoderScript> encoder = std::make_shared<EncoderScript>();
  std::shared_ptr<WakeSignal> signal = std::make_shared<WakeSignal>();
  DisplayOptions options;
  std::vector<DisplaySnapshot> published;

 private:
  std::unique_ptr<DisplayLoop> loop_;
};

}  // namespace planecast::testing
