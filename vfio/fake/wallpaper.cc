#include "vfio/fake/wallpaper.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "vfio/fake/paint.h"

namespace planecast {
namespace {

struct Stop {
  float place;
  uint32_t color;
};
constexpr Stop kSky[] = {{0.00F, 0x141b3c}, {0.35F, 0x3d4a8a}, {0.58F, 0xa65f8c},
                         {0.72F, 0xf0907a}, {0.85F, 0xffd29a}, {1.00F, 0xffe3b8}};

struct Hill {
  float base;
  float height;
  float waves;
  float phase;
  uint32_t color;
};
constexpr Hill kHills[] = {{0.66F, 0.060F, 1.7F, 0.4F, 0x7a5582},
                           {0.73F, 0.055F, 2.3F, 2.1F, 0x55406f},
                           {0.81F, 0.050F, 1.9F, 4.0F, 0x362d56},
                           {0.90F, 0.045F, 2.9F, 1.2F, 0x1d1b3a}};

constexpr float kSunX = 0.86F;
constexpr float kSunY = 0.55F;
constexpr float kSunRadius = 0.075F;

std::array<float, 3> SkyAt(float place) {
  size_t i = 1;
  while (i + 1 < std::size(kSky) && place > kSky[i].place) ++i;
  const Stop& from = kSky[i - 1];
  const Stop& to = kSky[i];
  const float t = std::clamp((place - from.place) / (to.place - from.place), 0.0F, 1.0F);
  std::array<float, 3> color{};
  for (int channel = 0; channel < 3; ++channel) {
    const int shift = 16 - 8 * channel;
    const auto a = static_cast<float>(from.color >> shift & 0xff);
    const auto b = static_cast<float>(to.color >> shift & 0xff);
    color[channel] = a + (b - a) * t;
  }
  return color;
}

uint32_t Pack(const std::array<float, 3>& color, float dither) {
  uint32_t pixel = 0xff;
  for (const float channel : color) {
    pixel = pixel << 8 | static_cast<uint32_t>(std::clamp(channel + dither, 0.0F, 255.0F));
  }
  return pixel;
}

/// A 4x4 ordered dither, so that the sky has no bands.
float DitherAt(uint32_t x, uint32_t y) {
  constexpr int kMatrix[4][4] = {{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}};
  return (static_cast<float>(kMatrix[y % 4][x % 4]) + 0.5F) / 16.0F;
}

float HillTopAt(const Hill& hill, float x) {
  const float turn = 6.2831853F * x * hill.waves + hill.phase;
  return hill.base - hill.height * (std::sin(turn) + 0.35F * std::sin(2.3F * turn + 1.0F));
}

}  // namespace

std::vector<uint32_t> MakeWallpaper(uint32_t width_px, uint32_t height_px) {
  const auto width = static_cast<float>(width_px);
  const auto height = static_cast<float>(height_px);
  std::vector<uint32_t> pixels(static_cast<size_t>(width_px) * height_px);
  std::vector<std::array<float, std::size(kHills)>> tops(width_px);
  for (uint32_t x = 0; x < width_px; ++x) {
    for (size_t i = 0; i < std::size(kHills); ++i) {
      tops[x][i] = HillTopAt(kHills[i], static_cast<float>(x) / width) * height;
    }
  }
  for (uint32_t y = 0; y < height_px; ++y) {
    const auto line = static_cast<float>(y);
    const std::array<float, 3> sky = SkyAt(line / height);
    for (uint32_t x = 0; x < width_px; ++x) {
      std::array<float, 3> color = sky;
      const float distance =
          std::hypot(static_cast<float>(x) - kSunX * width, line - kSunY * height) / height;
      const float disc = std::clamp((kSunRadius - distance) * height + 0.5F, 0.0F, 1.0F);
      const float glow = 0.35F * std::exp(-6.0F * std::max(0.0F, distance - kSunRadius));
      const float sun = std::max(disc * 0.92F, glow);
      color[0] += (255.0F - color[0]) * sun;
      color[1] += (236.0F - color[1]) * sun;
      color[2] += (190.0F - color[2]) * sun;
      uint32_t pixel = Pack(color, DitherAt(x, y));
      for (size_t i = 0; i < std::size(kHills); ++i) {
        const float cover = std::clamp(line - tops[x][i] + 0.5F, 0.0F, 1.0F);
        if (cover > 0) pixel = Mix(pixel, kHills[i].color, static_cast<uint32_t>(cover * 255.0F));
      }
      pixels[static_cast<size_t>(y) * width_px + x] = pixel;
    }
  }
  return pixels;
}

}  // namespace planecast
