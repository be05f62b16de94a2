// A scene on a guest, frame by frame.
#include <drm_fourcc.h>

#include <algorithm>

#include "vfio/fake/fake_pixels.h"
#include "vfio/fake/fake_source.h"

namespace planecast {
namespace {

SceneOptions SceneOptionsOf(const FakeSourceOptions& options) {
  return {.kind = options.scene,
          .width_px = options.width_px,
          .height_px = options.height_px,
          .frame_rate_hz = options.frame_rate_hz,
          .draw_cursor = !TraitsOf(options.profile).cursor_plane};
}

/// Whether scenes can draw straight into the plane.
bool IsCanvas(const PlaneLayout& layout) {
  return layout.fourcc == DRM_FORMAT_XRGB8888 && layout.modifier == DRM_FORMAT_MOD_LINEAR &&
         layout.stride_bytes % sizeof(uint32_t) == 0;
}

Canvas CanvasOn(std::span<uint8_t> bytes, const PlaneLayout& layout) {
  return {.pixels = reinterpret_cast<uint32_t*>(bytes.data()),
          .width_px = layout.width_px,
          .height_px = layout.height_px,
          .stride_px = layout.stride_bytes / static_cast<uint32_t>(sizeof(uint32_t))};
}

SceneRect Whole(const PlaneLayout& layout) {
  return {.left_px = 0,
          .top_px = 0,
          .right_px = static_cast<int32_t>(layout.width_px),
          .bottom_px = static_cast<int32_t>(layout.height_px)};
}

}  // namespace

SceneRunner::SceneRunner(FakeDevice& device, const FakeSourceOptions& options,
                         std::unique_ptr<Scene> scene)
    : device_(device), options_(options), scene_(std::move(scene)) {}

absl::StatusOr<std::unique_ptr<SceneRunner>> SceneRunner::Create(FakeDevice& device,
                                                                 const FakeSourceOptions& options) {
  auto scene = MakeScene(SceneOptionsOf(options));
  if (!scene.ok()) return scene.status();
  auto runner = std::make_unique<SceneRunner>(device, options, *std::move(scene));
  // What can't be shown is refused now and not by the guest's thread.
  const FakeMode mode = runner->ModeFor(runner->scene().StateAt(0));
  if (absl::Status status = device.guest().CheckMode(mode); !status.ok()) return status;
  return runner;
}

FakeMode SceneRunner::ModeFor(const SceneState& state) const {
  FakeMode mode;
  mode.width_px = state.width_px;
  mode.height_px = state.height_px;
  mode.fourcc = options_.fourcc;
  mode.modifier = options_.modifier;
  mode.buffer_count = state.in_place ? 1 : options_.buffer_count;
  return mode;
}

void SceneRunner::StepTo(uint64_t frame, int64_t flip_time_ns) {
  FakeGuest& guest = device_.guest();
  const SceneState state = scene_->StateAt(frame);
  const bool mode_fits = guest.buffer_count() > 0 && mode_width_px_ == state.width_px &&
                         mode_height_px_ == state.height_px;
  // Its picture is that of frame 0, drawn once.
  const bool is_static = scene_->NextChange(1) == UINT64_MAX;
  if (is_static && mode_fits) return;
  frame_ = is_static ? 0 : frame;
  flip_time_ms_ = static_cast<uint32_t>(flip_time_ns / 1'000'000);
  if (!state.display_on) {
    if (display_on_) guest.Disable();
    display_on_ = false;
    StepCursor(state);
    return;
  }
  if (!mode_fits) {
    EnterMode(state);
  } else {
    ShowFrame();
  }
  if (!display_on_) guest.Enable();
  display_on_ = true;
  StepCursor(state);
}

void SceneRunner::EnterMode(const SceneState& state) {
  FakeGuest& guest = device_.guest();
  painted_frames_.clear();
  shadow_frame_.reset();
  cursor_shape_.reset();
  const absl::Status status =
      guest.SetMode(ModeFor(state), [this](std::span<uint8_t> bytes, const PlaneLayout& layout) {
        PaintBytes(std::nullopt, bytes, layout);
      });
  // Create and Resize have checked it; a scene's own sizes may be too large for a region, and then
  // the guest stays with what it has.
  if (!status.ok()) return;
  painted_frames_.assign(static_cast<size_t>(guest.buffer_count()), std::nullopt);
  painted_frames_[0] = frame_;
  mode_width_px_ = state.width_px;
  mode_height_px_ = state.height_px;
}

void SceneRunner::ShowFrame() {
  FakeGuest& guest = device_.guest();
  const int shown = guest.shown_buffer();
  const int count = guest.buffer_count();
  const int buffer = (shown + 1) % count;
  painted_frames_.resize(static_cast<size_t>(count));
  std::optional<uint64_t>& painted = painted_frames_[buffer];
  guest.Paint(buffer, [&](std::span<uint8_t> bytes, const PlaneLayout& layout) {
    PaintBytes(painted, bytes, layout);
  });
  painted = frame_;
  if (buffer == shown) {
    guest.Vblank();
  } else {
    guest.Flip(buffer);
  }
}

void SceneRunner::PaintBytes(std::optional<uint64_t> painted, std::span<uint8_t> bytes,
                             const PlaneLayout& layout) {
  const auto damage = [&](std::optional<uint64_t> from) {
    return from.has_value() ? scene_->Damage(*from, frame_) : std::vector<SceneRect>{Whole(layout)};
  };
  if (IsCanvas(layout)) {
    const Canvas canvas = CanvasOn(bytes, layout);
    for (const SceneRect& rect : damage(painted)) {
      scene_->RenderClipped(frame_, flip_time_ms_, rect, canvas);
    }
    return;
  }
  shadow_.resize(size_t{layout.width_px} * layout.height_px);
  const Canvas canvas{.pixels = shadow_.data(),
                      .width_px = layout.width_px,
                      .height_px = layout.height_px,
                      .stride_px = layout.width_px};
  for (const SceneRect& rect : damage(shadow_frame_)) {
    scene_->RenderClipped(frame_, flip_time_ms_, rect, canvas);
  }
  shadow_frame_ = frame_;
  for (const SceneRect& rect : damage(painted)) PackPixels(canvas, rect, layout, bytes);
}

void SceneRunner::StepCursor(const SceneState& state) {
  if (!TraitsOf(options_.profile).cursor_plane) return;
  FakeGuest& guest = device_.guest();
  if (!state.cursor_visible || !state.display_on) {
    if (cursor_visible_) guest.HideCursor();
    cursor_visible_ = false;
    return;
  }
  guest.MoveCursor(state.cursor_x_px, state.cursor_y_px);
  if (cursor_shape_ != state.cursor_shape) {
    const CursorHotspot hotspot = CursorShapeHotspot(state.cursor_shape);
    const auto pixels = CursorShapePixels(state.cursor_shape);
    FakeCursorImage image{.width_px = kSceneCursorSizePx, .height_px = kSceneCursorSizePx};
    image.x_hot_px = static_cast<uint32_t>(hotspot.x_px);
    image.y_hot_px = static_cast<uint32_t>(hotspot.y_px);
    image.argb.assign(pixels.begin(), pixels.end());
    if (guest.SetCursor(image).ok()) cursor_shape_ = state.cursor_shape;
  } else if (!cursor_visible_) {
    guest.ShowCursor();
  }
  cursor_visible_ = true;
}

std::vector<uint32_t> SceneRunner::ExpectedPixels() const {
  if (!display_on_) return {};
  const SceneState state = scene_->StateAt(frame_);
  std::vector<uint32_t> pixels(size_t{state.width_px} * state.height_px);
  scene_->Render(frame_, flip_time_ms_,
                 {.pixels = pixels.data(),
                  .width_px = state.width_px,
                  .height_px = state.height_px,
                  .stride_px = state.width_px});
  return pixels;
}

absl::Status SceneRunner::Resize(uint32_t width_px, uint32_t height_px) {
  FakeSourceOptions options = options_;
  options.width_px = width_px;
  options.height_px = height_px;
  auto scene = MakeScene(SceneOptionsOf(options));
  if (!scene.ok()) return scene.status();
  FakeMode mode = ModeFor((*scene)->StateAt(0));
  if (absl::Status status = device_.guest().CheckMode(mode); !status.ok()) return status;
  options_ = options;
  scene_ = *std::move(scene);
  // Even if the size is the old one: the frames that the buffers hold are another scene's.
  mode_width_px_ = 0;
  return absl::OkStatus();
}

}  // namespace planecast
