#include "vfio/region_planes.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {

absl::StatusOr<std::shared_ptr<const PlaneBuffer>> RegionPlanes::Get(uint32_t index,
                                                                     const PlaneLayout& layout) {
  if (buffer_ != nullptr && index_ == index && described_ == layout) return buffer_;
  const auto region = device_->GetRegionInfo(index);
  if (!region.ok()) return absl::UnavailableError(region.status().message());
  const auto fitted = FitToMemory(layout, region->info.size);
  if (!fitted.ok()) return fitted.status();

  std::shared_ptr<const Mapping> mapping;
  const int result = Mapping::Make(device_->sys(), device_->fd(), region->info.offset,
                                   fitted->size_bytes, &mapping);
  if (result < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the device does not let its display region ", index, " be mapped (mmap of ",
                     fitted->size_bytes, " bytes: ", std::strerror(-result), ")"));
  }
  buffer_ = std::make_shared<const PlaneBuffer>(NextBufferSerial(), *fitted,
                                                std::make_unique<RegionMemory>(std::move(mapping)));
  index_ = index;
  described_ = layout;
  return buffer_;
}

}  // namespace planecast
