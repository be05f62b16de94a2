#include "service/core/announcer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::CountingCodec;
using ::planecast::testing::EncoderScript;
using ::planecast::testing::kSecond;
using ::planecast::testing::MakeBuffer;
using ::planecast::testing::ScriptedEncoderFactory;
using ::planecast::testing::TakeAll;
using ::planecast::testing::TakeLast;

class AnnouncerTest : public ::testing::Test {
 protected:
  AnnouncerTest() {
    state_.state = DisplayState::kActive;
    cursor_.visible = true;
    cursor_.image = std::make_shared<CursorImage>();
  }
  DisplayOptions Options() {
    DisplayOptions options;
    options.clock = &clock_;
    options.make_encoder = ScriptedEncoderFactory(encoder_, clock_);
    return options;
  }
  std::shared_ptr<Viewer> Join() {
    auto viewer = std::make_shared<Viewer>("viewer", ViewerOptions{}, signal_, metrics_, clock_);
    renditions_.Add(viewer);
    return viewer;
  }
  std::shared_ptr<Viewer> JoinAndGreet() {
    auto viewer = Join();
    announcer_.Greet(News());
    TakeAll(*viewer);
    return viewer;
  }
  DisplayNews News() const { return {cursor_path_, FlipRegime::kPolling, state_, cursor_}; }
  void MakeEncoder(uint32_t width_px = 64) {
    renditions_.best().Prepare(Frame{MakeBuffer(width_px, 64), 0, 0}, clock_.NowNs());
  }

  ManualClock clock_;
  std::shared_ptr<EncoderScript> encoder_ = std::make_shared<EncoderScript>();
  std::shared_ptr<WakeSignal> signal_ = std::make_shared<WakeSignal>();
  std::shared_ptr<DisplayMetrics> metrics_ = std::make_shared<DisplayMetrics>();
  CountingCodec codec_;
  const DisplayOptions options_ = Options();
  const DisplaySpec spec_;
  CursorPath cursor_path_ = CursorPath::kSeparate;
  StateReport state_;
  Cursor cursor_;
  RenditionSet renditions_{options_, spec_, *metrics_, [](Member&, const Rendition&) {}};
  Announcer announcer_{renditions_, "test", &codec_, *metrics_};
};

// --- New viewers.

TEST_F(AnnouncerTest, ANewViewerIsToldAllThatThereIsOnce) {
  EXPECT_FALSE(announcer_.AnyToGreet());
  auto viewer = Join();
  EXPECT_TRUE(announcer_.AnyToGreet());
  announcer_.Greet(News());
  EXPECT_FALSE(announcer_.AnyToGreet());
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE shape moved");
  EXPECT_EQ(announcer_.told_cursor_path(), CursorPath::kSeparate);
  announcer_.Greet(News());
  EXPECT_EQ(TakeAll(*viewer), "");
}

TEST_F(AnnouncerTest, ACursorInThePictureIsNotToldBesideIt) {
  cursor_path_ = CursorPath::kInPicture;
  auto viewer = Join();
  announcer_.Greet(News());
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE");
}

TEST_F(AnnouncerTest, ACursorWithoutAnImageYetHasAPositionOnly) {
  cursor_.image = nullptr;
  auto viewer = Join();
  announcer_.Greet(News());
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE moved");
}

TEST_F(AnnouncerTest, TheStreamIsDescribedOnceThereIsAnEncoder) {
  auto early = Join();
  announcer_.Greet(News());
  const auto without = TakeLast<StreamStarted>(*early);
  EXPECT_FALSE(without->description.has_value());
  EXPECT_EQ(without->display_id, "test");
  EXPECT_EQ(without->flip_regime, FlipRegime::kPolling);
  MakeEncoder();
  auto late = Join();
  announcer_.Greet(News());
  const auto with = TakeLast<StreamStarted>(*late);
  ASSERT_TRUE(with->description.has_value());
  EXPECT_EQ(with->description->visible_width_px, 64u);
  EXPECT_EQ(with->encoder, "scripted");
}

TEST_F(AnnouncerTest, WhoIsNotGreetedIsToldNothingButTheEnd) {
  auto viewer = Join();
  announcer_.TellState(state_);
  announcer_.TellCursor({}, cursor_);
  announcer_.BeginAnew(News());
  MakeEncoder();
  announcer_.TellNewEncoder(renditions_.best(), News());
  EXPECT_EQ(TakeAll(*viewer), "");
  announcer_.SayGoodbye({});
  EXPECT_EQ(TakeAll(*viewer), "goodbye");
}

