#include <errno.h>
#include <gtest/gtest.h>

#include "tests/vfio/source_testing.h"
#include "vfio/cursor_tracker.h"

namespace planecast {
namespace {

FakeCursorImage Arrow(uint32_t side_px, uint32_t pixel, uint32_t x_hot_px = 0,
                      uint32_t y_hot_px = 0) {
  return {.width_px = side_px,
          .height_px = side_px,
          .x_hot_px = x_hot_px,
          .y_hot_px = y_hot_px,
          .argb = std::vector<uint32_t>(size_t{side_px} * side_px, pixel)};
}

class CursorTest : public testing::Test {
 protected:
  CursorTest() : test_(FakeProfile::kIdeal) { test_.SetMode(640, 480); }
  Cursor LookAfter(int64_t duration_ns) { return test_.LookAfter(duration_ns).cursor; }

  TestSource test_;
};

TEST_F(CursorTest, IsSeparateOnceOneWasSeen) {
  test_.Look();
  EXPECT_FALSE(test_.source().info().cursor_separate);
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 0xff0000ff, 3, 4)).ok());
  test_.guest().MoveCursor(10, 20);
  test_.guest().ShowCursor();
  const Cursor cursor = LookAfter(kMillisecondNs);
  EXPECT_TRUE(test_.source().info().cursor_separate);
  EXPECT_TRUE(cursor.visible);
  EXPECT_EQ(cursor.x_px, 10);
  EXPECT_EQ(cursor.y_px, 20);
  ASSERT_NE(cursor.image, nullptr);
  EXPECT_EQ(cursor.image->width_px, 64u);
  EXPECT_EQ(cursor.image->argb, Arrow(64, 0xff0000ff).argb);
  ASSERT_TRUE(cursor.image->hotspot.has_value());
  EXPECT_EQ(*cursor.image->hotspot, (CursorImage::Hotspot{3, 4}));
}

TEST_F(CursorTest, AMoveKeepsTheImage) {
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 1)).ok());
  test_.guest().ShowCursor();
  const Cursor before = LookAfter(kMillisecondNs);
  const uint64_t gets = test_.device().counters().gets;
  test_.guest().MoveCursor(100, 50);
  const Cursor after = LookAfter(kMillisecondNs);
  EXPECT_EQ(after.image, before.image);
  EXPECT_EQ(after.x_px, 100);
  EXPECT_EQ(test_.device().counters().gets, gets);
}

TEST_F(CursorTest, HidingKeepsTheImageForWhenItComesBack) {
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 1)).ok());
  test_.guest().ShowCursor();
  const Cursor before = LookAfter(kMillisecondNs);
  test_.guest().HideCursor();
  EXPECT_FALSE(LookAfter(kMillisecondNs).visible);
  test_.guest().ShowCursor();
  const Cursor after = LookAfter(kMillisecondNs);
  EXPECT_TRUE(after.visible);
  EXPECT_EQ(after.image, before.image);
}

TEST_F(CursorTest, ANewPictureIsANewImage) {
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 1)).ok());
  test_.guest().ShowCursor();
  const Cursor before = LookAfter(kMillisecondNs);
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(128, 2)).ok());
  const Cursor after = LookAfter(kMillisecondNs);
  EXPECT_NE(after.image, before.image);
  EXPECT_EQ(after.image->width_px, 128u);
}

TEST_F(CursorTest, ARedrawInPlaceIsFoundWithinTheRereadInterval) {
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 1)).ok());
  test_.guest().ShowCursor();
  const Cursor before = LookAfter(kMillisecondNs);
  EXPECT_EQ(LookAfter(CursorTracker::kRereadNs).image, before.image) << "the same pixels";
  test_.guest().RepaintCursor(Arrow(64, 7).argb);
  EXPECT_EQ(LookAfter(kMillisecondNs).image, before.image) << "too early to read again";
  const Cursor after = LookAfter(CursorTracker::kRereadNs);
  ASSERT_NE(after.image, before.image);
  EXPECT_EQ(after.image->argb[0], 7u);
}

TEST_F(CursorTest, AnErrorKeepsWhatWasKnown) {
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 1)).ok());
  test_.guest().ShowCursor();
  const Cursor before = LookAfter(kMillisecondNs);
  test_.guest().FailCursorQueries(EINVAL, 1);
  EXPECT_EQ(LookAfter(kMillisecondNs), before);
}

TEST_F(CursorTest, AnUnknownHotspotIsAbsent) {
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 1, 65, 0)).ok());
  test_.guest().ShowCursor();
  const Cursor cursor = LookAfter(kMillisecondNs);
  ASSERT_NE(cursor.image, nullptr);
  EXPECT_FALSE(cursor.image->hotspot.has_value());
}

TEST_F(CursorTest, AHostileCursorIsNoImageAndHurtsNoFrame) {
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 1)).ok());
  test_.guest().ShowCursor();
  test_.guest().CorruptPlanes([](abi::GfxPlaneInfo& info) {
    if (info.drm_plane_type == abi::kPlaneTypeCursor) info.width = 5000;
  });
  const PlaneLook look = test_.LookAfter(kMillisecondNs);
  EXPECT_EQ(look.primary, Primary::kFrame);
  EXPECT_EQ(look.cursor.image, nullptr);
}

