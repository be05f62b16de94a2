#include "vfio/fake/fake_source.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "vfio/fake/fake_pixels.h"
#include "vfio/fake/frame_code.h"

namespace planecast {
namespace {

constexpr int64_t kFrameNs = 16'666'667;

FakeSourceOptions Small(FakeProfile profile, SceneKind scene) {
  FakeSourceOptions options;
  options.profile = profile;
  options.scene = scene;
  options.width_px = 640;
  options.height_px = 400;
  options.frame_rate_hz = 30;
  return options;
}

/// The pixels of a frame in XR24, as a viewer without a GPU gets them.
std::vector<uint32_t> ReadPixels(const Frame& frame) {
  const PlaneLayout& layout = frame.buffer->layout();
  auto read = frame.buffer->ReadCpu();
  EXPECT_TRUE(read.ok()) << read.status();
  if (!read.ok()) return {};
  std::vector<uint32_t> pixels(size_t{layout.width_px} * layout.height_px);
  for (uint32_t y = 0; y < layout.height_px; ++y) {
    std::memcpy(&pixels[size_t{y} * layout.width_px],
                read->bytes().data() + size_t{y} * layout.stride_bytes,
                size_t{layout.width_px} * 4);
  }
  return pixels;
}

/// Looks until the driver's passing errors are over.
PlaneLook LookAt(PlaneSource& source, ManualClock& clock) {
  PlaneLook look;
  for (int i = 0; i < 4; ++i) {
    clock.Advance(kFrameNs);
    look = source.Look(clock.NowNs());
    if (look.primary != PlaneLook::Primary::kTransient) break;
  }
  return look;
}

class CpuProfile : public testing::TestWithParam<std::tuple<FakeProfile, SceneKind>> {};
std::string CpuCaseName(const testing::TestParamInfo<std::tuple<FakeProfile, SceneKind>>& info) {
  return std::string(FakeProfileName(std::get<0>(info.param))) + "_" +
         std::string(SceneKindName(std::get<1>(info.param)));
}
INSTANTIATE_TEST_SUITE_P(, CpuProfile,
                         testing::Combine(testing::Values(FakeProfile::kIdeal, FakeProfile::kMdpy,
                                                          FakeProfile::kNvidia),
                                          testing::ValuesIn(kSceneKinds)),
                         CpuCaseName);

TEST_P(CpuProfile, TheSourceShowsWhatTheSceneDrew) {
  ManualClock clock;
  const auto [profile, scene] = GetParam();
  auto stepped = MakeSteppedFakeSource(Small(profile, scene), clock);
  ASSERT_TRUE(stepped.ok()) << stepped.status();
  stepped->source->SetWatched(true, clock.NowNs());
  EXPECT_EQ(stepped->source->Look(clock.NowNs()).primary, PlaneLook::Primary::kNoFramebuffer);
  // Across mode changes and blanks; and back.
  for (const uint64_t frame : {0, 1, 2, 3, 7, 59, 60, 61, 125, 150, 180, 10}) {
    stepped->runner->StepTo(frame, clock.NowNs());
    const PlaneLook look = LookAt(*stepped->source, clock);
    const auto expected = stepped->runner->ExpectedPixels();
    if (expected.empty()) {
      EXPECT_EQ(look.primary, PlaneLook::Primary::kBlanked) << frame;
      continue;
    }
    ASSERT_EQ(look.primary, PlaneLook::Primary::kFrame) << frame << look.problem;
    EXPECT_EQ(ReadPixels(*look.frame), expected) << frame;
  }
  const FakeDevice::Counters counters = stepped->device->counters();
  EXPECT_EQ(counters.consumer_errors, 0) << stepped->device->last_consumer_error();
  stepped->source.reset();
  const FakeDevice::Counters after = stepped->device->counters();
  EXPECT_EQ(after.open_device_fds + after.open_dmabuf_fds + after.open_other_fds, 0);
  EXPECT_EQ(after.live_mappings, 0);
}

class GpuProfile : public testing::TestWithParam<FakeProfile> {};
INSTANTIATE_TEST_SUITE_P(, GpuProfile, testing::Values(FakeProfile::kGvt, FakeProfile::kMbochs),
                         [](const auto& param) {
                           return std::string(FakeProfileName(param.param));
                         });

TEST_P(GpuProfile, FramesHaveMemoryButNoCpuPath) {
  ManualClock clock;
  auto stepped = MakeSteppedFakeSource(Small(GetParam(), SceneKind::kDesktop), clock);
  ASSERT_TRUE(stepped.ok()) << stepped.status();
  stepped->source->SetWatched(true, clock.NowNs());
  for (const uint64_t frame : {0, 1, 2, 3, 4}) {
    stepped->runner->StepTo(frame, clock.NowNs());
    const PlaneLook look = LookAt(*stepped->source, clock);
    ASSERT_EQ(look.primary, PlaneLook::Primary::kFrame) << look.problem;
    EXPECT_FALSE(look.frame->buffer->ReadCpu().ok());
    // The memfd behind it has the picture all the same, in the order of the modifier.
    const PlaneLayout& layout = look.frame->buffer->layout();
    std::vector<uint8_t> bytes(layout.size_bytes);
    ASSERT_EQ(KernelSys().Pread(look.frame->buffer->dmabuf_fd(), bytes.data(), bytes.size(), 0),
              static_cast<int64_t>(bytes.size()));
    const auto expected = stepped->runner->ExpectedPixels();
    for (uint32_t y = 0; y < layout.height_px; ++y) {
      for (uint32_t x = 0; x < layout.width_px; ++x) {
        uint32_t pixel = 0;
        std::memcpy(&pixel, &bytes[PlaneByteOffset(layout, x * 4, y)], sizeof pixel);
        ASSERT_EQ(pixel, expected[size_t{y} * layout.width_px + x]) << x << "," << y;
      }
    }
  }
  EXPECT_EQ(stepped->device->counters().consumer_errors, 0)
      << stepped->device->last_consumer_error();
}

TEST(FakeSource, TheCursorPlaneFollowsTheScene) {
  ManualClock clock;
  auto stepped = MakeSteppedFakeSource(Small(FakeProfile::kIdeal, SceneKind::kDesktop), clock);
  ASSERT_TRUE(stepped.ok());
  stepped->source->SetWatched(true, clock.NowNs());
  for (const uint64_t frame : {0, 100, 200, 300, 400}) {
    stepped->runner->StepTo(frame, clock.NowNs());
    const PlaneLook look = LookAt(*stepped->source, clock);
    const SceneState state = stepped->runner->scene().StateAt(frame);
    EXPECT_TRUE(look.cursor.visible);
    EXPECT_EQ(look.cursor.x_px, state.cursor_x_px);
    EXPECT_EQ(look.cursor.y_px, state.cursor_y_px);
    ASSERT_NE(look.cursor.image, nullptr);
    const auto pixels = CursorShapePixels(state.cursor_shape);
    EXPECT_TRUE(std::equal(pixels.begin(), pixels.end(), look.cursor.image->argb.begin(),
                           look.cursor.image->argb.end()));
    ASSERT_TRUE(look.cursor.image->hotspot.has_value());
    EXPECT_EQ(look.cursor.image->hotspot->x_px, CursorShapeHotspot(state.cursor_shape).x_px);
  }
}

TEST(FakeSource, BuffersOutliveTheSource) {
  ManualClock clock;
  Frame held;
  std::vector<uint32_t> expected;
  {
    auto stepped = MakeSteppedFakeSource(Small(FakeProfile::kIdeal, SceneKind::kDesktop), clock);
    ASSERT_TRUE(stepped.ok());
    stepped->source->SetWatched(true, clock.NowNs());
    stepped->runner->StepTo(5, clock.NowNs());
    const PlaneLook look = LookAt(*stepped->source, clock);
    ASSERT_TRUE(look.frame.has_value());
    held = *look.frame;
    EXPECT_EQ(LookAt(*stepped->source, clock).frame->buffer, held.buffer) << "the same object";
    expected = stepped->runner->ExpectedPixels();
  }
  EXPECT_EQ(ReadPixels(held), expected);
}

TEST(FakeSource, EveryDialectGivesPictures) {
  const std::pair<FakeDialect, FakeFlipDialect> cases[] = {
      {FakeDialect::kFinal, FakeFlipDialect::kNone},
      {FakeDialect::kFinal, FakeFlipDialect::kFlipEventfd},
      {FakeDialect::kFinal, FakeFlipDialect::kIrqV2},
      {FakeDialect::kFinal, FakeFlipDialect::kIrqV3},
      {FakeDialect::kFinal, FakeFlipDialect::kIrqV5},
      {FakeDialect::kFinal, FakeFlipDialect::kIrqV6},
      {FakeDialect::kV15, FakeFlipDialect::kNone},
      {FakeDialect::kV1, FakeFlipDialect::kNone},
  };
  for (const auto& [dialect, flips] : cases) {
    ManualClock clock;
    FakeSourceOptions options = Small(FakeProfile::kIdeal, SceneKind::kDesktop);
    options.dialect = dialect;
    options.flip_dialect = flips;
    auto stepped = MakeSteppedFakeSource(options, clock);
    ASSERT_TRUE(stepped.ok()) << stepped.status();
    stepped->source->SetWatched(true, clock.NowNs());
    for (const uint64_t frame : {0, 1, 2, 3}) {
      stepped->runner->StepTo(frame, clock.NowNs());
      const PlaneLook look = LookAt(*stepped->source, clock);
      ASSERT_EQ(look.primary, PlaneLook::Primary::kFrame)
          << static_cast<int>(dialect) << " " << static_cast<int>(flips) << look.problem;
      EXPECT_EQ(ReadPixels(*look.frame), stepped->runner->ExpectedPixels());
    }
    EXPECT_EQ(stepped->device->counters().consumer_errors, 0);
  }
}

TEST(FakeSource, TheGuestAnswersToAnEdid) {
  ManualClock clock;
  auto stepped = MakeSteppedFakeSource(Small(FakeProfile::kIdeal, SceneKind::kDesktop), clock);
  ASSERT_TRUE(stepped.ok());
  stepped->runner->StepTo(0, clock.NowNs());
  EXPECT_EQ(stepped->device->guest().TakeEdidMode(clock.NowNs()), std::nullopt);
  ASSERT_TRUE(stepped->source->SetMode(1024, 768, clock.NowNs()).ok());
  std::optional<FakeGuest::Size> size;
  for (int i = 0; i < 60 && !size.has_value(); ++i) {
    clock.Advance(kFrameNs);
    stepped->source->HandleEvents(clock.NowNs());
    size = stepped->device->guest().TakeEdidMode(clock.NowNs());
  }
  ASSERT_TRUE(size.has_value());
  EXPECT_EQ(*size, (FakeGuest::Size{.width_px = 1024, .height_px = 768}));
  ASSERT_TRUE(stepped->runner->Resize(size->width_px, size->height_px).ok());
  stepped->runner->StepTo(10, clock.NowNs());
  stepped->source->SetWatched(true, clock.NowNs());
  const PlaneLook look = LookAt(*stepped->source, clock);
  ASSERT_TRUE(look.frame.has_value());
  EXPECT_EQ(look.frame->buffer->layout().width_px, 1024U);
  EXPECT_EQ(ReadPixels(*look.frame), stepped->runner->ExpectedPixels());
}

TEST(FakeSource, AResetDeviceIsSetUpAnew) {
  ManualClock clock;
  auto stepped = MakeSteppedFakeSource(Small(FakeProfile::kIdeal, SceneKind::kDesktop), clock);
  ASSERT_TRUE(stepped.ok());
  stepped->source->SetWatched(true, clock.NowNs());
  stepped->runner->StepTo(5, clock.NowNs());
  stepped->device->guest().Reset();
  EXPECT_NE(LookAt(*stepped->source, clock).primary, PlaneLook::Primary::kFrame);
  stepped->runner->StepTo(6, clock.NowNs());
  const PlaneLook look = LookAt(*stepped->source, clock);
  ASSERT_TRUE(look.frame.has_value());
  EXPECT_EQ(ReadPixels(*look.frame), stepped->runner->ExpectedPixels());
  EXPECT_TRUE(look.cursor.visible);
}

TEST(FakeSource, GuestsThatDrawOtherwiseDrawTheSamePicture) {
  struct Format {
    uint32_t fourcc;
    uint32_t (*to_xrgb)(const uint8_t*);
    uint32_t mask;
  };
  const auto word = [](const uint8_t* at) {
    uint32_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  static const auto kWord = word;
  const Format formats[] = {
      {DRM_FORMAT_ARGB8888, [](const uint8_t* p) { return kWord(p); }, 0xffffff},
      {DRM_FORMAT_XBGR8888,
       [](const uint8_t* p) { return uint32_t{p[0]} << 16 | uint32_t{p[1]} << 8 | p[2]; },
       0xffffff},
      {DRM_FORMAT_ABGR8888,
       [](const uint8_t* p) { return uint32_t{p[0]} << 16 | uint32_t{p[1]} << 8 | p[2]; },
       0xffffff},
      {DRM_FORMAT_XRGB2101010,
       [](const uint8_t* p) {
         const uint32_t v = kWord(p);
         return (v >> 22 & 0xff) << 16 | (v >> 12 & 0xff) << 8 | (v >> 2 & 0xff);
       },
       0xffffff},
      {DRM_FORMAT_XBGR2101010,
       [](const uint8_t* p) {
         const uint32_t v = kWord(p);
         return (v >> 2 & 0xff) << 16 | (v >> 12 & 0xff) << 8 | (v >> 22 & 0xff);
       },
       0xffffff},
      {DRM_FORMAT_RGB565,
       [](const uint8_t* p) {
         const uint32_t v = p[0] | uint32_t{p[1]} << 8;
         return (v >> 11) << 19 | (v >> 5 & 0x3f) << 10 | (v & 0x1f) << 3;
       },
       0xf8fcf8},
  };
  for (const Format& format : formats) {
    ManualClock clock;
    FakeSourceOptions options = Small(FakeProfile::kIdeal, SceneKind::kDesktop);
    options.fourcc = format.fourcc;
    auto stepped = MakeSteppedFakeSource(options, clock);
    ASSERT_TRUE(stepped.ok()) << stepped.status();
    stepped->source->SetWatched(true, clock.NowNs());
    for (const uint64_t frame : {0, 5, 9, 150, 153}) {
      stepped->runner->StepTo(frame, clock.NowNs());
      const PlaneLook look = LookAt(*stepped->source, clock);
      ASSERT_TRUE(look.frame.has_value()) << FourccName(format.fourcc) << look.problem;
      const PlaneLayout& layout = look.frame->buffer->layout();
      EXPECT_EQ(layout.fourcc, format.fourcc);
      auto read = look.frame->buffer->ReadCpu();
      ASSERT_TRUE(read.ok());
      const auto expected = stepped->runner->ExpectedPixels();
      const uint32_t pixel_bytes = BytesPerPixel(format.fourcc);
      for (uint32_t y = 0; y < layout.height_px; ++y) {
        for (uint32_t x = 0; x < layout.width_px; ++x) {
          const uint8_t* at =
              read->bytes().data() + size_t{y} * layout.stride_bytes + x * pixel_bytes;
          ASSERT_EQ(format.to_xrgb(at) & format.mask,
                    expected[size_t{y} * layout.width_px + x] & format.mask)
              << FourccName(format.fourcc) << " at " << x << "," << y;
        }
      }
    }
  }
}

TEST(FakeSource, OtherFormatsAreShownButNotRead) {
  for (const uint32_t fourcc : {DRM_FORMAT_YUYV, DRM_FORMAT_C8}) {
    ManualClock clock;
    FakeSourceOptions options = Small(FakeProfile::kIdeal, SceneKind::kVideo);
    options.fourcc = fourcc;
    auto stepped = MakeSteppedFakeSource(options, clock);
    ASSERT_TRUE(stepped.ok()) << stepped.status();
    stepped->runner->StepTo(3, clock.NowNs());
    EXPECT_EQ(stepped->device->guest().layout().fourcc, fourcc);
  }
}

TEST(FakeSource, ImpossibleGuestsAreRefused) {
  ManualClock clock;
  FakeSourceOptions options = Small(FakeProfile::kMbochs, SceneKind::kDesktop);
  options.fourcc = DRM_FORMAT_RGB565;
  EXPECT_FALSE(MakeSteppedFakeSource(options, clock).ok());
  options = Small(FakeProfile::kIdeal, SceneKind::kDesktop);
  options.buffer_count = 0;
  EXPECT_FALSE(MakeSteppedFakeSource(options, clock).ok());
  options = Small(FakeProfile::kIdeal, SceneKind::kDesktop);
  options.width_px = 0;
  EXPECT_FALSE(MakeSteppedFakeSource(options, clock).ok());
}

TEST(FakeSource, PlaysByItself) {
  Clock& clock = MonotonicClock();
  FakeSourceOptions options = Small(FakeProfile::kIdeal, SceneKind::kDesktop);
  options.frame_rate_hz = 60;
  auto source = MakeFakeSource(options, clock);
  ASSERT_TRUE(source.ok()) << source.status();
  (*source)->SetWatched(true, clock.NowNs());
  EXPECT_EQ((*source)->info().flip_regime, FlipRegime::kIrq);
  const int64_t deadline_ns = clock.NowNs() + 20'000'000'000;
  uint32_t newest = 0;
  while (newest < 10 && clock.NowNs() < deadline_ns) {
    std::vector<pollfd> waits;
    for (const int fd : (*source)->wait_fds())
      waits.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    poll(waits.data(), waits.size(), 1000);
    (*source)->HandleEvents(clock.NowNs());
    const PlaneLook look = (*source)->Look(clock.NowNs());
    if (!look.frame.has_value()) continue;
    auto pixels = ReadPixels(*look.frame);
    const auto code = DecodeFrameCodeXrgb(
        {.pixels = pixels.data(), .width_px = 640, .height_px = 400, .stride_px = 640});
    // The guest may be painting the buffer again by the time it is read.
    if (code.has_value()) newest = std::max(newest, code->frame);
  }
  EXPECT_GE(newest, 10U);
}

TEST(FakeSource, AStillPictureBlanksAtFrameRate) {
  Clock& clock = MonotonicClock();
  FakeSourceOptions options = Small(FakeProfile::kIdeal, SceneKind::kStatic);
  options.flip_dialect = FakeFlipDialect::kIrqV6;
  options.frame_rate_hz = 60;
  auto source = MakeFakeSource(options, clock);
  ASSERT_TRUE(source.ok()) << source.status();
  (*source)->SetWatched(true, clock.NowNs());
  const auto fds = (*source)->wait_fds();
  ASSERT_EQ(fds.size(), 1U);
  for (int vblank = 0; vblank < 5; ++vblank) {
    pollfd wait{.fd = fds[0], .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&wait, 1, 20'000), 1) << vblank;
    (*source)->HandleEvents(clock.NowNs());
  }
}

TEST(FakeSource, ComesAndGoes) {
  for (int i = 0; i < 5; ++i) {
    for (const FakeProfile profile : kFakeProfiles) {
      auto source = MakeFakeSource(Small(profile, SceneKind::kDesktop), MonotonicClock());
      ASSERT_TRUE(source.ok());
      (*source)->SetWatched(true, MonotonicClock().NowNs());
      (*source)->Look(MonotonicClock().NowNs());
    }
  }
}

}  // namespace
}  // namespace planecast
