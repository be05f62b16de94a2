// What each persona offers, what each fault does, export, and that nothing is left behind.
#include <drm_fourcc.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>
#include <va/va_drm.h>

#include <algorithm>
#include <set>
#include <thread>

#include "tests/encoder/va/va_testing.h"
#include "tests/encoder/va_driver/va_client.h"

namespace planecast::testing {
namespace {

constexpr uint32_t kNo = VA_ATTRIB_NOT_SUPPORTED;
constexpr uint32_t kRates = VA_RC_CQP | VA_RC_CBR | VA_RC_VBR;

struct Offer {
  const char* persona;
  std::set<VAProfile> profiles;
  std::set<VAEntrypoint> entrypoints;
  uint32_t rate_controls;
  uint32_t packed_headers;
  uint32_t references;
  uint32_t slices;
  bool sync_buffer;
  bool tiled;
  uint32_t blend_flags;
  uint32_t colour_standards;
};

const std::set<VAProfile> kAllProfiles = {VAProfileNone, VAProfileH264ConstrainedBaseline,
                                          VAProfileH264Main, VAProfileH264High};
const Offer kOffers[] = {
    {"ihd",
     kAllProfiles,
     {VAEntrypointEncSlice, VAEntrypointEncSliceLP},
     kRates,
     0x1f,
     8,
     32,
     true,
     true,
     VA_BLEND_GLOBAL_ALPHA | VA_BLEND_PREMULTIPLIED_ALPHA,
     3},
    {"ihd-lp",
     kAllProfiles,
     {VAEntrypointEncSliceLP},
     kRates,
     0x1f,
     3,
     32,
     true,
     true,
     VA_BLEND_GLOBAL_ALPHA | VA_BLEND_PREMULTIPLIED_ALPHA,
     3},
    {"radeonsi",
     kAllProfiles,
     {VAEntrypointEncSlice},
     kRates,
     0x1f,
     1,
     32,
     true,
     false,
     VA_BLEND_GLOBAL_ALPHA,
     3},
    {"radeonsi-old",
     kAllProfiles,
     {VAEntrypointEncSlice},
     kRates,
     kNo,
     1,
     32,
     false,
     false,
     VA_BLEND_GLOBAL_ALPHA,
     3},
    {"minimal",
     {VAProfileNone, VAProfileH264ConstrainedBaseline, VAProfileH264Main},
     {VAEntrypointEncSlice},
     kNo,
     kNo,
     1,
     1,
     false,
     false,
     0,
     2},
};

std::set<VAEntrypoint> Entrypoints(VADisplay display, VAProfile profile) {
  std::vector<VAEntrypoint> list(static_cast<size_t>(vaMaxNumEntrypoints(display)));
  int count = 0;
  EXPECT_EQ(vaQueryConfigEntrypoints(display, profile, list.data(), &count), VA_STATUS_SUCCESS);
  return {list.begin(), list.begin() + count};
}

TEST(VaDriverDisplay, EachPersonaOffersWhatItsDriverDoes) {
  for (const Offer& offer : kOffers) {
    SCOPED_TRACE(offer.persona);
    VaClient client(offer.persona);
    std::vector<VAProfile> profiles(static_cast<size_t>(vaMaxNumProfiles(client.display())));
    int count = 0;
    ASSERT_EQ(vaQueryConfigProfiles(client.display(), profiles.data(), &count), VA_STATUS_SUCCESS);
    EXPECT_EQ(std::set<VAProfile>(profiles.begin(), profiles.begin() + count), offer.profiles);
    for (const VAProfile profile : offer.profiles) {
      EXPECT_EQ(Entrypoints(client.display(), profile),
                profile == VAProfileNone ? std::set<VAEntrypoint>{VAEntrypointVideoProc}
                                         : offer.entrypoints);
    }
    VAConfigAttrib attributes[] = {{VAConfigAttribRateControl, 0},
                                   {VAConfigAttribEncPackedHeaders, 0},
                                   {VAConfigAttribEncMaxRefFrames, 0},
                                   {VAConfigAttribEncMaxSlices, 0}};
    ASSERT_EQ(vaGetConfigAttributes(client.display(), VAProfileH264Main, *offer.entrypoints.begin(),
                                    attributes, 4),
              VA_STATUS_SUCCESS);
    EXPECT_EQ(attributes[0].value, offer.rate_controls);
    EXPECT_EQ(attributes[1].value, offer.packed_headers);
    EXPECT_EQ(attributes[2].value, offer.references);
    EXPECT_EQ(attributes[3].value, offer.slices);
  }
}

TEST(VaDriverDisplay, PersonasDifferInProcessingAndWaiting) {
  for (const Offer& offer : kOffers) {
    SCOPED_TRACE(offer.persona);
    ProcessClient client(offer.persona);
    VAProcPipelineCaps caps{};
    ASSERT_EQ(vaQueryVideoProcPipelineCaps(client.display(), client.context(), nullptr, 0, &caps),
              VA_STATUS_SUCCESS);
    EXPECT_EQ(caps.blend_flags, offer.blend_flags);
    EXPECT_EQ(caps.num_output_color_standards, offer.colour_standards);
    const VABufferID buffer = client.Buffer(client.context(), VAEncCodedBufferType, 64);
    EXPECT_EQ(vaSyncBuffer(client.display(), buffer, 0),
              offer.sync_buffer ? VA_STATUS_SUCCESS : VA_STATUS_ERROR_UNIMPLEMENTED);
    const SharedBytes bytes(16384);
    Import import(bytes, VA_FOURCC_BGRX, DRM_FORMAT_XRGB8888, 64, 32, 512, I915_FORMAT_MOD_Y_TILED);
    VASurfaceID surface = VA_INVALID_SURFACE;
    EXPECT_EQ(import.Create(client.display(), &surface) == VA_STATUS_SUCCESS, offer.tiled);
  }
}

TEST(VaDriverDisplay, AnUnknownPersonaIsNoDisplay) {
  const SwDriver driver("voodoo");
  const int node = open(kSwRenderNode, O_RDWR | O_CLOEXEC);
  VADisplay display = vaGetDisplayDRM(node);
  vaSetInfoCallback(display, nullptr, nullptr);
  vaSetErrorCallback(display, nullptr, nullptr);
  int major = 0;
  int minor = 0;
  EXPECT_NE(vaInitialize(display, &major, &minor), VA_STATUS_SUCCESS);
  vaTerminate(display);
  close(node);
}

std::vector<uint8_t> Coded(EncodeClient& client, const EncodeInput& input, uint32_t* status) {
  std::vector<uint8_t> bytes;
  EXPECT_EQ(client.Encode(input), VA_STATUS_SUCCESS) << SwLastRejection();
  EXPECT_EQ(client.Take(&bytes, status), VA_STATUS_SUCCESS);
  return bytes;
}

TEST(VaDriverFaults, EncodeFailsAtItsPicture) {
  EncodeClient client({.faults = "encode-fails:2"});
  EXPECT_EQ(client.Encode(client.Idr()), VA_STATUS_SUCCESS);
  EXPECT_EQ(client.Encode(client.Inter()), VA_STATUS_ERROR_OPERATION_FAILED);
  EXPECT_EQ(SwLastRejection(), "fault: the picture fails");
  EXPECT_EQ(client.Encode(client.Inter()), VA_STATUS_SUCCESS);
}

TEST(VaDriverFaults, AFaultWithoutANumberIsAtEachPicture) {
  EncodeClient client({.faults = "vpp-fails,encode-fails"});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client.Encode(client.Idr()), VA_STATUS_ERROR_OPERATION_FAILED);
  }
}

