// What a client saw: how late, how often, how sharp.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "vfio/fake/scene.h"

namespace planecast::bench {

/// A picture's luma, BT.709 limited range, without padding.
struct Luma {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  std::vector<uint8_t> samples;
};

/// Of XRGB8888 pixels without padding.
Luma LumaOf(const uint32_t* xrgb, uint32_t width_px, uint32_t height_px);

/// Mean SSIM of the 8x8 blocks of `reference` that hold letters or other sharp edges, i.e. whose
/// luma spans at least 96 of 219 steps. Both have the same size.
double TextSsim(const Luma& reference, const Luma& picture);

/// Collects what a client decoded. Thread-safe.
class Watcher {
 public:
  /// Waits until a picture came that shows this frame or a later one; false after 20 s.
  bool WaitForFrame(uint32_t frame);
  /// From now on, forgetting what was before.
  void Begin();
  /// A picture was decoded that shows this frame. `luma` is called if it is to be kept.
  void OnPicture(uint32_t frame, int64_t now_ns, const std::function<Luma()>& luma);

  struct Seen {
    /// When each frame was first seen.
    std::map<uint32_t, int64_t> frames;
    /// A few of the pictures, far apart.
    std::map<uint32_t, Luma> pictures;
  };
  Seen End();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Seen seen_;
  uint32_t next_kept_ = 0;
};

/// Mean TextSsim of the pictures that were kept.
double TextSsimOf(const Watcher::Seen& seen, const Scene& scene);

}  // namespace planecast::bench
