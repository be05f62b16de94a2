#include "encoder/va/va_import.h"

#include <va/va_drmcommon.h>

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "encoder/pixels/packed_format.h"

namespace planecast {
namespace {

VASurfaceAttrib IntegerAttribute(VASurfaceAttribType type, uint32_t value) {
  VASurfaceAttrib attribute{};
  attribute.type = type;
  attribute.flags = VA_SURFACE_ATTRIB_SETTABLE;
  attribute.value.type = VAGenericValueTypeInteger;
  attribute.value.value.i = static_cast<int>(value);
  return attribute;
}

VADRMPRIMESurfaceDescriptor Describe(const PlaneBuffer& buffer, uint32_t va_fourcc) {
  const PlaneLayout& layout = buffer.layout();
  VADRMPRIMESurfaceDescriptor descriptor{};
  descriptor.fourcc = va_fourcc;
  descriptor.width = layout.width_px;
  descriptor.height = layout.height_px;
  descriptor.num_objects = 1;
  descriptor.objects[0].fd = buffer.dmabuf_fd();
  descriptor.objects[0].size = static_cast<uint32_t>(layout.size_bytes);
  descriptor.objects[0].drm_format_modifier = layout.modifier;
  descriptor.num_layers = 1;
  descriptor.layers[0].drm_format = layout.fourcc;
  descriptor.layers[0].num_planes = 1;
  descriptor.layers[0].pitch[0] = layout.stride_bytes;
  return descriptor;
}

}  // namespace

absl::StatusOr<VaSurface> VaImports::Import(const PlaneBuffer& buffer) {
  const PlaneLayout& layout = buffer.layout();
  if (buffer.dmabuf_fd() < 0) {
    return absl::FailedPreconditionError("the plane is a region of the device and no dma-buf");
  }
  const VaFormat format = VaFormatOf(layout.fourcc);
  if (format.fourcc == 0) {
    return absl::UnimplementedError(
        absl::StrCat("VA-API has no name for format ", FourccName(layout.fourcc)));
  }
  if (layout.size_bytes > std::numeric_limits<uint32_t>::max()) {
    return absl::FailedPreconditionError("the dma-buf is larger than VA-API can say");
  }
  VADRMPRIMESurfaceDescriptor descriptor = Describe(buffer, format.fourcc);
  // The memory type first: a driver reads the list in order, and the descriptor by the type.
  VASurfaceAttrib attributes[3] = {
      IntegerAttribute(VASurfaceAttribMemoryType, VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2),
      IntegerAttribute(VASurfaceAttribPixelFormat, format.fourcc),
      {},
  };
  attributes[2].type = VASurfaceAttribExternalBufferDescriptor;
  attributes[2].flags = VA_SURFACE_ATTRIB_SETTABLE;
  attributes[2].value.type = VAGenericValueTypePointer;
  attributes[2].value.value.p = &descriptor;
  VASurfaceID id = VA_INVALID_SURFACE;
  const VAStatus status = vaCreateSurfaces(display_->get(), format.rt_format, layout.width_px,
                                           layout.height_px, &id, 1, attributes, 3);
  if (status != VA_STATUS_SUCCESS) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the VA driver refuses the dma-buf (%s, %s, %ux%u, stride %u): %s",
                        FourccName(layout.fourcc), ModifierName(layout.modifier), layout.width_px,
                        layout.height_px, layout.stride_bytes, vaErrorStr(status)));
  }
  return VaSurface(display_->get(), id);
}

absl::StatusOr<VASurfaceID> VaImports::Get(const std::shared_ptr<const PlaneBuffer>& buffer) {
  Sweep();
  const auto known = entries_.find(buffer->serial());
  if (known != entries_.end()) {
    if (!known->second.refusal.ok()) return known->second.refusal;
    return known->second.surface.id();
  }
  // More than this is no flipping: forget them all rather than choose.
  if (entries_.size() >= kEntriesMax) entries_.clear();
  Entry entry{.buffer = buffer, .surface = {}, .refusal = {}};
  auto surface = Import(*buffer);
  if (surface.ok()) {
    entry.surface = *std::move(surface);
  } else {
    entry.refusal = surface.status();
  }
  const Entry& stored = entries_.emplace(buffer->serial(), std::move(entry)).first->second;
  if (!stored.refusal.ok()) return stored.refusal;
  return stored.surface.id();
}

void VaImports::Sweep() {
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    entry = entry->second.buffer.expired() ? entries_.erase(entry) : std::next(entry);
  }
}

}  // namespace planecast
