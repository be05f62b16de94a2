// What libva loads: the table of calls, each handed on to the display's Driver.
#include "encoder/testing/va_driver/driver.h"

#include <va/va_backend.h>
#include <va/va_backend_vpp.h>

#include <memory>

namespace planecast::sw_va {
namespace {

constexpr int kListMax = 32;

Driver& Of(VADriverContextP context) {
  return *static_cast<Driver*>(context->pDriverData);
}

Rect ToRect(int x, int y, uint32_t width, uint32_t height) {
  return {x, y, width, height};
}

VAStatus Terminate(VADriverContextP context) {
  const std::unique_ptr<Driver> owned(static_cast<Driver*>(context->pDriverData));
  context->pDriverData = nullptr;
  return VA_STATUS_SUCCESS;
}

// Calls that no client here has a use for, but that libva wants to find.
VAStatus NoImagePalette(VADriverContextP, VAImageID, unsigned char*) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoSubpictureFormats(VADriverContextP, VAImageFormat*, unsigned int*, unsigned int* count) {
  *count = 0;
  return VA_STATUS_SUCCESS;
}
VAStatus NoCreateSubpicture(VADriverContextP, VAImageID, VASubpictureID*) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoSubpicture(VADriverContextP, VASubpictureID) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoSubpictureImage(VADriverContextP, VASubpictureID, VAImageID) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoSubpictureChromakey(VADriverContextP, VASubpictureID, unsigned int, unsigned int,
                               unsigned int) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoSubpictureAlpha(VADriverContextP, VASubpictureID, float) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoAssociate(VADriverContextP, VASubpictureID, VASurfaceID*, int, short, short,
                     unsigned short, unsigned short, short, short, unsigned short, unsigned short,
                     unsigned int) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoDeassociate(VADriverContextP, VASubpictureID, VASurfaceID*, int) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoDisplayAttributes(VADriverContextP, VADisplayAttribute*, int* count) {
  *count = 0;
  return VA_STATUS_SUCCESS;
}
VAStatus NoGetDisplayAttributes(VADriverContextP, VADisplayAttribute*, int) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoPutSurface(VADriverContextP, VASurfaceID, void*, short, short, unsigned short,
                      unsigned short, short, short, unsigned short, unsigned short, VARectangle*,
                      unsigned int, unsigned int) {
  return VA_STATUS_ERROR_UNIMPLEMENTED;
}
VAStatus NoFilters(VADriverContextP, VAContextID, VAProcFilterType*, unsigned int* count) {
  *count = 0;
  return VA_STATUS_SUCCESS;
}
VAStatus NoFilterCaps(VADriverContextP, VAContextID, VAProcFilterType, void*, unsigned int*) {
  return VA_STATUS_ERROR_UNSUPPORTED_FILTER;
}

void FillConfigCalls(VADriverVTable& table) {
  table.vaTerminate = Terminate;
  table.vaQueryConfigProfiles = [](VADriverContextP c, VAProfile* list, int* count) {
    return Of(c).QueryProfiles(list, count);
  };
  table.vaQueryConfigEntrypoints = [](VADriverContextP c, VAProfile profile, VAEntrypoint* list,
                                      int* count) {
    return Of(c).QueryEntrypoints(profile, list, count);
  };
  table.vaGetConfigAttributes = [](VADriverContextP c, VAProfile profile, VAEntrypoint entrypoint,
                                   VAConfigAttrib* list, int count) {
    return Of(c).GetAttributes(profile, entrypoint, list, count);
  };
  table.vaCreateConfig = [](VADriverContextP c, VAProfile profile, VAEntrypoint entrypoint,
                            VAConfigAttrib* list, int count, VAConfigID* id) {
    return Of(c).CreateConfig(profile, entrypoint, list, count, id);
  };
  table.vaDestroyConfig = [](VADriverContextP c, VAConfigID id) { return Of(c).DestroyConfig(id); };
  table.vaQueryConfigAttributes = [](VADriverContextP c, VAConfigID id, VAProfile* profile,
                                     VAEntrypoint* entrypoint, VAConfigAttrib* list, int* count) {
    return Of(c).QueryConfig(id, profile, entrypoint, list, count);
  };
  table.vaCreateContext = [](VADriverContextP c, VAConfigID config, int width, int height, int,
                             VASurfaceID*, int, VAContextID* id) {
    return Of(c).CreateContext(config, width, height, id);
  };
  table.vaDestroyContext = [](VADriverContextP c, VAContextID id) {
    return Of(c).DestroyContext(id);
  };
}

void FillSurfaceCalls(VADriverVTable& table, const Persona& persona) {
  table.vaCreateSurfaces = [](VADriverContextP c, int width, int height, int format, int count,
                              VASurfaceID* ids) {
    return Of(c).CreateSurfaces(static_cast<uint32_t>(format), static_cast<uint32_t>(width),
                                static_cast<uint32_t>(height), ids, static_cast<uint32_t>(count),
                                nullptr, 0);
  };
  table.vaCreateSurfaces2 = [](VADriverContextP c, unsigned int format, unsigned int width,
                               unsigned int height, VASurfaceID* ids, unsigned int count,
                               VASurfaceAttrib* list, unsigned int attributes) {
    return Of(c).CreateSurfaces(format, width, height, ids, count, list, attributes);
  };
  table.vaDestroySurfaces = [](VADriverContextP c, VASurfaceID* ids, int count) {
    return Of(c).DestroySurfaces(ids, count);
  };
  table.vaQuerySurfaceAttributes = [](VADriverContextP c, VAConfigID config, VASurfaceAttrib* list,
                                      unsigned int* count) {
    return Of(c).QuerySurfaceAttributes(config, list, count);
  };
  table.vaExportSurfaceHandle = [](VADriverContextP c, VASurfaceID id, uint32_t type,
                                   uint32_t flags, void* descriptor) {
    return Of(c).ExportSurface(id, type, flags, descriptor);
  };
  table.vaSyncSurface = [](VADriverContextP c, VASurfaceID id) {
    return Of(c).SyncSurface(id, std::nullopt);
  };
  if (persona.sync_buffer) {
    table.vaSyncSurface2 = [](VADriverContextP c, VASurfaceID id, uint64_t timeout_ns) {
      return Of(c).SyncSurface(id, timeout_ns);
    };
    table.vaSyncBuffer = [](VADriverContextP c, VABufferID id, uint64_t timeout_ns) {
      return Of(c).SyncBuffer(id, timeout_ns);
    };
  }
  table.vaQuerySurfaceStatus = [](VADriverContextP c, VASurfaceID id, VASurfaceStatus* status) {
    return Of(c).QueryStatus(id, status);
  };
  table.vaPutSurface = NoPutSurface;
}

void FillBufferCalls(VADriverVTable& table) {
  table.vaCreateBuffer = [](VADriverContextP c, VAContextID context, VABufferType type,
                            unsigned int size, unsigned int elements, void* data, VABufferID* id) {
    return Of(c).CreateBuffer(context, type, size, elements, data, id);
  };
  table.vaBufferSetNumElements = [](VADriverContextP c, VABufferID id, unsigned int elements) {
    return Of(c).SetElements(id, elements);
  };
  table.vaMapBuffer = [](VADriverContextP c, VABufferID id, void** data) {
    return Of(c).MapBuffer(id, data);
  };
  table.vaUnmapBuffer = [](VADriverContextP c, VABufferID id) { return Of(c).UnmapBuffer(id); };
  table.vaDestroyBuffer = [](VADriverContextP c, VABufferID id) { return Of(c).DestroyBuffer(id); };
  table.vaBeginPicture = [](VADriverContextP c, VAContextID context, VASurfaceID target) {
    return Of(c).BeginPicture(context, target);
  };
  table.vaRenderPicture = [](VADriverContextP c, VAContextID context, VABufferID* buffers,
                             int count) { return Of(c).RenderPicture(context, buffers, count); };
  table.vaEndPicture = [](VADriverContextP c, VAContextID context) {
    return Of(c).EndPicture(context);
  };
}

void FillImageCalls(VADriverVTable& table) {
  table.vaQueryImageFormats = [](VADriverContextP c, VAImageFormat* list, int* count) {
    return Of(c).QueryImageFormats(list, count);
  };
  table.vaCreateImage = [](VADriverContextP c, VAImageFormat* format, int width, int height,
                           VAImage* image) {
    return Of(c).CreateImage(*format, width, height, image);
  };
  table.vaDeriveImage = [](VADriverContextP c, VASurfaceID surface, VAImage* image) {
    return Of(c).DeriveImage(surface, image);
  };
  table.vaDestroyImage = [](VADriverContextP c, VAImageID id) { return Of(c).DestroyImage(id); };
  table.vaGetImage = [](VADriverContextP c, VASurfaceID surface, int x, int y, unsigned int width,
                        unsigned int height, VAImageID image) {
    return Of(c).GetImage(surface, ToRect(x, y, width, height), image);
  };
  table.vaPutImage = [](VADriverContextP c, VASurfaceID surface, VAImageID image, int from_x,
                        int from_y, unsigned int from_width, unsigned int from_height, int to_x,
                        int to_y, unsigned int to_width, unsigned int to_height) {
    return Of(c).PutImage(surface, image, ToRect(from_x, from_y, from_width, from_height),
                          ToRect(to_x, to_y, to_width, to_height));
  };
  table.vaSetImagePalette = NoImagePalette;
  table.vaQuerySubpictureFormats = NoSubpictureFormats;
  table.vaCreateSubpicture = NoCreateSubpicture;
  table.vaDestroySubpicture = NoSubpicture;
  table.vaSetSubpictureImage = NoSubpictureImage;
  table.vaSetSubpictureChromakey = NoSubpictureChromakey;
  table.vaSetSubpictureGlobalAlpha = NoSubpictureAlpha;
  table.vaAssociateSubpicture = NoAssociate;
  table.vaDeassociateSubpicture = NoDeassociate;
  table.vaQueryDisplayAttributes = NoDisplayAttributes;
  table.vaGetDisplayAttributes = NoGetDisplayAttributes;
  table.vaSetDisplayAttributes = NoGetDisplayAttributes;
}

void FillProcessingCalls(VADriverVTableVPP& table) {
  table.version = VA_DRIVER_VTABLE_VPP_VERSION;
  table.vaQueryVideoProcFilters = NoFilters;
  table.vaQueryVideoProcFilterCaps = NoFilterCaps;
  table.vaQueryVideoProcPipelineCaps = [](VADriverContextP c, VAContextID, VABufferID*,
                                          unsigned int, VAProcPipelineCaps* caps) {
    return Of(c).QueryPipelineCaps(caps);
  };
}

}  // namespace
}  // namespace planecast::sw_va

extern "C" __attribute__((visibility("default"))) VAStatus __vaDriverInit_1_0(
    VADriverContextP context) {
  using planecast::sw_va::Driver;
  auto driver = std::make_unique<Driver>();
  if (!driver->valid()) return VA_STATUS_ERROR_INVALID_PARAMETER;
  context->max_profiles = planecast::sw_va::kListMax;
  context->max_entrypoints = planecast::sw_va::kListMax;
  context->max_attributes = planecast::sw_va::kListMax;
  context->max_image_formats = planecast::sw_va::kListMax;
  context->max_subpic_formats = 1;
  context->max_display_attributes = 1;
  context->str_vendor = driver->persona().vendor;
  planecast::sw_va::FillConfigCalls(*context->vtable);
  planecast::sw_va::FillSurfaceCalls(*context->vtable, driver->persona());
  planecast::sw_va::FillBufferCalls(*context->vtable);
  planecast::sw_va::FillImageCalls(*context->vtable);
  if (context->vtable_vpp != nullptr) {
    planecast::sw_va::FillProcessingCalls(*context->vtable_vpp);
  }
  context->pDriverData = driver.release();
  return VA_STATUS_SUCCESS;
}
