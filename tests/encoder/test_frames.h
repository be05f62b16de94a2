// Frames on the heap, and pictures that are easy to tell apart after coding.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "encoder/encoder.h"
#include "vfio/frame.h"

namespace planecast::testing {

/// Memory of a plane that lives on the heap. `reads_fail` makes it unreachable for the CPU.
class HeapPlane {
 public:
  HeapPlane(uint32_t fourcc, uint32_t width_px, uint32_t height_px, uint64_t modifier = 0,
            uint32_t padding_bytes = 0);

  uint8_t* line(uint32_t y) { return bytes_->data() + size_t{y} * layout_.stride_bytes; }
  const PlaneLayout& layout() const { return layout_; }
  std::vector<uint8_t>& bytes() { return *bytes_; }
  void set_reads_fail(bool fail) { *reads_fail_ = fail; }

  /// Sets a pixel; channels are 8-bit and are rounded to what the format holds.
  void SetPixel(uint32_t x, uint32_t y, uint32_t rgb);
  void Fill(uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t rgb);

  /// The same buffer every time.
  Frame frame(int64_t time_ns = 0) const;

 private:
  PlaneLayout layout_;
  std::shared_ptr<std::vector<uint8_t>> bytes_;
  std::shared_ptr<bool> reads_fail_;
  std::shared_ptr<const PlaneBuffer> buffer_;
};

/// A page of dark glyph-like marks on a light ground with coloured headings: hard edges, as text
/// has. `seed` chooses the text.
void PaintText(HeapPlane& plane, uint32_t seed);

/// Noise in every pixel: the hardest content there is.
void PaintNoise(HeapPlane& plane, uint32_t seed);

/// Eight patches of pure colours in two rows that fill the plane.
void PaintPatches(HeapPlane& plane);

/// The colours of PaintPatches, as 0xRRGGBB, row by row.
const std::vector<uint32_t>& PatchColors();

/// A small deterministic random generator.
class Random {
 public:
  explicit Random(uint32_t seed) : state_(seed * 2654435761u + 1) {}
  uint32_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(uint64_t{Next()} * limit >> 32); }

 private:
  uint32_t state_;
};

}  // namespace planecast::testing
