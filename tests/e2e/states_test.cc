// Whatever happens to a display, its viewers are told in words, and the picture comes back.
#include <gtest/gtest.h>
#include <png.h>

#include <cerrno>
#include <string>
#include <vector>

#include "tests/e2e/e2e_testing.h"

namespace planecast::testing {
namespace {

// What MakeSteppedFakeSource gives but for the source, which the daemon owns.
struct Stepped {
  std::shared_ptr<FakeDevice> device;
  std::shared_ptr<SceneRunner> runner;
};

Daemon::Parts PartsFor(const FakeSourceOptions& options, Stepped* out) {
  Daemon::Parts parts;
  parts.open_source = [options,
                       out](const DisplaySpec&) -> absl::StatusOr<std::unique_ptr<PlaneSource>> {
    auto made = MakeSteppedFakeSource(options, MonotonicClock());
    if (!made.ok()) return made.status();
    *out = {.device = made->device, .runner = made->runner};
    made->runner->StepTo(0, MonotonicClock().NowNs());
    return std::move(made->source);
  };
  return parts;
}

FakeSourceOptions SmallDesktop() {
  return {.scene = SceneKind::kDesktop, .width_px = 640, .height_px = 368, .frame_rate_hz = 30};
}

bool IsState(const TestViewer& viewer, v1::Display::State state) {
  return !viewer.states.empty() && viewer.states.back().state() == state;
}

bool ShowsFrame(const TestViewer& viewer, uint32_t frame) {
  return !viewer.pictures.empty() && viewer.pictures.back().code &&
         viewer.pictures.back().code->frame == frame;
}

class NoCpuPath : public ::testing::TestWithParam<std::string> {};

TEST_P(NoCpuPath, IsImportFailedWithItsReason) {
  TestDaemon daemon;
  daemon.AttachFake("d", GetParam(), "desktop");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitFor(
      [](const TestViewer& v) { return IsState(v, v1::Display::STATE_IMPORT_FAILED); }));
  viewer.Stop();
  EXPECT_NE(viewer.states.back().reason().find("GPU import"), std::string::npos)
      << viewer.states.back().reason();
  EXPECT_FALSE(viewer.states.back().remedy().empty());
  EXPECT_EQ(viewer.unit_count, 0u);
  const auto display = daemon.client().GetDisplay("d");
  ASSERT_TRUE(display.ok()) << display.status();
  EXPECT_EQ(display->state(), v1::Display::STATE_IMPORT_FAILED);
  const auto snapshot = daemon.client().GetSnapshot("d");
  EXPECT_EQ(snapshot.status().code(), absl::StatusCode::kFailedPrecondition);
}

INSTANTIATE_TEST_SUITE_P(All, NoCpuPath, ::testing::Values("gvt", "mbochs"),
                         [](const auto& param) { return param.param; });

TEST(ModeChange, SendsANewStartAndAKeyFrameOnTheSameStream) {
  TestDaemon daemon;
  daemon.AttachFake("d", "ideal", "modeset");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitFor(
      [](const TestViewer& v) { return v.runs.size() >= 4 && v.runs.back().size() >= 3; }));
  viewer.Stop();
  ExpectSound(viewer);
  EXPECT_TRUE(viewer.disconnects.empty());
  const auto scene = MakeScene({.kind = SceneKind::kModeset,
                                .width_px = 640,
                                .height_px = 368,
                                .frame_rate_hz = 30,
                                .draw_cursor = false});
  ASSERT_TRUE(scene.ok());
  for (const auto& received : viewer.pictures) ExpectShowsScene(received, **scene);
}

// Profiles with a CPU path, each with a guest that the test steps.
class CpuProfile : public ::testing::TestWithParam<FakeProfile> {
 protected:
  FakeSourceOptions Options(SceneKind kind) const {
    FakeSourceOptions options = SmallDesktop();
    options.profile = GetParam();
    options.scene = kind;
    return options;
  }

  // A region plane is painted while it is read, so its first picture of a frame may be half of it;
  // the last one may not.
  static bool WaitForScene(TestViewer& viewer, const SceneRunner& runner) {
    const std::vector<uint32_t> expected = runner.ExpectedPixels();
    return viewer.WaitFor([&](const TestViewer& v) {
      return ShowsFrame(v, static_cast<uint32_t>(runner.frame())) &&
             Compare(v.pictures.back().picture, expected).psnr_y > 35;
    });
  }
};

