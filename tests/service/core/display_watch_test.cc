#include "service/core/display_watch.h"

#include <gtest/gtest.h>

namespace planecast {
namespace {

DisplaySnapshot Snapshot(const std::string& id, DisplayState state = DisplayState::kActive) {
  DisplaySnapshot snapshot;
  snapshot.id = id;
  snapshot.state.state = state;
  return snapshot;
}

/// Everything there is, as words: "a:ACTIVE", "bookmark", "a:detached", "end".
std::string TakeAll(DisplayWatch& watch) {
  std::string words;
  while (std::optional<WatchEvent> event = watch.Take()) {
    if (!words.empty()) words += ' ';
    if (const auto* display = std::get_if<DisplaySnapshot>(&*event)) {
      words += display->id + ":" + std::string(DisplayStateName(display->state.state));
    } else if (const auto* detached = std::get_if<DisplayDetached>(&*event)) {
      words += detached->id + ":detached";
    } else {
      words += std::holds_alternative<WatchBookmark>(*event) ? "bookmark" : "end";
    }
  }
  return words;
}

TEST(DisplayWatchTest, BeginsWithWhatIsThereThenABookmarkThenChanges) {
  DisplayWatch watch({Snapshot("a"), Snapshot("b")}, nullptr);
  EXPECT_EQ(TakeAll(watch), "a:ACTIVE b:ACTIVE bookmark");
  watch.OnDisplay(Snapshot("b", DisplayState::kBlanked));
  watch.OnDisplay(Snapshot("c", DisplayState::kAttaching));
  EXPECT_EQ(TakeAll(watch), "b:BLANKED c:ATTACHING");
}

TEST(DisplayWatchTest, ASlowWatcherGetsTheLatestStateOfEachDisplay) {
  DisplayWatch watch({}, nullptr);
  for (int i = 0; i < 1000; ++i) {
    watch.OnDisplay(Snapshot("a", DisplayState::kBlanked));
    watch.OnDisplay(Snapshot("b", DisplayState::kBlanked));
  }
  watch.OnDisplay(Snapshot("a", DisplayState::kDeviceGone));
  EXPECT_EQ(TakeAll(watch), "bookmark a:DEVICE_GONE b:BLANKED");
}

TEST(DisplayWatchTest, ADetachIsToldAndNeverCoalescedAway) {
  DisplayWatch watch({Snapshot("a")}, nullptr);
  TakeAll(watch);
  watch.OnDisplay(Snapshot("a", DisplayState::kDetaching));
  watch.OnDetached("a");
  EXPECT_EQ(TakeAll(watch), "a:detached");
  watch.OnDisplay(Snapshot("a"));
  watch.OnDetached("a");
  watch.OnDisplay(Snapshot("a", DisplayState::kBlanked));
  EXPECT_EQ(TakeAll(watch), "a:BLANKED") << "the one between was never told of";
}

TEST(DisplayWatchTest, AnotherDisplayOfTheSameIdComesAfterTheDetach) {
  DisplayWatch watch({Snapshot("a")}, nullptr);
  TakeAll(watch);
  watch.OnDetached("a");
  watch.OnDisplay(Snapshot("a", DisplayState::kAttaching));
  EXPECT_EQ(TakeAll(watch), "a:detached a:ATTACHING");
}

TEST(DisplayWatchTest, ADisplayThatCameAndWentUnseenLeavesNothingBehind) {
  DisplayWatch watch({}, nullptr);
  for (int i = 0; i < 1000; ++i) {
    watch.OnDisplay(Snapshot("d" + std::to_string(i)));
    watch.OnDetached("d" + std::to_string(i));
  }
  EXPECT_EQ(TakeAll(watch), "bookmark");
}

TEST(DisplayWatchTest, ADisplayDetachedBeforeTheBookmarkIsLeftOut) {
  DisplayWatch watch({Snapshot("a"), Snapshot("b")}, nullptr);
  watch.OnDetached("a");
  EXPECT_EQ(TakeAll(watch), "b:ACTIVE bookmark");
}

TEST(DisplayWatchTest, NotifiesOnceUntilTakeReturnsNothing) {
  DisplayWatch watch({}, nullptr);
  int notified = 0;
  watch.SetNotify([&notified] { ++notified; });
  EXPECT_EQ(notified, 1) << "for the bookmark";
  TakeAll(watch);
  const DisplayWatch::Notify first = watch.OnDisplay(Snapshot("a"));
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(watch.OnDisplay(Snapshot("b")), nullptr);
  TakeAll(watch);
  EXPECT_NE(watch.OnDetached("a"), nullptr);
}

TEST(DisplayWatchTest, EndsAfterWhatWaits) {
  DisplayWatch watch({Snapshot("a")}, nullptr);
  watch.OnEnd();
  watch.OnDisplay(Snapshot("b"));
  EXPECT_EQ(TakeAll(watch), "a:ACTIVE bookmark end");
  EXPECT_EQ(TakeAll(watch), "");
}

TEST(DisplayWatchTest, ClosingTellsOnceAndForgetsAll) {
  int closed = 0;
  DisplayWatch watch({Snapshot("a")}, [&closed] { ++closed; });
  watch.Close();
  watch.Close();
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(TakeAll(watch), "");
  EXPECT_EQ(watch.OnDisplay(Snapshot("a")), nullptr);
}

}  // namespace
}  // namespace planecast
