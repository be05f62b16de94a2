#include "encoder/probe_frame.h"

#include <drm_fourcc.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace planecast {
namespace {

class ProbeMemory final : public PlaneMemory {
 public:
  explicit ProbeMemory(std::vector<uint8_t> pixels) : pixels_(std::move(pixels)) {}
  int dmabuf_fd() const override { return -1; }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override { return pixels_; }
  void EndCpuRead() override {}

 private:
  std::vector<uint8_t> pixels_;
};

}  // namespace

Frame MakeProbeFrame(uint32_t width_px, uint32_t height_px) {
  const PlaneLayout layout{.fourcc = DRM_FORMAT_XRGB8888,
                           .width_px = width_px,
                           .height_px = height_px,
                           .stride_bytes = width_px * 4,
                           .size_bytes = uint64_t{width_px} * height_px * 4};
  std::vector<uint8_t> pixels(layout.size_bytes);
  for (size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<uint8_t>(i / 4 % width_px * 3 + i / layout.stride_bytes * 5);
  }
  return {.buffer = std::make_shared<PlaneBuffer>(
              0, layout, std::make_unique<ProbeMemory>(std::move(pixels)))};
}

}  // namespace planecast
