// The VA encoder on the software driver: what the contract of all encoders does not ask.
#include <drm_fourcc.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "encoder/encoder.h"
#include "tests/encoder/test_frames.h"
#include "tests/encoder/va/va_testing.h"
#include "tests/h264/stream_check.h"

namespace planecast {
namespace {

using testing::CheckStream;
using testing::HeapPlane;
using testing::kPersonas;
using testing::kSwRenderNode;
using testing::MemfdPlane;
using testing::SwCounters;
using testing::SwDriver;

constexpr uint32_t kWidthPx = 320;
constexpr uint32_t kHeightPx = 192;
constexpr int64_t kFrameNs = 16'666'667;

EncoderParams Params(H264Profile profile = H264Profile::kConstrainedBaseline) {
  EncoderParams params;
  params.width_px = kWidthPx;
  params.height_px = kHeightPx;
  params.profile = profile;
  params.render_node = kSwRenderNode;
  return params;
}

size_t OpenFds() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                           std::filesystem::directory_iterator()));
}

/// An encoder with the stream that it made.
class Session {
 public:
  explicit Session(const EncoderParams& params, const RateParams& rate = {}) {
    auto made = MakeEncoder("vaapi", params, rate, clock_);
    status_ = made.status();
    if (made.ok()) encoder_ = *std::move(made);
  }

  absl::StatusOr<EncodeResult> Encode(const Frame& frame, const EncodeRequest& request = {}) {
    clock_.Advance(kFrameNs);
    auto result = encoder_->Encode(frame, request);
    if (result.ok() && result->unit != nullptr) stream_.push_back(result->unit->bytes);
    return result;
  }
  absl::StatusOr<std::vector<testing::DecodedPicture>> Judge() const {
    return CheckStream(stream_, {.high_profile = encoder_->description().profile == "high"});
  }

  const absl::Status& status() const { return status_; }
  Encoder& encoder() { return *encoder_; }
  void Close() { encoder_.reset(); }
  std::vector<std::vector<uint8_t>>& stream() { return stream_; }

 private:
  ManualClock clock_;
  absl::Status status_;
  std::unique_ptr<Encoder> encoder_;
  std::vector<std::vector<uint8_t>> stream_;
};

TEST(VaEncoder, PixelsOfDmabufsAreNeverTouchedByTheCpu) {
  for (const char* persona : kPersonas) {
    SCOPED_TRACE(persona);
    const SwDriver driver(persona);
    Session session(Params());
    ASSERT_TRUE(session.status().ok()) << session.status();
    HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx, 0, 64);
    MemfdPlane dmabufs[3] = {{DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx, 64},
                             {DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx, 64},
                             {DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx, 64}};
    const auto before = SwCounters();
    for (uint32_t i = 0; i < 100; ++i) {
      PaintText(plane, i);
      dmabufs[i % 3].Show(plane);
      const auto result = session.Encode(dmabufs[i % 3].frame());
      ASSERT_TRUE(result.ok()) << result.status();
      ASSERT_NE(result->unit, nullptr);
      EXPECT_EQ(result->unit->pixel_path, PixelPath::kZeroCopy);
      EXPECT_EQ(result->unit->pixel_path_reason, "");
    }
    const auto after = SwCounters();
    EXPECT_EQ(after.imports - before.imports, 3u);
    EXPECT_EQ(after.derived_images, before.derived_images);
    EXPECT_EQ(after.put_images, before.put_images);
    EXPECT_EQ(after.get_images, before.get_images);
    EXPECT_EQ(after.image_maps, before.image_maps);
    // Coded bytes are all that is mapped.
    EXPECT_EQ(after.coded_buffer_maps - before.coded_buffer_maps, 100u);
    for (const MemfdPlane& dmabuf : dmabufs) EXPECT_EQ(dmabuf.cpu_reads(), 0);
  }
}

TEST(VaEncoder, NothingIsLeftBehind) {
  const size_t fds = OpenFds();
  for (const char* persona : kPersonas) {
    SCOPED_TRACE(persona);
    const SwDriver driver(persona);
    {
      Session session(Params());
      ASSERT_TRUE(session.status().ok()) << session.status();
      HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
      PaintText(plane, 1);
      MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
      dmabuf.Show(plane);
      ASSERT_TRUE(session.Encode(dmabuf.frame()).ok());
      ASSERT_TRUE(session.Encode(plane.frame()).ok());
      EXPECT_EQ(SwCounters().displays_alive, 1u);
    }
    const auto after = SwCounters();
    EXPECT_EQ(after.displays_alive, 0u);
    EXPECT_EQ(after.configs_alive + after.contexts_alive + after.surfaces_alive +
                  after.buffers_alive + after.images_alive + after.imports_alive,
              0u);
  }
  EXPECT_EQ(OpenFds(), fds);
}

