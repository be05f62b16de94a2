// From RGB surfaces to the encoder's NV12 by the GPU's video processor: colour, scaling, cursor.
#pragma once

#include <va/va.h>
#include <va/va_vpp.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/va/va_display.h"
#include "encoder/va/va_wait.h"
#include "vfio/frame.h"

namespace planecast {

/// Colour is a contract: BT.709 full-range RGB becomes BT.709 limited-range NV12, said on both
/// sides, because drivers' own choices differ by size and vendor. Bound to one thread.
class VaConvert {
 public:
  static absl::StatusOr<std::unique_ptr<VaConvert>> Make(std::shared_ptr<VaDisplay> display,
                                                         int64_t timeout_ns);
  /// Half a converter; for Make alone.
  VaConvert(std::shared_ptr<VaDisplay> display, int64_t timeout_ns);

  struct Size {
    uint32_t width_px = 0;
    uint32_t height_px = 0;
  };

  /// Submits the conversion of `source` into the upper left `output` pixels of `target`, scaled if
  /// the sizes differ, with the cursor over it if there is one. Returns at once unless the cursor
  /// has to be drawn by the CPU.
  absl::Status Convert(VASurfaceID source, const Size& source_size, VASurfaceID target,
                       const Size& output, const Cursor* cursor);

  /// The driver blends cursors itself.
  bool blends_cursor() const { return blends_; }

 private:
  absl::Status Open();
  absl::Status UploadCursor(const CursorImage& image);
  absl::Status DrawByCpu(const Cursor& cursor, VASurfaceID target, const Size& output);

  const std::shared_ptr<VaDisplay> display_;
  const int64_t timeout_ns_;
  VaConfig config_;
  VaContext context_;
  bool explicit_color_ = false;
  bool blends_ = false;
  /// The image that cursor_ holds.
  std::shared_ptr<const CursorImage> cursor_image_;
  VaSurface cursor_;
  VaWait wait_;
};

/// A mapped image; unmaps and destroys it. Move-only. Bound to one thread.
class VaMappedImage {
 public:
  /// The surface's own memory, if the driver can show it. The surface must be at rest.
  static absl::StatusOr<VaMappedImage> Derive(const VaDisplay& display, VASurfaceID surface);
  /// An image of its own, e.g. to be put into a surface.
  static absl::StatusOr<VaMappedImage> Create(const VaDisplay& display, uint32_t va_fourcc,
                                              uint32_t width_px, uint32_t height_px);

  VaMappedImage(VaMappedImage&& other) noexcept;
  VaMappedImage& operator=(VaMappedImage&& other) noexcept;
  VaMappedImage(const VaMappedImage&) = delete;
  VaMappedImage& operator=(const VaMappedImage&) = delete;
  ~VaMappedImage();

  const VAImage& image() const { return image_; }
  uint8_t* plane(size_t index) const { return bytes_ + image_.offsets[index]; }
  absl::Status Map();
  void Unmap();

 private:
  VaMappedImage(VADisplay display, const VAImage& image) : display_(display), image_(image) {}

  VADisplay display_;
  VAImage image_;
  uint8_t* bytes_ = nullptr;
};

}  // namespace planecast
