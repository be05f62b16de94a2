#include "vfio/fake/frame_code.h"

#include <algorithm>

#include "vfio/fake/paint.h"

namespace planecast {
namespace {

/// Frame number, time, checksum.
constexpr uint32_t kFrameBits = 32;
constexpr uint32_t kTimeBits = 32;
constexpr uint32_t kChecksumBits = 16;
constexpr uint32_t kBits = kFrameBits + kTimeBits + kChecksumBits;
/// More in one row would be a strip of its own in pictures of full width.
constexpr uint32_t kBlocksPerRowMax = 40;
constexpr uint32_t kDark = 0x101010;
constexpr uint32_t kLight = 0xf0f0f0;
/// Only a block's middle is read, where a codec's filters don't reach.
constexpr uint32_t kReadInsetPx = 5;

uint16_t Checksum(const FrameCode& code) {
  // Fletcher's, begun so that all-dark and all-light strips are no codes.
  uint32_t low = 0xa5;
  uint32_t high = 0x3c;
  const uint64_t both = uint64_t{code.frame} << 32 | code.flip_time_ms;
  for (int shift = 0; shift < 64; shift += 8) {
    low = (low + (both >> shift & 0xff)) % 255;
    high = (high + low) % 255;
  }
  return static_cast<uint16_t>(high << 8 | low);
}

bool BitAt(const FrameCode& code, uint32_t bit) {
  if (bit < kFrameBits) return (code.frame >> (kFrameBits - 1 - bit) & 1) != 0;
  bit -= kFrameBits;
  if (bit < kTimeBits) return (code.flip_time_ms >> (kTimeBits - 1 - bit) & 1) != 0;
  bit -= kTimeBits;
  return (Checksum(code) >> (kChecksumBits - 1 - bit) & 1) != 0;
}

uint32_t BlocksPerRow(uint32_t width_px) {
  const uint32_t fit = std::min(width_px / kFrameCodeBlockPx, kBlocksPerRowMax);
  // Full rows only.
  uint32_t blocks = fit;
  while (blocks > 1 && kBits % blocks != 0) --blocks;
  return blocks;
}

SceneRect BlockRect(const SceneRect& strip, uint32_t per_row, uint32_t bit) {
  const auto side = static_cast<int32_t>(kFrameCodeBlockPx);
  const int32_t left = strip.left_px + static_cast<int32_t>(bit % per_row) * side;
  const int32_t top = strip.top_px + static_cast<int32_t>(bit / per_row) * side;
  return {.left_px = left, .top_px = top, .right_px = left + side, .bottom_px = top + side};
}

}  // namespace

SceneRect FrameCodeRect(uint32_t width_px, uint32_t height_px) {
  if (width_px < kFrameCodeWidthMinPx || height_px < kFrameCodeHeightMinPx) return {};
  const uint32_t per_row = BlocksPerRow(width_px);
  const uint32_t rows = kBits / per_row;
  const uint32_t bottom_px = height_px / kFrameCodeBlockPx * kFrameCodeBlockPx;
  return {.left_px = 0,
          .top_px = static_cast<int32_t>(bottom_px - rows * kFrameCodeBlockPx),
          .right_px = static_cast<int32_t>(per_row * kFrameCodeBlockPx),
          .bottom_px = static_cast<int32_t>(bottom_px)};
}

void DrawFrameCode(const FrameCode& code, const SceneRect& clip, const Canvas& canvas) {
  const SceneRect strip = FrameCodeRect(canvas.width_px, canvas.height_px);
  Painter painter(canvas, clip);
  if (IsEmpty(strip) || !painter.Touches(strip)) return;
  for (uint32_t bit = 0; bit < kBits; ++bit) {
    painter.Fill(BlockRect(strip, BlocksPerRow(canvas.width_px), bit),
                 BitAt(code, bit) ? kLight : kDark);
  }
}

std::optional<FrameCode> DecodeFrameCode(uint32_t width_px, uint32_t height_px,
                                         const std::function<uint8_t(uint32_t, uint32_t)>& luma) {
  const SceneRect strip = FrameCodeRect(width_px, height_px);
  if (IsEmpty(strip)) return std::nullopt;
  uint64_t both = 0;
  uint32_t checksum = 0;
  for (uint32_t bit = 0; bit < kBits; ++bit) {
    const SceneRect block = BlockRect(strip, BlocksPerRow(width_px), bit);
    uint32_t sum = 0;
    uint32_t count = 0;
    for (uint32_t y = block.top_px + kReadInsetPx; y < block.bottom_px - kReadInsetPx; ++y) {
      for (uint32_t x = block.left_px + kReadInsetPx; x < block.right_px - kReadInsetPx; ++x) {
        sum += luma(x, y);
        ++count;
      }
    }
    const uint64_t value = sum / count >= 128 ? 1 : 0;
    if (bit < kFrameBits + kTimeBits) {
      both = both << 1 | value;
    } else {
      checksum = checksum << 1 | static_cast<uint32_t>(value);
    }
  }
  const FrameCode code{.frame = static_cast<uint32_t>(both >> 32),
                       .flip_time_ms = static_cast<uint32_t>(both)};
  if (checksum != Checksum(code)) return std::nullopt;
  return code;
}

std::optional<FrameCode> DecodeFrameCodeLuma(uint32_t width_px, uint32_t height_px,
                                             const uint8_t* luma, size_t stride_bytes) {
  return DecodeFrameCode(width_px, height_px, [&](uint32_t x, uint32_t y) {
    return luma[static_cast<size_t>(y) * stride_bytes + x];
  });
}

std::optional<FrameCode> DecodeFrameCodeXrgb(const Canvas& canvas) {
  return DecodeFrameCode(canvas.width_px, canvas.height_px, [&](uint32_t x, uint32_t y) {
    const uint32_t pixel = canvas.pixels[static_cast<size_t>(y) * canvas.stride_px + x];
    // Green is most of luma, and the blocks are grey.
    return static_cast<uint8_t>(pixel >> 8);
  });
}

}  // namespace planecast
