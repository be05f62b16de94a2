// What all scenes have in common. Internal to vfio/fake.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "vfio/fake/paint.h"
#include "vfio/fake/scene.h"

namespace planecast {

/// A scene of one size, drawn in layers: content, the cursor if it is drawn into the picture, the
/// status line, the frame code.
class PaintedScene : public Scene {
 public:
  SceneState StateAt(uint64_t frame) const override;
  uint64_t NextChange(uint64_t frame) const override { return frame; }
  std::vector<SceneRect> Damage(uint64_t from_frame, uint64_t to_frame) const final;
  void RenderClipped(uint64_t frame, uint32_t flip_time_ms, const SceneRect& clip,
                     const Canvas& canvas) const final;

 protected:
  explicit PaintedScene(const SceneOptions& options) : Scene(options) {}

  /// Draws the content, opaque everywhere within the painter's clip.
  virtual void DrawContent(uint64_t frame, Painter& painter) const = 0;
  /// Where the content of two frames differs.
  virtual void AddDamage(uint64_t from_frame, uint64_t to_frame,
                         std::vector<SceneRect>& damage) const = 0;
  /// The cursor of a frame, and whether the display is on; sizes are filled in by StateAt.
  virtual void DescribeFrame(uint64_t frame, SceneState& state) const = 0;

  double SecondsAt(uint64_t frame) const {
    return static_cast<double>(frame) / options().frame_rate_hz;
  }
  int32_t width() const { return static_cast<int32_t>(options().width_px); }
  int32_t height() const { return static_cast<int32_t>(options().height_px); }
  SceneRect whole() const { return {0, 0, width(), height()}; }
  /// The strip at the bottom that holds the frame code.
  SceneRect BottomBar() const;
  static constexpr int kTopBarPx = 28;
  static constexpr uint32_t kBarColor = 0x11151f;

 private:
  SceneRect StatusRect() const;
};

std::unique_ptr<Scene> MakeDesktopScene(const SceneOptions& options);
std::unique_ptr<Scene> MakeVideoScene(const SceneOptions& options);
/// Static, blank, tearing: a test card.
std::unique_ptr<Scene> MakeCardScene(const SceneOptions& options);
/// Test cards of several sizes.
std::unique_ptr<Scene> MakeModesetScene(const SceneOptions& options);

/// 0 before `from`, 1 after `to`, smooth between.
double Ease(double t, double from, double to);

}  // namespace planecast
