#include "tests/bench/bench_scene.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "vfio/fake/paint.h"

namespace planecast::bench {
namespace {

constexpr uint32_t kBack = 0x1e2130;
constexpr uint32_t kInk = 0xd7dce8;
constexpr uint32_t kCaret = 0xffd166;
constexpr int kLinePx = 20;
constexpr int kBaselinePx = 15;
constexpr int kColumns = 96;
constexpr double kLettersPerSecond = 15;
constexpr double kCaretHalfPeriodS = 0.5;
/// Lines that the typist fills before starting over.
constexpr int kTypedLines = 10;
constexpr int32_t kScrollWidthPx = 1036;
constexpr int32_t kScrollHeightPx = 864;

/// A line of program-like text that depends on its number alone.
std::string LineText(uint64_t line) {
  constexpr std::array<const char*, 12> kWords = {
      "return", "const", "frame", "(int64_t now_ns)", "buffer->layout()", "{",
      "if",     "0x7f",  "&&",    "viewers.size()",   "// unchanged",     "}"};
  std::string text;
  uint64_t random = line * 0x9e3779b97f4a7c15 + 0x632be59bd9b4e019;
  while (text.size() < kColumns) {
    random ^= random >> 29;
    random *= 0xbf58476d1ce4e5b9;
    absl::StrAppend(&text, kWords[random % kWords.size()], " ");
  }
  text.resize(kColumns);
  return text;
}

SceneOptions OptionsOf(uint32_t width_px, uint32_t height_px, int frame_rate_hz) {
  return {.kind = SceneKind::kStatic,
          .width_px = width_px,
          .height_px = height_px,
          .frame_rate_hz = frame_rate_hz};
}

class TextScene : public Scene {
 public:
  explicit TextScene(const SceneOptions& options) : Scene(options) {}
  SceneState StateAt(uint64_t /*frame*/) const override {
    SceneState state;
    state.width_px = options().width_px;
    state.height_px = options().height_px;
    return state;
  }
  uint64_t NextChange(uint64_t frame) const override { return frame; }

 protected:
  int32_t width() const { return static_cast<int32_t>(options().width_px); }
  int32_t height() const { return static_cast<int32_t>(options().height_px); }
  SceneRect whole() const { return {0, 0, width(), height()}; }
};

/// A page of text; below it somebody types.
class TypingScene : public TextScene {
 public:
  using TextScene::TextScene;

  std::vector<SceneRect> Damage(uint64_t from_frame, uint64_t to_frame) const override {
    const Place from = PlaceAt(from_frame);
    const Place to = PlaceAt(to_frame);
    if (from == to) return {};
    if (from.line != to.line) return {TypedRect()};
    return {LineRect(to.line)};
  }

  void RenderClipped(uint64_t frame, uint32_t /*flip_time_ms*/, const SceneRect& clip,
                     const Canvas& canvas) const override {
    Painter painter(canvas, clip);
    painter.Fill(whole(), kBack);
    for (int row = 0; row < TypedTop(); ++row) {
      const int top = row * kLinePx;
      if (!painter.Touches({0, top, width(), top + kLinePx})) continue;
      painter.Text(kLeftPx, top + kBaselinePx, LineText(static_cast<uint64_t>(row)),
                   Typeface::kMono, kInk);
    }
    const Place place = PlaceAt(frame);
    for (int line = 0; line <= place.line; ++line) {
      std::string text = LineText(1000 + static_cast<uint64_t>(line));
      if (line == place.line) text.resize(static_cast<size_t>(place.column));
      const SceneRect rect = LineRect(line);
      if (!painter.Touches(rect)) continue;
      const int end = painter.Text(kLeftPx, rect.top_px + kBaselinePx, text, Typeface::kMono, kInk);
      if (line != place.line || !place.caret) continue;
      painter.Fill({end, rect.top_px + 2, end + 2, rect.bottom_px - 2}, kCaret);
    }
  }

 private:
  static constexpr int kLeftPx = 24;
  struct Place {
    int line = 0;
    int column = 0;
    bool caret = false;
    friend bool operator==(const Place&, const Place&) = default;
  };

