#include "tests/bench/bench_guest.h"

#include <algorithm>
#include <ctime>
#include <span>
#include <utility>

#include "tests/bench/bench.h"
#include "tests/bench/bench_scene.h"
#include "vfio/opened_device.h"
#include "vfio/vfio_source.h"

namespace planecast::bench {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int kBuffers = 3;

FakeDeviceOptions DeviceOptions(const BenchGuestOptions& options) {
  FakeDeviceOptions device;
  device.profile = options.region_plane ? FakeProfile::kMdpy : FakeProfile::kIdeal;
  if (!options.flip_events) device.flip_dialect = FakeFlipDialect::kNone;
  device.width_max_px = options.width_px;
  device.height_max_px = options.height_px;
  return device;
}

Canvas CanvasOn(std::span<uint8_t> bytes, const PlaneLayout& layout) {
  return {.pixels = reinterpret_cast<uint32_t*>(bytes.data()),
          .width_px = layout.width_px,
          .height_px = layout.height_px,
          .stride_px = layout.stride_bytes / static_cast<uint32_t>(sizeof(uint32_t))};
}

}  // namespace

absl::StatusOr<std::unique_ptr<BenchGuest>> BenchGuest::Make(const BenchGuestOptions& options) {
  auto scene =
      MakeBenchScene(options.scene, options.width_px, options.height_px, options.frame_rate_hz);
  if (!scene.ok()) return scene.status();
  auto guest = std::make_unique<BenchGuest>(options, *std::move(scene));
  if (absl::Status status = guest->ShowFirst(); !status.ok()) return status;
  return guest;
}

BenchGuest::BenchGuest(const BenchGuestOptions& options, std::unique_ptr<Scene> scene)
    : options_(options),
      scene_(std::move(scene)),
      device_(DeviceOptions(options), MonotonicClock()) {}

BenchGuest::~BenchGuest() {
  Stop();
}

absl::Status BenchGuest::ShowFirst() {
  FakeMode mode;
  mode.width_px = options_.width_px;
  mode.height_px = options_.height_px;
  mode.buffer_count = options_.region_plane ? 1 : kBuffers;
  auto paint = [this](std::span<uint8_t> bytes, const PlaneLayout& layout) {
    scene_->Render(first_frame(), 0, CanvasOn(bytes, layout));
  };
  FakeGuest& guest = device_.guest();
  if (absl::Status status = guest.SetMode(mode, paint); !status.ok()) return status;
  painted_.assign(static_cast<size_t>(guest.buffer_count()), std::nullopt);
  painted_[0] = first_frame();
  const SceneState state = scene_->StateAt(0);
  if (!state.cursor_visible || !TraitsOf(device_.options().profile).cursor_plane) {
    return absl::OkStatus();
  }
  const auto pixels = CursorShapePixels(SceneCursorShape::kArrow);
  FakeCursorImage image{.width_px = kSceneCursorSizePx, .height_px = kSceneCursorSizePx};
  image.argb.assign(pixels.begin(), pixels.end());
  has_cursor_ = true;
  return guest.SetCursor(image);
}

absl::StatusOr<std::unique_ptr<PlaneSource>> BenchGuest::OpenSource() {
  const int fd = device_.OpenDevice();
  if (fd < 0) return absl::InternalError("the fake device did not open");
  OpenedDevice opened;
  opened.device = Fd(device_, fd);
  opened.description = "bench";
  return MakeVfioSource(std::move(opened), {}, MonotonicClock());
}

uint64_t BenchGuest::first_frame() const {
  // A static scene's picture is that of frame 0 for ever.
  return scene_->NextChange(1) == UINT64_MAX ? 0 : kFirstFrame;
}

void BenchGuest::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  pthread_getcpuclockid(thread_.native_handle(), &thread_clock_);
}

void BenchGuest::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

int64_t BenchGuest::cpu_ns() const {
  timespec time{};
  if (!thread_.joinable() || clock_gettime(thread_clock_, &time) != 0) return 0;
  return int64_t{time.tv_sec} * kSecondNs + time.tv_nsec;
}

std::vector<int64_t> BenchGuest::flips() const {
  const std::lock_guard lock(mutex_);
  return flips_;
}

std::optional<int64_t> BenchGuest::FlipBefore(int64_t time_ns) const {
  const std::lock_guard lock(mutex_);
  const auto after = std::upper_bound(flips_.begin(), flips_.end(), time_ns);
  if (after == flips_.begin()) return std::nullopt;
  return *std::prev(after);
}

void BenchGuest::Run(const std::stop_token& stop) {
  if (options_.still) return;
  const int64_t start_ns = MonotonicClock().NowNs();
  const bool is_static = first_frame() == 0;
  for (int64_t count = 1; !stop.stop_requested(); ++count) {
    const uint64_t frame = first_frame() + (is_static ? 0 : static_cast<uint64_t>(count));
    const int64_t interval_ns = kSecondNs / options_.frame_rate_hz;
    const int64_t due_ns = start_ns + count * kSecondNs / options_.frame_rate_hz;
    // Right after a flip it would keep the core from the thread that the flip wakes; a real guest
    // has cores of its own.
    WaitUntilNs(due_ns - interval_ns / 2);
    PaintNext(frame);
    WaitUntilNs(due_ns);
    Show();
    MoveCursor(frame);
  }
}

void BenchGuest::PaintNext(uint64_t frame) {
  FakeGuest& guest = device_.guest();
  const int buffer = (guest.shown_buffer() + 1) % guest.buffer_count();
  std::optional<uint64_t>& held = painted_[static_cast<size_t>(buffer)];
  if (held.has_value() && scene_->Damage(*held, frame).empty()) {
    held = frame;
    return;
  }
  guest.Paint(buffer, [&](std::span<uint8_t> bytes, const PlaneLayout& layout) {
    const Canvas canvas = CanvasOn(bytes, layout);
    if (!held.has_value()) return scene_->Render(frame, 0, canvas);
    for (const SceneRect& rect : scene_->Damage(*held, frame)) {
      scene_->RenderClipped(frame, static_cast<uint32_t>(frame), rect, canvas);
    }
  });
  held = frame;
}

void BenchGuest::Show() {
  FakeGuest& guest = device_.guest();
  // The cursor scene moves the cursor and nothing else.
  if (options_.scene == "cursor" || guest.buffer_count() == 1) return guest.Vblank();
  const int buffer = (guest.shown_buffer() + 1) % guest.buffer_count();
  const int64_t now_ns = MonotonicClock().NowNs();
  {
    const std::lock_guard lock(mutex_);
    flips_.push_back(now_ns);
  }
  guest.Flip(buffer);
}

void BenchGuest::MoveCursor(uint64_t frame) {
  if (!has_cursor_) return;
  const SceneState state = scene_->StateAt(frame);
  device_.guest().MoveCursor(state.cursor_x_px, state.cursor_y_px);
}

}  // namespace planecast::bench