TEST(VaEncoder, ParameterBuffersDoNotPileUp) {
  const SwDriver driver("ihd");
  Session session(Params());
  MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
  ASSERT_TRUE(session.Encode(dmabuf.frame()).ok());
  const uint64_t buffers = SwCounters().buffers_alive;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(session.Encode(dmabuf.frame(), {.force_idr = i % 5 == 0}).ok());
  }
  EXPECT_EQ(SwCounters().buffers_alive, buffers);
}

TEST(VaEncoder, AnImportGoesWithItsPlane) {
  const SwDriver driver("ihd");
  Session session(Params());
  MemfdPlane first(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
  MemfdPlane second(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
  ASSERT_TRUE(session.Encode(first.frame()).ok());
  ASSERT_TRUE(session.Encode(second.frame()).ok());
  EXPECT_EQ(SwCounters().imports_alive, 2u);
  first.Retire();
  ASSERT_TRUE(session.Encode(second.frame()).ok());
  EXPECT_EQ(SwCounters().imports_alive, 1u);
}

TEST(VaEncoder, TheDriverReconstructsWhatDecodersSee) {
  const std::string path =
      ::testing::TempDir() + "/planecast-recon-" + std::to_string(getpid()) + ".yuv";
  for (const char* persona : kPersonas) {
    for (const H264Profile profile : {H264Profile::kConstrainedBaseline, H264Profile::kHigh}) {
      SCOPED_TRACE(persona);
      std::filesystem::remove(path);
      SwDriver driver(persona);
      driver.DumpTo(path);
      Session session(Params(profile));
      if (absl::IsUnimplemented(session.status())) continue;
      HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
      MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
      for (uint32_t i = 0; i < 12; ++i) {
        PaintText(plane, i);
        plane.Fill(i * 20, 40, 60, 60, i * 0x0a1b2c & 0xffffff);
        dmabuf.Show(plane);
        const auto result = session.Encode(dmabuf.frame(), {.force_idr = i == 7});
        ASSERT_TRUE(result.ok() && result->unit != nullptr) << result.status();
      }
      const auto pictures = session.Judge();
      ASSERT_TRUE(pictures.ok()) << pictures.status();
      session.Close();
      std::ifstream file(path, std::ios::binary);
      const std::vector<uint8_t> dumped((std::istreambuf_iterator<char>(file)), {});
      std::vector<uint8_t> decoded;
      for (const auto& picture : *pictures) {
        for (const auto* plane_bytes : {&picture.y, &picture.u, &picture.v}) {
          decoded.insert(decoded.end(), plane_bytes->begin(), plane_bytes->end());
        }
      }
      EXPECT_TRUE(dumped == decoded) << dumped.size() << " and " << decoded.size() << " bytes";
    }
  }
  std::filesystem::remove(path);
}

TEST(VaEncoder, ARefusedImportIsUploadedAndSaysWhy) {
  for (const char* persona : kPersonas) {
    SCOPED_TRACE(persona);
    const SwDriver driver(persona, "import-refused");
    Session session(Params());
    MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
    dmabuf.set_cpu_readable(true);
    HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
    PaintPatches(plane);
    dmabuf.Show(plane);
    const auto result = session.Encode(dmabuf.frame());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->unit->pixel_path, PixelPath::kCpuCopy);
    EXPECT_NE(result->unit->pixel_path_reason.find("refuses the dma-buf"), std::string::npos)
        << result->unit->pixel_path_reason;
    ASSERT_TRUE(session.Judge().ok());
  }
}

TEST(VaEncoder, MemoryThatNobodyReachesIsFailedPreconditionWithBothReasons) {
  const SwDriver driver("radeonsi", "import-refused");
  Session session(Params());
  MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
  const auto status = session.Encode(dmabuf.frame()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("refuses the dma-buf"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("can't be mapped"), absl::string_view::npos) << status;
}

TEST(VaEncoder, ATiledPlaneThatTheDriverDoesNotKnowIsSaidByName) {
  const SwDriver driver("radeonsi");
  Session session(Params());
  HeapPlane tiled(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx, I915_FORMAT_MOD_Y_TILED);
  const auto status = session.Encode(tiled.frame()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("Y_TILED"), absl::string_view::npos) << status;
}

TEST(VaEncoder, ASmallerRenditionIsScaledByTheGpu) {
  const SwDriver driver("ihd");
  EncoderParams params = Params();
  params.output_width_px = kWidthPx / 2;
  params.output_height_px = kHeightPx / 2;
  Session session(params);
  ASSERT_TRUE(session.status().ok()) << session.status();
  EXPECT_EQ(session.encoder().description().visible_width_px, kWidthPx / 2);
  HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
  PaintPatches(plane);
  MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
  dmabuf.Show(plane);
  ASSERT_TRUE(session.Encode(dmabuf.frame()).ok());
  const auto pictures = session.Judge();
  ASSERT_TRUE(pictures.ok()) << pictures.status();
  EXPECT_EQ((*pictures)[0].width_px, kWidthPx / 2);
  EXPECT_EQ((*pictures)[0].height_px, kHeightPx / 2);
  for (uint32_t i = 0; i < 8; ++i) {
    const uint32_t color = testing::RgbAt((*pictures)[0], i % 4 * 40 + 20, i / 4 * 48 + 24);
    for (int shift = 0; shift < 24; shift += 8) {
      EXPECT_NEAR(color >> shift & 255, testing::PatchColors()[i] >> shift & 255, 8) << i;
    }
  }
}

TEST(VaEncoder, TheCursorIsDrawnOnRequestAndTakenOffAgain) {
  auto image = std::make_shared<CursorImage>();
  image->width_px = image->height_px = 24;
  // Half of it solid red, half of it a half-transparent green, premultiplied.
  for (uint32_t i = 0; i < 24 * 24; ++i) {
    image->argb.push_back(i % 24 < 12 ? 0xffff0000 : 0x80008000);
  }
  for (const char* persona : kPersonas) {
    SCOPED_TRACE(persona);
    const SwDriver driver(persona);
    Session session(Params(), {.quantizer = 12});
    HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
    plane.Fill(0, 0, kWidthPx, kHeightPx, 0x404040);
    MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
    dmabuf.Show(plane);
    const Cursor cursor{.visible = true, .x_px = 101, .y_px = 51, .image = image};
    const Cursor outside{.visible = true, .x_px = -12, .y_px = -5, .image = image};
    const EncodeRequest requests[] = {{}, {.cursor = &cursor}, {.cursor = &outside}, {}};
    for (const EncodeRequest& request : requests) {
      const auto result = session.Encode(dmabuf.frame(), request);
      ASSERT_TRUE(result.ok()) << result.status() << testing::SwLastRejection();
      ASSERT_NE(result->unit, nullptr);
      EXPECT_EQ(result->unit->pixel_path, PixelPath::kZeroCopy);
    }
    EXPECT_EQ(dmabuf.cpu_reads(), 0);
    const auto pictures = session.Judge();
    ASSERT_TRUE(pictures.ok()) << pictures.status();
    const auto expect = [&](size_t picture, uint32_t x, uint32_t y, uint32_t rgb) {
      const uint32_t color = testing::RgbAt((*pictures)[picture], x, y);
      for (int shift = 0; shift < 24; shift += 8) {
        EXPECT_NEAR(color >> shift & 255, rgb >> shift & 255, 20)
            << "picture " << picture << " at " << x << "," << y << " is " << std::hex << color;
      }
    };
    expect(0, 106, 60, 0x404040);
    expect(1, 106, 60, 0xff0000);
    expect(1, 118, 60, 0x20a020);
    expect(1, 150, 60, 0x404040);
    expect(2, 106, 60, 0x404040);
    expect(2, 6, 6, 0x20a020);
    expect(3, 6, 6, 0x404040);
  }
}

TEST(VaEncoder, TheBitrateMayChangeWithoutAnIdr) {
  for (const char* persona : {"ihd", "radeonsi", "minimal"}) {
    SCOPED_TRACE(persona);
    const SwDriver driver(persona);
    Session session(Params(), {.quantizer = 20, .bitrate_max_bps = 20'000'000});
    HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
    MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
    size_t before = 0;
    size_t after = 0;
    for (uint32_t i = 0; i < 120; ++i) {
      if (i == 60) session.encoder().SetRate({.quantizer = 20, .bitrate_max_bps = 1'500'000});
      PaintText(plane, i);
      dmabuf.Show(plane);
      const auto result = session.Encode(dmabuf.frame());
      ASSERT_TRUE(result.ok() && result->unit != nullptr) << result.status();
      EXPECT_EQ(result->unit->key_frame, i == 0);
      (i < 60 ? before : after) += i > 70 || i < 60 ? result->unit->bytes.size() : 0;
    }
    EXPECT_LT(after * 3, before);
    // 49 frames at 60 Hz; the drivers take a while to get there.
    EXPECT_LT(static_cast<double>(after) * 8 / (49 / 60.0), 1.5 * 1'500'000);
    ASSERT_TRUE(session.Judge().ok());
  }
}

TEST(VaEncoder, ARefinementEndsAtTheSharpQuantizer) {
  const SwDriver driver("minimal");
  Session session(Params(),
                  {.quantizer = 30, .bitrate_max_bps = 50'000'000, .sharp_quantizer = 16});
  HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
  PaintText(plane, 1);
  MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
  dmabuf.Show(plane);
  auto result = session.Encode(dmabuf.frame());
  ASSERT_TRUE(result.ok());
  int refinements = 0;
  int quantizer = result->unit->quantizer;
  for (int i = 0; i < 60 && result->refine_ns != std::numeric_limits<int64_t>::max(); ++i) {
    result = session.Encode(dmabuf.frame(), {.refine = true});
    ASSERT_TRUE(result.ok()) << result.status();
    if (result->unit == nullptr) continue;
    EXPECT_LT(result->unit->quantizer, quantizer);
    EXPECT_TRUE(result->unit->refinement);
    quantizer = result->unit->quantizer;
    ++refinements;
  }
  EXPECT_EQ(result->refine_ns, std::numeric_limits<int64_t>::max());
  EXPECT_GE(refinements, 1);
  EXPECT_EQ(quantizer, 16);
  ASSERT_TRUE(session.Judge().ok());
}

// --- The ladder and faults.

TEST(VaEncoder, TheFirstPictureClimbsDownToWhatWorks) {
  struct Case {
    const char* persona;
    const char* fault;
    const char* in_use;
  };
  for (const Case& one :
       {Case{"ihd", "", "EncSliceLP VBR"}, Case{"ihd", "lp-fails", "EncSlice VBR"},
        Case{"ihd", "brc-fails", "EncSliceLP CQP"},
        Case{"ihd", "brc-fails,lp-fails", "EncSlice CQP"}, Case{"radeonsi", "", "EncSlice CBR"},
        Case{"radeonsi-old", "brc-fails", "EncSlice CQP"}, Case{"minimal", "", "EncSlice CQP"}}) {
    SCOPED_TRACE(std::string(one.persona) + " " + one.fault);
    const SwDriver driver(one.persona, one.fault);
    Session session(Params());
    HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
    PaintText(plane, 1);
    const auto result = session.Encode(plane.frame());
    ASSERT_TRUE(result.ok()) << result.status();
    const EncoderIdentity& identity = session.encoder().identity();
    EXPECT_NE(identity.detail.find(one.in_use), std::string::npos) << identity.detail;
    EXPECT_EQ(identity.degraded_reason.empty(), std::string(one.fault).empty())
        << identity.degraded_reason;
    EXPECT_TRUE(identity.hardware);
    ASSERT_TRUE(session.Judge().ok());
  }
}

/// Codes pictures until something fails; the stream so far must be sound, and whatever comes after
/// an error begins with a key frame. Leaves the last error behind.
void RunFault(const std::string& persona, const std::string& fault, absl::Status& last_error) {
  SCOPED_TRACE(persona + " " + fault);
  {
    const SwDriver driver(persona, fault);
    Session session(Params());
    ASSERT_TRUE(session.status().ok()) << session.status();
    HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
    MemfdPlane dmabuf(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
    dmabuf.set_cpu_readable(true);
    bool failed_before = false;
    for (uint32_t i = 0; i < 8; ++i) {
      PaintText(plane, i);
      dmabuf.Show(plane);
      const auto result = session.Encode(dmabuf.frame());
      if (!result.ok()) {
        EXPECT_FALSE(result.status().message().empty());
        failed_before = true;
        last_error = result.status();
        // A hang takes its time each time; once tells enough.
        if (absl::IsDeadlineExceeded(result.status())) break;
        continue;
      }
      ASSERT_NE(result->unit, nullptr);
      EXPECT_TRUE(!failed_before || result->unit->key_frame);
      failed_before = false;
    }
    if (!session.stream().empty()) {
      const auto pictures = session.Judge();
      EXPECT_TRUE(pictures.ok()) << pictures.status();
    }
  }
  EXPECT_TRUE(testing::WaitForNoDisplays());
}

class VaFault : public ::testing::TestWithParam<const char*> {};

TEST_P(VaFault, EndsInAnErrorOrAFallbackAndNeverInABrokenStream) {
  for (const char* fault :
       {"encode-fails", "encode-fails:3", "overflow:1", "overflow:3", "overflow", "bad-bitstream:2",
        "map-fails:3", "import-refused", "upload-refused", "import-refused,upload-refused",
        "vpp-fails:2", "vpp-fails", "brc-fails", "lp-fails", "device-lost:3"}) {
    absl::Status error;
    RunFault(GetParam(), fault, error);
  }
}

TEST_P(VaFault, AHangIsNoticedInTimeAndBlocksNobody) {
  absl::Status error;
  RunFault(GetParam(), "hang:3", error);
  EXPECT_TRUE(absl::IsDeadlineExceeded(error)) << "not before the driver gave up: " << error;
}

INSTANTIATE_TEST_SUITE_P(Personas, VaFault, ::testing::ValuesIn(kPersonas), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(VaFault, OverflowOnceIsMendedInTheSameCall) {
  const SwDriver driver("ihd", "overflow:2");
  Session session(Params());
  HeapPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx);
  for (uint32_t i = 0; i < 4; ++i) {
    PaintText(plane, i);
    const auto result = session.Encode(plane.frame());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->unit->key_frame, i < 2);
  }
  ASSERT_TRUE(session.Judge().ok());
}

TEST(VaEncoder, ANodeThatIsNotThereSaysSo) {
  EncoderParams params = Params();
  params.render_node = "/nonexistent/renderD128";
  const Session session(params);
  EXPECT_EQ(session.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(session.status().message().find("no such render node"), absl::string_view::npos)
      << session.status();
}

// --- The catalog.

TEST(EncoderCatalog, TellsWhatTheGpuCanAndWhatFailed) {
  const SwDriver driver("ihd", "brc-fails");
  const EncoderCatalog catalog = EncoderCatalog::Probe({.render_nodes = {kSwRenderNode}});
  ASSERT_FALSE(catalog.render_nodes().empty());
  const RenderNode& node = catalog.render_nodes()[0];
  EXPECT_EQ(node.path, kSwRenderNode);
  EXPECT_TRUE(node.available) << node.reason;
  EXPECT_NE(node.driver.find("Intel iHD"), std::string::npos);
  EXPECT_EQ(node.entrypoints.size(), 6u);
  // Both entrypoints with VBR, then low power with CQP, for each of two profiles.
  ASSERT_EQ(node.probes.size(), 6u);
  for (size_t i = 0; i < node.probes.size(); ++i) {
    EXPECT_EQ(node.probes[i].rate_control, i % 3 == 2 ? "CQP" : "VBR");
    EXPECT_EQ(node.probes[i].status.ok(), i % 3 == 2) << node.probes[i].status;
  }
  ASSERT_FALSE(catalog.encoders().empty());
  EXPECT_EQ(catalog.encoders()[0].id, "vaapi");
  EXPECT_TRUE(catalog.encoders()[0].available);
  ManualClock clock;
  auto encoder = catalog.Make("auto", Params(), {}, clock);
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  EXPECT_EQ((*encoder)->identity().id, "vaapi");
  EXPECT_NE((*encoder)->identity().detail.find("CQP"), std::string::npos);
  EXPECT_NE((*encoder)->identity().degraded_reason.find("VBR failed"), std::string::npos)
      << (*encoder)->identity().degraded_reason;
}

TEST(EncoderCatalog, ABrokenGpuIsToldAndSoftwareTakesOver) {
  const SwDriver driver("radeonsi", "encode-fails");
  const EncoderCatalog catalog = EncoderCatalog::Probe({.render_nodes = {kSwRenderNode}});
  EXPECT_FALSE(catalog.render_nodes()[0].available);
  EXPECT_FALSE(catalog.render_nodes()[0].reason.empty());
  ManualClock clock;
  auto encoder = catalog.Make("auto", Params(), {}, clock);
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  EXPECT_FALSE((*encoder)->identity().hardware);
  EXPECT_NE((*encoder)->identity().degraded_reason.find("GPU"), std::string::npos);
  EXPECT_FALSE(catalog.Make("vaapi", Params(), {}, clock).ok());
}

TEST(EncoderCatalog, SoftwareOnlyIsObeyed) {
  const SwDriver driver("ihd");
  const EncoderCatalog catalog = EncoderCatalog::Probe({.render_nodes = {kSwRenderNode}});
  ManualClock clock;
  EncoderParams params = Params();
  params.software_only = true;
  auto encoder = catalog.Make("auto", params, {}, clock);
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  EXPECT_FALSE((*encoder)->identity().hardware);
}

}  // namespace
}  // namespace planecast
