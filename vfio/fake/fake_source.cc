#include "vfio/fake/fake_source.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "vfio/vfio_source.h"

namespace planecast {
namespace {

/// The largest size that the modeset scene has of its own.
constexpr uint32_t kModesetWidthMaxPx = 1366;
constexpr uint32_t kModesetHeightMaxPx = 768;
/// Nobody has looked for this long: the guest may slow down.
constexpr int64_t kUnwatchedAfterNs = 1'000'000'000;
/// What a guest plays at when nobody looks, so that its state is still right.
constexpr int64_t kUnwatchedPeriodNs = 500'000'000;
/// The longest that the guest's thread sleeps without looking at the clock.
constexpr int64_t kNapMaxNs = 5'000'000'000;
constexpr int64_t kSecondNs = 1'000'000'000;

/// Wakes the guest's thread; outlives it, because the device may still call.
class WakeSignal {
 public:
  void Wake() {
    {
      const std::lock_guard lock(mutex_);
      awake_ = true;
    }
    condition_.notify_one();
  }
  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    condition_.notify_one();
  }
  /// Waits for a wake-up or for the time to pass. False once stopped.
  bool Wait(int64_t duration_ns) {
    std::unique_lock lock(mutex_);
    condition_.wait_for(lock, std::chrono::nanoseconds(duration_ns),
                        [this] { return awake_ || stopped_; });
    awake_ = false;
    return !stopped_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool awake_ = false;
  bool stopped_ = false;
};

/// The guest's thread.
class ScenePlayer {
 public:
  ScenePlayer(std::shared_ptr<FakeDevice> device, std::shared_ptr<SceneRunner> runner,
              int frame_rate_hz, Clock& clock)
      : device_(std::move(device)),
        runner_(std::move(runner)),
        frame_rate_hz_(frame_rate_hz),
        clock_(clock),
        start_ns_(clock.NowNs()),
        signal_(std::make_shared<WakeSignal>()) {
    device_->guest().SetWakeup([signal = signal_] { signal->Wake(); });
    runner_->StepTo(0, start_ns_);
    thread_ = std::thread([this] { Run(); });
  }

  ~ScenePlayer() {
    signal_->Stop();
    thread_.join();
  }
  ScenePlayer(const ScenePlayer&) = delete;
  ScenePlayer& operator=(const ScenePlayer&) = delete;

 private:
  void Run() {
    while (signal_->Wait(std::clamp<int64_t>(next_ns_ - clock_.NowNs(), 0, kNapMaxNs))) {
      Play(clock_.NowNs());
    }
  }

  void Play(int64_t now_ns) {
    FakeGuest& guest = device_->guest();
    next_ns_ = std::numeric_limits<int64_t>::max();
    if (!guest.device_open()) return;
    if (const auto size = guest.TakeEdidMode(now_ns); size.has_value()) {
      // A size that the guest can't do leaves it where it is.
      runner_->Resize(size->width_px, size->height_px).IgnoreError();
    }
    const auto rate = static_cast<uint64_t>(frame_rate_hz_);
    const uint64_t frame = static_cast<uint64_t>(now_ns - start_ns_) * rate / kSecondNs;
    runner_->StepTo(frame, now_ns);
    next_ns_ = guest.edid_due_ns();
    if (runner_->scene().NextChange(frame + 1) == UINT64_MAX) {
      // The picture stays, but its display still blanks.
      if (!guest.wants_vblanks()) return;
      guest.Vblank();
    }
    const auto due_ns = start_ns_ + static_cast<int64_t>((frame + 1) * kSecondNs / rate) + 1;
    const bool watched = guest.last_interest_ns() >= now_ns - kUnwatchedAfterNs;
    next_ns_ = std::min(next_ns_, watched ? due_ns : std::max(due_ns, now_ns + kUnwatchedPeriodNs));
  }

  const std::shared_ptr<FakeDevice> device_;
  const std::shared_ptr<SceneRunner> runner_;
  const int frame_rate_hz_;
  Clock& clock_;
  const int64_t start_ns_;
  /// Only the thread looks at it.
  int64_t next_ns_ = 0;
  std::shared_ptr<WakeSignal> signal_;
  std::thread thread_;
};

/// The source that ships, on a device that lives as long as anything of it.
class FakeSource : public PlaneSource {
 public:
  FakeSource(std::shared_ptr<FakeDevice> device, std::unique_ptr<ScenePlayer> player,
             std::unique_ptr<PlaneSource> source)
      : device_(std::move(device)), player_(std::move(player)), source_(std::move(source)) {}