TEST_P(CpuProfile, FollowsModesOnTheSameStream) {
  Stepped fake;
  TestDaemon daemon("", PartsFor(Options(SceneKind::kModeset), &fake));
  daemon.AttachFake("d", "ideal", "modeset");
  TestViewer viewer(daemon.client(), "d");
  for (const uint64_t frame : {0u, 70u, 130u, 190u, 10u}) {
    fake.runner->StepTo(frame, MonotonicClock().NowNs());
    ASSERT_TRUE(WaitForScene(viewer, *fake.runner)) << "frame " << frame;
  }
  viewer.Stop();
  ExpectSound(viewer);
  EXPECT_TRUE(viewer.disconnects.empty());
  EXPECT_GE(viewer.runs.size(), 4u);
}

TEST_P(CpuProfile, BlankIsAStateAndThePictureComesBack) {
  Stepped fake;
  TestDaemon daemon("", PartsFor(Options(SceneKind::kDesktop), &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitForPictures(1));
  fake.device->guest().Disable();
  ASSERT_TRUE(
      viewer.WaitFor([](const TestViewer& v) { return IsState(v, v1::Display::STATE_BLANKED); }));
  fake.device->guest().Enable();
  fake.runner->StepTo(5, MonotonicClock().NowNs());
  ASSERT_TRUE(WaitForScene(viewer, *fake.runner));
  viewer.Stop();
  EXPECT_TRUE(IsState(viewer, v1::Display::STATE_ACTIVE));
  ExpectSound(viewer);
}

TEST_P(CpuProfile, TransientErrorsKeepTheLastPicture) {
  Stepped fake;
  TestDaemon daemon("", PartsFor(Options(SceneKind::kDesktop), &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitForPictures(1));
  for (const int error : {ENOMEM, EINVAL, EFAULT}) {
    fake.device->guest().FailQueries(error, 2);
    fake.runner->StepTo(static_cast<uint64_t>(error), MonotonicClock().NowNs());
    ASSERT_TRUE(WaitForScene(viewer, *fake.runner)) << error;
  }
  viewer.Stop();
  for (const auto& state : viewer.states) EXPECT_EQ(state.state(), v1::Display::STATE_ACTIVE);
  ExpectSound(viewer);
}

TEST_P(CpuProfile, DesktopStepsAreComparedToTheLast) {
  Stepped fake;
  TestDaemon daemon("", PartsFor(Options(SceneKind::kDesktop), &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d");
  for (const uint64_t frame : {1u, 31u, 90u, 91u, 200u, 400u}) {
    fake.runner->StepTo(frame, MonotonicClock().NowNs());
    ASSERT_TRUE(WaitForScene(viewer, *fake.runner)) << "frame " << frame;
  }
  viewer.Stop();
  ExpectSound(viewer);
}

INSTANTIATE_TEST_SUITE_P(All, CpuProfile,
                         ::testing::Values(FakeProfile::kIdeal, FakeProfile::kMdpy,
                                           FakeProfile::kNvidia),
                         [](const auto& param) {
                           return std::string(FakeProfileName(param.param));
                         });

TEST(BlankScene, GoesOnAndOffWithoutABreak) {
  TestDaemon daemon;
  daemon.AttachFake("d", "ideal", "blank");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) {
    int blanks = 0;
    for (const auto& state : v.states) blanks += state.state() == v1::Display::STATE_BLANKED;
    return blanks >= 2 && IsState(v, v1::Display::STATE_ACTIVE);
  }));
  viewer.Stop();
  ExpectSound(viewer);
}

TEST(StaleId, AFailedGetIsAnsweredWithAFreshQuery) {
  Stepped fake;
  TestDaemon daemon("", PartsFor(SmallDesktop(), &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitForPictures(1));
  fake.device->guest().FailGets(EINVAL, 2);
  fake.runner->StepTo(3, MonotonicClock().NowNs());
  ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) { return ShowsFrame(v, 3); }));
  viewer.Stop();
  ExpectSound(viewer);
  for (const auto& state : viewer.states) EXPECT_EQ(state.state(), v1::Display::STATE_ACTIVE);
}

TEST(HostileNumbers, AreRefusedInWordsAndHarmNobody) {
  Stepped fake;
  TestDaemon daemon("", PartsFor(SmallDesktop(), &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitForPictures(1));
  fake.device->guest().CorruptPlanes([](abi::GfxPlaneInfo& info) {
    if (info.drm_plane_type == abi::kPlaneTypePrimary) info.stride = 0xffffffff;
  });
  fake.runner->StepTo(2, MonotonicClock().NowNs());
  ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) {
    return !v.states.empty() && v.states.back().state() != v1::Display::STATE_ACTIVE;
  }));
  fake.device->guest().CorruptPlanes(nullptr);
  fake.runner->StepTo(4, MonotonicClock().NowNs());
  ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) {
    return IsState(v, v1::Display::STATE_ACTIVE) && ShowsFrame(v, 4);
  }));
  viewer.Stop();
  ExpectSound(viewer);
}

