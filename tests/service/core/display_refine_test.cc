#include <gtest/gtest.h>

#include "service/core/display_loop.h"
#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::kMs;
using ::planecast::testing::kNever;
using ::planecast::testing::kSecond;
using ::planecast::testing::LoopHarness;
using ::planecast::testing::TakeAll;
using ::planecast::testing::TakeLast;

class DisplayRefineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    h_.encoder->change_once = true;
    h_.encoder->refinements = 3;
  }

  // Steps as a caller does, until `until_ns`.
  void Run(int64_t until_ns) {
    int64_t next_ns = h_.Step();
    while (std::min(next_ns, h_.clock.NowNs() + kMs) <= until_ns && steps_ < 10000) {
      ++steps_;
      h_.clock.Set(std::max(h_.clock.NowNs(), std::min(next_ns, until_ns)));
      next_ns = h_.Step();
      if (next_ns > until_ns) break;
    }
    h_.clock.Set(until_ns);
  }

  void Change() {
    h_.encoder->changed = true;
    h_.Flip();
  }

  LoopHarness h_{60};
  int steps_ = 0;
};

TEST_F(DisplayRefineTest, APictureThatStandsStillIsRefinedUntilItIsSharpAndThenNothingIsSent) {
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE key1");
  const int64_t begin_ns = h_.clock.NowNs();
  Run(begin_ns + kStillNs - kMs);
  EXPECT_EQ(TakeAll(*viewer), "");
  std::string words;
  for (int i = 0; i < 12; ++i) {
    Run(h_.clock.NowNs() + 17 * kMs);
    words += TakeAll(*viewer) + " ";
  }
  EXPECT_NE(words.find("unit2"), std::string::npos);
  EXPECT_NE(words.find("unit4"), std::string::npos);
  EXPECT_EQ(h_.encoder->refined, 3);
  EXPECT_EQ(h_.Value(Count::kRefinements), 3u);
  const int looks = h_.source->looks;
  Run(h_.clock.NowNs() + 900 * kMs - (h_.clock.NowNs() - begin_ns));
  EXPECT_EQ(h_.source->looks, looks) << "a sharp picture wakes nobody";
  EXPECT_EQ(h_.encoder->refined, 3);
  EXPECT_LT(steps_, 100);
}

TEST_F(DisplayRefineTest, TheLastRefinementSaysThatThePictureIsSharp) {
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_FALSE(TakeLast<UnitEvent>(*viewer)->unit->sharp);
  bool sharp = false;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(sharp);
    h_.Step(2 * kStillNs);
    const auto event = TakeLast<UnitEvent>(*viewer);
    ASSERT_NE(event, nullptr);
    EXPECT_TRUE(event->unit->refinement);
    sharp = event->unit->sharp;
  }
  EXPECT_TRUE(sharp);
}

TEST_F(DisplayRefineTest, WhileThePictureChangesNothingIsRefined) {
  auto viewer = h_.Join();
  h_.Step();
  for (int i = 0; i < 60; ++i) {
    Change();
    TakeAll(*viewer);
  }
  EXPECT_EQ(h_.encoder->refined, 0);
  EXPECT_GE(h_.Value(Count::kEncoded), 60u);
}

TEST_F(DisplayRefineTest, AGuestThatFlipsTheSamePictureStandsStill) {
  auto viewer = h_.Join();
  h_.Step();
  for (int i = 0; i < 30; ++i) {
    h_.Flip();
    TakeAll(*viewer);
  }
  EXPECT_EQ(h_.encoder->refined, 3);
}

TEST_F(DisplayRefineTest, AChangeBetweenRefinementsIsSentAtOnce) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.Step(kStillNs);
  ASSERT_EQ(h_.encoder->refined, 1);
  TakeAll(*viewer);
  Change();
  const auto event = TakeLast<UnitEvent>(*viewer);
  ASSERT_NE(event, nullptr);
  EXPECT_FALSE(event->unit->refinement);
  h_.Step(20 * kMs);
  EXPECT_EQ(h_.encoder->refined, 1) << "the picture does not stand still any more";
  h_.Step(kStillNs);
  EXPECT_EQ(h_.encoder->refined, 2);
}

