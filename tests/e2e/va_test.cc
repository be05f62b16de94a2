// The whole daemon on a GPU, played by the software VA driver: displays that have no CPU path, and
// GPUs that fail while somebody watches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <tuple>

#include "tests/e2e/e2e_testing.h"
#include "tests/encoder/va/va_testing.h"
#include "vfio/fake/scene.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kWidthPx = 640;
constexpr int kHeightPx = 368;

std::string Config(const std::string& id) {
  return "encoder { id: \"" + id + "\" render_node: \"" + kSwRenderNode + "\" }";
}

std::unique_ptr<Scene> Picture(SceneKind kind, bool draw_cursor) {
  auto scene = MakeScene({.kind = kind,
                          .width_px = kWidthPx,
                          .height_px = kHeightPx,
                          .frame_rate_hz = 30,
                          .draw_cursor = draw_cursor});
  EXPECT_TRUE(scene.ok()) << scene.status();
  return *std::move(scene);
}

v1::Display Get(TestDaemon& daemon, const std::string& id) {
  auto display = daemon.client().GetDisplay(id);
  EXPECT_TRUE(display.ok()) << display.status();
  return display.ok() ? *display : v1::Display();
}

class NoCpuPathOnGpu : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(NoCpuPathOnGpu, StreamsWithExactColours) {
  const auto [profile, persona] = GetParam();
  const SwDriver driver(persona);
  {
    TestDaemon daemon(Config("vaapi"));
    daemon.AttachFake("vm", profile, "desktop", kWidthPx, kHeightPx);
    TestViewer viewer(daemon.client(), "vm");
    ASSERT_TRUE(viewer.WaitForPictures(12));
    viewer.Stop();
    ExpectSound(viewer);
    // Only Intel's device has a cursor plane.
    const auto scene = Picture(SceneKind::kDesktop, std::string(profile) != "gvt");
    for (const ReceivedPicture& picture : viewer.pictures) ExpectShowsScene(picture, *scene);
    const v1::Display display = Get(daemon, "vm");
    EXPECT_EQ(display.state(), v1::Display::STATE_ACTIVE) << display.state_reason();
    EXPECT_EQ(display.encoder(), "vaapi");
    EXPECT_EQ(display.pixel_path(), v1::PIXEL_PATH_ZERO_COPY);
    EXPECT_EQ(display.pixel_path_reason(), "");
    EXPECT_THAT(display.encoder_detail(), HasSubstr(kSwRenderNode));
  }
  EXPECT_TRUE(WaitForNoDisplays());
}

// Tiled planes are Intel's, and only Intel's drivers import them.
INSTANTIATE_TEST_SUITE_P(
    All, NoCpuPathOnGpu,
    ::testing::Values(std::tuple("gvt", "ihd"), std::tuple("gvt", "ihd-lp"),
                      std::tuple("mbochs", "ihd"), std::tuple("mbochs", "radeonsi"),
                      std::tuple("mbochs", "radeonsi-old"), std::tuple("mbochs", "minimal")),
    [](const auto& test) {
      std::string name = std::string(std::get<0>(test.param)) + "_" + std::get<1>(test.param);
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(RegionPlaneOnGpu, IsUploadedAndSaysWhy) {
  const SwDriver driver("radeonsi");
  TestDaemon daemon(Config("vaapi"));
  // A region is one buffer that the guest paints while it is read, so only a still scene is whole.
  daemon.AttachFake("vm", "mdpy", "static", kWidthPx, kHeightPx);
  TestViewer viewer(daemon.client(), "vm");
  ASSERT_TRUE(viewer.WaitForPictures(1));
  viewer.Stop();
  ExpectSound(viewer);
  const auto scene = Picture(SceneKind::kStatic, true);
  for (const ReceivedPicture& picture : viewer.pictures) ExpectShowsScene(picture, *scene);
  const v1::Display display = Get(daemon, "vm");
  EXPECT_EQ(display.pixel_path(), v1::PIXEL_PATH_CPU_COPY);
  EXPECT_THAT(display.pixel_path_reason(), HasSubstr("region"));
}

/// A GPU that fails for good at its fourth picture, with a display that has a CPU path and one that
/// has none.
class FailingGpu : public ::testing::TestWithParam<const char*> {};

TEST_P(FailingGpu, GivesWayToSoftwareOrSaysWhyNot) {
  const SwDriver driver("ihd", GetParam());
  {
    TestDaemon daemon(Config("auto"));
    daemon.AttachFake("readable", "ideal", "desktop", kWidthPx, kHeightPx);
    daemon.AttachFake("opaque", "mbochs", "desktop", kWidthPx, kHeightPx);
    TestViewer readable(daemon.client(), "readable");
    TestViewer opaque(daemon.client(), "opaque");
    ASSERT_TRUE(readable.WaitFor([](const TestViewer& viewer) {
      return !viewer.started.empty() && viewer.started.back().encoder() != "vaapi" &&
             !viewer.started.back().encoder().empty() && viewer.pictures.size() >= 12;
    }));
    ASSERT_TRUE(opaque.WaitFor([](const TestViewer& viewer) {
      return std::any_of(viewer.states.begin(), viewer.states.end(), [](const auto& state) {
        return state.state() == v1::Display::STATE_IMPORT_FAILED;
      });
    }));
    const v1::Display display = Get(daemon, "readable");
    EXPECT_EQ(display.state(), v1::Display::STATE_ACTIVE);
    EXPECT_THAT(display.degraded_reason(), HasSubstr("The GPU encoder failed"));
    readable.Stop();
    opaque.Stop();
    ExpectSound(readable);
    const auto scene = Picture(SceneKind::kDesktop, false);
    for (const ReceivedPicture& picture : readable.pictures) ExpectShowsScene(picture, *scene);
  }
  EXPECT_TRUE(WaitForNoDisplays());
}

INSTANTIATE_TEST_SUITE_P(All, FailingGpu,
                         ::testing::Values("device-lost:4", "hang:4", "map-fails:4"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !std::isalnum(c); },
                               '_');
                           return name;
                         });

