#include "encoder/testing/va_driver/prediction.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace planecast::sw_va {
namespace {

uint8_t Clip(int value) {
  return static_cast<uint8_t>(std::clamp(value, 0, 255));
}

/// The samples left of and above a square block of `size` samples, and the corner between.
struct Border {
  int left[16];
  int above[16];
  int corner = 0;
};

Border LumaBorder(const Nv12Picture& picture, uint32_t mb_x, uint32_t mb_y,
                  const IntraNeighbours& neighbours) {
  Border border;
  const size_t stride = picture.y_stride_bytes;
  const uint8_t* origin = picture.y + mb_y * 16 * stride + mb_x * 16;
  for (size_t i = 0; i < 16; ++i) {
    border.left[i] = neighbours.left ? *(origin + i * stride - 1) : 0;
    border.above[i] = neighbours.above ? *(origin - stride + i) : 0;
  }
  if (neighbours.corner) border.corner = *(origin - stride - 1);
  return border;
}

Border ChromaBorder(const Nv12Picture& picture, uint32_t mb_x, uint32_t mb_y, size_t plane,
                    const IntraNeighbours& neighbours) {
  Border border;
  const size_t stride = picture.uv_stride_bytes;
  const uint8_t* origin = picture.uv + mb_y * 8 * stride + mb_x * 16 + plane;
  for (size_t i = 0; i < 8; ++i) {
    border.left[i] = neighbours.left ? *(origin + i * stride - 2) : 0;
    border.above[i] = neighbours.above ? *(origin - stride + i * 2) : 0;
  }
  if (neighbours.corner) border.corner = *(origin - stride - 2);
  return border;
}

int Sum(const int* values, int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += values[i];
  return sum;
}

/// Clauses 8.3.3.4 and 8.3.4.4 for 4:2:0: `size` is 16 or 8.
void PredictPlane(const Border& border, int size, uint8_t* out) {
  const int half = size / 2;
  int h = 0;
  int v = 0;
  for (int i = 0; i < half; ++i) {
    const int before = half - 2 - i;
    h += (i + 1) * (border.above[half + i] - (before < 0 ? border.corner : border.above[before]));
    v += (i + 1) * (border.left[half + i] - (before < 0 ? border.corner : border.left[before]));
  }
  const int factor = size == 16 ? 5 : 34;
  const int b = (factor * h + 32) >> 6;
  const int c = (factor * v + 32) >> 6;
  const int a = 16 * (border.left[size - 1] + border.above[size - 1]);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      out[y * size + x] = Clip((a + b * (x - half + 1) + c * (y - half + 1) + 16) >> 5);
    }
  }
}

void PredictVertical(const Border& border, int size, uint8_t* out) {
  for (int i = 0; i < size * size; ++i) out[i] = static_cast<uint8_t>(border.above[i % size]);
}

void PredictHorizontal(const Border& border, int size, uint8_t* out) {
  for (int i = 0; i < size * size; ++i) out[i] = static_cast<uint8_t>(border.left[i / size]);
}

int ChromaDc(const Border& border, const IntraNeighbours& neighbours, int x, int y) {
  const int above = Sum(border.above + x, 4);
  const int left = Sum(border.left + y, 4);
  // The corner blocks take both sides, the others prefer one, clause 8.3.4.1.
  const bool both = x == y;
  if (both && neighbours.above && neighbours.left) return (above + left + 4) >> 3;
  const bool above_first = both ? !neighbours.left : x > y;
  if (above_first) {
    if (neighbours.above) return (above + 2) >> 2;
    if (neighbours.left) return (left + 2) >> 2;
    return 128;
  }
  if (neighbours.left) return (left + 2) >> 2;
  if (neighbours.above) return (above + 2) >> 2;
  return 128;
}

}  // namespace

void LoadMacroblock(const Nv12Picture& picture, uint32_t mb_x, uint32_t mb_y,
                    MacroblockSamples& samples) {
  for (size_t line = 0; line < 16; ++line) {
    std::memcpy(samples.y + line * 16,
                picture.y + (mb_y * 16 + line) * picture.y_stride_bytes + mb_x * 16, 16);
  }
  for (size_t line = 0; line < 8; ++line) {
    const uint8_t* uv = picture.uv + (mb_y * 8 + line) * picture.uv_stride_bytes + mb_x * 16;
    for (size_t x = 0; x < 8; ++x) {
      samples.c[0][line * 8 + x] = uv[2 * x];
      samples.c[1][line * 8 + x] = uv[2 * x + 1];
    }
  }
}

void StoreMacroblock(const MacroblockSamples& samples, uint32_t mb_x, uint32_t mb_y,
                     const Nv12Picture& picture) {
  for (size_t line = 0; line < 16; ++line) {
    std::memcpy(picture.y + (mb_y * 16 + line) * picture.y_stride_bytes + mb_x * 16,
                samples.y + line * 16, 16);
  }
  for (size_t line = 0; line < 8; ++line) {
    uint8_t* uv = picture.uv + (mb_y * 8 + line) * picture.uv_stride_bytes + mb_x * 16;
    for (size_t x = 0; x < 8; ++x) {
      uv[2 * x] = samples.c[0][line * 8 + x];
      uv[2 * x + 1] = samples.c[1][line * 8 + x];
    }
  }
}