// --- News.

TEST_F(AnnouncerTest, AnEventIsSerialisedOnceForAll) {
  auto first = JoinAndGreet();
  auto second = JoinAndGreet();
  TakeAll(*first);
  const int encoded = codec_.encoded;
  announcer_.TellState(state_);
  EXPECT_EQ(codec_.encoded, encoded + 1);
  EXPECT_EQ(TakeAll(*first), "state:ACTIVE");
  EXPECT_EQ(TakeAll(*second), "state:ACTIVE");
}

TEST_F(AnnouncerTest, OfTheCursorOnlyWhatChangedIsTold) {
  auto viewer = JoinAndGreet();
  announcer_.TellCursor(cursor_, cursor_);
  EXPECT_EQ(TakeAll(*viewer), "");
  Cursor other = cursor_;
  other.x_px = 7;
  announcer_.TellCursor(cursor_, other);
  EXPECT_EQ(TakeAll(*viewer), "moved");
  other = cursor_;
  other.image = std::make_shared<CursorImage>();
  announcer_.TellCursor(cursor_, other);
  EXPECT_EQ(TakeAll(*viewer), "shape");
  other = cursor_;
  other.visible = false;
  other.image = nullptr;
  announcer_.TellCursor(cursor_, other);
  EXPECT_EQ(TakeAll(*viewer), "moved") << "hidden, and what it looked like is kept";
}

TEST_F(AnnouncerTest, WhenTheCursorTakesAnotherWayEachStreamBeginsAnew) {
  auto viewer = JoinAndGreet();
  cursor_path_ = CursorPath::kInPicture;
  announcer_.BeginAnew(News());
  EXPECT_EQ(TakeAll(*viewer), "started");
  EXPECT_EQ(announcer_.told_cursor_path(), CursorPath::kInPicture);
  cursor_path_ = CursorPath::kSeparate;
  announcer_.BeginAnew(News());
  EXPECT_EQ(TakeAll(*viewer), "started shape moved");
}

TEST_F(AnnouncerTest, ANewEncoderIsToldToWhoDoesNotKnowItsStream) {
  auto viewer = JoinAndGreet();
  MakeEncoder();
  announcer_.TellNewEncoder(renditions_.best(), News());
  EXPECT_EQ(TakeAll(*viewer), "started");
  announcer_.TellNewEncoder(renditions_.best(), News());
  EXPECT_EQ(TakeAll(*viewer), "") << "no unit was made since, and it is the same size";
  MakeEncoder(128);
  announcer_.TellNewEncoder(renditions_.best(), News());
  EXPECT_EQ(TakeAll(*viewer), "started");
}

TEST_F(AnnouncerTest, ANewEncoderIsNotToldIfAllStreamsBeginAnewAnyway) {
  auto viewer = JoinAndGreet();
  MakeEncoder();
  cursor_path_ = CursorPath::kInPicture;
  announcer_.TellNewEncoder(renditions_.best(), News());
  EXPECT_EQ(TakeAll(*viewer), "");
}

// --- Statistics.

TEST_F(AnnouncerTest, CountsAreSinceTheViewerJoined) {
  metrics_->Add(Count::kLooks, 5);
  auto viewer = JoinAndGreet();
  metrics_->Add(Count::kLooks, 2);
  announcer_.TellStats(News(), clock_.NowNs());
  const auto stats = TakeLast<StreamStats>(*viewer);
  ASSERT_NE(stats, nullptr);
  EXPECT_EQ(stats->looks, 2u);
  EXPECT_EQ(stats->viewer_count, 1);
  EXPECT_EQ(stats->flip_regime, FlipRegime::kPolling);
}

TEST_F(AnnouncerTest, AViewerThatTakesNothingIsEnded) {
  auto viewer = Join();
  announcer_.Greet(News());
  clock_.Advance(kViewerStallNs + kSecond);
  announcer_.TellStats(News(), clock_.NowNs());
  EXPECT_TRUE(viewer->ending());
  EXPECT_EQ(metrics_->Value(Count::kViewersStalled), 1u);
}

}  // namespace
}  // namespace planecast
