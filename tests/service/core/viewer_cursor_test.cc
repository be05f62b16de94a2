// Images of the cursor share a viewer's link with its units.
#include <gtest/gtest.h>

#include <memory>

#include "service/core/viewer.h"
#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::kMs;
using ::planecast::testing::TakeAll;
using ::planecast::testing::UnitOfSize;

class ViewerCursorTest : public ::testing::Test {
 protected:
  Viewer& Make(const ViewerOptions& options) {
    viewer_ = std::make_unique<Viewer>("v", options, signal_, metrics_, clock_);
    viewer_->OfferStarted(MakeEvent(StreamStarted{}, nullptr));
    return *viewer_;
  }
  Viewer& MakeAcknowledging() { return Make({{}, true}); }
  void Offer(uint64_t sequence, bool key_frame = false) {
    viewer_->OfferUnit(UnitOfSize(sequence, key_frame, 1000, clock_.NowNs()), clock_.NowNs(), true);
  }
  /// An image of this many pixels, named `id`.
  size_t OfferImage(uint32_t id, size_t pixels = 64 * 64) {
    auto image = std::make_shared<CursorImage>();
    image->argb.assign(pixels, id);
    return viewer_->OfferCursorShape(MakeEvent(CursorShape{image, id}, nullptr));
  }
  void OfferMove() { viewer_->OfferCursorMoved(MakeEvent(CursorMoved{1, 2, true}, nullptr)); }
  /// One unit there and back, so that the link is known.
  void LearnLink() {
    Offer(1, true);
    TakeAll(*viewer_);
    clock_.Advance(20 * kMs);
    ASSERT_TRUE(viewer_->Acknowledge(1).ok());
  }

  ManualClock clock_;
  std::shared_ptr<WakeSignal> signal_ = std::make_shared<WakeSignal>();
  std::shared_ptr<DisplayMetrics> metrics_ = std::make_shared<DisplayMetrics>();
  std::unique_ptr<Viewer> viewer_;
};

TEST_F(ViewerCursorTest, AnImageWaitsForTheWindowAndAPositionDoesNot) {
  Viewer& viewer = MakeAcknowledging();
  Offer(1, true);
  for (uint64_t sequence = 2; sequence <= 4; ++sequence) Offer(sequence);
  ASSERT_EQ(TakeAll(viewer), "started key1 unit2 unit3");
  OfferImage(1);
  OfferMove();
  EXPECT_EQ(TakeAll(viewer), "moved");
  int notified = 0;
  viewer.SetNotify([&notified] { ++notified; });
  OfferImage(2);
  EXPECT_EQ(notified, 0) << "nothing can be taken";
  ASSERT_TRUE(viewer.Acknowledge(1).ok());
  EXPECT_EQ(notified, 1);
  EXPECT_EQ(TakeAll(viewer), "shape unit4");
}

TEST_F(ViewerCursorTest, UnitsWaitForALargeImage) {
  Viewer& viewer = MakeAcknowledging();
  LearnLink();
  Offer(2);
  Offer(3);
  EXPECT_EQ(TakeAll(viewer), "unit2 unit3");
  EXPECT_TRUE(viewer.GetWants().ready);
  OfferImage(1, 256 * 256);
  EXPECT_FALSE(viewer.GetWants().ready) << "it is next on the link";
  EXPECT_EQ(TakeAll(viewer), "shape");
  EXPECT_FALSE(viewer.GetWants().ready) << "it is on the link";
  Offer(4);
  EXPECT_EQ(TakeAll(viewer), "");
  ASSERT_TRUE(viewer.Acknowledge(2).ok());
  EXPECT_EQ(TakeAll(viewer), "unit4") << "two are always on their way";
}

TEST_F(ViewerCursorTest, WhatTheLinkCarriesOfImagesIsLearned) {
  Viewer& viewer = MakeAcknowledging();
  LearnLink();
  const int64_t before_bps = viewer.link().carries_bps();
  OfferImage(1, 256 * 256);
  Offer(2);
  EXPECT_EQ(TakeAll(viewer), "shape unit2");
  clock_.Advance(20 * kMs);
  ASSERT_TRUE(viewer.Acknowledge(2).ok());
  EXPECT_GT(viewer.link().carries_bps(), 4 * before_bps);
  // A unit long after an image says nothing about it.
  OfferImage(2, 256 * 256);
  TakeAll(viewer);
  clock_.Advance(60'000 * kMs);
  const int64_t between_bps = viewer.link().carries_bps();
  Offer(3);
  TakeAll(viewer);
  clock_.Advance(kMs);
  ASSERT_TRUE(viewer.Acknowledge(3).ok());
  EXPECT_LE(viewer.link().carries_bps(), between_bps);
}

TEST_F(ViewerCursorTest, BytesOfUnitsSentAreUnitsAlone) {
  Viewer& viewer = MakeAcknowledging();
  OfferImage(1);
  Offer(1, true);
  EXPECT_EQ(TakeAll(viewer), "started shape key1");
  EXPECT_EQ(metrics_->Value(Count::kSentBytes), 1000u);
}

TEST_F(ViewerCursorTest, ImagesMayTakeAQuarterOfWhatIsKnownOfTheLink) {
  EXPECT_EQ(Make({}).GetWants().cursor_rate_bps, kCursorRateMaxBps);
  EXPECT_EQ(Make({{1'000'000, 0}, false}).GetWants().cursor_rate_bps, 250'000);
  EXPECT_EQ(Make({{1, 0}, false}).GetWants().cursor_rate_bps, kCursorRateMinBps);
  Viewer& viewer = MakeAcknowledging();
  const int64_t unknown_bps = viewer.GetWants().cursor_rate_bps;
  EXPECT_EQ(unknown_bps, viewer.link().carries_bps() / kCursorRateShare);
  EXPECT_LT(unknown_bps, 1'000'000) << "the slowest link that a desktop is usable on";
}

TEST_F(ViewerCursorTest, AnImageThatTheClientHasIsNamed) {
  ViewerOptions options;
  options.cursor.kept_max = 2;
  Viewer& viewer = Make(options);
  EXPECT_GT(OfferImage(7), 0u);
  EXPECT_EQ(TakeAll(viewer), "started shape");
  EXPECT_EQ(OfferImage(7), 0u);
  const StreamEventPtr named = viewer.Take();
  ASSERT_NE(named, nullptr);
  EXPECT_EQ(std::get<CursorMoved>(named->body).shape_id, 7u);
}

TEST_F(ViewerCursorTest, WhatWaitsOfASeparateCursorEndsWithIt) {
  Viewer& viewer = MakeAcknowledging();
  TakeAll(viewer);
  OfferImage(1);
  OfferMove();
  StreamStarted in_picture;
  in_picture.cursor_path = CursorPath::kInPicture;
  viewer.OfferStarted(MakeEvent(in_picture, nullptr));
  EXPECT_EQ(TakeAll(viewer), "started");
}

}  // namespace
}  // namespace planecast
