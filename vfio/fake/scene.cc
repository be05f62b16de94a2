#include "vfio/fake/scene.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "vfio/fake/frame_code.h"
#include "vfio/fake/scene_base.h"
#include "vfio/frame.h"

namespace planecast {
namespace {

constexpr int kFrameRateMaxHz = 240;
/// As wide as the longest status.
constexpr char kWidestStatus[] = "frame 0000000000  flip 0000000.000 s";
constexpr int kStatusMarginPx = 10;
constexpr uint32_t kStatusColor = 0xd7dce8;

}  // namespace

std::string_view SceneKindName(SceneKind kind) {
  switch (kind) {
    case SceneKind::kDesktop:
      return "desktop";
    case SceneKind::kVideo:
      return "video";
    case SceneKind::kStatic:
      return "static";
    case SceneKind::kModeset:
      return "modeset";
    case SceneKind::kBlank:
      return "blank";
    case SceneKind::kTearing:
      return "tearing";
  }
  return "";
}

absl::StatusOr<SceneKind> ParseSceneKind(std::string_view name) {
  std::string known;
  for (const SceneKind kind : kSceneKinds) {
    if (SceneKindName(kind) == name) return kind;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(SceneKindName(kind)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no scene is called \"", std::string(name), "\"; there are ", known));
}

absl::StatusOr<std::unique_ptr<Scene>> MakeScene(const SceneOptions& options) {
  if (options.width_px == 0 || options.height_px == 0 || options.width_px > kPlaneWidthMaxPx ||
      options.height_px > kPlaneHeightMaxPx) {
    return absl::InvalidArgumentError(absl::StrCat("a scene can't be ", options.width_px, "x",
                                                   options.height_px, "; the limit is ",
                                                   kPlaneWidthMaxPx, "x", kPlaneHeightMaxPx));
  }
  if (options.frame_rate_hz < 1 || options.frame_rate_hz > kFrameRateMaxHz) {
    return absl::InvalidArgumentError(absl::StrCat("a scene can't play at ", options.frame_rate_hz,
                                                   " Hz; use 1 to ", kFrameRateMaxHz));
  }
  switch (options.kind) {
    case SceneKind::kDesktop:
      return MakeDesktopScene(options);
    case SceneKind::kVideo:
      return MakeVideoScene(options);
    case SceneKind::kModeset:
      return MakeModesetScene(options);
    case SceneKind::kStatic:
    case SceneKind::kBlank:
    case SceneKind::kTearing:
      return MakeCardScene(options);
  }
  return absl::InvalidArgumentError("no such scene");
}

void Scene::Render(uint64_t frame, uint32_t flip_time_ms, const Canvas& canvas) const {
  RenderClipped(frame, flip_time_ms,
                {.left_px = 0,
                 .top_px = 0,
                 .right_px = static_cast<int32_t>(canvas.width_px),
                 .bottom_px = static_cast<int32_t>(canvas.height_px)},
                canvas);
}

double Ease(double t, double from, double to) {
  const double x = std::clamp((t - from) / (to - from), 0.0, 1.0);
  return x * x * (3 - 2 * x);
}

SceneState PaintedScene::StateAt(uint64_t frame) const {
  SceneState state;
  state.width_px = options().width_px;
  state.height_px = options().height_px;
  state.in_place = options().kind == SceneKind::kTearing;
  DescribeFrame(frame, state);
  return state;
}

SceneRect PaintedScene::BottomBar() const {
  constexpr int32_t kMarginPx = 8;
  const SceneRect code = FrameCodeRect(options().width_px, options().height_px);
  if (IsEmpty(code)) return {0, height(), width(), height()};
  return {0, code.top_px - kMarginPx, width(), height()};
}

SceneRect PaintedScene::StatusRect() const {
  const int32_t width_px = TextWidthPx(kWidestStatus, Typeface::kMono) + 2 * kStatusMarginPx;
  return Intersect({width() - width_px, 0, width(), kTopBarPx}, whole());
}

std::vector<SceneRect> PaintedScene::Damage(uint64_t from_frame, uint64_t to_frame) const {
  std::vector<SceneRect> damage;
  AddDamage(from_frame, to_frame, damage);
  if (options().draw_cursor) {
    for (const uint64_t frame : {from_frame, to_frame}) {
      const SceneState state = StateAt(frame);
      constexpr auto kSide = static_cast<int32_t>(kSceneCursorSizePx);
      if (state.cursor_visible) {
        damage.push_back({state.cursor_x_px, state.cursor_y_px, state.cursor_x_px + kSide,
                          state.cursor_y_px + kSide});
      }
    }
  }
  damage.push_back(StatusRect());
  damage.push_back(FrameCodeRect(options().width_px, options().height_px));
  for (SceneRect& rect : damage) rect = Intersect(rect, whole());
  std::erase_if(damage, IsEmpty);
  return damage;
}

void PaintedScene::RenderClipped(uint64_t frame, uint32_t flip_time_ms, const SceneRect& clip,
                                 const Canvas& canvas) const {
  Painter painter(canvas, clip);
  if (IsEmpty(painter.clip())) return;
  DrawContent(frame, painter);
  if (options().draw_cursor) {
    const SceneState state = StateAt(frame);
    if (state.cursor_visible) {
      painter.BlendArgb(CursorShapePixels(state.cursor_shape), kSceneCursorSizePx,
                        state.cursor_x_px, state.cursor_y_px);
    }
  }
  const SceneRect status = StatusRect();
  if (painter.Touches(status)) {
    char text[sizeof kWidestStatus + 16];
    std::snprintf(text, sizeof text, "frame %-10u  flip %7u.%03u s", static_cast<uint32_t>(frame),
                  flip_time_ms / 1000, flip_time_ms % 1000);
    painter.Fill(status, kBarColor);
    painter.Text(status.left_px + kStatusMarginPx, 19, text, Typeface::kMono, kStatusColor);
  }
  DrawFrameCode({.frame = static_cast<uint32_t>(frame), .flip_time_ms = flip_time_ms},
                painter.clip(), canvas);
}

}  // namespace planecast
