// Memory of surfaces, tilings, and what the "video processor" does with pixels. Knows no VA-API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace planecast::sw_va {

/// Mapped memory behind a surface, of its own or of an imported dma-buf. Unmaps on destruction.
class Memory {
 public:
  /// Memory of our own; null if there is none.
  static std::shared_ptr<Memory> Allocate(size_t size_bytes);
  /// Maps a duplicate of `fd`; null if the kernel refuses.
  static std::shared_ptr<Memory> Import(int fd, size_t size_bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  uint8_t* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }
  bool writable() const { return writable_; }
  /// A new fd of the same memory, or -1.
  int Duplicate() const;
  /// Brackets reads of an imported dma-buf.
  void BeginRead() const { Sync(true); }
  void EndRead() const { Sync(false); }

 private:
  Memory(int fd, uint8_t* data, size_t size_bytes, bool imported, bool writable)
      : fd_(fd), data_(data), size_bytes_(size_bytes), imported_(imported), writable_(writable) {}
  void Sync(bool begin) const;

  int fd_;
  uint8_t* data_;
  size_t size_bytes_;
  bool imported_;
  bool writable_;
};

enum class Tiling { kLinear, kIntelX, kIntelY, kIntelYf };

/// How one packed pixel is to be read: bit positions and widths, little-endian.
struct PackedLayout {
  uint32_t fourcc_drm = 0;
  uint32_t bytes = 0;
  uint8_t red_shift = 0, green_shift = 0, blue_shift = 0;
  uint8_t red_bits = 0, green_bits = 0, blue_bits = 0;
  bool alpha = false;
};

/// Where a picture of packed pixels lies.
struct PackedImage {
  const PackedLayout* layout = nullptr;
  const uint8_t* data = nullptr;
  size_t pitch_bytes = 0;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  Tiling tiling = Tiling::kLinear;
};

/// Bytes that a tiled or linear plane of so many lines takes, or 0 if pitch and tiling disagree.
uint64_t PlaneBytes(Tiling tiling, uint32_t bytes_per_pixel, uint64_t pitch_bytes,
                    uint64_t height_px);

/// Offset of a pixel in a plane.
size_t PixelOffset(Tiling tiling, size_t pitch_bytes, uint32_t bytes_per_pixel, uint32_t x,
                   uint32_t y);

/// NV12 that is written to.
struct Nv12Image {
  uint8_t* y = nullptr;
  uint8_t* uv = nullptr;
  size_t y_pitch_bytes = 0;
  size_t uv_pitch_bytes = 0;
  uint32_t width_px = 0;
  uint32_t height_px = 0;
};

/// RGB to YCbCr.
struct ColorSpace {
  bool bt709 = true;
  bool full_range = false;
};

struct Rect {
  int32_t x = 0;
  int32_t y = 0;
  uint32_t width = 0;
  uint32_t height = 0;
};

/// Converts `from` of `source` into `to` of `target`, scaling as needed (bilinear). Rectangles lie
/// within their pictures; an odd edge of `to` shares its chroma with nobody.
void ConvertToNv12(const PackedImage& source, const Rect& from, const ColorSpace& color,
                   const Rect& to, const Nv12Image& target);

/// Draws a premultiplied picture over NV12, unscaled, clipped; `alpha` 0 to 1 fades all of it.
void BlendOverNv12(const PackedImage& source, const Rect& from, bool per_pixel, float alpha,
                   const ColorSpace& color, int32_t to_x, int32_t to_y, const Nv12Image& target);

/// NV12 to NV12, scaled.
void ScaleNv12(const Nv12Image& source, const Rect& from, const Rect& to, const Nv12Image& target);

/// Fills NV12 with black.
void ClearNv12(const ColorSpace& color, const Nv12Image& target);

}  // namespace planecast::sw_va
