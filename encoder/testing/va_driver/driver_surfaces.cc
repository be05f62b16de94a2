// Surfaces: allocation, import, export.
#include <drm_fourcc.h>
#include <unistd.h>
#include <va/va_drmcommon.h>

#include <algorithm>

#include "encoder/testing/va_driver/counters.h"
#include "encoder/testing/va_driver/driver.h"

namespace planecast::sw_va {
namespace {

constexpr uint32_t kPitchAlignment = 64;

struct FormatRow {
  uint32_t va_fourcc;
  PackedLayout layout;
};
// Channels from the low bit; VA names 8-bit formats by bytes, DRM by words.
const FormatRow kFormats[] = {
    {VA_FOURCC_BGRX, {DRM_FORMAT_XRGB8888, 4, 16, 8, 0, 8, 8, 8, false}},
    {VA_FOURCC_BGRA, {DRM_FORMAT_ARGB8888, 4, 16, 8, 0, 8, 8, 8, true}},
    {VA_FOURCC_RGBX, {DRM_FORMAT_XBGR8888, 4, 0, 8, 16, 8, 8, 8, false}},
    {VA_FOURCC_RGBA, {DRM_FORMAT_ABGR8888, 4, 0, 8, 16, 8, 8, 8, true}},
    {VA_FOURCC_RGB565, {DRM_FORMAT_RGB565, 2, 11, 5, 0, 5, 6, 5, false}},
    {VA_FOURCC_X2R10G10B10, {DRM_FORMAT_XRGB2101010, 4, 20, 10, 0, 10, 10, 10, false}},
    {VA_FOURCC_X2B10G10R10, {DRM_FORMAT_XBGR2101010, 4, 0, 10, 20, 10, 10, 10, false}},
};

std::optional<Tiling> TilingOf(uint64_t modifier) {
  switch (modifier) {
    case DRM_FORMAT_MOD_LINEAR:
      return Tiling::kLinear;
    case I915_FORMAT_MOD_X_TILED:
      return Tiling::kIntelX;
    case I915_FORMAT_MOD_Y_TILED:
      return Tiling::kIntelY;
    case I915_FORMAT_MOD_Yf_TILED:
      return Tiling::kIntelYf;
    default:
      return std::nullopt;
  }
}

uint32_t Align(uint32_t value, uint32_t to) {
  return (value + to - 1) / to * to;
}

void Allocate(Surface& surface) {
  const uint32_t lines = Align(surface.height_px, 16);
  if (surface.packed != nullptr) {
    surface.pitch[0] = Align(surface.width_px * surface.packed->bytes, kPitchAlignment);
    surface.memory = Memory::Allocate(surface.pitch[0] * lines);
    return;
  }
  surface.pitch[0] = surface.pitch[1] = Align(surface.width_px, kPitchAlignment);
  surface.offset[1] = surface.pitch[0] * lines;
  surface.memory = Memory::Allocate(surface.offset[1] * 3 / 2);
}

}  // namespace

const PackedLayout* PackedLayoutOf(uint32_t va_fourcc) {
  for (const FormatRow& row : kFormats) {
    if (row.va_fourcc == va_fourcc) return &row.layout;
  }
  return nullptr;
}

uint32_t VaFourccOf(uint32_t drm_fourcc) {
  for (const FormatRow& row : kFormats) {
    if (row.layout.fourcc_drm == drm_fourcc) return row.va_fourcc;
  }
  return 0;
}

std::shared_ptr<Surface> Driver::FindSurface(VASurfaceID id) const {
  const auto found = surfaces_.find(id);
  return found != surfaces_.end() ? found->second : nullptr;
}

VAStatus Driver::QuerySurfaceAttributes(VAConfigID config, VASurfaceAttrib* attributes,
                                        uint32_t* count) {
  const std::lock_guard lock(mutex_);
  const auto found = configs_.find(config);
  if (found == configs_.end()) return VA_STATUS_ERROR_INVALID_CONFIG;
  std::vector<VASurfaceAttrib> list;
  const auto add_integer = [&](VASurfaceAttribType type, uint32_t value, uint32_t flags) {
    VASurfaceAttrib attribute{};
    attribute.type = type;
    attribute.flags = flags;
    attribute.value.type = VAGenericValueTypeInteger;
    attribute.value.value.i = static_cast<int>(value);
    list.push_back(attribute);
  };
  constexpr uint32_t kBoth = VA_SURFACE_ATTRIB_GETTABLE | VA_SURFACE_ATTRIB_SETTABLE;
  add_integer(VASurfaceAttribPixelFormat, VA_FOURCC_NV12, kBoth);
  if (!found->second.encodes()) {
    for (const FormatRow& row : kFormats) {
      add_integer(VASurfaceAttribPixelFormat, row.va_fourcc, kBoth);
    }
  }
  add_integer(VASurfaceAttribMinWidth, 16, VA_SURFACE_ATTRIB_GETTABLE);
  add_integer(VASurfaceAttribMaxWidth, persona_->width_max_px, VA_SURFACE_ATTRIB_GETTABLE);
  add_integer(VASurfaceAttribMinHeight, 16, VA_SURFACE_ATTRIB_GETTABLE);
  add_integer(VASurfaceAttribMaxHeight, persona_->height_max_px, VA_SURFACE_ATTRIB_GETTABLE);
  add_integer(VASurfaceAttribMemoryType,
              VA_SURFACE_ATTRIB_MEM_TYPE_VA | VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2, kBoth);
  VASurfaceAttrib descriptor{};
  descriptor.type = VASurfaceAttribExternalBufferDescriptor;
  descriptor.flags = VA_SURFACE_ATTRIB_SETTABLE;
  descriptor.value.type = VAGenericValueTypePointer;
  list.push_back(descriptor);
  const auto needed = static_cast<uint32_t>(list.size());
  const bool fits = attributes == nullptr || *count >= needed;
  if (attributes != nullptr && fits) std::copy(list.begin(), list.end(), attributes);
  *count = needed;
  return fits ? VA_STATUS_SUCCESS : VA_STATUS_ERROR_MAX_NUM_EXCEEDED;
}

VAStatus Driver::ImportSurface(const VASurfaceAttrib* attributes, uint32_t count, uint32_t width,
                               uint32_t height, Surface* surface) {
  const VADRMPRIMESurfaceDescriptor* descriptor = nullptr;
  bool type_seen = false;
  for (uint32_t i = 0; i < count; ++i) {
    if (attributes[i].type == VASurfaceAttribMemoryType) type_seen = true;
    if (attributes[i].type != VASurfaceAttribExternalBufferDescriptor) continue;
    if (persona_->memory_type_first && !type_seen) {
      return Reject(VA_STATUS_ERROR_INVALID_PARAMETER,
                    "the external buffer descriptor comes before the memory type");
    }
    descriptor = static_cast<const VADRMPRIMESurfaceDescriptor*>(attributes[i].value.value.p);
  }
  if (descriptor == nullptr) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "import without a descriptor");
  }
  if (faults_.Has("import-refused")) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "fault: import refused");
  }
  if (descriptor->width != width || descriptor->height != height) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER,
                  "import of another size than the descriptor's");
  }
  if (descriptor->num_objects != 1 || descriptor->num_layers != 1 ||
      descriptor->layers[0].num_planes != 1 || descriptor->layers[0].object_index[0] != 0) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "only imports of one plane in one object");
  }
  const PackedLayout* packed = PackedLayoutOf(descriptor->fourcc);
  if (packed == nullptr) {
    return Reject(VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT, "import of an unknown fourcc");
  }
  if (packed->fourcc_drm != descriptor->layers[0].drm_format) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "VA fourcc and DRM format differ");
  }
  const std::optional<Tiling> tiling = TilingOf(descriptor->objects[0].drm_format_modifier);
  if (!tiling.has_value() || (*tiling != Tiling::kLinear && !persona_->tiled_imports)) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "import of a modifier that is not offered");
  }
  const uint64_t pitch = descriptor->layers[0].pitch[0];
  const uint64_t offset = descriptor->layers[0].offset[0];
  const uint64_t bytes = PlaneBytes(*tiling, packed->bytes, pitch, height);
  const uint64_t last_line = *tiling == Tiling::kLinear && height > 0
                                 ? pitch * (height - 1) + uint64_t{width} * packed->bytes
                                 : bytes;
  if (bytes == 0 || pitch < uint64_t{width} * packed->bytes ||
      offset + last_line > descriptor->objects[0].size || offset % kPitchAlignment != 0) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "import beyond its object");
  }
  const off_t end = lseek(descriptor->objects[0].fd, 0, SEEK_END);
  if (end >= 0 && static_cast<uint64_t>(end) < offset + last_line) {
    return Reject(VA_STATUS_ERROR_INVALID_PARAMETER, "import beyond the dma-buf's real size");
  }
  surface->memory = Memory::Import(descriptor->objects[0].fd, offset + last_line);
  if (surface->memory == nullptr) {
    return Reject(VA_STATUS_ERROR_ALLOCATION_FAILED, "the dma-buf can't be mapped");
  }
  surface->fourcc = descriptor->fourcc;
  surface->packed = packed;
  surface->tiling = *tiling;
  surface->offset[0] = offset;
  surface->pitch[0] = pitch;
  surface->imported = true;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::CreateSurfaces(uint32_t rt_format, uint32_t width, uint32_t height,
                                VASurfaceID* ids, uint32_t count, const VASurfaceAttrib* attributes,
                                uint32_t attribute_count) {
  const std::lock_guard lock(mutex_);
  if (lost_) return Lost();
  if (width == 0 || height == 0 || width > 16384 || height > 16384) {
    return Reject(VA_STATUS_ERROR_RESOLUTION_NOT_SUPPORTED, "surface of no possible size");
  }
  uint32_t fourcc = rt_format == VA_RT_FORMAT_RGB32 ? VA_FOURCC_BGRX : VA_FOURCC_NV12;
  uint32_t memory_type = VA_SURFACE_ATTRIB_MEM_TYPE_VA;
  for (uint32_t i = 0; i < attribute_count; ++i) {
    const auto value = static_cast<uint32_t>(attributes[i].value.value.i);
    if (attributes[i].type == VASurfaceAttribPixelFormat) fourcc = value;
    if (attributes[i].type == VASurfaceAttribMemoryType) memory_type = value;
  }
  if (fourcc != VA_FOURCC_NV12 && PackedLayoutOf(fourcc) == nullptr) {
    return Reject(VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT, "surface of an unknown fourcc");
  }
  Counters& counters = GlobalCounters();
  for (uint32_t i = 0; i < count; ++i) {
    auto surface = std::make_shared<Surface>();
    surface->fourcc = fourcc;
    surface->packed = PackedLayoutOf(fourcc);
    surface->width_px = width;
    surface->height_px = height;
    if (memory_type == VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2) {
      const VAStatus status =
          ImportSurface(attributes, attribute_count, width, height, surface.get());
      if (status != VA_STATUS_SUCCESS) return status;
      ++counters.imports;
      ++counters.imports_alive;
    } else if (memory_type == VA_SURFACE_ATTRIB_MEM_TYPE_VA) {
      Allocate(*surface);
      if (surface->memory == nullptr) return VA_STATUS_ERROR_ALLOCATION_FAILED;
    } else {
      return Reject(VA_STATUS_ERROR_UNSUPPORTED_MEMORY_TYPE, "memory type is not offered");
    }
    ids[i] = next_id_++;
    surfaces_[ids[i]] = std::move(surface);
    ++counters.surfaces_alive;
  }
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::DestroySurfaces(const VASurfaceID* ids, int count) {
  const std::lock_guard lock(mutex_);
  Counters& counters = GlobalCounters();
  for (int i = 0; i < count; ++i) {
    const std::shared_ptr<Surface> surface = FindSurface(ids[i]);
    if (surface == nullptr) return Reject(VA_STATUS_ERROR_INVALID_SURFACE, "no such surface");
    if (!worker_.Done(surface->job)) {
      return Reject(VA_STATUS_ERROR_SURFACE_BUSY, "a surface is destroyed while it is in flight");
    }
    counters.imports_alive -= surface->imported ? 1 : 0;
    --counters.surfaces_alive;
    surfaces_.erase(ids[i]);
  }
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::ExportSurface(VASurfaceID id, uint32_t memory_type, uint32_t /*flags*/,
                               void* descriptor) {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<Surface> surface = FindSurface(id);
  if (surface == nullptr) return Reject(VA_STATUS_ERROR_INVALID_SURFACE, "no such surface");
  if (memory_type != VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2) {
    return Reject(VA_STATUS_ERROR_UNSUPPORTED_MEMORY_TYPE, "export as PRIME_2 only");
  }
  const int fd = surface->memory->Duplicate();
  if (fd < 0) return VA_STATUS_ERROR_ALLOCATION_FAILED;
  auto& out = *static_cast<VADRMPRIMESurfaceDescriptor*>(descriptor);
  out = {};
  out.fourcc = surface->fourcc;
  out.width = surface->width_px;
  out.height = surface->height_px;
  out.num_objects = 1;
  out.objects[0].fd = fd;
  out.objects[0].size = static_cast<uint32_t>(surface->memory->size_bytes());
  out.objects[0].drm_format_modifier = DRM_FORMAT_MOD_LINEAR;
  out.num_layers = 1;
  out.layers[0].drm_format =
      surface->packed != nullptr ? surface->packed->fourcc_drm : DRM_FORMAT_NV12;
  out.layers[0].num_planes = surface->packed != nullptr ? 1 : 2;
  for (size_t plane = 0; plane < out.layers[0].num_planes; ++plane) {
    out.layers[0].offset[plane] = static_cast<uint32_t>(surface->offset[plane]);
    out.layers[0].pitch[plane] = static_cast<uint32_t>(surface->pitch[plane]);
  }
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::SyncSurface(VASurfaceID id, std::optional<uint64_t> timeout_ns) {
  uint64_t job = 0;
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return Lost();
    const std::shared_ptr<Surface> surface = FindSurface(id);
    if (surface == nullptr) return Reject(VA_STATUS_ERROR_INVALID_SURFACE, "no such surface");
    job = surface->job;
  }
  return worker_.Wait(job, timeout_ns) ? VA_STATUS_SUCCESS : VA_STATUS_ERROR_TIMEDOUT;
}

VAStatus Driver::QueryStatus(VASurfaceID id, VASurfaceStatus* status) {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<Surface> surface = FindSurface(id);
  if (surface == nullptr) return Reject(VA_STATUS_ERROR_INVALID_SURFACE, "no such surface");
  *status = worker_.Done(surface->job) ? VASurfaceReady : VASurfaceRendering;
  return VA_STATUS_SUCCESS;
}

}  // namespace planecast::sw_va
