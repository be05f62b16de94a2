// A desktop: an editor in which somebody types, a window that is dragged about, a pointer.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vfio/fake/desktop_text.h"
#include "vfio/fake/scene_base.h"
#include "vfio/fake/wallpaper.h"

namespace planecast {
namespace {

// The pointer's round, in seconds: it rests in the editor, goes to the other window, drags it
// about, and goes back.
constexpr double kRoundS = 16;
constexpr double kLeaveS = 3;
constexpr double kGrabS = 4;
constexpr double kDropS = 11;
constexpr double kBackS = 12.5;

constexpr int kTitleBarPx = 34;
constexpr int kCornerPx = 9;
constexpr int kLinePx = 20;
constexpr int kGutterPx = 44;
constexpr int kTextInsetPx = 12;
constexpr double kCaretHalfPeriodS = 0.5;

constexpr uint32_t kEditorBack = 0x1e2130;
constexpr uint32_t kEditorTitle = 0x2b3044;
constexpr uint32_t kEditorLine = 0x262a3c;
constexpr uint32_t kNoteBack = 0xf6f4ee;
constexpr uint32_t kNoteTitle = 0xe2ded3;
constexpr uint32_t kNoteText = 0x30323a;

struct NoteLine {
  const char* name;
  const char* value;
};
constexpr NoteLine kNoteLines[] = {{"Plane", "primary, XR24"},
                                   {"Modifier", "linear"},
                                   {"Cursor", "plane of its own"},
                                   {"Colour", "BT.709, limited range"}};
constexpr uint32_t kSwatches[] = {0xff0000, 0xffa500, 0xffff00, 0x00ff00,
                                  0x00ffff, 0x0000ff, 0xff00ff, 0xffffff};

class DesktopScene : public PaintedScene {
 public:
  explicit DesktopScene(const SceneOptions& options)
      : PaintedScene(options), wallpaper_(MakeWallpaper(options.width_px, options.height_px)) {}

 protected:
  void DescribeFrame(uint64_t frame, SceneState& state) const override;
  void AddDamage(uint64_t from_frame, uint64_t to_frame,
                 std::vector<SceneRect>& damage) const override;
  void DrawContent(uint64_t frame, Painter& painter) const override;

 private:
  /// What the editor shows.
  struct Typing {
    DesktopText::Place place;
    int first_line = 0;
    bool caret = false;
    friend bool operator==(const Typing&, const Typing&) = default;
  };

  double RoundAt(uint64_t frame) const { return std::fmod(SecondsAt(frame), kRoundS); }
  SceneRect EditorRect() const;
  SceneRect TextRect() const;
  SceneRect NoteRectAt(uint64_t frame) const;
  std::pair<int32_t, int32_t> PointerAt(uint64_t frame) const;
  Typing TypingAt(uint64_t frame) const;
  SceneRect LineRect(int row) const;

  void DrawBars(Painter& painter) const;
  void DrawTitle(const SceneRect& window, std::string_view title, uint32_t back, uint32_t color,
                 Painter& painter) const;
  void DrawEditor(uint64_t frame, Painter& painter) const;
  void DrawNote(const SceneRect& note, Painter& painter) const;

