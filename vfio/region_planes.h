// Planes that are regions of the device (mdpy, NVIDIA vGPU).
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "vfio/gfx_device.h"
#include "vfio/plane_memory.h"

namespace planecast {

/// Maps the region that a plane lies in. Never reads it by read(2): mdpy ignores the offset there.
/// Bound to the display's thread; the buffers may be released anywhere.
class RegionPlanes {
 public:
  /// `device` must outlive this.
  explicit RegionPlanes(GfxDevice& device) : device_(&device) {}

  /// The buffer in region `index` that a Query just described as `layout`; the same one until
  /// either changes. INVALID_ARGUMENT if the region is too small, FAILED_PRECONDITION if it can't
  /// be mapped; any other error may pass.
  absl::StatusOr<std::shared_ptr<const PlaneBuffer>> Get(uint32_t index, const PlaneLayout& layout);

 private:
  GfxDevice* device_;
  uint32_t index_ = 0;
  PlaneLayout described_;
  std::shared_ptr<const PlaneBuffer> buffer_;
};

}  // namespace planecast
