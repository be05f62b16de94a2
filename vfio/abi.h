// The VFIO gfx-plane ABI: the layouts of Linux, and those of the drafts that were posted but never
// merged. Everything here is laid out by hand so that it does not depend on the kernel headers of
// the build machine; vfio/abi.cc checks the merged part against <linux/vfio.h>.
#pragma once

#include <cstddef>
#include <cstdint>

namespace planecast::abi {

// --- ioctl numbers. All are _IO(';', 100 + n): no size, no direction, so two ABIs can share one.

inline constexpr unsigned long kIoctlBase = 0x3b64;
inline constexpr unsigned long kGetApiVersion = kIoctlBase + 0;
inline constexpr unsigned long kCheckExtension = kIoctlBase + 1;
inline constexpr unsigned long kSetIommu = kIoctlBase + 2;
inline constexpr unsigned long kGroupGetStatus = kIoctlBase + 3;
inline constexpr unsigned long kGroupSetContainer = kIoctlBase + 4;
inline constexpr unsigned long kGroupUnsetContainer = kIoctlBase + 5;
inline constexpr unsigned long kGroupGetDeviceFd = kIoctlBase + 6;
inline constexpr unsigned long kDeviceGetInfo = kIoctlBase + 7;
inline constexpr unsigned long kDeviceGetRegionInfo = kIoctlBase + 8;
inline constexpr unsigned long kDeviceGetIrqInfo = kIoctlBase + 9;
inline constexpr unsigned long kDeviceSetIrqs = kIoctlBase + 10;
inline constexpr unsigned long kDeviceReset = kIoctlBase + 11;
inline constexpr unsigned long kQueryGfxPlane = kIoctlBase + 14;
inline constexpr unsigned long kGetGfxDmabuf = kIoctlBase + 15;
/// Linux since 5.7. The draft kSetGfxFlipEventfd of 2019 had the same number.
inline constexpr unsigned long kDeviceFeature = kIoctlBase + 17;
inline constexpr unsigned long kSetGfxFlipEventfd = kIoctlBase + 17;
inline constexpr unsigned long kDeviceBindIommufd = kIoctlBase + 18;
inline constexpr unsigned long kDeviceAttachIommufdPt = kIoctlBase + 19;
inline constexpr unsigned long kDeviceDetachIommufdPt = kIoctlBase + 20;

// --- dma-buf (linux/dma-buf.h).

/// f_type of a dma-buf's file system, since Linux 5.3.
inline constexpr uint64_t kDmabufFileSystem = 0x444d4142;
/// f_type of files that have no file system: dma-bufs before that, devices of a VFIO group.
inline constexpr uint64_t kAnonymousFileSystem = 0x09041934;

inline constexpr unsigned long kDmabufSync = 0x40086200;
inline constexpr unsigned long kDmabufExportSyncFile = 0xc0086202;
inline constexpr uint64_t kDmabufSyncRead = 1;
inline constexpr uint64_t kDmabufSyncWrite = 2;
inline constexpr uint64_t kDmabufSyncEnd = 4;

// --- Planes.

inline constexpr uint32_t kPlaneFlagProbe = 1;
inline constexpr uint32_t kPlaneFlagDmabuf = 2;
inline constexpr uint32_t kPlaneFlagRegion = 4;

/// enum drm_plane_type of the kernel; in no uapi header.
inline constexpr uint32_t kPlaneTypeOverlay = 0;
inline constexpr uint32_t kPlaneTypePrimary = 1;
inline constexpr uint32_t kPlaneTypeCursor = 2;

inline constexpr uint32_t kHotspotUnknown = 0xffffffff;

/// struct vfio_device_gfx_plane_info. Drivers read and write the first 60 bytes only.
struct GfxPlaneInfo {
  uint32_t argsz;
  uint32_t flags;
  uint32_t drm_plane_type;
  uint32_t drm_format;
  uint64_t drm_format_mod;
  uint32_t width;
  uint32_t height;
  uint32_t stride;
  uint32_t size;
  uint32_t x_pos;
  uint32_t y_pos;
  uint32_t x_hot;
  uint32_t y_hot;
  uint32_t region_index_or_dmabuf_id;
  /// Named since Linux 6.7, padding before; never written by a driver.
  uint32_t reserved;
};
static_assert(sizeof(GfxPlaneInfo) == 64);
inline constexpr uint32_t kGfxPlaneInfoMinSize = 60;

/// Draft v15 (2017-10): no hot-spot; GET takes a struct and returns 0.
struct V15GfxPlaneInfo {
  uint32_t argsz;
  uint32_t flags;
  uint32_t drm_plane_type;
  uint32_t drm_format;
  uint64_t drm_format_mod;
  uint32_t width;
  uint32_t height;
  uint32_t stride;
  uint32_t size;
  uint32_t x_pos;
  uint32_t y_pos;
  /// Signed in the draft.
  int32_t dmabuf_id;
  uint32_t padding;
};
static_assert(sizeof(V15GfxPlaneInfo) == 56);
inline constexpr uint32_t kV15GfxPlaneInfoMinSize = 52;

struct V15GfxDmabuf {
  uint32_t argsz;
  uint32_t flags;
  uint32_t dmabuf_id;
  /// Out.
  int32_t dmabuf_fd;
};
static_assert(sizeof(V15GfxDmabuf) == 16);

/// Draft v1 (2017-07): one ioctl gives plane and fd; an unchanged buffer gives the fd of before.
struct V1GfxPlaneInfo {
  uint64_t start;
  uint64_t drm_format_mod;
  uint32_t drm_format;
  uint32_t width;
  uint32_t height;
  uint32_t stride;
  uint32_t size;
  uint32_t x_pos;
  uint32_t y_pos;
  uint32_t padding;
};
static_assert(sizeof(V1GfxPlaneInfo) == 48);

struct V1QueryGfxPlane {
  uint32_t argsz;
  /// Must be 0.
  uint32_t flags;
  V1GfxPlaneInfo info;
  uint32_t plane_type;
  /// Out.
  int32_t fd;
  uint32_t plane_id;
  uint32_t padding;
};
static_assert(sizeof(V1QueryGfxPlane) == 72 && offsetof(V1QueryGfxPlane, fd) == 60);

// --- Device, regions, capability chains.

struct DeviceInfo {
  uint32_t argsz;
  uint32_t flags;
  uint32_t num_regions;
  uint32_t num_irqs;
};
static_assert(sizeof(DeviceInfo) == 16);

inline constexpr uint32_t kRegionFlagRead = 1;
inline constexpr uint32_t kRegionFlagWrite = 2;
inline constexpr uint32_t kRegionFlagMmap = 4;
inline constexpr uint32_t kRegionFlagCaps = 8;

struct RegionInfo {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t cap_offset;
  uint64_t size;
  uint64_t offset;
};
static_assert(sizeof(RegionInfo) == 32);

struct CapHeader {
  uint16_t id;
  uint16_t version;
  /// Offset of the next header from the start of the info struct; 0 ends the chain.
  uint32_t next;
};
static_assert(sizeof(CapHeader) == 8);

inline constexpr uint16_t kRegionCapType = 2;
inline constexpr uint32_t kRegionTypeGfx = 1;
inline constexpr uint32_t kRegionSubtypeGfxEdid = 1;

struct RegionCapType {
  CapHeader header;
  uint32_t type;
  uint32_t subtype;
};
static_assert(sizeof(RegionCapType) == 16);

/// Registers at the start of an EDID region.
struct EdidRegs {
  uint32_t edid_offset;
  uint32_t edid_max_size;
  uint32_t edid_size;
  uint32_t max_xres;
  uint32_t max_yres;
  uint32_t link_state;
};
static_assert(sizeof(EdidRegs) == 24);
inline constexpr uint32_t kEdidLinkUp = 1;
inline constexpr uint32_t kEdidLinkDown = 2;

/// First region and IRQ index after those that PCI fixes.
inline constexpr uint32_t kPciNumRegions = 9;
inline constexpr uint32_t kPciNumIrqs = 5;

// --- IRQs, and the flip drafts of 2019.

inline constexpr uint32_t kIrqFlagEventfd = 1;
inline constexpr uint32_t kIrqFlagMaskable = 2;
/// Draft.
inline constexpr uint32_t kIrqFlagCaps = 0x10;

/// struct vfio_irq_info; draft v3 and later append cap_offset.
struct IrqInfo {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t count;
  /// Drafts v3 to v6. RFC v2 has cap_offset at 12 and count here.
  uint32_t cap_offset;
};
static_assert(sizeof(IrqInfo) == 20);
inline constexpr uint32_t kIrqInfoMinSize = 16;

/// Id of the TYPE capability: 3 in drafts v2 to v5, 1 in v6; of DISPLAY: 4 in v5, 2 in v6.
inline constexpr uint16_t kIrqCapTypeV2ToV5 = 3;
inline constexpr uint16_t kIrqCapTypeV6 = 1;
inline constexpr uint16_t kIrqCapDisplayV5 = 4;
inline constexpr uint16_t kIrqCapDisplayV6 = 2;
inline constexpr uint32_t kIrqTypeGfx = 1;
/// RFC v2: 1 is the primary plane's flip, 2 the cursor's, one IRQ each. v3 on: 1 is the display.
inline constexpr uint32_t kIrqSubtypeDisplay = 1;
inline constexpr uint32_t kIrqSubtypeV2Cursor = 2;

struct IrqCapType {
  CapHeader header;
  uint32_t type;
  uint32_t subtype;
};
static_assert(sizeof(IrqCapType) == 16);

/// Drafts v5 and v6: what a flip adds to the eventfd.
struct IrqCapDisplay {
  CapHeader header;
  uint64_t cursor_event_value;
  uint64_t primary_event_value;
};
static_assert(sizeof(IrqCapDisplay) == 24);
inline constexpr uint64_t kCursorEventValue = uint64_t{1} << 48;
inline constexpr uint64_t kPrimaryEventValue = uint64_t{1} << 56;

/// struct vfio_irq_set without its trailing data.
struct IrqSet {
  uint32_t argsz;
  uint32_t flags;
  uint32_t index;
  uint32_t start;
  uint32_t count;
};
static_assert(sizeof(IrqSet) == 20);
inline constexpr uint32_t kIrqSetDataNone = 1;
inline constexpr uint32_t kIrqSetDataEventfd = 4;
inline constexpr uint32_t kIrqSetActionMask = 8;
inline constexpr uint32_t kIrqSetActionUnmask = 0x10;
inline constexpr uint32_t kIrqSetActionTrigger = 0x20;

// --- cdev and iommufd.

struct BindIommufd {
  uint32_t argsz;
  uint32_t flags;
  int32_t iommufd;
  /// Out.
  uint32_t devid;
};
static_assert(sizeof(BindIommufd) == 16);

/// VFIO_DEVICE_FEATURE's header.
struct DeviceFeature {
  uint32_t argsz;
  uint32_t flags;
};
static_assert(sizeof(DeviceFeature) == 8);

}  // namespace planecast::abi