bool Possible(LumaMode mode, const IntraNeighbours& n) {
  switch (mode) {
    case LumaMode::kVertical:
      return n.above;
    case LumaMode::kHorizontal:
      return n.left;
    case LumaMode::kDc:
      return true;
    case LumaMode::kPlane:
      return n.left && n.above && n.corner;
  }
  return false;
}

bool Possible(ChromaMode mode, const IntraNeighbours& n) {
  switch (mode) {
    case ChromaMode::kDc:
      return true;
    case ChromaMode::kHorizontal:
      return n.left;
    case ChromaMode::kVertical:
      return n.above;
    case ChromaMode::kPlane:
      return n.left && n.above && n.corner;
  }
  return false;
}

void PredictLuma(const Nv12Picture& reconstruction, uint32_t mb_x, uint32_t mb_y, LumaMode mode,
                 const IntraNeighbours& neighbours, uint8_t* y) {
  const Border border = LumaBorder(reconstruction, mb_x, mb_y, neighbours);
  switch (mode) {
    case LumaMode::kVertical:
      return PredictVertical(border, 16, y);
    case LumaMode::kHorizontal:
      return PredictHorizontal(border, 16, y);
    case LumaMode::kPlane:
      return PredictPlane(border, 16, y);
    case LumaMode::kDc:
      break;
  }
  int dc = 128;
  if (neighbours.left && neighbours.above) {
    dc = (Sum(border.left, 16) + Sum(border.above, 16) + 16) >> 5;
  } else if (neighbours.left || neighbours.above) {
    dc = (Sum(neighbours.left ? border.left : border.above, 16) + 8) >> 4;
  }
  std::memset(y, dc, 256);
}

void PredictChroma(const Nv12Picture& reconstruction, uint32_t mb_x, uint32_t mb_y, size_t plane,
                   ChromaMode mode, const IntraNeighbours& neighbours, uint8_t* c) {
  const Border border = ChromaBorder(reconstruction, mb_x, mb_y, plane, neighbours);
  switch (mode) {
    case ChromaMode::kVertical:
      return PredictVertical(border, 8, c);
    case ChromaMode::kHorizontal:
      return PredictHorizontal(border, 8, c);
    case ChromaMode::kPlane:
      return PredictPlane(border, 8, c);
    case ChromaMode::kDc:
      break;
  }
  for (int y = 0; y < 8; y += 4) {
    for (int x = 0; x < 8; x += 4) {
      const int dc = ChromaDc(border, neighbours, x, y);
      for (int line = 0; line < 4; ++line) std::memset(c + (y + line) * 8 + x, dc, 4);
    }
  }
}

void PredictInterLuma(const Reference& reference, uint32_t mb_x, uint32_t mb_y, MotionVector mv,
                      uint8_t* y) {
  const int left = static_cast<int>(mb_x) * 16 + mv.x;
  const int top = static_cast<int>(mb_y) * 16 + mv.y;
  const auto stride = static_cast<ptrdiff_t>(reference.picture.y_stride_bytes);
  const bool inside =
      left >= 0 && top >= 0 && left + 16 <= reference.width_px && top + 16 <= reference.height_px;
  for (int line = 0; line < 16; ++line) {
    const int source_y = std::clamp(top + line, 0, reference.height_px - 1);
    const uint8_t* source = reference.picture.y + source_y * stride;
    if (inside) {
      std::memcpy(y + line * 16, source + left, 16);
      continue;
    }
    for (int x = 0; x < 16; ++x) {
      y[line * 16 + x] = source[std::clamp(left + x, 0, reference.width_px - 1)];
    }
  }
}

void PredictInterChroma(const Reference& reference, uint32_t mb_x, uint32_t mb_y, MotionVector mv,
                        size_t plane, uint8_t* c) {
  // A whole luma sample is half a chroma sample: mvC is in eighths, clause 8.4.1.4.
  const int left = static_cast<int>(mb_x) * 8 + (mv.x >> 1);
  const int top = static_cast<int>(mb_y) * 8 + (mv.y >> 1);
  const int x_eighths = (mv.x & 1) * 4;
  const int y_eighths = (mv.y & 1) * 4;
  const int width = reference.width_px / 2;
  const int height = reference.height_px / 2;
  const auto stride = static_cast<ptrdiff_t>(reference.picture.uv_stride_bytes);
  const auto at = [&](int x, int y) {
    return int{
        reference.picture.uv[std::clamp(y, 0, height - 1) * stride +
                             std::clamp(x, 0, width - 1) * 2 + static_cast<ptrdiff_t>(plane)]};
  };
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      if (x_eighths == 0 && y_eighths == 0) {
        c[y * 8 + x] = static_cast<uint8_t>(at(left + x, top + y));
        continue;
      }
      const int value = (8 - x_eighths) * (8 - y_eighths) * at(left + x, top + y) +
                        x_eighths * (8 - y_eighths) * at(left + x + 1, top + y) +
                        (8 - x_eighths) * y_eighths * at(left + x, top + y + 1) +
                        x_eighths * y_eighths * at(left + x + 1, top + y + 1);
      c[y * 8 + x] = static_cast<uint8_t>((value + 32) >> 6);
    }
  }
}

uint32_t Sad(const uint8_t* a, const uint8_t* b, size_t count) {
  uint32_t sum = 0;
  for (size_t i = 0; i < count; ++i) sum += static_cast<uint32_t>(std::abs(a[i] - b[i]));
  return sum;
}

}  // namespace planecast::sw_va
