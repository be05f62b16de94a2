// A PlaneSource on a fake device whose guest plays a scene.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "vfio/clock.h"
#include "vfio/fake/fake_device.h"
#include "vfio/fake/fake_profile.h"
#include "vfio/fake/scene.h"
#include "vfio/fd_budget.h"
#include "vfio/plane_source.h"

namespace planecast {

struct FakeSourceOptions {
  FakeProfile profile = FakeProfile::kIdeal;
  SceneKind scene = SceneKind::kDesktop;
  uint32_t width_px = 1280;
  uint32_t height_px = 720;
  int frame_rate_hz = 60;
  FakeDialect dialect = FakeDialect::kFinal;
  /// The profile's own if absent.
  std::optional<FakeFlipDialect> flip_dialect = std::nullopt;
  /// What the guest draws in. DRM_FORMAT_XRGB8888.
  uint32_t fourcc = 0x34325258;
  /// The profile's own if absent.
  std::optional<uint64_t> modifier = std::nullopt;
  /// 1 to 3.
  int buffer_count = 3;
};

/// Plays a scene on a guest, frame by frame. Thread-compatible.
class SceneRunner {
 public:
  /// `device` must outlive this. INVALID_ARGUMENT if the profile can't show what is asked for.
  static absl::StatusOr<std::unique_ptr<SceneRunner>> Create(FakeDevice& device,
                                                             const FakeSourceOptions& options);
  /// Use Create, which checks.
  SceneRunner(FakeDevice& device, const FakeSourceOptions& options, std::unique_ptr<Scene> scene);

  /// The guest shows frame `frame` from now on, with `flip_time_ns` as its visible time: sets
  /// modes, paints what differs, flips, moves the cursor. Frames may be left out, and go backwards.
  void StepTo(uint64_t frame, int64_t flip_time_ns);

  /// The scene shown now; a new one after Resize.
  const Scene& scene() const { return *scene_; }
  /// The frame stepped to last, and the time in its picture.
  uint64_t frame() const { return frame_; }
  uint32_t flip_time_ms() const { return flip_time_ms_; }
  /// All pixels of the frame stepped to last, XRGB8888 row by row without padding, as drawn before
  /// conversion to the guest's format; empty while the display is off.
  std::vector<uint32_t> ExpectedPixels() const;

  /// The guest answers to an EDID: the scene starts anew in this size with the next step.
  absl::Status Resize(uint32_t width_px, uint32_t height_px);

 private:
  FakeMode ModeFor(const SceneState& state) const;
  void EnterMode(const SceneState& state);
  void ShowFrame();
  void StepCursor(const SceneState& state);
  /// Brings memory that holds frame `painted`, or nothing of use, to the current frame.
  void PaintBytes(std::optional<uint64_t> painted, std::span<uint8_t> bytes,
                  const PlaneLayout& layout);

  FakeDevice& device_;
  FakeSourceOptions options_;
  std::unique_ptr<Scene> scene_;
  uint64_t frame_ = 0;
  uint32_t flip_time_ms_ = 0;
  bool display_on_ = false;
  /// Of the mode set last; 0 if the next step must set one.
  uint32_t mode_width_px_ = 0;
  uint32_t mode_height_px_ = 0;
  /// Which frame each buffer of the guest holds; nothing if none.
  std::vector<std::optional<uint64_t>> painted_frames_;
  /// The picture in XRGB8888, for guests that draw in something else.
  std::vector<uint32_t> shadow_;
  std::optional<uint64_t> shadow_frame_;
  std::optional<SceneCursorShape> cursor_shape_;
  bool cursor_visible_ = false;
};

/// A fake device, a thread that plays the scene at frame_rate_hz while the device is open, and the
/// PlaneSource that ships, on top. The thread sleeps between frames, and longer while nobody looks.
/// `fds` is its place in the process's budget, FakeFdNeeds of the profile, or not valid.
absl::StatusOr<std::unique_ptr<PlaneSource>> MakeFakeSource(const FakeSourceOptions& options,
                                                            Clock& clock, FdClaim fds = {});

/// What a fake device takes in this process: more than a real one, whose memory and eventfds the
/// kernel holds without fds of ours.
FdNeeds FakeFdNeeds(FakeProfile profile);

/// The same for tests that step the guest themselves: no thread. Frame 0 is not shown before the
/// first StepTo.
struct SteppedFakeSource {
  std::shared_ptr<FakeDevice> device;
  std::shared_ptr<SceneRunner> runner;
  /// Destroy first.
  std::unique_ptr<PlaneSource> source;
};
absl::StatusOr<SteppedFakeSource> MakeSteppedFakeSource(const FakeSourceOptions& options,
                                                        Clock& clock, FdClaim fds = {});

}  // namespace planecast