TEST(VaDriverFaults, AHangEndsWithTheWaitersPatience) {
  EncodeClient client({.faults = "hang:2"});
  uint32_t status = 0;
  Coded(client, client.Idr(), &status);
  ASSERT_EQ(client.Encode(client.Inter()), VA_STATUS_SUCCESS);
  EXPECT_EQ(vaSyncBuffer(client.display(), client.coded(), 1'000'000), VA_STATUS_ERROR_TIMEDOUT);
  VASurfaceStatus surface_status{};
  ASSERT_EQ(vaQuerySurfaceStatus(client.display(), client.input(), &surface_status),
            VA_STATUS_SUCCESS);
  EXPECT_EQ(surface_status, VASurfaceRendering);
  VASurfaceID input = client.input();
  EXPECT_EQ(vaDestroySurfaces(client.display(), &input, 1), VA_STATUS_ERROR_SURFACE_BUSY);
  EXPECT_EQ(SwLastRejection(), "a surface is destroyed while it is in flight");
  EXPECT_EQ(vaDestroyContext(client.display(), client.context()), VA_STATUS_SUCCESS);
}

TEST(VaDriverFaults, CodedBuffersTellOfOverflowAndDamage) {
  EncodeClient client({.faults = "overflow:1,bad-bitstream:2"});
  uint32_t status = 0;
  Coded(client, client.Idr(), &status);
  EXPECT_NE(status & VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK, 0u);
  Coded(client, client.Inter(), &status);
  EXPECT_EQ(status & VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK, 0u);
  EXPECT_NE(status & VA_CODED_BUF_STATUS_BAD_BITSTREAM, 0u);
  Coded(client, client.Inter(), &status);
  EXPECT_EQ(status & ~VA_CODED_BUF_STATUS_PICTURE_AVE_QP_MASK, 0u);
}

