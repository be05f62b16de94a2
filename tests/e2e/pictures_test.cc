// What a client receives shows what the guest drew, for each profile, scene, format and encoder.
#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>

#include "tests/e2e/e2e_testing.h"

namespace planecast::testing {
namespace {

SceneOptions OptionsOf(SceneKind kind, bool draw_cursor) {
  return {.kind = kind,
          .width_px = 640,
          .height_px = 368,
          .frame_rate_hz = 30,
          .draw_cursor = draw_cursor};
}

class ProfileAndScene : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(ProfileAndScene, PicturesEqualWhatTheSceneDrew) {
  const auto& [profile, scene_name] = GetParam();
  TestDaemon daemon;
  daemon.AttachFake("d", profile, scene_name);
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitForPictures(scene_name == "static" ? 1 : 40));
  viewer.Stop();
  ExpectSound(viewer);
  auto kind = ParseSceneKind(scene_name);
  ASSERT_TRUE(kind.ok());
  const auto scene = MakeScene(OptionsOf(*kind, profile != "ideal"));
  ASSERT_TRUE(scene.ok());
  std::set<uint32_t> frames;
  for (const ReceivedPicture& received : viewer.pictures) {
    ExpectShowsScene(received, **scene);
    if (received.code) frames.insert(received.code->frame);
  }
  EXPECT_GE(frames.size(), scene_name == "static" ? 1u : 35u) << "the picture hardly moves";
}

// Region planes are one buffer that the guest paints while it is read, so video may tear there;
// desktop changes so little at a time that it is compared all the same in `ideal` only.
INSTANTIATE_TEST_SUITE_P(Flipping, ProfileAndScene,
                         ::testing::Combine(::testing::Values("ideal"),
                                            ::testing::Values("desktop", "video", "static")),
                         [](const auto& param) {
                           return std::get<0>(param.param) + "_" + std::get<1>(param.param);
                         });
INSTANTIATE_TEST_SUITE_P(Region, ProfileAndScene,
                         ::testing::Combine(::testing::Values("mdpy", "nvidia"),
                                            ::testing::Values("static")),
                         [](const auto& param) {
                           return std::get<0>(param.param) + "_" + std::get<1>(param.param);
                         });

class SingleBuffered : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(SingleBuffered, NewPixelsUnderAnOldIdAreFoundAndNeverLost) {
  const auto& [profile, scene_name] = GetParam();
  TestDaemon daemon;
  daemon.AttachFake("d", profile, scene_name);
  TestViewer viewer(daemon.client(), "d");
  const auto newest_frames = [](const TestViewer& v) {
    std::set<uint32_t> frames;
    for (const auto& received : v.pictures) {
      if (received.code) frames.insert(received.code->frame);
    }
    return frames.size();
  };
  ASSERT_TRUE(viewer.WaitFor([&](const TestViewer& v) { return newest_frames(v) >= 25; }));
  viewer.Stop();
  ExpectSound(viewer);
}

INSTANTIATE_TEST_SUITE_P(
    All, SingleBuffered,
    ::testing::Values(std::tuple("ideal", "tearing"), std::tuple("mdpy", "desktop"),
                      std::tuple("mdpy", "video"), std::tuple("nvidia", "desktop")),
    [](const auto& param) { return std::get<0>(param.param) + "_" + std::get<1>(param.param); });

// A stepped guest, so that the picture compared is the one that was drawn last.
struct FormatCase {
  const char* name;
  uint32_t fourcc;
  bool supported;
};

class GuestFormat : public ::testing::TestWithParam<FormatCase> {};

TEST_P(GuestFormat, HasTheSameColoursOrSaysWhyNot) {
  const FakeSourceOptions options{.scene = SceneKind::kDesktop,
                                  .width_px = 640,
                                  .height_px = 368,
                                  .frame_rate_hz = 30,
                                  .fourcc = GetParam().fourcc};
  SteppedFakeSource fake;
  {
    TestDaemon daemon("", SteppedParts(options, &fake));
    daemon.AttachFake("d", "ideal", "desktop");
    TestViewer viewer(daemon.client(), "d");
    if (!GetParam().supported) {
      ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) {
        return !v.states.empty() &&
               v.states.back().state() == v1::Display::STATE_UNSUPPORTED_FORMAT;
      }));
      viewer.Stop();
      EXPECT_NE(viewer.states.back().reason().find(FourccName(GetParam().fourcc)),
                std::string::npos)
          << viewer.states.back().reason();
      EXPECT_FALSE(viewer.states.back().remedy().empty());
      EXPECT_EQ(viewer.unit_count, 0u);
    } else {
      ASSERT_TRUE(viewer.WaitForPictures(1));
      fake.runner->StepTo(45, MonotonicClock().NowNs());
      ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) {
        return !v.pictures.empty() && v.pictures.back().code && v.pictures.back().code->frame == 45;
      }));
      viewer.Stop();
      ExpectSound(viewer);
      ExpectShowsScene(viewer.pictures.back(), fake.runner->scene());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GuestFormat,
                         ::testing::Values(FormatCase{"XR24", DRM_FORMAT_XRGB8888, true},
                                           FormatCase{"AR24", DRM_FORMAT_ARGB8888, true},
                                           FormatCase{"XB24", DRM_FORMAT_XBGR8888, true},
                                           FormatCase{"AB24", DRM_FORMAT_ABGR8888, true},
                                           FormatCase{"RG16", DRM_FORMAT_RGB565, true},
                                           FormatCase{"XR30", DRM_FORMAT_XRGB2101010, true},
                                           FormatCase{"XB30", DRM_FORMAT_XBGR2101010, true},
                                           FormatCase{"C8", DRM_FORMAT_C8, false},
                                           FormatCase{"YUYV", DRM_FORMAT_YUYV, false}),
                         [](const auto& param) { return param.param.name; });

