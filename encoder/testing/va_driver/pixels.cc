#include "encoder/testing/va_driver/pixels.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace planecast::sw_va {
namespace {

constexpr uint64_t kTileBytes = 4096;

struct TileShape {
  uint32_t width_bytes;
  uint32_t height_lines;
};
TileShape ShapeOf(Tiling tiling) {
  return tiling == Tiling::kIntelX ? TileShape{512, 8} : TileShape{128, 32};
}

uint32_t Bit(uint32_t value, int bit) {
  return value >> bit & 1;
}

/// Where a byte lies within its 4 KiB tile, from Intel's Programmer's Reference Manuals.
uint32_t OffsetInTile(Tiling tiling, uint32_t x, uint32_t y) {
  switch (tiling) {
    case Tiling::kIntelX:
      return y * 512 + x;
    case Tiling::kIntelY:
      // Columns of 16 bytes, 32 lines high.
      return x / 16 * 512 + y * 16 + x % 16;
    case Tiling::kIntelYf:
      // For 32 bits a pixel, from the low bit: x0 x1 x2 x3 y0 y1 x4 y2 x5 y3 x6 y4.
      return x % 16 | Bit(y, 0) << 4 | Bit(y, 1) << 5 | Bit(x, 4) << 6 | Bit(y, 2) << 7 |
             Bit(x, 5) << 8 | Bit(y, 3) << 9 | Bit(x, 6) << 10 | Bit(y, 4) << 11;
    case Tiling::kLinear:
      break;
  }
  return 0;
}

float Channel(uint32_t pixel, uint8_t shift, uint8_t bits) {
  const uint32_t max = (1u << bits) - 1;
  return static_cast<float>(pixel >> shift & max) / static_cast<float>(max);
}

/// Red, green, blue and alpha, 0 to 1.
using Pixel = std::array<float, 4>;

Pixel ReadPixel(const PackedImage& image, uint32_t x, uint32_t y) {
  uint32_t word = 0;
  std::memcpy(&word,
              image.data + PixelOffset(image.tiling, image.pitch_bytes, image.layout->bytes, x, y),
              image.layout->bytes);
  const PackedLayout& layout = *image.layout;
  return {Channel(word, layout.red_shift, layout.red_bits),
          Channel(word, layout.green_shift, layout.green_bits),
          Channel(word, layout.blue_shift, layout.blue_bits),
          layout.alpha ? Channel(word, 24, 8) : 1.0F};
}

/// Coefficients and ranges of a colour space; clause E.2.1 of H.264 for the matrices.
struct Matrix {
  explicit Matrix(const ColorSpace& color)
      : kr(color.bt709 ? 0.2126F : 0.299F),
        kb(color.bt709 ? 0.0722F : 0.114F),
        y_scale(color.full_range ? 255.0F : 219.0F),
        y_offset(color.full_range ? 0.0F : 16.0F),
        c_scale(color.full_range ? 255.0F : 224.0F) {}
  float Y(float r, float g, float b) const {
    return y_scale * (kr * r + (1 - kr - kb) * g + kb * b);
  }
  float Cb(float r, float g, float b) const {
    return c_scale * (b - Y(r, g, b) / y_scale) / (2 * (1 - kb));
  }
  float Cr(float r, float g, float b) const {
    return c_scale * (r - Y(r, g, b) / y_scale) / (2 * (1 - kr));
  }

