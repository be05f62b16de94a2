// What the driver refuses outside of pictures: configs, surfaces, imports, buffers, images,
// processing.
#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/encoder/va/va_testing.h"
#include "tests/encoder/va_driver/va_client.h"

namespace planecast::testing {
namespace {

constexpr VAGenericID kNothing = 0x7fff;

template <typename Client>
struct Refusal {
  std::string why;
  std::function<VAStatus(Client&)> call;
  std::string persona = "ihd";
  std::string faults = {};
};

template <typename Client>
void ExpectRefused(const Refusal<Client>& refusal) {
  SCOPED_TRACE(refusal.why + ", " + refusal.persona);
  Client client(refusal.persona, refusal.faults);
  const uint64_t before = SwCounters().rejected_calls;
  EXPECT_NE(refusal.call(client), VA_STATUS_SUCCESS);
  EXPECT_EQ(SwLastRejection(), refusal.why);
  EXPECT_GT(SwCounters().rejected_calls, before);
}

VAStatus CreateConfig(VaClient& client, VAProfile profile, VAEntrypoint entrypoint,
                      std::vector<VAConfigAttrib> attributes) {
  VAConfigID id = VA_INVALID_ID;
  return vaCreateConfig(client.display(), profile, entrypoint, attributes.data(),
                        static_cast<int>(attributes.size()), &id);
}

auto EncodeConfig(VAConfigAttribType type, uint32_t value) {
  return [=](VaClient& client) {
    return CreateConfig(client, VAProfileH264Main, VAEntrypointEncSlice, {{type, value}});
  };
}

VAStatus CreateContext(VaClient& client, VAConfigID config, int width, int height) {
  VAContextID id = VA_INVALID_ID;
  return vaCreateContext(client.display(), config, width, height, VA_PROGRESSIVE, nullptr, 0, &id);
}

TEST(VaDriverRefusals, Configs) {
  const Refusal<VaClient> refusals[] = {
      {"no such profile and entrypoint",
       [](auto& c) { return CreateConfig(c, VAProfileH264High, VAEntrypointEncSlice, {}); },
       "minimal"},
      {"no such profile and entrypoint",
       [](auto& c) { return CreateConfig(c, VAProfileH264Main, VAEntrypointEncSlice, {}); },
       "ihd-lp"},
      {"a processing config takes RTFormat only",
       [](auto& c) {
         return CreateConfig(c, VAProfileNone, VAEntrypointVideoProc,
                             {{VAConfigAttribRateControl, VA_RC_CQP}});
       },
       "radeonsi"},
      {"RTFormat is not offered", EncodeConfig(VAConfigAttribRTFormat, VA_RT_FORMAT_YUV444)},
      {"config attribute " + std::to_string(VAConfigAttribEncPackedHeaders) + " is not offered",
       EncodeConfig(VAConfigAttribEncPackedHeaders, VA_ENC_PACKED_HEADER_SLICE), "radeonsi-old"},
      {"config attribute " + std::to_string(VAConfigAttribRateControl) + " is not offered",
       EncodeConfig(VAConfigAttribRateControl, VA_RC_CQP), "minimal"},
      {"RateControl must be one of those offered",
       EncodeConfig(VAConfigAttribRateControl, VA_RC_CQP | VA_RC_CBR)},
      {"RateControl must be one of those offered",
       EncodeConfig(VAConfigAttribRateControl, VA_RC_AVBR)},
      {"packed headers beyond those offered", EncodeConfig(VAConfigAttribEncPackedHeaders, 0x20)},
      {"config attribute " + std::to_string(VAConfigAttribEncMaxSlices) + " must be as offered",
       EncodeConfig(VAConfigAttribEncMaxSlices, 1)},
      {"no such config", [](auto& c) { return vaDestroyConfig(c.display(), kNothing); }},
      {"no such config", [](auto& c) { return CreateContext(c, kNothing, 64, 48); }},
      {"picture size beyond the limits",
       [](auto& c) {
         return CreateContext(c, c.Config(VAProfileH264Main, VAEntrypointEncSlice), 4097, 64);
       }},
      {"picture size beyond the limits",
       [](auto& c) {
         return CreateContext(c, c.Config(VAProfileH264Main, VAEntrypointEncSlice), 64, 0);
       }},
      {"no such context", [](auto& c) { return vaDestroyContext(c.display(), kNothing); }},
  };
  for (const auto& refusal : refusals) ExpectRefused(refusal);
}

VAStatus CreateSurface(VaClient& client, uint32_t width, uint32_t height, VASurfaceAttribType type,
                       uint32_t value) {
  VASurfaceAttrib attribute{};
  attribute.type = type;
  attribute.flags = VA_SURFACE_ATTRIB_SETTABLE;
  attribute.value.type = VAGenericValueTypeInteger;
  attribute.value.value.i = static_cast<int>(value);
  VASurfaceID id = VA_INVALID_SURFACE;
  return vaCreateSurfaces(client.display(), VA_RT_FORMAT_YUV420, width, height, &id, 1, &attribute,
                          1);
}

TEST(VaDriverRefusals, Surfaces) {
  const Refusal<VaClient> refusals[] = {
      {"surface of no possible size",
       [](auto& c) { return CreateSurface(c, 0, 48, VASurfaceAttribPixelFormat, VA_FOURCC_NV12); }},
      {"surface of no possible size",
       [](auto& c) {
         return CreateSurface(c, 64, 16385, VASurfaceAttribPixelFormat, VA_FOURCC_NV12);
       }},
      {"surface of an unknown fourcc",
       [](auto& c) {
         return CreateSurface(c, 64, 48, VASurfaceAttribPixelFormat, VA_FOURCC_P010);
       }},
      {"memory type is not offered",
       [](auto& c) {
         return CreateSurface(c, 64, 48, VASurfaceAttribMemoryType,
                              VA_SURFACE_ATTRIB_MEM_TYPE_USER_PTR);
       }},
      {"no such surface",
       [](auto& c) {
         VASurfaceID id = kNothing;
         return vaDestroySurfaces(c.display(), &id, 1);
       }},
      {"no such surface", [](auto& c) { return vaSyncSurface(c.display(), kNothing); }},
      {"no such surface",
       [](auto& c) {
         VASurfaceStatus status{};
         return vaQuerySurfaceStatus(c.display(), kNothing, &status);
       }},
      {"no such surface",
       [](auto& c) {
         VADRMPRIMESurfaceDescriptor descriptor{};
         return vaExportSurfaceHandle(c.display(), kNothing, VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2,
                                      VA_EXPORT_SURFACE_READ_ONLY, &descriptor);
       }},
      {"export as PRIME_2 only",
       [](auto& c) {
         VADRMPRIMESurfaceDescriptor descriptor{};
         return vaExportSurfaceHandle(c.display(), c.Surface(VA_FOURCC_NV12, 64, 48),
                                      VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME,
                                      VA_EXPORT_SURFACE_READ_ONLY, &descriptor);
       }},
  };
  for (const auto& refusal : refusals) ExpectRefused(refusal);
}

/// 64x32 pixels of XRGB8888 that would be taken, spoiled.
auto SpoiledImport(const std::function<void(Import&)>& spoil,
                   uint64_t modifier = DRM_FORMAT_MOD_LINEAR, uint32_t pitch_bytes = 512,
                   size_t size_bytes = 16384) {
  return [=](VaClient& client) {
    const SharedBytes bytes(size_bytes);
    Import import(bytes, VA_FOURCC_BGRX, DRM_FORMAT_XRGB8888, 64, 32, pitch_bytes, modifier);
    spoil(import);
    VASurfaceID surface = VA_INVALID_SURFACE;
    return import.Create(client.display(), &surface);
  };
}

TEST(VaDriverRefusals, Imports) {
  constexpr auto kLinear = DRM_FORMAT_MOD_LINEAR;
  const auto keep = [](Import&) {};
  const Refusal<VaClient> refusals[] = {
      {"the external buffer descriptor comes before the memory type",
       SpoiledImport([](Import& i) { i.memory_type_first = false; })},
      {"import without a descriptor", SpoiledImport([](Import& i) { i.with_descriptor = false; })},
      {"fault: import refused", SpoiledImport(keep), "ihd", "import-refused"},
      {"import of another size than the descriptor's",
       SpoiledImport([](Import& i) { i.height_px = 31; })},
      {"only imports of one plane in one object",
       SpoiledImport([](Import& i) { i.descriptor.num_objects = 2; })},
      {"only imports of one plane in one object",
       SpoiledImport([](Import& i) { i.descriptor.num_layers = 2; })},
      {"only imports of one plane in one object",
       SpoiledImport([](Import& i) { i.descriptor.layers[0].num_planes = 2; })},
      {"only imports of one plane in one object",
       SpoiledImport([](Import& i) { i.descriptor.layers[0].object_index[0] = 1; })},
      {"import of an unknown fourcc",
       SpoiledImport([](Import& i) { i.descriptor.fourcc = VA_FOURCC_NV12; })},
      {"VA fourcc and DRM format differ",
       SpoiledImport([](Import& i) { i.descriptor.layers[0].drm_format = DRM_FORMAT_ARGB8888; })},
      {"import of a modifier that is not offered",
       SpoiledImport(keep, I915_FORMAT_MOD_Y_TILED_CCS)},
      {"import of a modifier that is not offered", SpoiledImport(keep, I915_FORMAT_MOD_X_TILED),
       "radeonsi"},
      {"import beyond its object", SpoiledImport(keep, kLinear, 252)},
      {"import beyond its object", SpoiledImport(keep, kLinear, 640)},
      {"import beyond its object",
       SpoiledImport([](Import& i) { i.descriptor.layers[0].offset[0] = 320; })},
      {"import beyond its object",
       SpoiledImport([](Import& i) { i.descriptor.layers[0].offset[0] = 0xffffffc0; })},
      {"import beyond its object",
       SpoiledImport([](Import& i) { i.descriptor.layers[0].offset[0] = 4; }, kLinear, 256)},
      // A tile is 512 bytes wide, or 128.
      {"import beyond its object", SpoiledImport(keep, I915_FORMAT_MOD_X_TILED, 256)},
      {"import beyond its object", SpoiledImport(keep, I915_FORMAT_MOD_Y_TILED, 320)},
      {"import beyond its object",
       SpoiledImport([](Import& i) { i.descriptor.objects[0].size = 8192; },
                     I915_FORMAT_MOD_Y_TILED)},
      {"import beyond the dma-buf's real size",
       SpoiledImport([](Import& i) { i.descriptor.objects[0].size = 1u << 20; }, kLinear, 1024)},
      {"the dma-buf can't be mapped",
       SpoiledImport([](Import& i) { i.descriptor.objects[0].fd = -1; })},
  };
  for (const auto& refusal : refusals) ExpectRefused(refusal);
}

TEST(VaDriverRefusals, AnImportMayEndWithItsLastPixel) {
  VaClient client;
  const SharedBytes bytes(512 * 31 + 256);
  Import import(bytes, VA_FOURCC_BGRX, DRM_FORMAT_XRGB8888, 64, 32, 512, DRM_FORMAT_MOD_LINEAR);
  VASurfaceID surface = VA_INVALID_SURFACE;
  EXPECT_EQ(import.Create(client.display(), &surface), VA_STATUS_SUCCESS) << SwLastRejection();
  --import.descriptor.objects[0].size;
  EXPECT_NE(import.Create(client.display(), &surface), VA_STATUS_SUCCESS);
}

VAStatus CreateBuffer(VaClient& client, VAContextID context, uint32_t size) {
  VABufferID id = VA_INVALID_ID;
  return vaCreateBuffer(client.display(), context, VAEncMiscParameterBufferType, size, 1, nullptr,
                        &id);
}

VAStatus CreateImage(VaClient& client, uint32_t fourcc, int width, int height, VAImage* image) {
  VAImageFormat format{};
  format.fourcc = fourcc;
  return vaCreateImage(client.display(), &format, width, height, image);
}

TEST(VaDriverRefusals, Buffers) {
  const Refusal<ProcessClient> refusals[] = {
      {"no such context", [](auto& c) { return CreateBuffer(c, kNothing, 16); }},
      {"buffer of no possible size", [](auto& c) { return CreateBuffer(c, c.context(), 0); }},
      {"buffer of no possible size",
       [](auto& c) { return CreateBuffer(c, c.context(), (256u << 20) + 1); }},
      {"no such buffer",
       [](auto& c) {
         void* data = nullptr;
         return vaMapBuffer(c.display(), kNothing, &data);
       }},
      {"buffer is mapped already",
       [](auto& c) {
         const VABufferID id = c.Buffer(c.context(), VAEncMiscParameterBufferType, 16);
         void* data = nullptr;
         EXPECT_EQ(vaMapBuffer(c.display(), id, &data), VA_STATUS_SUCCESS);
         return vaMapBuffer(c.display(), id, &data);
       }},
      {"buffer is not mapped",
       [](auto& c) {
         return vaUnmapBuffer(c.display(), c.Buffer(c.context(), VAEncMiscParameterBufferType, 16));
       }},
      {"no such buffer", [](auto& c) { return vaDestroyBuffer(c.display(), kNothing); }},
      {"no such buffer", [](auto& c) { return vaSyncBuffer(c.display(), kNothing, 0); }},
      {"no such context",
       [](auto& c) {
         return vaBeginPicture(c.display(), kNothing, c.Surface(VA_FOURCC_NV12, 64, 48));
       }},
      {"no such surface",
       [](auto& c) { return vaBeginPicture(c.display(), c.context(), kNothing); }},
      {"no such context",
       [](auto& c) {
         VABufferID id = kNothing;
         return vaRenderPicture(c.display(), kNothing, &id, 1);
       }},
      {"RenderPicture outside Begin and End",
       [](auto& c) {
         VABufferID id = kNothing;
         return vaRenderPicture(c.display(), c.context(), &id, 1);
       }},
      {"no such buffer",
       [](auto& c) {
         VABufferID id = kNothing;
         vaBeginPicture(c.display(), c.context(), c.Surface(VA_FOURCC_NV12, 64, 48));
         return vaRenderPicture(c.display(), c.context(), &id, 1);
       }},
      {"not a pipeline buffer",
       [](auto& c) {
         VABufferID id = c.Buffer(c.context(), VAEncMiscParameterBufferType, 16);
         vaBeginPicture(c.display(), c.context(), c.Surface(VA_FOURCC_NV12, 64, 48));
         return vaRenderPicture(c.display(), c.context(), &id, 1);
       }},
      {"no such context", [](auto& c) { return vaEndPicture(c.display(), kNothing); }},
      {"EndPicture without Begin", [](auto& c) { return vaEndPicture(c.display(), c.context()); }},
      {"buffer type " + std::to_string(VAProcPipelineParameterBufferType) + " is not for encoding",
       [](auto& c) {
         const VAContextID context =
             c.Context(c.Config(VAProfileH264Main, VAEntrypointEncSlice), 64, 48);
         VABufferID id = c.Buffer(context, VAProcPipelineParameterBufferType, 16);
         vaBeginPicture(c.display(), context, c.Surface(VA_FOURCC_NV12, 64, 48));
         return vaRenderPicture(c.display(), context, &id, 1);
       }},
  };
  for (const auto& refusal : refusals) ExpectRefused(refusal);
}

TEST(VaDriverRefusals, Images) {
  const auto transfer = [](bool put, uint32_t image_fourcc, int x, uint32_t width) {
    return [=](VaClient& c) {
      VAImage image{};
      EXPECT_EQ(CreateImage(c, image_fourcc, 64, 48, &image), VA_STATUS_SUCCESS);
      const VASurfaceID surface = c.Surface(VA_FOURCC_NV12, 64, 48);
      return put ? vaPutImage(c.display(), surface, image.image_id, 0, 0, width, 48, x, 0, width,
                              48)
                 : vaGetImage(c.display(), surface, x, 0, width, 48, image.image_id);
    };
  };
  const auto create = [](uint32_t fourcc, int width) {
    return [=](VaClient& c) {
      VAImage image{};
      return CreateImage(c, fourcc, width, 48, &image);
    };
  };
  const Refusal<VaClient> refusals[] = {
      {"fault: no images", create(VA_FOURCC_NV12, 64), "ihd", "upload-refused"},
      {"fault: no images",
       [](auto& c) {
         VAImage image{};
         return vaDeriveImage(c.display(), c.Surface(VA_FOURCC_NV12, 64, 48), &image);
       },
       "ihd", "upload-refused"},
      {"image of an unknown fourcc", create(VA_FOURCC_P010, 64)},
      {"image of no possible size", create(VA_FOURCC_NV12, 0)},
      {"image of no possible size", create(VA_FOURCC_NV12, 16385)},
      {"no such surface",
       [](auto& c) {
         VAImage image{};
         return vaDeriveImage(c.display(), kNothing, &image);
       }},
      {"an imported surface has no image",
       [](auto& c) {
         const SharedBytes bytes(16384);
         Import import(bytes, VA_FOURCC_BGRX, DRM_FORMAT_XRGB8888, 64, 32, 256,
                       DRM_FORMAT_MOD_LINEAR);
         VASurfaceID surface = VA_INVALID_SURFACE;
         EXPECT_EQ(import.Create(c.display(), &surface), VA_STATUS_SUCCESS);
         VAImage image{};
         return vaDeriveImage(c.display(), surface, &image);
       }},
      {"no such image", [](auto& c) { return vaDestroyImage(c.display(), kNothing); }},
      {"no such surface or image",
       [](auto& c) { return vaGetImage(c.display(), kNothing, 0, 0, 8, 8, kNothing); }},
      {"no such surface or image",
       [](auto& c) { return vaPutImage(c.display(), kNothing, kNothing, 0, 0, 8, 8, 0, 0, 8, 8); }},
      {"GetImage of another format or size", transfer(false, VA_FOURCC_BGRX, 0, 64)},
      {"GetImage of another format or size", transfer(false, VA_FOURCC_NV12, 1, 64)},
      {"PutImage of another format or size", transfer(true, VA_FOURCC_BGRX, 0, 64)},
      {"PutImage of another format or size", transfer(true, VA_FOURCC_NV12, 1, 64)},
  };
  for (const auto& refusal : refusals) ExpectRefused(refusal);
}

struct Scene {
  VASurfaceID target;
  std::vector<VAProcPipelineParameterBuffer> pipelines;
  // What pipelines point to.
  VARectangle from{0, 0, 64, 48};
  VARectangle to{0, 0, 64, 48};
  VABlendState blend{};
};

/// 64x48 pixels of XRGB8888 into NV12, spoiled.
auto SpoiledProcess(const std::function<void(ProcessClient&, Scene&)>& spoil) {
  return [=](ProcessClient& client) {
    Scene scene{.target = client.Surface(VA_FOURCC_NV12, 64, 48), .pipelines = {}};
    scene.pipelines = {ProcessClient::Pipeline(client.Surface(VA_FOURCC_BGRX, 64, 48))};
    scene.pipelines[0].surface_region = &scene.from;
    scene.pipelines[0].output_region = &scene.to;
    spoil(client, scene);
    return client.Process(scene.target, scene.pipelines);
  };
}

TEST(VaDriverRefusals, Processing) {
  const Refusal<ProcessClient> refusals[] = {
      {"processing without a pipeline",
       SpoiledProcess([](auto&, Scene& s) { s.pipelines.clear(); })},
      {"processing into anything but NV12 of the driver's own",
       SpoiledProcess([](auto& c, Scene& s) { s.target = c.Surface(VA_FOURCC_BGRX, 64, 48); })},
      {"explicit colour standards are not offered", SpoiledProcess([](auto&, Scene&) {}),
       "minimal"},
      {"filters are not offered",
       SpoiledProcess([](auto&, Scene& s) { s.pipelines[0].num_filters = 1; })},
      {"pipeline source",
       SpoiledProcess([](auto&, Scene& s) { s.pipelines[0].surface = kNothing; })},
      {"processing from a surface into itself",
       SpoiledProcess([](auto&, Scene& s) { s.pipelines[0].surface = s.target; })},
      {"surface_region beyond the source",
       SpoiledProcess([](auto&, Scene& s) { s.from.width = 65; })},
      {"surface_region beyond the source", SpoiledProcess([](auto&, Scene& s) { s.from.y = 1; })},
      {"output_region beyond the target", SpoiledProcess([](auto&, Scene& s) { s.to.x = -1; })},
      {"output_region beyond the target", SpoiledProcess([](auto&, Scene& s) { s.to.height = 0; })},
      {"blend flags are not offered", SpoiledProcess([](auto&, Scene& s) {
         s.blend.flags = VA_BLEND_PREMULTIPLIED_ALPHA;
         s.pipelines[0].blend_state = &s.blend;
       }),
       "radeonsi"},
      {"blending does not scale", SpoiledProcess([](auto&, Scene& s) {
         s.pipelines[0].blend_state = &s.blend;
         s.to.width = 32;
       })},
      {"a second pipeline without blending",
       SpoiledProcess([](auto&, Scene& s) { s.pipelines.push_back(s.pipelines[0]); })},
      {"blending of NV12", SpoiledProcess([](auto& c, Scene& s) {
         s.pipelines.push_back(s.pipelines[0]);
         s.pipelines[1].surface = c.Surface(VA_FOURCC_NV12, 64, 48);
         s.pipelines[1].blend_state = &s.blend;
       })},
      {"fault: processing fails", SpoiledProcess([](auto&, Scene&) {}), "ihd", "vpp-fails:1"},
  };
  for (const auto& refusal : refusals) ExpectRefused(refusal);
}

}  // namespace
}  // namespace planecast::testing