class EncoderId : public ::testing::TestWithParam<std::string> {};

TEST_P(EncoderId, StreamsTheDesktop) {
  const auto encoders = ProbeSoftwareEncoders();
  if (std::none_of(encoders.begin(), encoders.end(),
                   [](const auto& encoder) { return encoder.id == GetParam(); })) {
    GTEST_SKIP() << "this build has no " << GetParam();
  }
  TestDaemon daemon("encoder { id: \"" + GetParam() + "\" }");
  daemon.AttachFake("d", "ideal", "desktop", 641, 479);
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitForPictures(20));
  viewer.Stop();
  ExpectSound(viewer);
  EXPECT_EQ(viewer.started.back().encoder(), GetParam());
  SceneOptions options = OptionsOf(SceneKind::kDesktop, false);
  options.width_px = 641;
  options.height_px = 479;
  const auto scene = MakeScene(options);
  ASSERT_TRUE(scene.ok());
  for (const ReceivedPicture& received : viewer.pictures) ExpectShowsScene(received, **scene);
}

INSTANTIATE_TEST_SUITE_P(All, EncoderId, ::testing::Values("x264", "openh264"),
                         [](const auto& param) { return param.param; });

// How soon, refinement_test.cc and display_refine_test.cc say by a clock of their own.
TEST(StaticScreen, BecomesSharpAndThenCostsNoBytes) {
  TestDaemon daemon;
  daemon.AttachFake("d", "mdpy", "static");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitFor([](const TestViewer& v) {
    return v.stats.size() >= 3 && !v.pictures.empty() && v.pictures.back().sharp;
  }));
  viewer.Stop();
  ExpectSound(viewer);
  ASSERT_GE(viewer.unit_count, 2u);
  EXPECT_LE(viewer.unit_count, 5u);
  EXPECT_EQ(viewer.stats.back().encoded(), viewer.unit_count);
  EXPECT_EQ(viewer.stats.back().frames_per_second(), 0);
  EXPECT_GT(viewer.stats.back().unchanged(), 0u) << "nobody looked, so this proves nothing";
  const auto scene = MakeScene(OptionsOf(SceneKind::kStatic, true));
  ASSERT_TRUE(scene.ok());
  const ReceivedPicture& last = viewer.pictures.back();
  ASSERT_TRUE(last.code.has_value());
  EXPECT_GT(Compare(last.picture, RenderScene(**scene, *last.code)).psnr_y, 45);
}