  float kr, kb, y_scale, y_offset, c_scale;
};

uint8_t Round(float value) {
  return static_cast<uint8_t>(std::clamp(std::lround(value), 0L, 255L));
}

/// The source position that a target position is taken from: pixel centres, not corners.
struct Axis {
  uint32_t low;
  uint32_t high;
  float fraction;
};
Axis MapAxis(uint32_t target, uint32_t target_size, int32_t source_begin, uint32_t source_size) {
  const float scale = static_cast<float>(source_size) / static_cast<float>(target_size);
  const float position = (static_cast<float>(target) + 0.5F) * scale - 0.5F;
  const float clamped = std::clamp(position, 0.0F, static_cast<float>(source_size - 1));
  const auto low = static_cast<uint32_t>(clamped);
  const uint32_t high = std::min(low + 1, source_size - 1);
  const auto begin = static_cast<uint32_t>(source_begin);
  return {begin + low, begin + high, clamped - static_cast<float>(low)};
}

Pixel Mix(const Pixel& a, const Pixel& b, float fraction) {
  Pixel mixed;
  for (size_t i = 0; i < 4; ++i) mixed[i] = a[i] + (b[i] - a[i]) * fraction;
  return mixed;
}

/// One line of the source as the target sees it.
void SampleLine(const PackedImage& source, const Rect& from, const Rect& to, uint32_t line,
                std::vector<Pixel>& out) {
  const Axis y = MapAxis(line, to.height, from.y, from.height);
  for (uint32_t i = 0; i < to.width; ++i) {
    if (to.width == from.width && to.height == from.height) {
      out[i] = ReadPixel(source, static_cast<uint32_t>(from.x) + i,
                         static_cast<uint32_t>(from.y) + line);
      continue;
    }
    const Axis x = MapAxis(i, to.width, from.x, from.width);
    const Pixel upper =
        Mix(ReadPixel(source, x.low, y.low), ReadPixel(source, x.high, y.low), x.fraction);
    const Pixel lower =
        Mix(ReadPixel(source, x.low, y.high), ReadPixel(source, x.high, y.high), x.fraction);
    out[i] = Mix(upper, lower, y.fraction);
  }
}

/// The usual case, without scaling and tiles, of 8-bit channels: whole numbers do, and several
/// times as fast. Within half a code value of the exact result.
void ConvertLinear8888(const PackedImage& source, const Rect& from, const ColorSpace& color,
                       const Rect& to, const Nv12Image& target) {
  constexpr int kBits = 16;
  const Matrix m(color);
  const auto fixed = [](float value) {
    return static_cast<int>(std::lround(value / 255.0F * (1 << kBits)));
  };
  const int y_r = fixed(m.Y(1, 0, 0)), y_g = fixed(m.Y(0, 1, 0)), y_b = fixed(m.Y(0, 0, 1));
  const int cb_r = fixed(m.Cb(1, 0, 0)), cb_g = fixed(m.Cb(0, 1, 0)), cb_b = fixed(m.Cb(0, 0, 1));
  const int cr_r = fixed(m.Cr(1, 0, 0)), cr_g = fixed(m.Cr(0, 1, 0)), cr_b = fixed(m.Cr(0, 0, 1));
  const int y_add = (static_cast<int>(m.y_offset) << kBits) + (1 << (kBits - 1));
  // Chroma takes the sum of four pixels.
  const int c_add = (128 << (kBits + 2)) + (1 << (kBits + 1));
  const size_t red = source.layout->red_shift / 8u;
  const size_t green = source.layout->green_shift / 8u;
  const size_t blue = source.layout->blue_shift / 8u;
  const auto line_of = [&](uint32_t line) {
    return source.data + (static_cast<size_t>(from.y) + line) * source.pitch_bytes +
           static_cast<size_t>(from.x) * 4;
  };
  for (uint32_t line = 0; line < to.height; line += 2) {
    const uint32_t below = std::min(line + 1, to.height - 1);
    const uint8_t* rows[2] = {line_of(line), line_of(below)};
    uint8_t* luma[2];
    for (size_t i = 0; i < 2; ++i) {
      luma[i] = target.y +
                (static_cast<size_t>(to.y) + (i == 0 ? line : below)) * target.y_pitch_bytes + to.x;
    }
    uint8_t* uv = target.uv + (static_cast<size_t>(to.y) + line) / 2 * target.uv_pitch_bytes + to.x;
    for (uint32_t x = 0; x < to.width; x += 2) {
      const uint32_t right = std::min(x + 1, to.width - 1);
      int r = 0;
      int g = 0;
      int b = 0;
      for (size_t row = 0; row < 2; ++row) {
        for (const uint32_t at : {x, right}) {
          const uint8_t* p = rows[row] + size_t{at} * 4;
          r += p[red];
          g += p[green];
          b += p[blue];
          luma[row][at] = static_cast<uint8_t>(
              (y_r * p[red] + y_g * p[green] + y_b * p[blue] + y_add) >> kBits);
        }
      }
      uv[x] = static_cast<uint8_t>(
          std::clamp((cb_r * r + cb_g * g + cb_b * b + c_add) >> (kBits + 2), 0, 255));
      uv[x + 1] = static_cast<uint8_t>(
          std::clamp((cr_r * r + cr_g * g + cr_b * b + c_add) >> (kBits + 2), 0, 255));
    }
  }
}

}  // namespace