TEST(FailingGpu, IsTriedAgainWhereNothingCanStandInAndDisturbsNobodyElse) {
  auto sound = std::make_unique<SwDriver>("ihd");
  TestDaemon daemon(Config("auto"));
  daemon.AttachFake("sound", "gvt", "desktop", kWidthPx, kHeightPx);
  TestViewer other(daemon.client(), "sound");
  ASSERT_TRUE(other.WaitForPictures(1));
  sound.reset();
  // From here on each encoder fails at its fifth picture.
  const SwDriver failing("ihd", "encode-fails:5");
  daemon.AttachFake("failing", "gvt", "desktop", kWidthPx, kHeightPx);
  TestViewer viewer(daemon.client(), "failing");
  std::string reason;
  ASSERT_TRUE(viewer.WaitFor([&reason](const TestViewer& seen) {
    if (seen.states.empty()) return false;
    reason = seen.states.back().reason();
    return seen.states.back().state() == v1::Display::STATE_IMPORT_FAILED;
  }));
  EXPECT_THAT(reason, HasSubstr("The GPU: "));
  EXPECT_THAT(reason, HasSubstr("The CPU: "));
  EXPECT_TRUE(viewer.WaitFor([](const TestViewer& seen) {
    return seen.states.back().state() == v1::Display::STATE_ACTIVE;
  })) << "the GPU got no other chance";
  viewer.Stop();
  size_t units = 0;
  other.WaitFor([&units](const TestViewer& seen) {
    units = seen.unit_count;
    return true;
  });
  EXPECT_TRUE(other.WaitFor([&](const TestViewer& seen) { return seen.unit_count > units; }));
  other.Stop();
  ExpectSound(other);
  EXPECT_TRUE(std::all_of(other.states.begin(), other.states.end(), [](const auto& state) {
    return state.state() == v1::Display::STATE_ACTIVE;
  }));
}

TEST(FailingGpu, WithoutAStandInTheDisplaySaysEncoderFailed) {
  const SwDriver driver("ihd", "encode-fails");
  TestDaemon daemon(Config("vaapi"));
  daemon.AttachFake("vm", "ideal", "desktop", kWidthPx, kHeightPx);
  TestViewer viewer(daemon.client(), "vm");
  ASSERT_TRUE(viewer.WaitFor([](const TestViewer& seen) {
    return std::any_of(seen.states.begin(), seen.states.end(), [](const auto& state) {
      return state.state() == v1::Display::STATE_ENCODER_FAILED && !state.reason().empty();
    });
  }));
}

}  // namespace
}  // namespace planecast::testing
