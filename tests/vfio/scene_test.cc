#include "vfio/fake/scene.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "vfio/fake/frame_code.h"

namespace planecast {
namespace {

constexpr uint32_t kPoison = 0x00badbad;

/// A canvas with its pixels.
struct Picture {
  Picture(uint32_t width_px, uint32_t height_px, uint32_t fill = kPoison)
      : pixels(size_t{width_px} * height_px, fill),
        canvas{.pixels = pixels.data(),
               .width_px = width_px,
               .height_px = height_px,
               .stride_px = width_px} {}
  std::vector<uint32_t> pixels;
  Canvas canvas;
};

std::unique_ptr<Scene> Make(SceneKind kind, uint32_t width_px, uint32_t height_px,
                            bool draw_cursor = false) {
  auto scene = MakeScene({.kind = kind,
                          .width_px = width_px,
                          .height_px = height_px,
                          .frame_rate_hz = 30,
                          .draw_cursor = draw_cursor});
  EXPECT_TRUE(scene.ok()) << scene.status();
  return *std::move(scene);
}

Picture Full(const Scene& scene, uint64_t frame, uint32_t flip_time_ms) {
  const SceneState state = scene.StateAt(frame);
  Picture picture(state.width_px, state.height_px);
  scene.Render(frame, flip_time_ms, picture.canvas);
  return picture;
}

using Case = std::tuple<SceneKind, bool>;
class AnyScene : public testing::TestWithParam<Case> {
 protected:
  SceneKind kind() const { return std::get<0>(GetParam()); }
  bool draw_cursor() const { return std::get<1>(GetParam()); }
};
std::string CaseName(const testing::TestParamInfo<Case>& info) {
  const std::string name(SceneKindName(std::get<0>(info.param)));
  return name + (std::get<1>(info.param) ? "_with_cursor" : "");
}
INSTANTIATE_TEST_SUITE_P(, AnyScene,
                         testing::Combine(testing::ValuesIn(kSceneKinds), testing::Bool()),
                         CaseName);

TEST_P(AnyScene, RendersEveryPixelTheSameEveryTime) {
  const auto scene = Make(kind(), 640, 400, draw_cursor());
  const auto again = Make(kind(), 640, 400, draw_cursor());
  for (const uint64_t frame : {0ULL, 7ULL, 100ULL, 250ULL}) {
    const Picture one = Full(*scene, frame, 4711);
    EXPECT_EQ(one.pixels, Full(*again, frame, 4711).pixels) << frame;
    for (const uint32_t pixel : one.pixels) ASSERT_EQ(pixel >> 24, 0xffU) << frame;
  }
}

TEST_P(AnyScene, DrawnInPiecesEqualsDrawnAtOnce) {
  const auto scene = Make(kind(), 437, 333, draw_cursor());
  const SceneState state = scene->StateAt(205);
  Picture pieces(state.width_px, state.height_px);
  constexpr int32_t kPiecePx = 61;
  for (int32_t y = 0; y < static_cast<int32_t>(state.height_px); y += kPiecePx) {
    for (int32_t x = 0; x < static_cast<int32_t>(state.width_px); x += kPiecePx) {
      scene->RenderClipped(205, 99, {x, y, x + kPiecePx, y + kPiecePx}, pieces.canvas);
    }
  }
  EXPECT_EQ(pieces.pixels, Full(*scene, 205, 99).pixels);
}

TEST_P(AnyScene, IncrementalEqualsFull) {
  const auto scene = Make(kind(), 560, 400, draw_cursor());
  // Three frames behind, as with three buffers; then jumps, backwards too.
  std::vector<uint64_t> frames;
  for (uint64_t frame = 0; frame < 500; frame += 23) frames.push_back(frame);
  frames.insert(frames.end(), {499, 3, 480, 210, 211, 120, 900});
  Picture picture = Full(*scene, frames[0], 0);
  uint64_t held = frames[0];
  for (const uint64_t frame : frames) {
    const SceneState state = scene->StateAt(frame);
    const auto flip_time_ms = static_cast<uint32_t>(frame * 33);
    if (picture.canvas.width_px != state.width_px || picture.canvas.height_px != state.height_px) {
      picture = Full(*scene, frame, flip_time_ms);
    } else {
      for (const SceneRect& rect : scene->Damage(held, frame)) {
        scene->RenderClipped(frame, flip_time_ms, rect, picture.canvas);
      }
      ASSERT_EQ(picture.pixels, Full(*scene, frame, flip_time_ms).pixels)
          << held << " to " << frame;
    }
    held = frame;
  }
}

TEST_P(AnyScene, CarriesItsFrameNumberAndTime) {
  const auto scene = Make(kind(), 640, 480, draw_cursor());
  for (const uint64_t frame : {0ULL, 1ULL, 65ULL, 359ULL, 4000000000ULL}) {
    Picture picture = Full(*scene, frame, 123456);
    const auto code = DecodeFrameCodeXrgb(picture.canvas);
    ASSERT_TRUE(code.has_value()) << frame;
    EXPECT_EQ(*code, (FrameCode{.frame = static_cast<uint32_t>(frame), .flip_time_ms = 123456}));
  }
}

TEST_P(AnyScene, SurvivesTinyAndOddSizes) {
  for (const auto& [width_px, height_px] :
       {std::pair<uint32_t, uint32_t>{1, 1}, {2, 300}, {17, 33}, {161, 161}, {333, 77}}) {
    const auto scene = Make(kind(), width_px, height_px, draw_cursor());
    const Picture picture = Full(*scene, 40, 1);
    for (const uint32_t pixel : picture.pixels) ASSERT_EQ(pixel >> 24, 0xffU);
  }
}

TEST(Scene, CursorIsDrawnExactlyWhereTheStateSays) {
  const auto bare = Make(SceneKind::kDesktop, 1280, 720, false);
  const auto drawn = Make(SceneKind::kDesktop, 1280, 720, true);
  for (const uint64_t frame : {30ULL, 150ULL, 240ULL}) {
    const SceneState state = drawn->StateAt(frame);
    ASSERT_TRUE(state.cursor_visible);
    const Picture without = Full(*bare, frame, 0);
    const Picture with = Full(*drawn, frame, 0);
    const auto pixels = CursorShapePixels(state.cursor_shape);
    size_t opaque = 0;
    for (int32_t y = 0; y < 720; ++y) {
      for (int32_t x = 0; x < 1280; ++x) {
        const size_t at = static_cast<size_t>(y) * 1280 + x;
        const int32_t cx = x - state.cursor_x_px;
        const int32_t cy = y - state.cursor_y_px;
        const bool inside = cx >= 0 && cy >= 0 && cx < 64 && cy < 64;
        const uint32_t over = inside ? pixels[static_cast<size_t>(cy) * 64 + cx] : 0;
        if (over >> 24 == 0) {
          ASSERT_EQ(with.pixels[at], without.pixels[at]) << x << "," << y;
        } else if (over >> 24 == 255) {
          ASSERT_EQ(with.pixels[at], over) << x << "," << y;
          ++opaque;
        }
      }
    }
    EXPECT_GT(opaque, 40U);
  }
}

TEST(Scene, DesktopShowsAllCursorShapes) {
  const auto scene = Make(SceneKind::kDesktop, 1280, 720);
  bool seen[3] = {};
  for (uint64_t frame = 0; frame < 16 * 30; ++frame) {
    seen[static_cast<int>(scene->StateAt(frame).cursor_shape)] = true;
  }
  EXPECT_TRUE(seen[0] && seen[1] && seen[2]);
}

TEST(Scene, HotspotsLieOnTheirPictures) {
  for (const SceneCursorShape shape :
       {SceneCursorShape::kArrow, SceneCursorShape::kIbeam, SceneCursorShape::kHand}) {
    const CursorHotspot hot = CursorShapeHotspot(shape);
    EXPECT_GT(CursorShapePixels(shape)[static_cast<size_t>(hot.y_px) * 64 + hot.x_px] >> 24, 200U);
    for (const uint32_t pixel : CursorShapePixels(shape)) {
      ASSERT_LE(pixel & 0xff, pixel >> 24) << "not premultiplied";
    }
  }
}

TEST(Scene, StaticNeverChanges) {
  const auto scene = Make(SceneKind::kStatic, 640, 480);
  EXPECT_EQ(scene->NextChange(0), 0U);
  EXPECT_EQ(scene->NextChange(1), UINT64_MAX);
}

TEST(Scene, VideoChangesEverywhere) {
  const auto scene = Make(SceneKind::kVideo, 640, 480);
  const Picture one = Full(*scene, 10, 0);
  const Picture two = Full(*scene, 40, 0);
  size_t changed = 0;
  for (size_t i = 0; i < one.pixels.size(); ++i) changed += one.pixels[i] != two.pixels[i] ? 1 : 0;
  EXPECT_GT(changed, one.pixels.size() / 2);
}

TEST(Scene, ModesetChangesSizeEveryTwoSeconds) {
  const auto scene = Make(SceneKind::kModeset, 640, 480);
  EXPECT_EQ(scene->StateAt(59).width_px, 640U);
  EXPECT_EQ(scene->StateAt(60).width_px, 1024U);
  EXPECT_EQ(scene->StateAt(120).width_px % 2, 1U) << "odd sizes are in it";
  EXPECT_EQ(scene->StateAt(6 * 60).width_px, 640U) << "and it starts over";
}

TEST(Scene, BlankSwitchesOffAndOn) {
  const auto scene = Make(SceneKind::kBlank, 640, 480);
  EXPECT_TRUE(scene->StateAt(0).display_on);
  EXPECT_FALSE(scene->StateAt(4 * 30).display_on);
  EXPECT_TRUE(scene->StateAt(6 * 30).display_on);
}

TEST(Scene, NamesGoBothWays) {
  for (const SceneKind kind : kSceneKinds) EXPECT_EQ(*ParseSceneKind(SceneKindName(kind)), kind);
  const auto unknown = ParseSceneKind("desk");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.status().message().find("desktop, video"), absl::string_view::npos);
}

TEST(Scene, ImpossibleOptionsAreRefused) {
  EXPECT_FALSE(MakeScene({.width_px = 0}).ok());
  EXPECT_FALSE(MakeScene({.width_px = 100000}).ok());
  EXPECT_FALSE(MakeScene({.frame_rate_hz = 0}).ok());
  EXPECT_FALSE(MakeScene({.frame_rate_hz = 1000}).ok());
}

}  // namespace
}  // namespace planecast
