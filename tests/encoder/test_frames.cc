#include "tests/encoder/test_frames.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/status/status.h"

namespace planecast::testing {
namespace {

constexpr uint32_t kGlyphWidthPx = 8;
constexpr uint32_t kLineHeightPx = 18;

class HeapMemory final : public PlaneMemory {
 public:
  HeapMemory(std::shared_ptr<std::vector<uint8_t>> bytes, std::shared_ptr<bool> reads_fail)
      : bytes_(std::move(bytes)), reads_fail_(std::move(reads_fail)) {}
  int dmabuf_fd() const override { return -1; }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override {
    if (*reads_fail_) return absl::FailedPreconditionError("this memory needs a GPU import");
    return std::span<const uint8_t>(*bytes_);
  }
  void EndCpuRead() override {}

 private:
  std::shared_ptr<std::vector<uint8_t>> bytes_;
  std::shared_ptr<bool> reads_fail_;
};

uint32_t Scale(uint32_t value, uint32_t max) {
  return (value * max + 127) / 255;
}

uint32_t PackPixel(uint32_t fourcc, uint32_t rgb) {
  const uint32_t r = rgb >> 16 & 255;
  const uint32_t g = rgb >> 8 & 255;
  const uint32_t b = rgb & 255;
  switch (fourcc) {
    case DRM_FORMAT_XBGR8888:
    case DRM_FORMAT_ABGR8888:
      return b << 16 | g << 8 | r;
    case DRM_FORMAT_RGB565:
      return Scale(r, 31) << 11 | Scale(g, 63) << 5 | Scale(b, 31);
    case DRM_FORMAT_XRGB2101010:
      return Scale(r, 1023) << 20 | Scale(g, 1023) << 10 | Scale(b, 1023);
    case DRM_FORMAT_XBGR2101010:
      return Scale(b, 1023) << 20 | Scale(g, 1023) << 10 | Scale(r, 1023);
    default:
      return r << 16 | g << 8 | b;
  }
}

}  // namespace

HeapPlane::HeapPlane(uint32_t fourcc, uint32_t width_px, uint32_t height_px, uint64_t modifier,
                     uint32_t padding_bytes)
    : reads_fail_(std::make_shared<bool>(false)) {
  static std::atomic<uint64_t> next_serial = 1;
  layout_ = {.fourcc = fourcc,
             .modifier = modifier,
             .width_px = width_px,
             .height_px = height_px,
             .stride_bytes = width_px * std::max(BytesPerPixel(fourcc), 1u) + padding_bytes,
             .size_bytes = 0};
  layout_.size_bytes = uint64_t{layout_.stride_bytes} * height_px;
  bytes_ = std::make_shared<std::vector<uint8_t>>(layout_.size_bytes);
  buffer_ = std::make_shared<PlaneBuffer>(next_serial++, layout_,
                                          std::make_unique<HeapMemory>(bytes_, reads_fail_));
}

void HeapPlane::SetPixel(uint32_t x, uint32_t y, uint32_t rgb) {
  const uint32_t word = PackPixel(layout_.fourcc, rgb);
  const uint32_t size = BytesPerPixel(layout_.fourcc);
  std::memcpy(line(y) + size_t{x} * size, &word, size);
}

void HeapPlane::Fill(uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t rgb) {
  for (uint32_t j = y; j < std::min(y + height, layout_.height_px); ++j) {
    for (uint32_t i = x; i < std::min(x + width, layout_.width_px); ++i) SetPixel(i, j, rgb);
  }
}

Frame HeapPlane::frame(int64_t time_ns) const {
  return {.buffer = buffer_, .flip_time_ns = time_ns, .capture_time_ns = time_ns};
}

void PaintText(HeapPlane& plane, uint32_t seed) {
  const PlaneLayout& layout = plane.layout();
  Random random(seed);
  plane.Fill(0, 0, layout.width_px, layout.height_px, 0xf4f4f0);
  for (uint32_t y = 4; y + kLineHeightPx <= layout.height_px; y += kLineHeightPx) {
    const uint32_t color = random.Below(6) == 0 ? 0x1a3f8f : 0x202020;
    for (uint32_t x = 8; x + kGlyphWidthPx <= layout.width_px; x += kGlyphWidthPx) {
      if (random.Below(5) == 0) continue;  // a space
      const uint32_t shape = random.Next();
      plane.Fill(x + 1, y + 2, 1 + (shape & 1), 10, color);
      if ((shape & 2) != 0) plane.Fill(x + 1, y + 2 + (shape >> 4) % 10, 5, 1, color);
      if ((shape & 4) != 0) plane.Fill(x + 5, y + 2, 1, 10, color);
      if ((shape & 8) != 0) plane.Fill(x + 1, y + 11, 5, 1, color);
    }
  }
}

void PaintNoise(HeapPlane& plane, uint32_t seed) {
  Random random(seed);
  for (uint8_t& byte : plane.bytes()) byte = static_cast<uint8_t>(random.Next() >> 11);
}

const std::vector<uint32_t>& PatchColors() {
  static const auto* const kColors =
      std::make_unique<std::vector<uint32_t>>(
          std::vector<uint32_t>{0xff0000, 0x00ff00, 0x0000ff, 0xffffff,  //
                                0x00ffff, 0xff00ff, 0xffff00, 0x2050a0})
          .release();
  return *kColors;
}

void PaintPatches(HeapPlane& plane) {
  const uint32_t width = (plane.layout().width_px + 3) / 4;
  const uint32_t height = (plane.layout().height_px + 1) / 2;
  for (uint32_t i = 0; i < 8; ++i) {
    plane.Fill(i % 4 * width, i / 4 * height, width, height, PatchColors()[i]);
  }
}

}  // namespace planecast::testing
