// The cursor in the picture, for viewers that ask for it there.
#include <gtest/gtest.h>

#include "service/core/display_loop.h"
#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::kMs;
using ::planecast::testing::LookWithFrame;
using ::planecast::testing::LoopHarness;
using ::planecast::testing::MakeBuffer;
using ::planecast::testing::TakeAll;
using ::planecast::testing::TakeLast;

/// Longer than key frames for viewers that join are apart.
constexpr int64_t kLater = 100 * kMs;

class DisplayCursorInPictureTest : public ::testing::Test {
 protected:
  DisplayCursorInPictureTest() {
    h_.source->info.cursor_separate = true;
    auto image = std::make_shared<CursorImage>();
    image->width_px = image->height_px = 1;
    image->argb = {0xffffffff};
    h_.source->look.cursor = {.visible = true, .x_px = 5, .y_px = 7, .image = std::move(image)};
    h_.encoder->change_once = true;
  }
  std::shared_ptr<Viewer> JoinWithCursor() {
    ViewerOptions options;
    options.cursor_in_picture = true;
    return h_.Join(options);
  }
  void MoveCursor(int32_t x_px) {
    h_.source->look.cursor.x_px = x_px;
    h_.source->events.cursor_changed = true;
    h_.Step(17 * kMs);
  }

  LoopHarness h_;
};

TEST_F(DisplayCursorInPictureTest, WhoAsksGetsItThereAndNoEventsOfIt) {
  auto viewer = JoinWithCursor();
  h_.Step();
  const StreamEventPtr started = viewer->Take();
  viewer->OnWritten();
  EXPECT_EQ(std::get<StreamStarted>(started->body).cursor_path, CursorPath::kInPicture);
  EXPECT_EQ(TakeAll(*viewer), "state:ACTIVE key1");
  ASSERT_TRUE(h_.encoder->cursor.has_value());
  EXPECT_EQ(h_.encoder->cursor->x_px, 5);
  EXPECT_EQ(h_.published.back().cursor_path, CursorPath::kInPicture);
}

TEST_F(DisplayCursorInPictureTest, NobodyWhoDoesNotAskGetsIt) {
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_FALSE(h_.encoder->cursor.has_value());
}

TEST_F(DisplayCursorInPictureTest, AMoveBesideThePictureCostsNoLookAtThePicture) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  const int looks = h_.source->looks;
  MoveCursor(6);
  EXPECT_EQ(TakeAll(*viewer), "moved");
  EXPECT_EQ(h_.source->looks, looks);
  EXPECT_EQ(h_.source->cursor_looks, 1);
}

TEST_F(DisplayCursorInPictureTest, AnImageThatComesTooSoonIsToldInAStepOfItsOwn) {
  h_.options.frame_rate_max_hz = 10;
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  auto image = std::make_shared<CursorImage>();
  image->width_px = image->height_px = 1;
  image->argb = {0xff0000ff};
  h_.source->look.cursor.image = image;
  h_.source->events.cursor_changed = true;
  const int64_t next_ns = h_.Step(20 * kMs);
  EXPECT_EQ(TakeAll(*viewer), "");
  EXPECT_LE(next_ns, h_.clock.NowNs() + 80 * kMs);
  h_.Step(80 * kMs);
  const auto shape = TakeLast<CursorShape>(*viewer);
  ASSERT_NE(shape, nullptr);
  EXPECT_EQ(*shape->image, *image);
}

TEST_F(DisplayCursorInPictureTest, AMoveCostsVideoThen) {
  auto viewer = JoinWithCursor();
  h_.Step();
  TakeAll(*viewer);
  MoveCursor(6);
  EXPECT_EQ(TakeAll(*viewer), "unit2");
  EXPECT_EQ(h_.encoder->cursor->x_px, 6);
  h_.Flip();
  EXPECT_EQ(TakeAll(*viewer), "") << "it stands still";
}