TEST(VaDriverFaults, ACodedBufferThatIsTooSmallOverflows) {
  EncodeClient client({.coded_size_bytes = 16});
  uint32_t status = 0;
  EXPECT_LE(Coded(client, client.Idr(), &status).size(), 16u);
  EXPECT_NE(status & VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK, 0u);
}

TEST(VaDriverFaults, MappingFailsAtItsPicture) {
  EncodeClient client({.faults = "map-fails:1"});
  ASSERT_EQ(client.Encode(client.Idr()), VA_STATUS_SUCCESS);
  std::vector<uint8_t> bytes;
  uint32_t status = 0;
  EXPECT_EQ(client.Take(&bytes, &status), VA_STATUS_ERROR_OPERATION_FAILED);
  EXPECT_EQ(SwLastRejection(), "fault: the coded buffer can't be mapped");
}

TEST(VaDriverFaults, WithoutFirmwareConfigsAreTakenAndPicturesFail) {
  for (const uint32_t rate_control : {VA_RC_CBR, VA_RC_VBR}) {
    EncodeClient client({.faults = "brc-fails", .rate_control = rate_control});
    EXPECT_EQ(client.Encode(client.Idr()), VA_STATUS_ERROR_OPERATION_FAILED);
    EXPECT_EQ(SwLastRejection(), "fault: no firmware for rate control");
  }
  EncodeClient constant({.faults = "brc-fails"});
  EXPECT_EQ(constant.Encode(constant.Idr()), VA_STATUS_SUCCESS);
  EncodeClient low({.faults = "lp-fails", .entrypoint = VAEntrypointEncSliceLP});
  EXPECT_EQ(low.Encode(low.Idr()), VA_STATUS_ERROR_OPERATION_FAILED);
  EXPECT_EQ(SwLastRejection(), "fault: low power fails");
  EncodeClient full({.faults = "lp-fails"});
  EXPECT_EQ(full.Encode(full.Idr()), VA_STATUS_SUCCESS);
}

TEST(VaDriverFaults, ALostDeviceFailsEveryCallButTheLast) {
  EncodeClient client({.faults = "device-lost:2"});
  EXPECT_EQ(client.Encode(client.Idr()), VA_STATUS_SUCCESS);
  EXPECT_EQ(client.Encode(client.Inter()), VA_STATUS_ERROR_HW_BUSY);
  EXPECT_EQ(SwLastRejection(), "fault: the device is lost");
  VASurfaceID surface = VA_INVALID_SURFACE;
  EXPECT_EQ(
      vaCreateSurfaces(client.display(), VA_RT_FORMAT_YUV420, 64, 48, &surface, 1, nullptr, 0),
      VA_STATUS_ERROR_HW_BUSY);
  EXPECT_EQ(vaBeginPicture(client.display(), client.context(), client.input()),
            VA_STATUS_ERROR_HW_BUSY);
  EXPECT_EQ(vaSyncSurface(client.display(), client.input()), VA_STATUS_ERROR_HW_BUSY);
  EXPECT_EQ(vaDestroyContext(client.display(), client.context()), VA_STATUS_SUCCESS);
}

TEST(VaDriverFaults, UploadsAreRefused) {
  VaClient client("ihd", "upload-refused");
  VAImage image{};
  EXPECT_EQ(vaDeriveImage(client.display(), client.Surface(VA_FOURCC_NV12, 64, 48), &image),
            VA_STATUS_ERROR_OPERATION_FAILED);
}