TEST_F(DisplayRefineTest, RefinementWaitsForRoomWithoutSpinning) {
  h_.encoder->refinement_wait_ns = kSecond / 2;
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  const int64_t next_ns = h_.Step(kStillNs);
  EXPECT_EQ(h_.encoder->refined, 0);
  EXPECT_EQ(next_ns, h_.clock.NowNs() - kStillNs + kSecond / 2);
  h_.Step(kSecond / 2);
  EXPECT_EQ(h_.encoder->refined, 1);
}

TEST_F(DisplayRefineTest, RefinementWaitsForAViewerThatCanTakeIt) {
  auto viewer = h_.Join({{}, true});
  h_.Step();
  while (viewer->Take() != nullptr) viewer->OnWritten();
  h_.Step(kStillNs);
  h_.Step(kStillNs);
  const int refined = h_.encoder->refined;
  ASSERT_GE(refined, 1);
  // Not acknowledged, so the window is closed after a while.
  for (int i = 0; i < 3; ++i) {
    while (viewer->Take() != nullptr) viewer->OnWritten();
    Change();
  }
  const int64_t next_ns = h_.Step(kStillNs);
  EXPECT_GT(next_ns, h_.clock.NowNs()) << "does not spin";
  EXPECT_EQ(h_.encoder->refined, refined);
  ASSERT_TRUE(viewer->Acknowledge(1).ok());
  EXPECT_EQ(h_.Step(kStillNs) == kNever, false);
}

TEST_F(DisplayRefineTest, WithoutViewersNothingIsRefined) {
  auto viewer = h_.Join();
  h_.Step();
  viewer->Close();
  h_.Step(kMs);
  h_.Step(kStillNs);
  h_.Step(kStillNs);
  EXPECT_EQ(h_.encoder->refined, 0);
}

TEST_F(DisplayRefineTest, AJoinerOfARefinedPictureGetsItWithoutAKeyFrameForTheOthers) {
  auto first = h_.Join();
  h_.Step();
  for (int i = 0; i < 5; ++i) {
    h_.Step(kStillNs);
    TakeAll(*first);
  }
  ASSERT_EQ(h_.encoder->refined, 3);
  auto second = h_.Join();
  h_.Step(kMs);
  EXPECT_EQ(TakeAll(*second), "started state:ACTIVE key1 unit2 unit3 unit4");
  EXPECT_EQ(TakeAll(*first), "");
  EXPECT_EQ(h_.Value(Count::kKeyFrames), 1u);
}

TEST_F(DisplayRefineTest, AJoinerAfterManyRefinementsGetsAKeyFrame) {
  h_.encoder->refinements = 10;
  auto first = h_.Join();
  h_.Step();
  for (int i = 0; i < 12; ++i) {
    h_.Step(kStillNs);
    TakeAll(*first);
  }
  ASSERT_EQ(h_.encoder->refined, 10);
  auto second = h_.Join();
  h_.Step(kMs);
  EXPECT_EQ(TakeAll(*second), "started state:ACTIVE key12");
}

TEST_F(DisplayRefineTest, AnEncoderThatPromisesRoomAndHasNoneIsNotAskedAllTheTime) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  // It says that there is something to refine, and never does it.
  h_.encoder->refinement_wait_ns = 0;
  h_.encoder->refuses_refinement = true;
  const int64_t next_ns = h_.Step(kStillNs);
  EXPECT_GE(next_ns, h_.clock.NowNs() + kStillNs);
  EXPECT_EQ(h_.encoder->refined, 0);
}

}  // namespace
}  // namespace planecast
