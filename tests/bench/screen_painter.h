// The same scene for servers that are not ours: on an X server, or in the memory of a VM.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/fake/scene.h"

namespace planecast::bench {

/// Where a painter's pictures become visible. Bound to the painter's thread after construction.
class Screen {
 public:
  virtual ~Screen() = default;
  /// Memory to draw the next picture in; it holds the last one.
  virtual Canvas canvas() = 0;
  /// Shows what was drawn in these rectangles.
  virtual void Show(const std::vector<SceneRect>& rects) = 0;
};

/// A window that covers the screen of an X server; pictures go there by MIT-SHM, as any toolkit's
/// do. `display` is ":N".
absl::StatusOr<std::unique_ptr<Screen>> MakeXScreen(const std::string& display, uint32_t width_px,
                                                    uint32_t height_px);

/// Pixels that somebody else reads, such as a VM's frame buffer. Borrowed.
std::unique_ptr<Screen> MakeMemoryScreen(uint32_t* pixels, uint32_t width_px, uint32_t height_px);

/// Plays a scene on a screen. Each frame is drawn before its time and shown on time. Thread-safe.
class ScreenPainter {
 public:
  ScreenPainter(std::unique_ptr<Scene> scene, std::unique_ptr<Screen> screen, int frame_rate_hz);
  ~ScreenPainter();
  ScreenPainter(const ScreenPainter&) = delete;
  ScreenPainter& operator=(const ScreenPainter&) = delete;

  /// When each frame was shown, frame kFirstFrame + 1 first.
  std::vector<int64_t> flips() const;

 private:
  void Run(const std::stop_token& stop);

  const std::unique_ptr<Scene> scene_;
  const std::unique_ptr<Screen> screen_;
  const int frame_rate_hz_;
  mutable std::mutex mutex_;
  std::vector<int64_t> flips_;
  std::jthread thread_;
};

}  // namespace planecast::bench