TEST(VaDriverDisplay, ExportsWhatItDraws) {
  VaClient client;
  const VASurfaceID surface = client.Surface(VA_FOURCC_NV12, 64, 48);
  VADRMPRIMESurfaceDescriptor descriptor{};
  ASSERT_EQ(vaExportSurfaceHandle(client.display(), surface, VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2,
                                  VA_EXPORT_SURFACE_READ_ONLY | VA_EXPORT_SURFACE_COMPOSED_LAYERS,
                                  &descriptor),
            VA_STATUS_SUCCESS);
  EXPECT_EQ(descriptor.fourcc, static_cast<uint32_t>(VA_FOURCC_NV12));
  ASSERT_EQ(descriptor.num_objects, 1u);
  EXPECT_EQ(descriptor.objects[0].drm_format_modifier, DRM_FORMAT_MOD_LINEAR);
  ASSERT_EQ(descriptor.num_layers, 1u);
  EXPECT_EQ(descriptor.layers[0].drm_format, static_cast<uint32_t>(DRM_FORMAT_NV12));
  ASSERT_EQ(descriptor.layers[0].num_planes, 2u);
  const size_t size = descriptor.objects[0].size;
  ASSERT_LE(descriptor.layers[0].offset[1] + descriptor.layers[0].pitch[1] * 24, size);
  void* exported = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor.objects[0].fd, 0);
  ASSERT_NE(exported, MAP_FAILED);
  VAImage image{};
  ASSERT_EQ(vaDeriveImage(client.display(), surface, &image), VA_STATUS_SUCCESS);
  void* mapped = nullptr;
  ASSERT_EQ(vaMapBuffer(client.display(), image.buf, &mapped), VA_STATUS_SUCCESS);
  static_cast<uint8_t*>(mapped)[descriptor.layers[0].offset[1]] = 77;
  EXPECT_EQ(static_cast<const uint8_t*>(exported)[descriptor.layers[0].offset[1]], 77);
  munmap(exported, size);
  close(descriptor.objects[0].fd);
}

bool NothingAlive(const planecast_sw_counters& c) {
  return c.displays_alive + c.configs_alive + c.contexts_alive + c.surfaces_alive +
             c.buffers_alive + c.images_alive + c.imports_alive ==
         0;
}

TEST(VaDriverDisplay, CountsWhatItMadeAndWhatIsLeft) {
  ASSERT_TRUE(NothingAlive(SwCounters()));
  const planecast_sw_counters before = SwCounters();
  {
    ProcessClient client;
    const SharedBytes bytes(16384);
    Import import(bytes, VA_FOURCC_BGRX, DRM_FORMAT_XRGB8888, 64, 32, 256, DRM_FORMAT_MOD_LINEAR);
    VASurfaceID imported = VA_INVALID_SURFACE;
    ASSERT_EQ(import.Create(client.display(), &imported), VA_STATUS_SUCCESS);
    const VASurfaceID target = client.Surface(VA_FOURCC_NV12, 64, 32);
    ASSERT_EQ(client.Process(target, {ProcessClient::Pipeline(imported)}), VA_STATUS_SUCCESS);
    ASSERT_EQ(vaSyncSurface(client.display(), target), VA_STATUS_SUCCESS);
    const planecast_sw_counters now = SwCounters();
    EXPECT_EQ(now.displays_alive, 1u);
    EXPECT_EQ(now.configs_alive, 1u);
    EXPECT_EQ(now.contexts_alive, 1u);
    EXPECT_EQ(now.surfaces_alive, 2u);
    EXPECT_EQ(now.imports_alive, 1u);
    EXPECT_EQ(now.imports - before.imports, 1u);
    EXPECT_EQ(now.processed_pictures - before.processed_pictures, 1u);
    EXPECT_EQ(now.image_maps, before.image_maps);
    EXPECT_EQ(now.derived_images, before.derived_images);
    VASurfaceID surfaces[] = {imported, target};
    EXPECT_EQ(vaDestroySurfaces(client.display(), surfaces, 2), VA_STATUS_SUCCESS);
    EXPECT_EQ(SwCounters().surfaces_alive, 0u);
    EXPECT_EQ(SwCounters().imports_alive, 0u);
    // The rest is left to vaTerminate.
  }
  EXPECT_TRUE(NothingAlive(SwCounters()));
}

TEST(VaDriverDisplay, TwoDisplaysWorkOnTwoThreads) {
  constexpr int kPictures = 20;
  std::vector<uint8_t> streams[2];
  {
    EncodeClient clients[] = {EncodeClient({}), EncodeClient({.persona = "radeonsi-old"})};
    const auto encode = [](EncodeClient& client, std::vector<uint8_t>& stream) {
      for (int i = 0; i < kPictures; ++i) {
        EncodeInput input = i % 2 == 0 ? client.Idr() : client.Inter();
        uint32_t status = 0;
        const std::vector<uint8_t> bytes = Coded(client, input, &status);
        stream.insert(stream.end(), bytes.begin(), bytes.end());
      }
    };
    std::thread other([&] { encode(clients[1], streams[1]); });
    encode(clients[0], streams[0]);
    other.join();
  }
  EXPECT_FALSE(streams[0].empty());
  // One picture, one coder, whoever it plays.
  EXPECT_EQ(streams[0], streams[1]);
  EXPECT_TRUE(NothingAlive(SwCounters()));
}

}  // namespace
}  // namespace planecast::testing
