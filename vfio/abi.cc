#include "vfio/abi.h"

#include <linux/dma-buf.h>
#include <linux/vfio.h>

namespace planecast::abi {

static_assert(kGetApiVersion == VFIO_GET_API_VERSION);
static_assert(kGroupGetDeviceFd == VFIO_GROUP_GET_DEVICE_FD);
static_assert(kDeviceGetInfo == VFIO_DEVICE_GET_INFO);
static_assert(kDeviceGetRegionInfo == VFIO_DEVICE_GET_REGION_INFO);
static_assert(kDeviceGetIrqInfo == VFIO_DEVICE_GET_IRQ_INFO);
static_assert(kDeviceSetIrqs == VFIO_DEVICE_SET_IRQS);
static_assert(kDeviceReset == VFIO_DEVICE_RESET);
static_assert(kQueryGfxPlane == VFIO_DEVICE_QUERY_GFX_PLANE);
static_assert(kGetGfxDmabuf == VFIO_DEVICE_GET_GFX_DMABUF);
static_assert(kDeviceFeature == VFIO_DEVICE_FEATURE);
static_assert(kDmabufSync == DMA_BUF_IOCTL_SYNC);

static_assert(kPlaneFlagProbe == VFIO_GFX_PLANE_TYPE_PROBE);
static_assert(kPlaneFlagDmabuf == VFIO_GFX_PLANE_TYPE_DMABUF);
static_assert(kPlaneFlagRegion == VFIO_GFX_PLANE_TYPE_REGION);
static_assert(offsetof(GfxPlaneInfo, drm_format_mod) ==
              offsetof(vfio_device_gfx_plane_info, drm_format_mod));
static_assert(offsetof(GfxPlaneInfo, x_hot) == offsetof(vfio_device_gfx_plane_info, x_hot));
static_assert(offsetof(GfxPlaneInfo, region_index_or_dmabuf_id) ==
              offsetof(vfio_device_gfx_plane_info, dmabuf_id));

static_assert(sizeof(RegionInfo) == sizeof(vfio_region_info));
static_assert(sizeof(RegionCapType) == sizeof(vfio_region_info_cap_type));
static_assert(sizeof(EdidRegs) == sizeof(vfio_region_gfx_edid));
static_assert(kRegionCapType == VFIO_REGION_INFO_CAP_TYPE);
static_assert(kRegionTypeGfx == VFIO_REGION_TYPE_GFX);
static_assert(kRegionSubtypeGfxEdid == VFIO_REGION_SUBTYPE_GFX_EDID);
static_assert(kEdidLinkUp == VFIO_DEVICE_GFX_LINK_STATE_UP);
static_assert(kEdidLinkDown == VFIO_DEVICE_GFX_LINK_STATE_DOWN);
static_assert(sizeof(IrqSet) == sizeof(vfio_irq_set));
static_assert(kIrqSetActionTrigger == VFIO_IRQ_SET_ACTION_TRIGGER);

}  // namespace planecast::abi
