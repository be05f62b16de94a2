#include "tests/bench/watcher.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace planecast::bench {
namespace {

constexpr uint32_t kBlockPx = 8;
constexpr int kTextSpan = 96;
/// Pictures are large: keep few.
constexpr uint32_t kKeptEveryFrames = 23;
constexpr size_t kKeptMax = 8;
/// Later ones were never shown: the code was read while it was being drawn.
constexpr uint32_t kFrameMax = 100'000;
constexpr auto kPatience = std::chrono::seconds(20);

}  // namespace

Luma LumaOf(const uint32_t* xrgb, uint32_t width_px, uint32_t height_px) {
  Luma luma{.width_px = width_px, .height_px = height_px, .samples = {}};
  luma.samples.resize(size_t{width_px} * height_px);
  for (size_t i = 0; i < luma.samples.size(); ++i) {
    const uint32_t pixel = xrgb[i];
    const double sum =
        0.2126 * (pixel >> 16 & 255) + 0.7152 * (pixel >> 8 & 255) + 0.0722 * (pixel & 255);
    luma.samples[i] = static_cast<uint8_t>(16.5 + sum * 219 / 255);
  }
  return luma;
}

double TextSsim(const Luma& reference, const Luma& picture) {
  // As in the paper, for 8-bit samples.
  constexpr double kC1 = 0.01 * 255 * 0.01 * 255;
  constexpr double kC2 = 0.03 * 255 * 0.03 * 255;
  constexpr double kCount = kBlockPx * kBlockPx;
  double sum = 0;
  size_t blocks = 0;
  for (uint32_t top = 0; top + kBlockPx <= reference.height_px; top += kBlockPx) {
    for (uint32_t left = 0; left + kBlockPx <= reference.width_px; left += kBlockPx) {
      int low = 255;
      int high = 0;
      double a = 0, b = 0, aa = 0, bb = 0, ab = 0;
      for (uint32_t y = top; y < top + kBlockPx; ++y) {
        for (uint32_t x = left; x < left + kBlockPx; ++x) {
          const size_t at = size_t{y} * reference.width_px + x;
          const int p = reference.samples[at];
          const int q = picture.samples[at];
          low = std::min(low, p);
          high = std::max(high, p);
          a += p;
          b += q;
          aa += p * p;
          bb += q * q;
          ab += p * q;
        }
      }
      if (high - low < kTextSpan) continue;
      const double mean_a = a / kCount;
      const double mean_b = b / kCount;
      const double variance_a = aa / kCount - mean_a * mean_a;
      const double variance_b = bb / kCount - mean_b * mean_b;
      const double covariance = ab / kCount - mean_a * mean_b;
      sum += (2 * mean_a * mean_b + kC1) * (2 * covariance + kC2) /
             ((mean_a * mean_a + mean_b * mean_b + kC1) * (variance_a + variance_b + kC2));
      ++blocks;
    }
  }
  return blocks == 0 ? 1 : sum / static_cast<double>(blocks);
}

bool Watcher::WaitForFrame(uint32_t frame) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] {
    return !seen_.frames.empty() && seen_.frames.rbegin()->first >= frame;
  });
}

void Watcher::Begin() {
  const std::lock_guard lock(mutex_);
  seen_ = {};
  next_kept_ = 0;
}

void Watcher::OnPicture(uint32_t frame, int64_t now_ns, const std::function<Luma()>& luma) {
  if (frame > kFrameMax) return;
  const std::lock_guard lock(mutex_);
  if (!seen_.frames.emplace(frame, now_ns).second) return;
  changed_.notify_all();
  if (frame < next_kept_ || seen_.pictures.size() >= kKeptMax) return;
  next_kept_ = frame + kKeptEveryFrames;
  seen_.pictures.emplace(frame, luma());
}

Watcher::Seen Watcher::End() {
  const std::lock_guard lock(mutex_);
  return std::exchange(seen_, {});
}

double TextSsimOf(const Watcher::Seen& seen, const Scene& scene) {
  const uint32_t width_px = scene.options().width_px;
  const uint32_t height_px = scene.options().height_px;
  std::vector<uint32_t> pixels(size_t{width_px} * height_px);
  double sum = 0;
  for (const auto& [frame, picture] : seen.pictures) {
    // The guests of the bench show the frame's number where others show the time.
    scene.Render(frame, frame,
                 {.pixels = pixels.data(),
                  .width_px = width_px,
                  .height_px = height_px,
                  .stride_px = width_px});
    sum += TextSsim(LumaOf(pixels.data(), width_px, height_px), picture);
  }
  return seen.pictures.empty() ? 0 : sum / static_cast<double>(seen.pictures.size());
}

}  // namespace planecast::bench