TEST(DeviceGone, IsAStateAndTheDisplayStaysListed) {
  Stepped fake;
  TestDaemon daemon("", PartsFor(SmallDesktop(), &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitForPictures(1));
  fake.device->guest().Unplug();
  ASSERT_TRUE(viewer.WaitFor(
      [](const TestViewer& v) { return IsState(v, v1::Display::STATE_DEVICE_GONE); }));
  ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) { return !v.goodbyes.empty(); }));
  viewer.Stop();
  EXPECT_EQ(viewer.goodbyes.back().reason(), v1::Goodbye::REASON_DISPLAY_FAILED);
  const auto displays = daemon.client().ListDisplays();
  ASSERT_TRUE(displays.ok());
  EXPECT_EQ(displays->size(), 1u);
  EXPECT_EQ(displays->front().state(), v1::Display::STATE_DEVICE_GONE);
  EXPECT_FALSE(displays->front().state_reason().empty());
  EXPECT_TRUE(daemon.client().DetachDisplay("d").ok());
}

TEST(Mode, AGuestThatTakesTheEdidShowsTheNewSize) {
  TestDaemon daemon;
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitForPictures(1));
  const auto status = daemon.client().SetDisplayMode("d", 800, 600);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) {
    return !v.pictures.empty() && v.pictures.back().picture.width_px == 800 &&
           v.pictures.back().picture.height_px == 600;
  }));
  viewer.Stop();
  ExpectSound(viewer);
}

TEST(Restart, ConfiguredDisplaysComeBack) {
  const std::string config =
      "displays { display_id: \"lobby\" source { fake { profile: \"mdpy\" scene: \"static\" } } }";
  for (int start = 0; start < 2; ++start) {
    TestDaemon daemon(config);
    TestViewer viewer(daemon.client(), "lobby");
    EXPECT_TRUE(viewer.WaitForPictures(1));
    const auto display = daemon.client().GetDisplay("lobby");
    ASSERT_TRUE(display.ok()) << display.status();
    EXPECT_TRUE(display->configured());
  }
}

// A PNG as XRGB8888.
std::vector<uint32_t> ReadPng(const std::string& bytes, uint32_t* width, uint32_t* height) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) return {};
  image.format = PNG_FORMAT_BGRA;
  std::vector<uint32_t> pixels(size_t{image.width} * image.height);
  *width = image.width;
  *height = image.height;
  png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr);
  return pixels;
}

TEST(Snapshot, EqualsTheScreenToTheBitAndHasTheCursorOnce) {
  Stepped fake;
  TestDaemon daemon("", PartsFor(SmallDesktop(), &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  fake.runner->StepTo(20, MonotonicClock().NowNs());
  const auto bare = daemon.client().GetSnapshot("d", {.exclude_cursor = true});
  ASSERT_TRUE(bare.ok()) << bare.status();
  uint32_t width = 0;
  uint32_t height = 0;
  const auto bare_pixels = ReadPng(bare->image(), &width, &height);
  EXPECT_EQ(width, 640u);
  EXPECT_EQ(height, 368u);
  EXPECT_EQ(bare_pixels, fake.runner->ExpectedPixels());
  EXPECT_FALSE(bare->cursor_drawn());

  const auto full = daemon.client().GetSnapshot("d");
  ASSERT_TRUE(full.ok()) << full.status();
  EXPECT_TRUE(full->cursor_drawn());
  const auto full_pixels = ReadPng(full->image(), &width, &height);
  ASSERT_EQ(full_pixels.size(), bare_pixels.size());
  const SceneState state = fake.runner->scene().StateAt(20);
  size_t outside = 0;
  size_t inside = 0;
  for (size_t i = 0; i < full_pixels.size(); ++i) {
    if (full_pixels[i] == bare_pixels[i]) continue;
    const int x = static_cast<int>(i % width) - state.cursor_x_px;
    const int y = static_cast<int>(i / width) - state.cursor_y_px;
    const int size = static_cast<int>(kSceneCursorSizePx);
    (x >= 0 && y >= 0 && x < size && y < size ? inside : outside) += 1;
  }
  EXPECT_EQ(outside, 0u);
  EXPECT_GT(inside, 20u);
}

}  // namespace
}  // namespace planecast::testing