std::shared_ptr<Memory> Memory::Allocate(size_t size_bytes) {
  const int fd = memfd_create("planecast-sw-surface", MFD_CLOEXEC);
  if (fd < 0) return nullptr;
  void* data = MAP_FAILED;
  if (ftruncate(fd, static_cast<off_t>(size_bytes)) == 0) {
    data = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  if (data == MAP_FAILED) {
    close(fd);
    return nullptr;
  }
  auto* bytes = static_cast<uint8_t*>(data);
  std::unique_ptr<Memory> memory(new Memory(fd, bytes, size_bytes, false, true));
  return memory;
}

std::shared_ptr<Memory> Memory::Import(int fd, size_t size_bytes) {
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return nullptr;
  void* data = mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, own, 0);
  if (data == MAP_FAILED) {
    close(own);
    return nullptr;
  }
  auto* bytes = static_cast<uint8_t*>(data);
  std::unique_ptr<Memory> memory(new Memory(own, bytes, size_bytes, true, false));
  return memory;
}

Memory::~Memory() {
  munmap(data_, size_bytes_);
  close(fd_);
}

int Memory::Duplicate() const {
  return fcntl(fd_, F_DUPFD_CLOEXEC, 0);
}

void Memory::Sync(bool begin) const {
  if (!imported_) return;
  dma_buf_sync sync{.flags = DMA_BUF_SYNC_READ |
                             (begin ? uint64_t{DMA_BUF_SYNC_START} : uint64_t{DMA_BUF_SYNC_END})};
  // What is no dma-buf, such as a memfd, has nothing to synchronise.
  ioctl(fd_, DMA_BUF_IOCTL_SYNC, &sync);
}

uint64_t PlaneBytes(Tiling tiling, uint32_t bytes_per_pixel, uint64_t pitch_bytes,
                    uint64_t height_px) {
  if (tiling == Tiling::kLinear) return pitch_bytes * height_px;
  if (tiling == Tiling::kIntelYf && bytes_per_pixel != 4) return 0;
  const TileShape shape = ShapeOf(tiling);
  if (pitch_bytes % shape.width_bytes != 0) return 0;
  const uint64_t rows = (height_px + shape.height_lines - 1) / shape.height_lines;
  return rows * (pitch_bytes / shape.width_bytes) * kTileBytes;
}

size_t PixelOffset(Tiling tiling, size_t pitch_bytes, uint32_t bytes_per_pixel, uint32_t x,
                   uint32_t y) {
  const uint32_t byte = x * bytes_per_pixel;
  if (tiling == Tiling::kLinear) return size_t{y} * pitch_bytes + byte;
  const TileShape shape = ShapeOf(tiling);
  const size_t tile =
      y / shape.height_lines * (pitch_bytes / shape.width_bytes) + byte / shape.width_bytes;
  return tile * kTileBytes + OffsetInTile(tiling, byte % shape.width_bytes, y % shape.height_lines);
}

void ConvertToNv12(const PackedImage& source, const Rect& from, const ColorSpace& color,
                   const Rect& to, const Nv12Image& target) {
  const bool plain = source.tiling == Tiling::kLinear && source.layout->red_bits == 8 &&
                     from.width == to.width && from.height == to.height;
  if (plain) return ConvertLinear8888(source, from, color, to, target);
  const Matrix m(color);
  std::vector<Pixel> lines[2] = {std::vector<Pixel>(to.width), std::vector<Pixel>(to.width)};
  for (uint32_t line = 0; line < to.height; line += 2) {
    const uint32_t below = std::min(line + 1, to.height - 1);
    SampleLine(source, from, to, line, lines[0]);
    SampleLine(source, from, to, below, lines[1]);
    for (size_t row = 0; row < 2; ++row) {
      uint8_t* luma =
          target.y +
          (static_cast<size_t>(to.y) + (row == 0 ? line : below)) * target.y_pitch_bytes + to.x;
      for (uint32_t x = 0; x < to.width; ++x) {
        const Pixel& p = lines[row][x];
        luma[x] = Round(m.y_offset + m.Y(p[0], p[1], p[2]));
      }
    }
    uint8_t* uv = target.uv + (static_cast<size_t>(to.y) + line) / 2 * target.uv_pitch_bytes + to.x;
    for (uint32_t x = 0; x < to.width; x += 2) {
      const uint32_t right = std::min(x + 1, to.width - 1);
      const Pixel average = Mix(Mix(lines[0][x], lines[0][right], 0.5F),
                                Mix(lines[1][x], lines[1][right], 0.5F), 0.5F);
      uv[x] = Round(128 + m.Cb(average[0], average[1], average[2]));
      uv[x + 1] = Round(128 + m.Cr(average[0], average[1], average[2]));
    }
  }
}