TEST(LateJoiner, SeesTheStandingPictureAtOnce) {
  TestDaemon daemon;
  daemon.AttachFake("d", "ideal", "static");
  TestViewer first(daemon.client(), "d");
  ASSERT_TRUE(first.WaitForPictures(1));
  TestViewer second(daemon.client(), "d");
  ASSERT_TRUE(second.WaitForPictures(1));
  first.Stop();
  second.Stop();
  ASSERT_GE(second.events.size(), 4u);
  EXPECT_EQ(second.events[0], "started");
  EXPECT_EQ(second.events[1], "state");
  EXPECT_TRUE(second.pictures.front().key_frame);
  EXPECT_EQ(second.pictures.front().picture.y.size(), first.pictures.front().picture.y.size());
  const auto scene = MakeScene(OptionsOf(SceneKind::kStatic, false));
  ASSERT_TRUE(scene.ok());
  ExpectShowsScene(second.pictures.front(), **scene);
}

TEST(Cursor, TravelsBesideThePictureAndIsNotInIt) {
  SteppedFakeSource fake;
  const FakeSourceOptions options{.width_px = 640, .height_px = 368, .frame_rate_hz = 30};
  TestDaemon daemon("", SteppedParts(options, &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d");
  ASSERT_TRUE(viewer.WaitForPictures(1));
  for (const uint64_t frame : {10u, 60u, 150u, 300u}) {
    fake.runner->StepTo(frame, MonotonicClock().NowNs());
    const SceneState state = fake.runner->scene().StateAt(frame);
    const auto pixels = CursorShapePixels(state.cursor_shape);
    ASSERT_TRUE(viewer.WaitFor([&](const TestViewer& v) {
      return !v.moves.empty() && !v.shapes.empty() && v.moves.back().visible() &&
             v.moves.back().x_px() == state.cursor_x_px &&
             v.moves.back().y_px() == state.cursor_y_px &&
             v.shapes.back().argb().size() == pixels.size_bytes() &&
             memcmp(v.shapes.back().argb().data(), pixels.data(), pixels.size_bytes()) == 0 &&
             !v.pictures.empty() && v.pictures.back().code &&
             v.pictures.back().code->frame == frame;
    })) << "frame "
        << frame;
    const CursorHotspot hotspot = CursorShapeHotspot(state.cursor_shape);
    EXPECT_TRUE(viewer.WaitFor([&](const TestViewer& v) {
      return v.shapes.back().hotspot_known() && v.shapes.back().hotspot_x_px() == hotspot.x_px &&
             v.shapes.back().hotspot_y_px() == hotspot.y_px;
    }));
  }
  viewer.Stop();
  EXPECT_EQ(viewer.started.back().cursor_path(), v1::CURSOR_PATH_SEPARATE);
  // The scene was made without a cursor in the picture.
  ExpectShowsScene(viewer.pictures.back(), fake.runner->scene());
}

TEST(Cursor, MovesCostNoVideo) {
  SteppedFakeSource fake;
  const FakeSourceOptions options{.width_px = 640, .height_px = 368, .frame_rate_hz = 30};
  TestDaemon daemon("", SteppedParts(options, &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer viewer(daemon.client(), "d");
  size_t units = 0;
  ASSERT_TRUE(viewer.WaitFor([&units](const TestViewer& v) {
    units = v.unit_count;
    return !v.pictures.empty() && v.pictures.back().sharp;
  }));
  for (int x = 1; x <= 50; ++x) {
    fake.device->guest().MoveCursor(x, 7);
    ASSERT_TRUE(viewer.WaitFor([&](const TestViewer& v) {
      return !v.moves.empty() && v.moves.back().x_px() == x && v.moves.back().y_px() == 7;
    }));
  }
  viewer.Stop();
  EXPECT_EQ(viewer.unit_count, units);
}

}  // namespace
}  // namespace planecast::testing
