// A test card: colours, greys, fine lines, text, and one thing that moves.
#include <array>
#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "vfio/fake/scene_base.h"

namespace planecast {
namespace {

constexpr uint32_t kBars[] = {0xffffff, 0xffff00, 0x00ffff, 0x00ff00,
                              0xff00ff, 0xff0000, 0x0000ff, 0x000000};
constexpr int kBarCount = std::size(kBars);
constexpr int kGreySteps = 16;
constexpr int kMoverPx = 64;
/// One round of the thing that moves.
constexpr double kRoundS = 4;
/// The blank scene: on for four seconds, off for two.
constexpr uint64_t kBlankPeriodS = 6;
constexpr uint64_t kBlankOnS = 4;
constexpr uint64_t kModesetPeriodS = 2;

class CardScene : public PaintedScene {
 public:
  explicit CardScene(const SceneOptions& options) : PaintedScene(options) {}

  uint64_t NextChange(uint64_t frame) const override {
    if (!is_static()) return frame;
    return frame == 0 ? 0 : UINT64_MAX;
  }

 protected:
  bool is_static() const { return options().kind == SceneKind::kStatic; }

  void DescribeFrame(uint64_t frame, SceneState& state) const override {
    if (options().kind == SceneKind::kBlank) {
      const auto rate = static_cast<uint64_t>(options().frame_rate_hz);
      state.display_on = frame % (kBlankPeriodS * rate) < kBlankOnS * rate;
    }
    state.cursor_visible = true;
    const SceneRect mover = MoverAt(frame);
    state.cursor_x_px = is_static() ? width() / 2 : mover.left_px / 2 + width() / 4;
    state.cursor_y_px = height() / 2;
  }

  void AddDamage(uint64_t from_frame, uint64_t to_frame,
                 std::vector<SceneRect>& damage) const override {
    const SceneRect from = MoverAt(from_frame);
    const SceneRect to = MoverAt(to_frame);
    if (from == to) return;
    damage.push_back(from);
    damage.push_back(to);
  }

  void DrawContent(uint64_t frame, Painter& painter) const override {
    painter.Fill(whole(), 0x23283a);
    painter.Fill({0, 0, width(), kTopBarPx}, kBarColor);
    painter.Text(12, 19, "planecast", Typeface::kSansBold, 0xffffff);
    DrawBars(painter);
    DrawWords(painter);
    DrawLines(painter);
    painter.Fill(Track(), 0x181c29);
    const SceneRect mover = MoverAt(frame);
    painter.Fill(mover, 0x06d6a0);
    painter.Fill(Inflated(mover, -kMoverPx / 4), 0xef476f);
    painter.Fill(BottomBar(), kBarColor);
  }

 private:
  SceneRect Track() const {
    const int32_t bottom = BottomBar().top_px;
    return {0, bottom - kMoverPx, width(), bottom};
  }

  SceneRect MoverAt(uint64_t frame) const {
    const double round = is_static() ? 0.25 : SecondsAt(frame) / kRoundS;
    const double place = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * round);
    const auto left = static_cast<int32_t>(place * std::max(0, width() - kMoverPx));
    const SceneRect track = Track();
    return {left, track.top_px, left + kMoverPx, track.bottom_px};
  }

  void DrawBars(Painter& painter) const {
    const int32_t top = kTopBarPx;
    const int32_t middle = height() * 3 / 10;
    const int32_t bottom = height() * 38 / 100;
    for (int i = 0; i < kBarCount; ++i) {
      painter.Fill({width() * i / kBarCount, top, width() * (i + 1) / kBarCount, middle}, kBars[i]);
    }
    for (int i = 0; i < kGreySteps; ++i) {
      const uint32_t grey = static_cast<uint32_t>(i) * 255 / (kGreySteps - 1) * 0x010101;
      painter.Fill({width() * i / kGreySteps, middle, width() * (i + 1) / kGreySteps, bottom},
                   grey);
    }
  }

  void DrawWords(Painter& painter) const {
    const int32_t left = width() / 20;
    const int32_t top = height() * 38 / 100;
    const std::string title =
        absl::StrCat(std::string(SceneKindName(options().kind)), "  ", width(), "x", height());
    painter.Text(left, top + 52, title, Typeface::kHuge, 0xffffff);
    painter.Text(left, top + 84, "Sphinx of black quartz, judge my vow. 0123456789 @#%&",
                 Typeface::kMono, 0xd7dce8);
    painter.Text(left, top + 106, "The five boxing wizards jump quickly past (il1|) and [O0Q].",
                 Typeface::kSans, 0x9fd3ff);
  }

  /// Lines of one and two pixels, which tell whether anything scales or blurs.
  void DrawLines(Painter& painter) const {
    const int32_t right = width() - width() / 20;
    const int32_t top = height() * 38 / 100 + 24;
    for (int i = 0; i < 24; ++i) {
      painter.Fill({right - 4 * i - 1, top, right - 4 * i, top + 40}, 0xffffff);
      painter.Fill({right - 96, top + 48 + 2 * i, right, top + 49 + 2 * i}, 0xffd166);
    }
  }
};

/// Cards of different sizes in turn; the first has the size asked for.
class ModesetScene : public Scene {
 public:
  explicit ModesetScene(const SceneOptions& options) : Scene(options) {
    constexpr std::array<std::array<uint32_t, 2>, 5> kSizes = {
        {{1024, 768}, {801, 601}, {1366, 768}, {643, 483}, {800, 600}}};
    Add(options.width_px, options.height_px);
    for (const auto& size : kSizes) Add(size[0], size[1]);
  }

  SceneState StateAt(uint64_t frame) const override { return CardAt(frame).StateAt(frame); }
  uint64_t NextChange(uint64_t frame) const override { return frame; }
  std::vector<SceneRect> Damage(uint64_t from_frame, uint64_t to_frame) const override {
    return CardAt(to_frame).Damage(from_frame, to_frame);
  }
  void RenderClipped(uint64_t frame, uint32_t flip_time_ms, const SceneRect& clip,
                     const Canvas& canvas) const override {
    CardAt(frame).RenderClipped(frame, flip_time_ms, clip, canvas);
  }

 private:
  void Add(uint32_t width_px, uint32_t height_px) {
    SceneOptions card = options();
    card.width_px = width_px;
    card.height_px = height_px;
    cards_.push_back(std::make_unique<CardScene>(card));
  }
  const Scene& CardAt(uint64_t frame) const {
    const uint64_t period = kModesetPeriodS * static_cast<uint64_t>(options().frame_rate_hz);
    return *cards_[frame / period % cards_.size()];
  }

  std::vector<std::unique_ptr<Scene>> cards_;
};

}  // namespace

std::unique_ptr<Scene> MakeCardScene(const SceneOptions& options) {
  return std::make_unique<CardScene>(options);
}

std::unique_ptr<Scene> MakeModesetScene(const SceneOptions& options) {
  return std::make_unique<ModesetScene>(options);
}

}  // namespace planecast
