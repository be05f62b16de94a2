// Pixels that the GPU can't reach by itself, brought to it by the CPU.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/pixels/packed_format.h"
#include "encoder/va/va_display.h"
#include "vfio/frame.h"

namespace planecast {

/// A surface with the picture of a plane. The plane is read once, row by row, and compared with a
/// copy of what it showed before; only rows that changed are copied on. Bound to one thread.
class VaUpload {
 public:
  explicit VaUpload(std::shared_ptr<VaDisplay> display) : display_(std::move(display)) {}

  struct Result {
    VASurfaceID surface = VA_INVALID_SURFACE;
    /// Macroblock rows that differ from the last picture.
    uint32_t changed_rows = 0;
  };
  /// Nothing may be in flight that reads the surface. UNIMPLEMENTED for a format or modifier that
  /// the CPU can't read, FAILED_PRECONDITION for memory out of its reach, INTERNAL if the driver
  /// fails.
  absl::StatusOr<Result> Upload(const PlaneBuffer& buffer);
  /// Another way was taken meanwhile: all of the next picture counts as changed.
  void Forget() { stale_ = true; }

 private:
  absl::Status UseLayout(const PlaneLayout& layout);
  absl::StatusOr<uint32_t> Compare(const PlaneBuffer& buffer);
  absl::Status CopyRows();

  const std::shared_ptr<VaDisplay> display_;
  VaSurface surface_;
  PackedFormat format_ = PackedFormat::kXrgb8888;
  VaFormat va_format_;
  uint32_t width_px_ = 0;
  uint32_t height_px_ = 0;
  std::vector<uint8_t> shadow_;
  size_t shadow_stride_bytes_ = 0;
  std::vector<uint8_t> changed_mbs_;
  std::vector<bool> changed_rows_;
  bool stale_ = true;
};

}  // namespace planecast
