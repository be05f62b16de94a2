// The typed face of a VFIO device fd: the only code that issues device ioctls on it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/abi.h"
#include "vfio/fd.h"
#include "vfio/plane_check.h"
#include "vfio/plane_source.h"
#include "vfio/vfio_source.h"

namespace planecast {

/// The status for a failed system call: the canonical code of `negative_errno` (as Sys returns it)
/// and a text that starts with `what`.
absl::Status SysError(int64_t negative_errno, std::string_view what);

/// Whether the device, which is bound, has a gfx plane by any dialect. Changes nothing on it.
bool HasGfxPlane(Sys& sys, int fd);

/// A device fd with a gfx plane.
///
/// What this class cannot do is what a borrower must not do: there is no reset, no PCI interrupt,
/// no access to BARs or config space. Interrupts are limited to those after the PCI ones, writes to
/// the range that AllowEdidWrites named.
///
/// The fd is borrowed; it must outlive this. Thread-compatible.
class GfxDevice {
 public:
  GfxDevice(Sys& sys, int fd, AbiDialect dialect) : sys_(&sys), fd_(fd), dialect_(dialect) {}

  /// Which kind of plane the device has. Changes nothing on the device. The dialect v1 has no
  /// probe; there a query decides. FAILED_PRECONDITION if it has none.
  absl::StatusOr<PlaneKind> Probe();

  /// Asks for a plane; `kind` is what Probe said. Returns 0 or the negated errno; on an error *info
  /// is empty.
  int Query(PlaneKind kind, uint32_t plane_type, PlaneInfo* info);

  /// The dma-buf `dmabuf_id` of a Query just made. Returns its fd, owned by the caller, or the
  /// negated errno; -EPROTO if what the device answered is no dma-buf.
  int GetDmabuf(uint32_t dmabuf_id);

  /// mdpy knows its own limits only after this was called once.
  absl::StatusOr<abi::DeviceInfo> GetDeviceInfo();

  struct Region {
    abi::RegionInfo info = {};
    /// All that the kernel returned, capabilities included.
    std::vector<uint8_t> bytes;
  };
  /// `index` is not checked against the device's num_regions: planes lie beyond it.
  absl::StatusOr<Region> GetRegionInfo(uint32_t index);

  /// What the kernel says of IRQ `index`, capabilities included.
  absl::StatusOr<std::vector<uint8_t>> GetIrqInfo(uint32_t index);

  /// VFIO_DEVICE_SET_IRQS for IRQ `index`, which must be after the PCI ones. `eventfd` is given
  /// with kIrqSetDataEventfd. PERMISSION_DENIED for a PCI one.
  absl::Status SetIrq(uint32_t index, uint32_t flags, uint32_t count, std::optional<int> eventfd);

  /// The draft flip ioctl of 2019-05; -1 disarms. Safe on kernels that have VFIO_DEVICE_FEATURE
  /// there.
  absl::Status SetFlipEventfd(int eventfd);

  /// Reads an aligned 4-byte register at `offset_bytes` of the device fd.
  absl::StatusOr<uint32_t> ReadRegister(uint64_t offset_bytes);

  /// Names the only range of the device fd that WriteRegister may write.
  void AllowEdidWrites(uint64_t offset_bytes, uint64_t size_bytes) {
    writable_offset_bytes_ = offset_bytes;
    writable_size_bytes_ = size_bytes;
  }
  /// Writes an aligned 4-byte register. PERMISSION_DENIED outside of what AllowEdidWrites named.
  absl::Status WriteRegister(uint64_t offset_bytes, uint32_t value);

  Sys& sys() const { return *sys_; }
  int fd() const { return fd_; }

 private:
  int QueryFinal(uint32_t flags, uint32_t plane_type, PlaneInfo* info);
  int QueryV15(uint32_t flags, uint32_t plane_type, PlaneInfo* info);
  int QueryV1(uint32_t plane_type, PlaneInfo* info);

  /// A dma-buf that the v1 ioctl installed in this process. While it is open, the kernel can give
  /// its number to no other file; hence an equal number is an equal buffer.
  struct V1Buffer {
    Fd fd;
    uint32_t id = 0;
  };

  Sys* sys_;
  int fd_;
  AbiDialect dialect_;
  uint64_t writable_offset_bytes_ = 0;
  uint64_t writable_size_bytes_ = 0;
  std::vector<V1Buffer> v1_buffers_;
  uint32_t v1_id_last_ = 0;
};

}  // namespace planecast
