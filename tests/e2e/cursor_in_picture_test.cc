// A viewer that asks for the cursor in the picture sees it there, where the guest has it, and only
// there.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/e2e/e2e_testing.h"

namespace planecast::testing {
namespace {

// A block whose mean is off by less shows the same.
constexpr double kSameBlock = 8;

std::unique_ptr<Scene> DesktopWith(bool cursor) {
  auto scene = MakeScene({.kind = SceneKind::kDesktop,
                          .width_px = 640,
                          .height_px = 368,
                          .frame_rate_hz = 30,
                          .draw_cursor = cursor});
  EXPECT_TRUE(scene.ok());
  return *std::move(scene);
}

TEST(CursorInPicture, IsWhereTheGuestHasItAndNowhereElse) {
  SteppedFakeSource fake;
  const FakeSourceOptions options{.width_px = 640, .height_px = 368, .frame_rate_hz = 30};
  TestDaemon daemon("", SteppedParts(options, &fake));
  daemon.AttachFake("d", "ideal", "desktop");
  TestViewer::Options asks;
  asks.stream.cursor_in_picture = true;
  TestViewer viewer(daemon.client(), "d", asks);
  ASSERT_TRUE(viewer.WaitForPictures(1));
  const auto with = DesktopWith(true);
  const auto without = DesktopWith(false);
  for (const uint64_t frame : {10u, 60u, 150u, 300u}) {
    fake.runner->StepTo(frame, MonotonicClock().NowNs());
    const FrameCode* shown = nullptr;
    ASSERT_TRUE(viewer.WaitFor([&](const TestViewer& v) {
      if (v.pictures.empty() || !v.pictures.back().code) return false;
      shown = &*v.pictures.back().code;
      if (shown->frame != frame) return false;
      const std::vector<uint32_t> expected = RenderScene(*with, *shown);
      const std::vector<uint32_t> plain = RenderScene(*without, *shown);
      return Compare(v.pictures.back().picture, expected).worst_block_y < kSameBlock &&
             Compare(v.pictures.back().picture, plain).worst_block_y > kSameBlock;
    })) << "frame "
        << frame;
  }
  viewer.Stop();
  ExpectSound(viewer);
  EXPECT_EQ(viewer.started.back().cursor_path(), v1::CURSOR_PATH_IN_PICTURE);
  EXPECT_TRUE(viewer.shapes.empty());
  EXPECT_TRUE(viewer.moves.empty());
}

}  // namespace
}  // namespace planecast::testing
