// A guest of the fake device that flips on time and remembers when.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/clock.h"
#include "vfio/fake/fake_device.h"
#include "vfio/fake/scene.h"
#include "vfio/plane_source.h"

namespace planecast::bench {

struct BenchGuestOptions {
  /// As MakeBenchScene.
  std::string scene = "desktop";
  uint32_t width_px = 1920;
  uint32_t height_px = 1080;
  int frame_rate_hz = 60;
  /// The device tells of flips.
  bool flip_events = true;
  /// A region plane, painted in place, without flips: what mdpy and NVIDIA have.
  bool region_plane = false;
  /// Show the first picture and never flip.
  bool still = false;
};

/// Plays a scene on a fake device, on a thread of its own. A frame is painted before its time, so
/// that nothing but the flip happens then. Thread-safe after Make.
class BenchGuest {
 public:
  static absl::StatusOr<std::unique_ptr<BenchGuest>> Make(const BenchGuestOptions& options);
  /// Use Make.
  BenchGuest(const BenchGuestOptions& options, std::unique_ptr<Scene> scene);
  ~BenchGuest();
  BenchGuest(const BenchGuest&) = delete;
  BenchGuest& operator=(const BenchGuest&) = delete;

  /// The device as the daemon opens it. The guest must outlive it and its frames.
  absl::StatusOr<std::unique_ptr<PlaneSource>> OpenSource();

  /// Once.
  void Start();
  void Stop();

  /// CPU time of the guest's thread, in ns: what is not the daemon's. Until Stop.
  int64_t cpu_ns() const;
  /// When each flip happened, monotonic, in order; the first showed frame kFirstFrame + 1.
  std::vector<int64_t> flips() const;
  /// The last flip at or before a moment; nothing if there was none.
  std::optional<int64_t> FlipBefore(int64_t time_ns) const;

 private:
  uint64_t first_frame() const;
  absl::Status ShowFirst();
  void Run(const std::stop_token& stop);
  void PaintNext(uint64_t frame);
  void Show();
  void MoveCursor(uint64_t frame);

  const BenchGuestOptions options_;
  std::unique_ptr<Scene> scene_;
  FakeDevice device_;
  /// Which frame each buffer holds.
  std::vector<std::optional<uint64_t>> painted_;
  bool has_cursor_ = false;
  mutable std::mutex mutex_;
  std::vector<int64_t> flips_;
  std::jthread thread_;
  clockid_t thread_clock_ = 0;
};

}  // namespace planecast::bench
