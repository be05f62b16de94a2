// The pointer's pictures, drawn once from distances to simple shapes.
#include <algorithm>
#include <array>
#include <cmath>

#include "vfio/fake/scene.h"

namespace planecast {
namespace {

constexpr int kSide = kSceneCursorSizePx;
using Pixels = std::array<uint32_t, static_cast<size_t>(kSide) * kSide>;

struct Point {
  float x = 0;
  float y = 0;
};

constexpr float kOutlinePx = 1.3F;

float DistanceToSegment(Point p, Point a, Point b) {
  const Point along{b.x - a.x, b.y - a.y};
  const Point from{p.x - a.x, p.y - a.y};
  const float t = std::clamp(
      (from.x * along.x + from.y * along.y) / (along.x * along.x + along.y * along.y), 0.0F, 1.0F);
  return std::hypot(from.x - t * along.x, from.y - t * along.y);
}

/// Negative inside.
float DistanceToPolygon(Point p, std::span<const Point> corners) {
  float distance = 1e9F;
  bool inside = false;
  for (size_t i = 0, j = corners.size() - 1; i < corners.size(); j = i++) {
    const Point& a = corners[i];
    const Point& b = corners[j];
    distance = std::min(distance, DistanceToSegment(p, a, b));
    const bool crosses = (a.y > p.y) != (b.y > p.y);
    if (crosses && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x) inside = !inside;
  }
  return inside ? -distance : distance;
}

float DistanceToCapsule(Point p, Point a, Point b, float radius) {
  return DistanceToSegment(p, a, b) - radius;
}

float ArrowDistance(Point p) {
  static constexpr Point kCorners[] = {{2, 2},      {2, 22},     {6.6F, 17.9F}, {9.8F, 25.4F},
                                       {13.2F, 24}, {10, 16.7F}, {16.2F, 16.2F}};
  return DistanceToPolygon(p, kCorners);
}

float IbeamDistance(Point p) {
  constexpr float kHalfStroke = 0.9F;
  return std::min({DistanceToCapsule(p, {10, 5}, {10, 23}, kHalfStroke),
                   DistanceToCapsule(p, {6.5F, 4}, {9, 4.4F}, kHalfStroke),
                   DistanceToCapsule(p, {11, 4.4F}, {13.5F, 4}, kHalfStroke),
                   DistanceToCapsule(p, {6.5F, 24}, {9, 23.6F}, kHalfStroke),
                   DistanceToCapsule(p, {11, 23.6F}, {13.5F, 24}, kHalfStroke)});
}

float HandDistance(Point p) {
  return std::min({DistanceToCapsule(p, {10, 5}, {10, 18}, 1.9F),
                   DistanceToCapsule(p, {14, 12}, {14, 18}, 1.9F),
                   DistanceToCapsule(p, {18, 13}, {18, 19}, 1.9F),
                   DistanceToCapsule(p, {21.6F, 15}, {21.4F, 20}, 1.7F),
                   DistanceToCapsule(p, {5.2F, 16.5F}, {9.5F, 22.5F}, 1.9F),
                   DistanceToCapsule(p, {13, 21}, {17.4F, 21}, 5.4F)});
}

float DistanceOf(SceneCursorShape shape, Point p) {
  switch (shape) {
    case SceneCursorShape::kArrow:
      return ArrowDistance(p);
    case SceneCursorShape::kIbeam:
      return IbeamDistance(p);
    case SceneCursorShape::kHand:
      return HandDistance(p);
  }
  return 0;
}

/// White with a dark outline, so that it shows on everything.
Pixels Draw(SceneCursorShape shape) {
  Pixels pixels{};
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const float d =
          DistanceOf(shape, {static_cast<float>(x) + 0.5F, static_cast<float>(y) + 0.5F});
      const float alpha = std::clamp(kOutlinePx - d + 0.5F, 0.0F, 1.0F);
      const float white = std::min(std::clamp(0.5F - d, 0.0F, 1.0F), alpha);
      const auto a = static_cast<uint32_t>(alpha * 255.0F);
      const uint32_t grey = std::min(static_cast<uint32_t>(white * 255.0F), a);
      pixels[static_cast<size_t>(y) * kSide + x] = a << 24 | grey << 16 | grey << 8 | grey;
    }
  }
  return pixels;
}

}  // namespace

std::span<const uint32_t> CursorShapePixels(SceneCursorShape shape) {
  static const std::array<Pixels, 3> kShapes = {Draw(SceneCursorShape::kArrow),
                                                Draw(SceneCursorShape::kIbeam),
                                                Draw(SceneCursorShape::kHand)};
  return kShapes.at(static_cast<size_t>(shape));
}

CursorHotspot CursorShapeHotspot(SceneCursorShape shape) {
  switch (shape) {
    case SceneCursorShape::kArrow:
      return {.x_px = 2, .y_px = 2};
    case SceneCursorShape::kIbeam:
      return {.x_px = 10, .y_px = 14};
    case SceneCursorShape::kHand:
      return {.x_px = 10, .y_px = 4};
  }
  return {};
}

}  // namespace planecast