TEST_F(DisplayCursorInPictureTest, AMoveKeepsToTheFrameRate) {
  ViewerOptions options{{0, 10}, false};
  options.cursor_in_picture = true;
  auto viewer = h_.Join(options);
  h_.Step();
  for (int x = 0; x < 200; ++x) {
    h_.source->look.cursor.x_px = x;
    h_.Flip(10 * kMs);
    TakeAll(*viewer);
  }
  EXPECT_NEAR(static_cast<double>(h_.Value(Count::kEncoded)), 20, 3);
}

TEST_F(DisplayCursorInPictureTest, OthersAreToldAndGoOnWithAKeyFrame) {
  auto other = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeAll(*other), "started state:ACTIVE shape moved key1");
  auto viewer = JoinWithCursor();
  h_.Step(kLater);
  const StreamEventPtr started = other->Take();
  other->OnWritten();
  EXPECT_EQ(std::get<StreamStarted>(started->body).cursor_path, CursorPath::kInPicture);
  EXPECT_EQ(TakeAll(*other), "key2");
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE key2") << "not the standing picture, without";
  MoveCursor(6);
  EXPECT_EQ(TakeAll(*other), "unit3");
}

TEST_F(DisplayCursorInPictureTest, WhatIsQueuedOfTheCursorIsNotSeenBesideIt) {
  auto other = h_.Join();
  h_.Step();
  MoveCursor(6);
  auto viewer = JoinWithCursor();
  h_.source->look.cursor.x_px = 7;
  h_.Flip(kLater);
  EXPECT_EQ(TakeAll(*other), "started state:ACTIVE key2");
}

TEST_F(DisplayCursorInPictureTest, WhenTheLastOneWhoAskedIsGoneItTravelsBesideThePictureAgain) {
  auto other = h_.Join();
  auto viewer = JoinWithCursor();
  auto twin = JoinWithCursor();
  h_.Step();
  TakeAll(*other);
  viewer->Close();
  h_.Step(kLater);
  EXPECT_EQ(TakeAll(*other), "") << "one still wants it";
  twin->Close();
  h_.Step(kLater);
  const StreamEventPtr started = other->Take();
  other->OnWritten();
  EXPECT_EQ(std::get<StreamStarted>(started->body).cursor_path, CursorPath::kSeparate);
  EXPECT_EQ(TakeAll(*other), "shape moved key2");
  EXPECT_FALSE(h_.encoder->cursor.has_value());
  MoveCursor(6);
  EXPECT_EQ(TakeAll(*other), "moved");
}

TEST_F(DisplayCursorInPictureTest, TheWayBackTogetherWithANewSizeTellsTheCursorToo) {
  auto other = h_.Join();
  auto viewer = JoinWithCursor();
  h_.Step();
  TakeAll(*other);
  viewer->Close();
  const Cursor cursor = h_.source->look.cursor;
  h_.source->look = LookWithFrame(MakeBuffer(128, 96));
  h_.source->look.cursor = cursor;
  h_.Flip(kLater);
  EXPECT_EQ(TakeAll(*other), "started shape moved key2");
}

TEST_F(DisplayCursorInPictureTest, AGuestThatDrawsItsOwnGetsNoSecondOne) {
  h_.source->info.cursor_separate = false;
  auto viewer = JoinWithCursor();
  h_.Step();
  EXPECT_EQ(TakeLast<StreamStarted>(*viewer)->cursor_path, CursorPath::kInPicture);
  EXPECT_FALSE(h_.encoder->cursor.has_value());
}

TEST_F(DisplayCursorInPictureTest, ASnapshotStillDrawsItOntoThePlane) {
  auto viewer = JoinWithCursor();
  h_.Step();
  std::vector<bool> drawn;
  for (const bool exclude : {false, true}) {
    h_.loop().AddPicture({exclude, 0, [&drawn](absl::StatusOr<Picture> picture) {
                            ASSERT_TRUE(picture.ok());
                            drawn.push_back(picture->cursor_drawn);
                          }});
    h_.Step(kMs);
  }
  EXPECT_EQ(drawn, std::vector<bool>({true, false}));
}

}  // namespace
}  // namespace planecast