  Place PlaceAt(uint64_t frame) const {
    const double seconds = static_cast<double>(frame) / options().frame_rate_hz;
    const auto letters = static_cast<uint64_t>(seconds * kLettersPerSecond);
    return {.line = static_cast<int>(letters / kColumns % kTypedLines),
            .column = static_cast<int>(letters % kColumns),
            .caret = std::fmod(seconds, 2 * kCaretHalfPeriodS) < kCaretHalfPeriodS};
  }
  int TypedTop() const { return std::max(0, height() / kLinePx - kTypedLines); }
  SceneRect TypedRect() const { return {0, TypedTop() * kLinePx, width(), height()}; }
  SceneRect LineRect(int line) const {
    const int32_t top = (TypedTop() + line) * kLinePx;
    return {0, top, width(), std::min(top + kLinePx, height())};
  }
};

/// A window full of text that scrolls by one line a frame.
class ScrollScene : public TextScene {
 public:
  using TextScene::TextScene;

  std::vector<SceneRect> Damage(uint64_t from_frame, uint64_t to_frame) const override {
    if (from_frame == to_frame) return {};
    return {WindowRect()};
  }

  void RenderClipped(uint64_t frame, uint32_t /*flip_time_ms*/, const SceneRect& clip,
                     const Canvas& canvas) const override {
    Painter painter(canvas, clip);
    const SceneRect window = WindowRect();
    painter.Gradient([](int x) { return 0x203040U + static_cast<uint32_t>(x / 16 % 64); },
                     [](int y) { return 0x402030U + static_cast<uint32_t>(y / 16 % 64); });
    painter.Fill(window, kBack);
    Painter inside = painter.ClippedTo(window);
    for (int row = 0; row * kLinePx < window.bottom_px - window.top_px; ++row) {
      inside.Text(window.left_px + 8, window.top_px + row * kLinePx + kBaselinePx,
                  LineText(frame + static_cast<uint64_t>(row)), Typeface::kMono, kInk);
    }
  }

 private:
  SceneRect WindowRect() const {
    const int32_t left = std::max(0, (width() - kScrollWidthPx) / 2);
    const int32_t top = std::max(0, (height() - kScrollHeightPx) / 2);
    return {left, top, std::min(left + kScrollWidthPx, width()),
            std::min(top + kScrollHeightPx, height())};
  }
};

/// Another scene's first picture, under a pointer that moves in each frame.
class CursorScene : public TextScene {
 public:
  CursorScene(const SceneOptions& options, std::unique_ptr<Scene> picture)
      : TextScene(options), picture_(std::move(picture)) {}

  SceneState StateAt(uint64_t frame) const override {
    SceneState state = TextScene::StateAt(frame);
    state.cursor_visible = true;
    state.cursor_x_px = static_cast<int32_t>(frame * 5 % options().width_px);
    state.cursor_y_px = static_cast<int32_t>(frame * 3 % options().height_px);
    return state;
  }
  std::vector<SceneRect> Damage(uint64_t /*from*/, uint64_t /*to*/) const override { return {}; }
  void RenderClipped(uint64_t /*frame*/, uint32_t flip_time_ms, const SceneRect& clip,
                     const Canvas& canvas) const override {
    picture_->RenderClipped(0, flip_time_ms, clip, canvas);
  }

 private:
  std::unique_ptr<Scene> picture_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Scene>> MakeBenchScene(std::string_view name, uint32_t width_px,
                                                      uint32_t height_px, int frame_rate_hz) {
  SceneOptions options = OptionsOf(width_px, height_px, frame_rate_hz);
  if (name == "typing") return std::make_unique<TypingScene>(options);
  if (name == "scroll") return std::make_unique<ScrollScene>(options);
  if (name == "cursor") {
    auto picture = MakeScene(options);
    if (!picture.ok()) return picture.status();
    return std::make_unique<CursorScene>(options, *std::move(picture));
  }
  auto kind = ParseSceneKind(name);
  if (!kind.ok()) return kind.status();
  options.kind = *kind;
  return MakeScene(options);
}

}  // namespace planecast::bench