  std::vector<uint32_t> wallpaper_;
  DesktopText text_;
};

// --- Where things are.

SceneRect DesktopScene::EditorRect() const {
  const int32_t top = kTopBarPx + height() / 20;
  const int32_t bottom = std::max(top + kTitleBarPx, BottomBar().top_px - height() / 20);
  return {width() / 24, top, width() / 24 + width() * 54 / 100, bottom};
}

SceneRect DesktopScene::TextRect() const {
  const SceneRect editor = EditorRect();
  return {editor.left_px, editor.top_px + kTitleBarPx, editor.right_px,
          editor.bottom_px - kCornerPx};
}

SceneRect DesktopScene::NoteRectAt(uint64_t frame) const {
  const double turn = 2 * std::numbers::pi * Ease(RoundAt(frame), kGrabS + 0.2, kDropS - 0.2);
  const int32_t width_px = std::min(420, width() * 36 / 100);
  const int32_t height_px = std::min(250, height() * 40 / 100);
  const int32_t left = width() * 60 / 100;
  const int32_t top = kTopBarPx + height() * 9 / 100;
  const auto dx = static_cast<int32_t>(-width() * 0.30 * (1 - std::cos(turn)) / 2);
  const auto dy = static_cast<int32_t>(height() * 0.34 * (1 - std::cos(2 * turn)) / 2);
  return Moved({left, top, left + width_px, top + height_px}, dx, dy);
}

std::pair<int32_t, int32_t> DesktopScene::PointerAt(uint64_t frame) const {
  const double t = RoundAt(frame);
  const SceneRect text = TextRect();
  const SceneRect note = NoteRectAt(frame);
  const double away = Ease(t, kLeaveS, kGrabS) - Ease(t, kDropS, kBackS);
  const double drift = 2 * std::numbers::pi * t / kRoundS;
  const double rest_x =
      text.left_px + (text.right_px - text.left_px) * 0.62 + 6 * std::sin(3 * drift);
  const double rest_y =
      text.top_px + (text.bottom_px - text.top_px) * 0.72 + 4 * std::sin(2 * drift);
  const double title_x = note.left_px + (note.right_px - note.left_px) * 0.55;
  const double title_y = note.top_px + kTitleBarPx * 0.5;
  return {static_cast<int32_t>(rest_x + (title_x - rest_x) * away),
          static_cast<int32_t>(rest_y + (title_y - rest_y) * away)};
}

bool Contains(const SceneRect& rect, std::pair<int32_t, int32_t> point) {
  return point.first >= rect.left_px && point.first < rect.right_px &&
         point.second >= rect.top_px && point.second < rect.bottom_px;
}

void DesktopScene::DescribeFrame(uint64_t frame, SceneState& state) const {
  const auto pointer = PointerAt(frame);
  const double t = RoundAt(frame);
  const bool on_note = Contains(NoteRectAt(frame), pointer);
  state.cursor_visible = true;
  if (on_note && t >= kGrabS && t < kDropS) {
    state.cursor_shape = SceneCursorShape::kHand;
  } else if (!on_note && Contains(TextRect(), pointer)) {
    state.cursor_shape = SceneCursorShape::kIbeam;
  }
  const CursorHotspot hotspot = CursorShapeHotspot(state.cursor_shape);
  state.cursor_x_px = pointer.first - hotspot.x_px;
  state.cursor_y_px = pointer.second - hotspot.y_px;
}

DesktopScene::Typing DesktopScene::TypingAt(uint64_t frame) const {
  const double seconds = SecondsAt(frame);
  Typing typing;
  typing.place = text_.PlaceAt(seconds);
  const SceneRect text = TextRect();
  const int rows = std::max(1, (text.bottom_px - text.top_px - kTextInsetPx) / kLinePx);
  typing.first_line = std::max(0, typing.place.line - rows + 1);
  typing.caret = std::fmod(seconds, 2 * kCaretHalfPeriodS) < kCaretHalfPeriodS;
  return typing;
}

SceneRect DesktopScene::LineRect(int row) const {
  const SceneRect text = TextRect();
  const int32_t top = text.top_px + kTextInsetPx + row * kLinePx;
  return {text.left_px, top, text.right_px, top + kLinePx};
}

// --- What differs.

void DesktopScene::AddDamage(uint64_t from_frame, uint64_t to_frame,
                             std::vector<SceneRect>& damage) const {
  const Typing from = TypingAt(from_frame);
  const Typing to = TypingAt(to_frame);
  if (from.first_line != to.first_line) {
    damage.push_back(TextRect());
  } else if (from != to) {
    const auto [first, last] = std::minmax(from.place.line, to.place.line);
    SceneRect lines = LineRect(first - to.first_line);
    lines.bottom_px = LineRect(last - to.first_line).bottom_px;
    // Nothing before the place of typing changes in a line.
    if (first == last) {
      const int column = std::min(from.place.column, to.place.column);
      lines.left_px += kGutterPx + column * text_.column_px() - 1;
    }
    damage.push_back(lines);
  }
  const SceneRect note_from = NoteRectAt(from_frame);
  const SceneRect note_to = NoteRectAt(to_frame);
  if (note_from == note_to) return;
  for (const SceneRect& note : {note_from, note_to}) {
    SceneRect around = Inflated(note, Painter::kShadowPx);
    around.bottom_px += Painter::kShadowPx;
    damage.push_back(around);
  }
}

// --- Drawing, from back to front.

void DesktopScene::DrawContent(uint64_t frame, Painter& painter) const {
  painter.Backdrop(wallpaper_);
  DrawEditor(frame, painter);
  DrawNote(NoteRectAt(frame), painter);
  DrawBars(painter);
}

void DesktopScene::DrawBars(Painter& painter) const {
  const SceneRect top = {0, 0, width(), kTopBarPx};
  if (painter.Touches(top)) {
    painter.Fill(top, kBarColor);
    int pen = painter.Text(14, 19, "Planecast", Typeface::kSansBold, 0xffffff);
    for (const char* menu : {"File", "Edit", "View", "Window", "Help"}) {
      pen = painter.Text(pen + 20, 19, menu, Typeface::kSans, 0xaab2c5);
    }
  }
  const SceneRect bottom = BottomBar();
  if (!painter.Touches(bottom)) return;
  painter.Fill(bottom, kBarColor);
  const std::string label = absl::StrCat(width(), " x ", height(), "  desktop");
  const int left = width() - TextWidthPx(label, Typeface::kSans) - 14;
  painter.Text(left, (bottom.top_px + bottom.bottom_px) / 2 + 5, label, Typeface::kSans, 0xaab2c5);
}

void DesktopScene::DrawTitle(const SceneRect& window, std::string_view title, uint32_t back,
                             uint32_t color, Painter& painter) const {
  constexpr uint32_t kButtons[] = {0xff5f57, 0xfebc2e, 0x28c840};
  const SceneRect bar = {window.left_px, window.top_px, window.right_px,
                         window.top_px + kTitleBarPx};
  if (!painter.Touches(bar)) return;
  painter.FillRoundedTop(bar, kCornerPx, back);
  int x = window.left_px + 20;
  for (const uint32_t button : kButtons) {
    painter.FillCircle(x, window.top_px + kTitleBarPx / 2, 6, button);
    x += 20;
  }
  const int text_px = TextWidthPx(title, Typeface::kSansBold);
  const int center = (window.left_px + window.right_px - text_px) / 2;
  painter.Text(std::max(x, center), window.top_px + 22, title, Typeface::kSansBold, color);
}

void DesktopScene::DrawEditor(uint64_t frame, Painter& painter) const {
  const SceneRect editor = EditorRect();
  if (!painter.Touches(Inflated(editor, 2 * Painter::kShadowPx))) return;
  painter.Shadow(editor);
  painter.FillRounded(editor, kCornerPx, kEditorBack);
  DrawTitle(editor, "flip.cc", kEditorTitle, 0xd7dce8, painter);

  const Typing typing = TypingAt(frame);
  const SceneRect text = TextRect();
  Painter inside = painter.ClippedTo(text);
  const int left = text.left_px + kGutterPx;
  for (int line = typing.first_line; line <= typing.place.line; ++line) {
    const SceneRect row = LineRect(line - typing.first_line);
    if (!inside.Touches(row)) continue;
    const bool current = line == typing.place.line;
    if (current) inside.Fill(row, kEditorLine);
    const int baseline = row.top_px + 15;
    const std::string number = absl::StrCat(line + 1);
    inside.Text(left - 14 - TextWidthPx(number, Typeface::kMono), baseline, number, Typeface::kMono,
                0x5d6582);
    const int columns = current ? typing.place.column : DesktopText::kAllColumns;
    text_.DrawLine(line, columns, left, baseline, inside);
    if (current && typing.caret) {
      const int x = left + typing.place.column * text_.column_px();
      inside.Fill({x, row.top_px + 2, x + 2, row.bottom_px - 2}, 0xffd166);
    }
  }
}

void DesktopScene::DrawNote(const SceneRect& note, Painter& painter) const {
  if (!painter.Touches(Inflated(note, 2 * Painter::kShadowPx))) return;
  painter.Shadow(note);
  painter.FillRounded(note, kCornerPx, kNoteBack);
  DrawTitle(note, "Display", kNoteTitle, kNoteText, painter);
  Painter inside = painter.ClippedTo(note);
  int baseline = note.top_px + kTitleBarPx + 32;
  const int left = note.left_px + 22;
  inside.Text(left, baseline, "Mode", Typeface::kSansBold, kNoteText);
  inside.Text(left + 100, baseline, absl::StrCat(width(), " x ", height()), Typeface::kSans,
              kNoteText);
  for (const NoteLine& line : kNoteLines) {
    baseline += 26;
    inside.Text(left, baseline, line.name, Typeface::kSansBold, kNoteText);
    inside.Text(left + 100, baseline, line.value, Typeface::kSans, kNoteText);
  }
  const int32_t top = baseline + 22;
  const int32_t span = note.right_px - note.left_px - 44;
  constexpr int kCount = std::size(kSwatches);
  for (int i = 0; i < kCount; ++i) {
    inside.Fill({left + span * i / kCount, top, left + span * (i + 1) / kCount, top + 30},
                kSwatches[i]);
  }
}

}  // namespace

std::unique_ptr<Scene> MakeDesktopScene(const SceneOptions& options) {
  return std::make_unique<DesktopScene>(options);
}

}  // namespace planecast
