#include "vfio/gfx_device.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "vfio/fd_kind.h"

namespace planecast {
namespace {

// Info structs with capabilities are some dozens of bytes; more is nonsense.
constexpr uint32_t kInfoMaxBytes = 4096;
// Undefined flag bits for VFIO_DEVICE_FEATURE, so that it refuses what was meant as a flip eventfd.
constexpr uint32_t kFeatureFlagsUndefined = 0xfff80000;

uint32_t Flags(PlaneKind kind) {
  return kind == PlaneKind::kDmabuf ? abi::kPlaneFlagDmabuf : abi::kPlaneFlagRegion;
}

absl::Status Unaligned(uint64_t offset_bytes) {
  return absl::InvalidArgumentError(absl::StrCat("register offset ", offset_bytes));
}

}  // namespace

absl::Status SysError(int64_t negative_errno, std::string_view what) {
  const auto number = static_cast<int>(-negative_errno);
  return absl::ErrnoToStatus(number, absl::string_view(what.data(), what.size()));
}

bool HasGfxPlane(Sys& sys, int fd) {
  for (const AbiDialect dialect : {AbiDialect::kFinal, AbiDialect::kV15, AbiDialect::kV1}) {
    if (GfxDevice(sys, fd, dialect).Probe().ok()) return true;
  }
  return false;
}

absl::StatusOr<PlaneKind> GfxDevice::Probe() {
  PlaneInfo unused;
  if (dialect_ == AbiDialect::kV1) {
    const int result = QueryV1(abi::kPlaneTypePrimary, &unused);
    if (result != -ENOTTY && result != -EINVAL && result != -EPROTO) return PlaneKind::kDmabuf;
    return absl::FailedPreconditionError(
        "the device does not answer the plane ioctl of the draft v1; attach it with another "
        "dialect");
  }
  for (const PlaneKind kind : {PlaneKind::kDmabuf, PlaneKind::kRegion}) {
    const uint32_t flags = abi::kPlaneFlagProbe | Flags(kind);
    const int result = dialect_ == AbiDialect::kFinal
                           ? QueryFinal(flags, abi::kPlaneTypePrimary, &unused)
                           : QueryV15(flags, abi::kPlaneTypePrimary, &unused);
    if (result == 0) return kind;
  }
  return absl::FailedPreconditionError(
      "the device has no VFIO gfx plane: neither as dma-buf nor as region. Is it a vGPU with a "
      "display, and is its fd bound?");
}

int GfxDevice::Query(PlaneKind kind, uint32_t plane_type, PlaneInfo* info) {
  *info = {};
  switch (dialect_) {
    case AbiDialect::kFinal:
      return QueryFinal(Flags(kind), plane_type, info);
    case AbiDialect::kV15:
      return QueryV15(Flags(kind), plane_type, info);
    case AbiDialect::kV1:
      return QueryV1(plane_type, info);
  }
  return -EINVAL;
}

int GfxDevice::QueryFinal(uint32_t flags, uint32_t plane_type, PlaneInfo* info) {
  // Zeroed each time: GVT-g leaves the struct as it was when the guest switches a plane off.
  abi::GfxPlaneInfo plane = {};
  plane.argsz = sizeof(plane);
  plane.flags = flags;
  plane.drm_plane_type = plane_type;
  const int result = sys_->Ioctl(fd_, abi::kQueryGfxPlane, &plane);
  if (result < 0) return result;
  *info = PlaneInfo{.drm_format = plane.drm_format,
                    .drm_format_mod = plane.drm_format_mod,
                    .width_px = plane.width,
                    .height_px = plane.height,
                    .stride_bytes = plane.stride,
                    .size_bytes = plane.size,
                    .x_pos = plane.x_pos,
                    .y_pos = plane.y_pos,
                    .x_hot = plane.x_hot,
                    .y_hot = plane.y_hot,
                    .region_index_or_dmabuf_id = plane.region_index_or_dmabuf_id};
  return 0;
}

int GfxDevice::QueryV15(uint32_t flags, uint32_t plane_type, PlaneInfo* info) {
  abi::V15GfxPlaneInfo plane = {};
  plane.argsz = sizeof(plane);
  plane.flags = flags;
  plane.drm_plane_type = plane_type;
  const int result = sys_->Ioctl(fd_, abi::kQueryGfxPlane, &plane);
  if (result < 0) return result;
  *info = PlaneInfo{.drm_format = plane.drm_format,
                    .drm_format_mod = plane.drm_format_mod,
                    .width_px = plane.width,
                    .height_px = plane.height,
                    .stride_bytes = plane.stride,
                    .size_bytes = plane.size,
                    .x_pos = plane.x_pos,
                    .y_pos = plane.y_pos,
                    .x_hot = abi::kHotspotUnknown,
                    .y_hot = abi::kHotspotUnknown,
                    .region_index_or_dmabuf_id = static_cast<uint32_t>(plane.dmabuf_id)};
  return 0;
}

int GfxDevice::QueryV1(uint32_t plane_type, PlaneInfo* info) {
  abi::V1QueryGfxPlane query = {};
  query.argsz = sizeof(query);
  query.plane_type = plane_type;
  query.fd = -1;
  const int result = sys_->Ioctl(fd_, abi::kQueryGfxPlane, &query);
  if (result < 0) return result;
  PlaneInfo plane{.drm_format = query.info.drm_format,
                  .drm_format_mod = query.info.drm_format_mod,
                  .width_px = query.info.width,
                  .height_px = query.info.height,
                  .stride_bytes = query.info.stride,
                  .size_bytes = query.info.size,
                  .x_pos = query.info.x_pos,
                  .y_pos = query.info.y_pos,
                  .x_hot = abi::kHotspotUnknown,
                  .y_hot = abi::kHotspotUnknown};
  if (plane.is_empty()) {
    *info = plane;
    return 0;
  }
  if (query.fd <= STDERR_FILENO) return -EPROTO;
  auto known = std::find_if(v1_buffers_.begin(), v1_buffers_.end(),
                            [&query](const V1Buffer& b) { return b.fd.get() == query.fd; });
  if (known == v1_buffers_.end()) {
    if (!IsDmabuf(*sys_, query.fd)) return -EPROTO;
    if (v1_buffers_.size() == kV1BuffersMax) v1_buffers_.erase(v1_buffers_.begin());
    v1_buffers_.push_back({Fd(*sys_, query.fd), ++v1_id_last_});
    known = v1_buffers_.end() - 1;
  } else {
    // Most recently used last.
    std::rotate(known, known + 1, v1_buffers_.end());
    known = v1_buffers_.end() - 1;
  }
  plane.region_index_or_dmabuf_id = known->id;
  *info = plane;
  return 0;
}

int GfxDevice::GetDmabuf(uint32_t dmabuf_id) {
  if (dialect_ == AbiDialect::kV1) {
    for (const V1Buffer& buffer : v1_buffers_) {
      if (buffer.id == dmabuf_id) return sys_->Dup(buffer.fd.get());
    }
    return -ENOENT;
  }
  if (dialect_ == AbiDialect::kV15) {
    abi::V15GfxDmabuf get = {};
    get.argsz = sizeof(get);
    get.dmabuf_id = dmabuf_id;
    get.dmabuf_fd = -1;
    const int result = sys_->Ioctl(fd_, abi::kGetGfxDmabuf, &get);
    if (result < 0) return result;
    return IsDmabuf(*sys_, get.dmabuf_fd) ? get.dmabuf_fd : -EPROTO;
  }
  const int fd = sys_->Ioctl(fd_, abi::kGetGfxDmabuf, &dmabuf_id);
  // A device of the draft v15 returns 0 here, which would be taken for stdin's number. Whatever the
  // number, it is not ours to close before it is known to be a dma-buf.
  return fd >= 0 && !IsDmabuf(*sys_, fd) ? -EPROTO : fd;
}

absl::StatusOr<abi::DeviceInfo> GfxDevice::GetDeviceInfo() {
  abi::DeviceInfo info = {};
  info.argsz = sizeof(info);
  const int result = sys_->Ioctl(fd_, abi::kDeviceGetInfo, &info);
  if (result < 0) return SysError(result, "VFIO_DEVICE_GET_INFO");
  return info;
}

absl::StatusOr<GfxDevice::Region> GfxDevice::GetRegionInfo(uint32_t index) {
  Region region;
  // First the least, then exactly what the kernel asks for: mbochs refuses more than it needs.
  uint32_t size_bytes = sizeof(abi::RegionInfo);
  for (int attempt = 0; attempt < 2; ++attempt) {
    region.bytes.assign(size_bytes, 0);
    region.info = {};
    region.info.argsz = size_bytes;
    region.info.index = index;
    std::memcpy(region.bytes.data(), &region.info, sizeof(region.info));
    const int result = sys_->Ioctl(fd_, abi::kDeviceGetRegionInfo, region.bytes.data());
    if (result < 0) {
      return SysError(result, absl::StrCat("VFIO_DEVICE_GET_REGION_INFO of region ", index));
    }
    std::memcpy(&region.info, region.bytes.data(), sizeof(region.info));
    if (region.info.argsz <= size_bytes) return region;
    if (region.info.argsz > kInfoMaxBytes) break;
    size_bytes = region.info.argsz;
  }
  // It grows while being asked: without capabilities then. mbochs names an offset that it did not
  // fill.
  region.info.cap_offset = 0;
  region.bytes.resize(sizeof(abi::RegionInfo));
  std::memcpy(region.bytes.data(), &region.info, sizeof(region.info));
  return region;
}

absl::StatusOr<std::vector<uint8_t>> GfxDevice::GetIrqInfo(uint32_t index) {
  // Larger than what is announced by argsz, so that no draft can write beyond its end. 20 first:
  // RFC v2 refuses 16.
  std::vector<uint8_t> bytes;
  uint32_t size_bytes = sizeof(abi::IrqInfo);
  for (int attempt = 0; attempt < 2; ++attempt) {
    bytes.assign(std::max<size_t>(size_bytes, 128), 0);
    abi::IrqInfo info = {};
    info.argsz = size_bytes;
    info.index = index;
    std::memcpy(bytes.data(), &info, sizeof(info));
    const int result = sys_->Ioctl(fd_, abi::kDeviceGetIrqInfo, bytes.data());
    if (result < 0) {
      return SysError(result, absl::StrCat("VFIO_DEVICE_GET_IRQ_INFO of IRQ ", index));
    }
    std::memcpy(&info, bytes.data(), sizeof(info));
    if (info.argsz <= size_bytes || info.argsz > kInfoMaxBytes) break;
    size_bytes = info.argsz;
  }
  bytes.resize(size_bytes);
  return bytes;
}

absl::Status GfxDevice::SetIrq(uint32_t index, uint32_t flags, uint32_t count,
                               std::optional<int> eventfd) {
  if (index < abi::kPciNumIrqs) {
    return absl::PermissionDeniedError("PCI interrupts belong to the VMM");
  }
  struct {
    abi::IrqSet set;
    int32_t eventfd;
  } request = {};
  const size_t data_bytes = eventfd ? sizeof(request.eventfd) : 0;
  request.set.argsz = static_cast<uint32_t>(sizeof(abi::IrqSet) + data_bytes);
  request.set.flags = flags;
  request.set.index = index;
  request.set.count = count;
  request.eventfd = eventfd.value_or(-1);
  const int result = sys_->Ioctl(fd_, abi::kDeviceSetIrqs, &request);
  if (result < 0) return SysError(result, absl::StrCat("VFIO_DEVICE_SET_IRQS of IRQ ", index));
  return absl::OkStatus();
}

absl::Status GfxDevice::SetFlipEventfd(int eventfd) {
  struct {
    int32_t eventfd;
    uint32_t guard;
    uint64_t unused;
  } request = {eventfd, kFeatureFlagsUndefined, 0};
  const int result = sys_->Ioctl(fd_, abi::kSetGfxFlipEventfd, &request);
  if (result == -EPERM) {
    return absl::PermissionDeniedError(
        "the draft ioctl VFIO_DEVICE_SET_GFX_FLIP_EVENTFD was refused, most likely by the daemon's "
        "filter of system calls, which allows it only if a display of the config has flip_events: "
        "FLIP_EVENTS_EVENTFD_IOCTL: configure one, or start planecastd with --no-seccomp");
  }
  if (result < 0) return SysError(result, "the draft ioctl VFIO_DEVICE_SET_GFX_FLIP_EVENTFD");
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> GfxDevice::ReadRegister(uint64_t offset_bytes) {
  if (offset_bytes % sizeof(uint32_t) != 0 || offset_bytes > INT64_MAX) {
    return Unaligned(offset_bytes);
  }
  uint32_t value = 0;
  const int64_t done = sys_->Pread(fd_, &value, sizeof(value), static_cast<int64_t>(offset_bytes));
  if (done < 0) return SysError(done, "reading a display register");
  if (done != sizeof(value)) return absl::DataLossError("short read of a display register");
  return value;
}

absl::Status GfxDevice::WriteRegister(uint64_t offset_bytes, uint32_t value) {
  if (offset_bytes % sizeof(uint32_t) != 0 || offset_bytes > INT64_MAX) {
    return Unaligned(offset_bytes);
  }
  // mbochs's regions are contiguous: a write beyond the end of one lands in the next, unchecked.
  if (offset_bytes < writable_offset_bytes_ ||
      offset_bytes - writable_offset_bytes_ + sizeof(value) > writable_size_bytes_) {
    return absl::PermissionDeniedError("a write outside of the EDID region");
  }
  const int64_t done = sys_->Pwrite(fd_, &value, sizeof(value), static_cast<int64_t>(offset_bytes));
  if (done < 0) return SysError(done, "writing a display register");
  if (done != sizeof(value)) return absl::DataLossError("short write of a display register");
  return absl::OkStatus();
}

}  // namespace planecast
