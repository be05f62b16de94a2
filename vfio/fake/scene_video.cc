// Moving colours, balls and noise: every pixel changes with every frame.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "vfio/fake/scene_base.h"

namespace planecast {
namespace {

constexpr int kBalls = 5;
constexpr uint32_t kBallColors[kBalls] = {0xffd166, 0xef476f, 0x06d6a0, 0x4cc9f0, 0xf8f9fa};

/// A colour on a slow wave; `phase` in turns.
uint32_t Wave(double phase) {
  const auto channel = [phase](double shift) {
    const double turn = 2 * std::numbers::pi * (phase + shift);
    return static_cast<uint32_t>(127.5 + 127.0 * std::sin(turn));
  };
  return channel(0) << 16 | channel(0.31) << 8 | channel(0.67);
}

uint32_t Hash(uint32_t value) {
  value ^= value >> 16;
  value *= 0x7feb352dU;
  value ^= value >> 15;
  value *= 0x846ca68bU;
  return value ^ value >> 16;
}

class VideoScene : public PaintedScene {
 public:
  explicit VideoScene(const SceneOptions& options) : PaintedScene(options) {}

 protected:
  void DescribeFrame(uint64_t, SceneState&) const override {}

  void AddDamage(uint64_t from_frame, uint64_t to_frame,
                 std::vector<SceneRect>& damage) const override {
    if (from_frame != to_frame) damage.push_back(whole());
  }

  void DrawContent(uint64_t frame, Painter& painter) const override {
    const double t = SecondsAt(frame);
    painter.Gradient([&](int x) { return Wave(x / 1100.0 + t * 0.11); },
                     [&](int y) { return Wave(y / 700.0 - t * 0.17); });
    for (int i = 0; i < kBalls; ++i) {
      const double turn = 2 * std::numbers::pi * (t * (0.13 + 0.03 * i) + i * 0.21);
      const int radius_px = std::max(4, height() / (10 + i));
      const auto x = static_cast<int>(width() * (0.5 + 0.42 * std::sin(turn)));
      const auto y = static_cast<int>(height() * (0.45 + 0.33 * std::cos(turn * 1.7)));
      painter.FillCircle(x, y, radius_px, kBallColors[i]);
    }
    const SceneRect noise = {width() * 7 / 10, height() / 2, width() * 19 / 20, height() * 8 / 10};
    painter.Noise(noise, Hash(static_cast<uint32_t>(frame)));
    painter.Text(width() / 20, height() / 5, "planecast", Typeface::kHuge, 0xffffff);
    painter.Fill(BottomBar(), kBarColor);
    painter.Fill({0, 0, width(), kTopBarPx}, kBarColor);
  }
};

}  // namespace

std::unique_ptr<Scene> MakeVideoScene(const SceneOptions& options) {
  return std::make_unique<VideoScene>(options);
}

}  // namespace planecast
