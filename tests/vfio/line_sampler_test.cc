#include "vfio/line_sampler.h"

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace planecast {
namespace {

constexpr uint32_t kHeight = 480;
constexpr uint32_t kStride = 640 * 4 + 64;

struct Pixels {
  std::vector<uint8_t> bytes = std::vector<uint8_t>(size_t{kStride} * kHeight);
  bool fails = false;
  uint8_t& At(uint32_t x, uint32_t y) { return bytes[size_t{y} * kStride + x * 4]; }
};

class Memory : public PlaneMemory {
 public:
  explicit Memory(Pixels& pixels) : pixels_(pixels) {}
  int dmabuf_fd() const override { return -1; }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override {
    if (pixels_.fails) return absl::FailedPreconditionError("no CPU path");
    return std::span<const uint8_t>(pixels_.bytes);
  }
  void EndCpuRead() override {}

 private:
  Pixels& pixels_;
};

PlaneBuffer BufferOn(Pixels& pixels, uint64_t serial) {
  PlaneLayout layout;
  layout.fourcc = 0x34325258;  // DRM_FORMAT_XRGB8888
  layout.width_px = 640;
  layout.height_px = kHeight;
  layout.stride_bytes = kStride;
  layout.size_bytes = pixels.bytes.size();
  return PlaneBuffer(serial, layout, std::make_unique<Memory>(pixels));
}

// Looks until the sampler says that something changed; how often that was.
int LooksUntilSeen(LineSampler& sampler, const PlaneBuffer& buffer) {
  for (int looks = 1; looks <= 100; ++looks) {
    if (sampler.HasChanged(buffer)) return looks;
  }
  return -1;
}

TEST(LineSampler, StillPictureNeverChanges) {
  Pixels pixels;
  const PlaneBuffer buffer = BufferOn(pixels, 1);
  LineSampler sampler;
  EXPECT_EQ(LooksUntilSeen(sampler, buffer), -1);
}

TEST(LineSampler, SeesWhatIsLargeAtOnceAndALineOfTextSoon) {
  Pixels pixels;
  const PlaneBuffer buffer = BufferOn(pixels, 1);
  LineSampler sampler;
  for (uint32_t i = 0; i < LineSampler::kStep; ++i) sampler.HasChanged(buffer);
  for (uint32_t top = 0; top + 32 <= kHeight; top += 7) {
    for (uint32_t y = top; y < top + 32; ++y) pixels.At(300, y) ^= 1;
    EXPECT_EQ(LooksUntilSeen(sampler, buffer), 1) << top;
    LooksUntilSeen(sampler, buffer);
    LooksUntilSeen(sampler, buffer);
    while (LooksUntilSeen(sampler, buffer) != -1) {
    }
    for (uint32_t y = top; y < top + 12; ++y) pixels.At(300, y) ^= 2;
    EXPECT_LE(LooksUntilSeen(sampler, buffer), 6) << top;
    while (LooksUntilSeen(sampler, buffer) != -1) {
    }
  }
}

TEST(LineSampler, SeesASingleLineInTheEnd) {
  Pixels pixels;
  const PlaneBuffer buffer = BufferOn(pixels, 1);
  LineSampler sampler;
  for (uint32_t i = 0; i < LineSampler::kStep; ++i) sampler.HasChanged(buffer);
  for (const uint32_t y : {0u, 1u, 31u, 100u, kHeight - 1}) {
    pixels.At(639, y) ^= 1;
    const int looks = LooksUntilSeen(sampler, buffer);
    EXPECT_GT(looks, 0) << y;
    EXPECT_LE(looks, 32) << y;
  }
}

TEST(LineSampler, PaddingIsNoPicture) {
  Pixels pixels;
  const PlaneBuffer buffer = BufferOn(pixels, 1);
  LineSampler sampler;
  for (uint32_t i = 0; i < LineSampler::kStep; ++i) sampler.HasChanged(buffer);
  for (uint32_t y = 0; y < kHeight; ++y) pixels.At(640, y) ^= 1;
  EXPECT_EQ(LooksUntilSeen(sampler, buffer), -1);
}

TEST(LineSampler, AnotherBufferIsNoChange) {
  Pixels black;
  Pixels white;
  std::fill(white.bytes.begin(), white.bytes.end(), 255);
  const PlaneBuffer first = BufferOn(black, 1);
  const PlaneBuffer second = BufferOn(white, 2);
  LineSampler sampler;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(sampler.HasChanged(i % 2 == 0 ? first : second));
}

TEST(LineSampler, MemoryThatCannotBeReadIsNoChange) {
  Pixels pixels;
  pixels.fails = true;
  const PlaneBuffer buffer = BufferOn(pixels, 1);
  LineSampler sampler;
  EXPECT_EQ(LooksUntilSeen(sampler, buffer), -1);
}

}  // namespace
}  // namespace planecast
