// What the guest of a fake device shows.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace planecast {

enum class SceneKind {
  /// Text being typed, a window dragged over wallpaper, a cursor that moves and changes shape.
  kDesktop,
  /// Moving colours and noise.
  kVideo,
  /// One picture for ever.
  kStatic,
  /// The size changes every two seconds.
  kModeset,
  /// The display is switched off and on.
  kBlank,
  /// One buffer, painted in place.
  kTearing,
};

inline constexpr SceneKind kSceneKinds[] = {SceneKind::kDesktop, SceneKind::kVideo,
                                            SceneKind::kStatic,  SceneKind::kModeset,
                                            SceneKind::kBlank,   SceneKind::kTearing};

/// "desktop", "video", "static", "modeset", "blank", "tearing".
std::string_view SceneKindName(SceneKind kind);
/// INVALID_ARGUMENT for any other name; the message lists the valid ones.
absl::StatusOr<SceneKind> ParseSceneKind(std::string_view name);

/// Memory to draw on: XRGB8888, the X byte is 0xff. Borrowed.
struct Canvas {
  uint32_t* pixels = nullptr;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  uint32_t stride_px = 0;
};

/// Half-open rectangle.
struct SceneRect {
  int32_t left_px = 0;
  int32_t top_px = 0;
  int32_t right_px = 0;
  int32_t bottom_px = 0;
  friend bool operator==(const SceneRect&, const SceneRect&) = default;
};

enum class SceneCursorShape { kArrow, kIbeam, kHand };

/// 64x64, premultiplied ARGB8888.
inline constexpr uint32_t kSceneCursorSizePx = 64;
std::span<const uint32_t> CursorShapePixels(SceneCursorShape shape);
struct CursorHotspot {
  int32_t x_px = 0;
  int32_t y_px = 0;
};
CursorHotspot CursorShapeHotspot(SceneCursorShape shape);

struct SceneOptions {
  SceneKind kind = SceneKind::kDesktop;
  uint32_t width_px = 1280;
  uint32_t height_px = 720;
  /// Frame n is what the scene shows n / frame_rate_hz seconds after its start.
  int frame_rate_hz = 60;
  /// Draw the cursor into the picture, for devices without a cursor plane.
  bool draw_cursor = false;
};

/// What a frame is, but for its pixels.
struct SceneState {
  /// False while the guest has its display off; then there are no pixels.
  bool display_on = true;
  /// Differs from SceneOptions in the modeset scene only.
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  /// The frame is painted over the one before, in the buffer on screen.
  bool in_place = false;
  bool cursor_visible = false;
  SceneCursorShape cursor_shape = SceneCursorShape::kArrow;
  /// Corner of the image, i.e. the pointer's position minus the hot-spot; may be negative.
  int32_t cursor_x_px = 0;
  int32_t cursor_y_px = 0;
};

/// A scene: a pure function of options, frame number and the flip time to show.
///
/// Every picture of at least kFrameCodeWidthMinPx x kFrameCodeHeightMinPx pixels carries the frame
/// number and the flip time twice: as text, and as a frame code (frame_code.h). Thread-compatible;
/// const methods may run at the same time.
class Scene {
 public:
  virtual ~Scene() = default;

  const SceneOptions& options() const { return options_; }

  /// What frame `frame` is.
  virtual SceneState StateAt(uint64_t frame) const = 0;

  /// The first frame at or after `frame` that may differ from the one before in anything but the
  /// frame number and flip time shown. UINT64_MAX if there is none, as in the static scene: its
  /// picture is always that of frame 0.
  virtual uint64_t NextChange(uint64_t frame) const = 0;

  /// Draws all of frame `frame`. The canvas has the size that StateAt says.
  void Render(uint64_t frame, uint32_t flip_time_ms, const Canvas& canvas) const;

  /// A canvas that holds one frame needs only these rectangles drawn anew to hold another. Both
  /// frames must have the same size. Disjointness is not promised.
  virtual std::vector<SceneRect> Damage(uint64_t from_frame, uint64_t to_frame) const = 0;

  /// Draws the part of frame `frame` that is inside `clip`, which must lie on the canvas.
  virtual void RenderClipped(uint64_t frame, uint32_t flip_time_ms, const SceneRect& clip,
                             const Canvas& canvas) const = 0;

 protected:
  explicit Scene(const SceneOptions& options) : options_(options) {}

 private:
  SceneOptions options_;
};

/// INVALID_ARGUMENT for a size of 0 or beyond kPlaneWidthMaxPx x kPlaneHeightMaxPx, or a frame rate
/// outside 1 to 240 Hz.
absl::StatusOr<std::unique_ptr<Scene>> MakeScene(const SceneOptions& options);

}  // namespace planecast