TEST_F(CursorTest, WhatWasWrongWithTheImageIsSaidForAsLongAsItIs) {
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 1)).ok());
  test_.guest().ShowCursor();
  test_.guest().CorruptPlanes([](abi::GfxPlaneInfo& info) {
    if (info.drm_plane_type == abi::kPlaneTypeCursor) info.width = 5000;
  });
  LookAfter(kMillisecondNs);
  EXPECT_NE(test_.source().info().degraded_reason.find("cursor"), std::string::npos);
  test_.guest().CorruptPlanes(nullptr);
  LookAfter(kMillisecondNs);
  EXPECT_EQ(test_.source().info().degraded_reason, "");
}

TEST_F(CursorTest, AMoveWakesTheCallerAlsoWithoutEvents) {
  ASSERT_TRUE(test_.guest().SetCursor(Arrow(64, 1)).ok());
  test_.guest().ShowCursor();
  test_.source().SetWatched(true, test_.clock().NowNs());
  test_.Look();
  test_.clock().Set(test_.source().NextTimedWorkNs());
  EXPECT_FALSE(test_.source().HandleEvents(test_.clock().NowNs()).cursor_changed);
  test_.guest().MoveCursor(5, 5);
  test_.clock().Set(test_.source().NextTimedWorkNs());
  const PlaneSource::Events events = test_.source().HandleEvents(test_.clock().NowNs());
  EXPECT_TRUE(events.cursor_changed);
  EXPECT_FALSE(events.flipped) << "the picture need not be read for it";
}

class CursorDialectTest : public testing::TestWithParam<FakeFlipDialect> {};

TEST_P(CursorDialectTest, AMoveIsSeenSoonWhateverTheEventsTellOf) {
  const bool is_ioctl = GetParam() == FakeFlipDialect::kFlipEventfd;
  TestSource test(
      {.profile = FakeProfile::kIdeal, .flip_dialect = GetParam()},
      {.flip_events = is_ioctl ? FlipEventChoice::kEventfdIoctl : FlipEventChoice::kAuto});
  ASSERT_NE(test.source().info().flip_regime, FlipRegime::kPolling);
  test.SetMode(640, 480);
  ASSERT_TRUE(test.guest().SetCursor(Arrow(64, 1)).ok());
  test.source().SetWatched(true, test.clock().NowNs());
  test.source().HandleEvents(test.clock().NowNs());
  test.Look();
  const int64_t moved_ns = test.clock().NowNs() + 40 * kMillisecondNs;
  const int64_t deadline_ns = moved_ns + 17 * kMillisecondNs;
  bool is_seen = false;
  // What ends the wait of a display's loop: timed work, or an event's fd.
  while (!is_seen && test.clock().NowNs() < deadline_ns) {
    const bool has_moved = test.clock().NowNs() >= moved_ns;
    const int64_t until_ns = has_moved ? deadline_ns : moved_ns;
    test.clock().Set(std::min(test.source().NextTimedWorkNs(), until_ns));
    if (!has_moved && test.clock().NowNs() == moved_ns) test.guest().MoveCursor(5, 5);
    is_seen = test.source().HandleEvents(test.clock().NowNs()).cursor_changed;
  }
  ASSERT_TRUE(is_seen);
  EXPECT_GE(test.clock().NowNs(), moved_ns);
  EXPECT_EQ(test.source().LookAtCursor(test.clock().NowNs()).x_px, 5);
  EXPECT_EQ(test.Look().cursor.x_px, 5);
}

INSTANTIATE_TEST_SUITE_P(Dialects, CursorDialectTest,
                         testing::Values(FakeFlipDialect::kFlipEventfd, FakeFlipDialect::kIrqV2,
                                         FakeFlipDialect::kIrqV3, FakeFlipDialect::kIrqV5,
                                         FakeFlipDialect::kIrqV6));

TEST(GvtCursorTest, HasAPositionButNoImageWithoutACpuPathAndSaysWhy) {
  TestSource test(FakeProfile::kGvt);
  test.SetMode(640, 480);
  ASSERT_TRUE(test.guest().SetCursor(Arrow(64, 1)).ok());
  test.guest().MoveCursor(9, 8);
  test.guest().ShowCursor();
  const PlaneLook look = test.Look();
  EXPECT_EQ(look.primary, Primary::kFrame);
  EXPECT_TRUE(look.cursor.visible);
  EXPECT_EQ(look.cursor.x_px, 9);
  EXPECT_EQ(look.cursor.image, nullptr);
  EXPECT_TRUE(test.source().info().cursor_separate);
  EXPECT_NE(test.source().info().degraded_reason.find("cursor"), std::string::npos);
  EXPECT_EQ(test.device().counters().consumer_errors, 0) << test.device().last_consumer_error();
}

class NoCursorPlaneTest : public testing::TestWithParam<FakeProfile> {};

TEST_P(NoCursorPlaneTest, HasNoSeparateCursor) {
  TestSource test(GetParam());
  test.SetMode(640, 480);
  EXPECT_FALSE(test.Look().cursor.visible);
  EXPECT_FALSE(test.source().info().cursor_separate);
}

INSTANTIATE_TEST_SUITE_P(Profiles, NoCursorPlaneTest,
                         testing::Values(FakeProfile::kMbochs, FakeProfile::kMdpy,
                                         FakeProfile::kNvidia),
                         FakeProfileParamName);

TEST(CopyCursorPixelsTest, LeavesOutThePadding) {
  const PlaneLayout layout{.width_px = 2, .height_px = 2, .stride_bytes = 12, .size_bytes = 20};
  const uint32_t memory[] = {1, 2, 99, 3, 4};
  const std::span bytes(reinterpret_cast<const uint8_t*>(memory), sizeof(memory));
  EXPECT_EQ(CopyCursorPixels(layout, bytes), (std::vector<uint32_t>{1, 2, 3, 4}));
}

}  // namespace
}  // namespace planecast