  const PlaneSourceInfo& info() const override { return source_->info(); }
  std::vector<int> wait_fds() const override { return source_->wait_fds(); }
  Events HandleEvents(int64_t now_ns) override { return source_->HandleEvents(now_ns); }
  Cursor LookAtCursor(int64_t now_ns) override { return source_->LookAtCursor(now_ns); }
  int64_t NextLookNs() const override { return source_->NextLookNs(); }
  int64_t NextTimedWorkNs() const override { return source_->NextTimedWorkNs(); }
  PlaneLook Look(int64_t now_ns) override {
    PlaneLook look = source_->Look(now_ns);
    if (look.frame.has_value()) look.frame->buffer = KeepDevice(std::move(look.frame->buffer));
    return look;
  }
  void ReportContent(bool changed, int64_t now_ns) override {
    source_->ReportContent(changed, now_ns);
  }
  void SetWatched(bool watched, int64_t now_ns) override { source_->SetWatched(watched, now_ns); }
  absl::Status SetMode(uint32_t width_px, uint32_t height_px, int64_t now_ns) override {
    return source_->SetMode(width_px, height_px, now_ns);
  }

 private:
  /// The same buffer, which now keeps alive the device that its fds belong to.
  std::shared_ptr<const PlaneBuffer> KeepDevice(std::shared_ptr<const PlaneBuffer> buffer) const {
    struct Kept {
      // Destroyed last.
      std::shared_ptr<FakeDevice> device;
      std::shared_ptr<const PlaneBuffer> buffer;
    };
    const PlaneBuffer* plain = buffer.get();
    auto kept = std::make_shared<Kept>(Kept{.device = device_, .buffer = std::move(buffer)});
    return {std::move(kept), plain};
  }

  // Destroyed in reverse: the source closes its fds while the device is there.
  std::shared_ptr<FakeDevice> device_;
  std::unique_ptr<ScenePlayer> player_;
  std::unique_ptr<PlaneSource> source_;
};

struct Guest {
  std::shared_ptr<FakeDevice> device;
  std::shared_ptr<SceneRunner> runner;
};

absl::StatusOr<Guest> MakeGuest(const FakeSourceOptions& options, Clock& clock) {
  FakeDeviceOptions device_options;
  device_options.profile = options.profile;
  device_options.dialect = options.dialect;
  device_options.flip_dialect = options.flip_dialect;
  device_options.width_max_px = std::max(options.width_px, kModesetWidthMaxPx);
  device_options.height_max_px = std::max(options.height_px, kModesetHeightMaxPx);
  Guest guest;
  guest.device = std::make_shared<FakeDevice>(device_options, clock);
  auto runner = SceneRunner::Create(*guest.device, options);
  if (!runner.ok()) return runner.status();
  guest.runner = *std::move(runner);
  return guest;
}

absl::StatusOr<std::unique_ptr<PlaneSource>> OpenSource(FakeDevice& device,
                                                        const FakeSourceOptions& options,
                                                        Clock& clock, FdClaim fds) {
  const int fd = device.OpenDevice();
  if (fd < 0) return absl::InternalError(absl::StrCat("the fake device did not open: ", -fd));
  OpenedDevice opened;
  opened.fds = std::move(fds);
  opened.device = Fd(device, fd);
  opened.description = absl::StrCat("fake ", std::string(FakeProfileName(options.profile)));
  VfioSourceOptions source_options;
  if (options.dialect == FakeDialect::kV15) source_options.dialect = AbiDialect::kV15;
  if (options.dialect == FakeDialect::kV1) source_options.dialect = AbiDialect::kV1;
  if (options.flip_dialect == FakeFlipDialect::kFlipEventfd) {
    source_options.flip_events = FlipEventChoice::kEventfdIoctl;
  }
  return MakeVfioSource(std::move(opened), source_options, clock);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PlaneSource>> MakeFakeSource(const FakeSourceOptions& options,
                                                            Clock& clock, FdClaim fds) {
  auto guest = MakeGuest(options, clock);
  if (!guest.ok()) return guest.status();
  auto player =
      std::make_unique<ScenePlayer>(guest->device, guest->runner, options.frame_rate_hz, clock);
  auto source = OpenSource(*guest->device, options, clock, std::move(fds));
  if (!source.ok()) return source.status();
  return std::make_unique<FakeSource>(guest->device, std::move(player), *std::move(source));
}

FdNeeds FakeFdNeeds(FakeProfile profile) {
  // The device, and the memory of its one plane.
  if (TraitsOf(profile).region_plane) {
    return {.fixed = kFdsPerDisplay + 2, .buffers = 0, .per_buffer = 0};
  }
  // The device, the eventfd for flips and the reference to it; each buffer is the guest's memory
  // and a dma-buf of it.
  return {.fixed = kFdsPerDisplay + 3, .buffers = kBuffersKeptMin, .per_buffer = 2};
}

absl::StatusOr<SteppedFakeSource> MakeSteppedFakeSource(const FakeSourceOptions& options,
                                                        Clock& clock, FdClaim fds) {
  auto guest = MakeGuest(options, clock);
  if (!guest.ok()) return guest.status();
  auto source = OpenSource(*guest->device, options, clock, std::move(fds));
  if (!source.ok()) return source.status();
  return SteppedFakeSource{
      .device = guest->device,
      .runner = guest->runner,
      .source = std::make_unique<FakeSource>(guest->device, nullptr, *std::move(source))};
}

}  // namespace planecast