void BlendOverNv12(const PackedImage& source, const Rect& from, bool per_pixel, float alpha,
                   const ColorSpace& color, int32_t to_x, int32_t to_y, const Nv12Image& target) {
  const Matrix m(color);
  // A pixel of the cursor at a place of the target; nothing outside.
  const auto at = [&](int32_t x, int32_t y) -> Pixel {
    const int32_t in_x = x - to_x;
    const int32_t in_y = y - to_y;
    if (in_x < 0 || in_y < 0 || static_cast<uint32_t>(in_x) >= from.width ||
        static_cast<uint32_t>(in_y) >= from.height) {
      return {0, 0, 0, 0};
    }
    Pixel p = ReadPixel(source, static_cast<uint32_t>(from.x + in_x),
                        static_cast<uint32_t>(from.y + in_y));
    if (!per_pixel) p[3] = 1;
    for (float& part : p) part *= alpha;
    return p;
  };
  const int32_t left = std::max(to_x, 0) / 2 * 2;
  const int32_t top = std::max(to_y, 0) / 2 * 2;
  const auto right =
      std::min(to_x + static_cast<int32_t>(from.width), static_cast<int32_t>(target.width_px));
  const auto bottom =
      std::min(to_y + static_cast<int32_t>(from.height), static_cast<int32_t>(target.height_px));
  for (int32_t y = top; y < bottom; y += 2) {
    for (int32_t x = left; x < right; x += 2) {
      Pixel sum{};
      for (int32_t dy = 0; dy < 2; ++dy) {
        for (int32_t dx = 0; dx < 2; ++dx) {
          const Pixel p = at(x + dx, y + dy);
          for (size_t i = 0; i < 4; ++i) sum[i] += p[i] / 4;
          if (x + dx >= right || y + dy >= bottom || p[3] == 0) continue;
          uint8_t& luma = target.y[static_cast<size_t>(y + dy) * target.y_pitch_bytes + x + dx];
          luma = Round(static_cast<float>(luma) * (1 - p[3]) + m.y_offset * p[3] +
                       m.Y(p[0], p[1], p[2]));
        }
      }
      uint8_t* uv = target.uv + static_cast<size_t>(y) / 2 * target.uv_pitch_bytes + x;
      uv[0] = Round(static_cast<float>(uv[0]) * (1 - sum[3]) + 128 * sum[3] +
                    m.Cb(sum[0], sum[1], sum[2]));
      uv[1] = Round(static_cast<float>(uv[1]) * (1 - sum[3]) + 128 * sum[3] +
                    m.Cr(sum[0], sum[1], sum[2]));
    }
  }
}

void ScaleNv12(const Nv12Image& source, const Rect& from, const Rect& to, const Nv12Image& target) {
  const auto scale = [](const uint8_t* in, size_t in_pitch, size_t step, const Rect& in_rect,
                        uint8_t* out, size_t out_pitch, const Rect& out_rect) {
    for (uint32_t line = 0; line < out_rect.height; ++line) {
      const Axis y = MapAxis(line, out_rect.height, in_rect.y, in_rect.height);
      for (uint32_t i = 0; i < out_rect.width; ++i) {
        const Axis x = MapAxis(i, out_rect.width, in_rect.x, in_rect.width);
        const auto sample = [&](uint32_t column, uint32_t row) {
          return static_cast<float>(in[row * in_pitch + column * step]);
        };
        const float upper =
            sample(x.low, y.low) + (sample(x.high, y.low) - sample(x.low, y.low)) * x.fraction;
        const float lower =
            sample(x.low, y.high) + (sample(x.high, y.high) - sample(x.low, y.high)) * x.fraction;
        out[(static_cast<size_t>(out_rect.y) + line) * out_pitch +
            (static_cast<size_t>(out_rect.x) + i) * step] =
            Round(upper + (lower - upper) * y.fraction);
      }
    }
  };
  const auto half = [](const Rect& rect) {
    return Rect{rect.x / 2, rect.y / 2, std::max(rect.width / 2, 1u),
                std::max(rect.height / 2, 1u)};
  };
  scale(source.y, source.y_pitch_bytes, 1, from, target.y, target.y_pitch_bytes, to);
  for (size_t plane = 0; plane < 2; ++plane) {
    scale(source.uv + plane, source.uv_pitch_bytes, 2, half(from), target.uv + plane,
          target.uv_pitch_bytes, half(to));
  }
}

void ClearNv12(const ColorSpace& color, const Nv12Image& target) {
  for (size_t line = 0; line < target.height_px; ++line) {
    std::memset(target.y + line * target.y_pitch_bytes, color.full_range ? 0 : 16, target.width_px);
  }
  for (size_t line = 0; line < (target.height_px + 1) / 2; ++line) {
    std::memset(target.uv + line * target.uv_pitch_bytes, 128, (target.width_px + 1) / 2 * 2);
  }
}

}  // namespace planecast::sw_va
