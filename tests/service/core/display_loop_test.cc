#include "service/core/display_loop.h"

#include <gtest/gtest.h>

#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::kMs;
using ::planecast::testing::kNever;
using ::planecast::testing::kSecond;
using ::planecast::testing::LookWithFrame;
using ::planecast::testing::LookWithout;
using ::planecast::testing::LoopHarness;
using ::planecast::testing::MakeBuffer;
using ::planecast::testing::TakeAll;
using ::planecast::testing::TakeLast;

Cursor CursorAt(int32_t x_px, std::shared_ptr<const CursorImage> image) {
  Cursor cursor;
  cursor.visible = true;
  cursor.x_px = x_px;
  cursor.image = std::move(image);
  return cursor;
}

std::shared_ptr<const CursorImage> MakeCursorImage(uint32_t argb) {
  auto image = std::make_shared<CursorImage>();
  image->width_px = image->height_px = 2;
  image->argb.assign(4, argb);
  return image;
}

class DisplayLoopTest : public ::testing::Test {
 protected:
  LoopHarness h_;
};

// --- Nobody watches.

TEST_F(DisplayLoopTest, TheFirstStepLooksAndThenAnIdleDisplaySleeps) {
  h_.source->poll_interval_ns = 16 * kMs;
  EXPECT_EQ(h_.Step(), kNever) << "no polling without viewers";
  EXPECT_EQ(h_.source->looks, 1);
  EXPECT_EQ(h_.state(), DisplayState::kActive);
  EXPECT_FALSE(h_.source->watched);
  for (int i = 0; i < 100; ++i) h_.Step(kSecond);
  EXPECT_EQ(h_.source->looks, 1);
  EXPECT_EQ(h_.encoder->made, 0);
}

TEST_F(DisplayLoopTest, AFlipWithoutViewersIsNotLookedAt) {
  h_.Step();
  h_.Flip();
  EXPECT_EQ(h_.source->looks, 1);
}

TEST_F(DisplayLoopTest, TimedWorkOfTheSourceIsKeptWithoutViewers) {
  h_.source->next_timed_work_ns = 5 * kSecond;
  EXPECT_EQ(h_.Step(), 5 * kSecond);
}

TEST_F(DisplayLoopTest, AWatchedListIsKeptFreshEveryTwoSeconds) {
  h_.Step();
  h_.loop().SetStateWatched(true);
  EXPECT_EQ(h_.Step(), h_.clock.NowNs() + kIdleLookIntervalNs);
  h_.source->look = LookWithout(PlaneLook::Primary::kBlanked);
  h_.Step(kIdleLookIntervalNs);
  EXPECT_EQ(h_.source->looks, 2);
  EXPECT_EQ(h_.published.back().state.state, DisplayState::kBlanked);
  h_.loop().SetStateWatched(false);
  EXPECT_EQ(h_.Step(), kNever);
}

TEST_F(DisplayLoopTest, AnIdleDisplayHoldsNoBuffer) {
  std::weak_ptr<const PlaneBuffer> buffer = h_.source->look.frame->buffer;
  h_.Step();
  h_.source->look = LookWithout(PlaneLook::Primary::kBlanked);
  EXPECT_TRUE(buffer.expired());
}

// --- States.

TEST_F(DisplayLoopTest, PublishesEachStateOnceWithItsTime) {
  h_.source->look = LookWithout(PlaneLook::Primary::kNoFramebuffer);
  h_.Step();
  ASSERT_EQ(h_.published.size(), 1u);
  EXPECT_EQ(h_.published[0].state.state, DisplayState::kWaitingForGuest);
  EXPECT_EQ(h_.published[0].state.since_ns, h_.clock.NowNs());
  EXPECT_FALSE(h_.published[0].primary_plane.has_value());
  const int64_t since_ns = h_.clock.NowNs();
  h_.loop().SetStateWatched(true);
  h_.Step(kIdleLookIntervalNs);
  EXPECT_EQ(h_.published.size(), 1u) << "nothing changed";
  h_.source->look = LookWithFrame(MakeBuffer(640, 480));
  h_.Step(kIdleLookIntervalNs);
  ASSERT_EQ(h_.published.size(), 2u);
  EXPECT_EQ(h_.published[1].state.state, DisplayState::kActive);
  EXPECT_EQ(h_.published[1].state.since_ns, since_ns + 2 * kIdleLookIntervalNs);
  EXPECT_TRUE(h_.published[1].state.reason.empty());
  EXPECT_EQ(h_.published[1].primary_plane->layout.width_px, 640u);
}

TEST_F(DisplayLoopTest, APassingErrorKeepsStateAndPicture) {
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE key1");
  h_.source->look = LookWithout(PlaneLook::Primary::kTransient, absl::UnavailableError("ENOMEM"));
  h_.Flip();
  EXPECT_EQ(TakeAll(*viewer), "");
  EXPECT_EQ(h_.state(), DisplayState::kActive);
  viewer->RequestKeyFrame();
  h_.Step(kSecond);
  EXPECT_EQ(TakeAll(*viewer), "key2 stats") << "of the frame that is kept";
}

TEST_F(DisplayLoopTest, TheFirstLookIsRetriedAfterAPassingError) {
  h_.source->look = LookWithout(PlaneLook::Primary::kTransient, absl::UnavailableError("ENOMEM"));
  EXPECT_EQ(h_.Step(), h_.clock.NowNs() + kTransientRetryNs);
  EXPECT_EQ(h_.state(), DisplayState::kAttaching);
  h_.source->look = LookWithFrame(MakeBuffer(64, 64));
  EXPECT_EQ(h_.Step(kTransientRetryNs), kNever);
  EXPECT_EQ(h_.state(), DisplayState::kActive);
}

TEST_F(DisplayLoopTest, AFirstLookThatNeverSucceedsBecomesADeviceError) {
  h_.source->look = LookWithout(PlaneLook::Primary::kTransient, absl::UnavailableError("EFAULT"));
  for (int i = 0; i < kTransientRetriesMax; ++i) h_.Step(kTransientRetryNs);
  EXPECT_EQ(h_.state(), DisplayState::kDeviceError);
  EXPECT_NE(h_.loop().snapshot().state.reason.find("EFAULT"), std::string::npos);
}

TEST_F(DisplayLoopTest, MemoryWithoutCpuPathIsToldBeforeAnybodyWatches) {
  h_.source->look =
      LookWithFrame(MakeBuffer(64, 64, absl::FailedPreconditionError("needs a GPU import")));
  h_.Step();
  EXPECT_EQ(h_.state(), DisplayState::kImportFailed);
  EXPECT_EQ(h_.loop().snapshot().state.reason, "Needs a GPU import.");
  h_.source->look = LookWithFrame(MakeBuffer(64, 64));
  h_.loop().SetStateWatched(true);
  h_.Step(kIdleLookIntervalNs);
  EXPECT_EQ(h_.state(), DisplayState::kActive);
}

TEST_F(DisplayLoopTest, AnEncoderThatNeedsNoCpuPathIsNotHeldToIt) {
  h_.options.encoder_reads_by_cpu = false;
  h_.source->look =
      LookWithFrame(MakeBuffer(64, 64, absl::FailedPreconditionError("needs a GPU import")));
  h_.Step();
  EXPECT_EQ(h_.state(), DisplayState::kActive);
}

TEST_F(DisplayLoopTest, AnUnknownFormatIsToldBeforeAnybodyWatches) {
  h_.source->look = LookWithFrame(MakeBuffer(64, 64, absl::OkStatus(), 0x3231564e));
  h_.Step();
  EXPECT_EQ(h_.state(), DisplayState::kUnsupportedFormat);
}

TEST_F(DisplayLoopTest, AViewerSeesEachStateChange) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.source->look = LookWithout(PlaneLook::Primary::kBlanked);
  h_.Flip();
  h_.source->look = LookWithout(PlaneLook::Primary::kFailed, absl::UnimplementedError("NV12"));
  h_.Flip();
  EXPECT_EQ(TakeAll(*viewer), "state:BLANKED state:UNSUPPORTED_FORMAT");
  h_.source->look = LookWithFrame(MakeBuffer(64, 64));
  h_.Flip();
  EXPECT_EQ(TakeAll(*viewer), "state:ACTIVE unit2") << "same size: the stream goes on";
}

TEST_F(DisplayLoopTest, WhenTheDeviceIsGoneTheSourceGoesAtOnceAndTheDisplayStays) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.source->look = LookWithout(PlaneLook::Primary::kGone, absl::UnavailableError("QEMU ended"));
  h_.source->events.gone = true;
  const int64_t next_ns = h_.Step(kMs);
  EXPECT_TRUE(h_.source->destroyed);
  EXPECT_EQ(h_.encoder->alive, 0);
  EXPECT_EQ(TakeAll(*viewer), "state:DEVICE_GONE goodbye");
  EXPECT_EQ(next_ns, h_.clock.NowNs()) << "to forget the viewers";
  EXPECT_EQ(h_.Step(), kNever);
  EXPECT_EQ(h_.published.back().state.state, DisplayState::kDeviceGone);
  EXPECT_EQ(h_.published.back().viewer_count, 0);
  EXPECT_EQ(h_.published.back().state.reason, "QEMU ended.");
}

TEST_F(DisplayLoopTest, WhoJoinsAGoneDisplayIsToldSo) {
  h_.source->look = LookWithout(PlaneLook::Primary::kGone);
  h_.Step();
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "started state:DEVICE_GONE goodbye");
}

TEST_F(DisplayLoopTest, ADeviceThatGoesWithoutViewersIsNoticed) {
  h_.Step();
  h_.source->look = LookWithout(PlaneLook::Primary::kGone);
  h_.source->events.gone = true;
  h_.Step(kMs);
  EXPECT_TRUE(h_.source->destroyed);
  EXPECT_TRUE(h_.loop().wait_fds().empty());
}

// --- Looking for viewers.

TEST_F(DisplayLoopTest, PollsAtTheSourcesPaceWhileWatched) {
  h_.source->poll_interval_ns = 16 * kMs;
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_TRUE(h_.source->watched);
  EXPECT_EQ(h_.Step(), h_.clock.NowNs() + 16 * kMs);
  EXPECT_EQ(h_.source->looks, 1);
  h_.Step(16 * kMs);
  EXPECT_EQ(h_.source->looks, 2);
  viewer->Close();
  EXPECT_TRUE(h_.signal->Clear());
  h_.Step();
  EXPECT_FALSE(h_.source->watched);
}

TEST_F(DisplayLoopTest, ReportsWhetherTheContentChanged) {
  h_.encoder->change_once = true;
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE key1");
  h_.Flip();
  EXPECT_EQ(h_.source->reports, std::vector<bool>({true, false}));
  EXPECT_EQ(h_.Value(Count::kUnchanged), 1u);
  EXPECT_EQ(TakeAll(*viewer), "") << "an unchanged screen sends nothing";
}

// --- The cursor.

class DisplayCursorTest : public DisplayLoopTest {
 protected:
  DisplayCursorTest() { h_.source->info.cursor_separate = true; }
};

TEST_F(DisplayCursorTest, AJoinerGetsTheCursorBeforeThePicture) {
  h_.source->look.cursor = CursorAt(5, MakeCursorImage(1));
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE shape moved key1");
}

TEST_F(DisplayCursorTest, AMoveCostsNoVideo) {
  h_.encoder->change_once = true;
  const auto image = MakeCursorImage(1);
  h_.source->look.cursor = CursorAt(5, image);
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.source->look.cursor = CursorAt(6, image);
  h_.Flip();
  const auto moved = TakeLast<CursorMoved>(*viewer);
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(moved->x_px, 6);
  h_.source->look.cursor = CursorAt(6, MakeCursorImage(2));
  h_.Flip();
  EXPECT_EQ(TakeAll(*viewer), "shape");
  EXPECT_EQ(h_.Value(Count::kEncoded), 1u);
}

TEST_F(DisplayCursorTest, AHiddenCursorIsAMove) {
  h_.source->look.cursor = CursorAt(5, MakeCursorImage(1));
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.source->look.cursor.visible = false;
  h_.Flip();
  const auto moved = TakeLast<CursorMoved>(*viewer);
  ASSERT_NE(moved, nullptr);
  EXPECT_FALSE(moved->visible);
}

TEST_F(DisplayLoopTest, ACursorPlaneFoundLaterBeginsTheStreamAnew) {
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeLast<StreamStarted>(*viewer)->cursor_path, CursorPath::kInPicture);
  h_.source->info.cursor_separate = true;
  h_.source->look.cursor = CursorAt(5, MakeCursorImage(1));
  h_.Flip(100 * kMs);
  EXPECT_EQ(TakeAll(*viewer), "started shape moved key2");
  h_.Flip();
  EXPECT_EQ(TakeAll(*viewer), "unit3");
}

// --- Requests.

TEST_F(DisplayLoopTest, ARefreshLooksIfTheLastLookIsOld) {
  h_.Step();
  int answers = 0;
  h_.loop().AddRefresh([&](const DisplaySnapshot&) { ++answers; });
  h_.Step(kStateFreshNs / 2);
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(h_.source->looks, 1);
  h_.source->look = LookWithout(PlaneLook::Primary::kBlanked);
  h_.loop().AddRefresh([&](const DisplaySnapshot& snapshot) {
    ++answers;
    EXPECT_EQ(snapshot.state.state, DisplayState::kBlanked);
  });
  h_.Step(kStateFreshNs);
  EXPECT_EQ(answers, 2);
}

TEST_F(DisplayLoopTest, ARefreshWaitsForAPassingErrorAndNotForEver) {
  h_.Step();
  int answers = 0;
  h_.source->look = LookWithout(PlaneLook::Primary::kTransient);
  h_.loop().AddRefresh([&](const DisplaySnapshot&) { ++answers; });
  h_.clock.Advance(2 * kSecond);
  EXPECT_EQ(h_.Step(), h_.clock.NowNs() + kTransientRetryNs);
  EXPECT_EQ(answers, 0);
  for (int i = 1; i < kTransientRetriesMax; ++i) h_.Step(kTransientRetryNs);
  EXPECT_EQ(answers, 1);
}

TEST_F(DisplayLoopTest, APictureIsTakenWithoutViewersAndWithTheCursor) {
  h_.source->info.cursor_separate = true;
  h_.source->look.cursor = CursorAt(0, MakeCursorImage(0xffff0000));
  h_.Step();
  std::vector<Picture> pictures;
  const auto keep = [&](absl::StatusOr<Picture> picture) {
    ASSERT_TRUE(picture.ok()) << picture.status();
    pictures.push_back(*std::move(picture));
  };
  h_.loop().AddPicture({false, kNever, keep});
  h_.loop().AddPicture({true, kNever, keep});
  h_.clock.Advance(kSecond);
  EXPECT_EQ(h_.Step(), h_.clock.NowNs()) << "one picture per step";
  h_.Step();
  ASSERT_EQ(pictures.size(), 2u);
  EXPECT_TRUE(pictures[0].cursor_drawn);
  EXPECT_EQ(pictures[0].capture_time_ns, h_.clock.NowNs());
  EXPECT_EQ(pictures[0].image.rgb[0], 0xff);
  EXPECT_EQ(pictures[0].image.rgb[1], 0x00);
  EXPECT_FALSE(pictures[1].cursor_drawn);
  EXPECT_EQ(pictures[1].image.rgb[0], 0x40);
  EXPECT_EQ(pictures[1].image.width_px, 64u);
}

TEST_F(DisplayLoopTest, ALookForAPictureRequestIsEncodedIfSomebodyStreams) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.loop().AddPicture({false, kNever, [](const absl::StatusOr<Picture>&) {}});
  h_.Step(100 * kMs);
  EXPECT_EQ(TakeAll(*viewer), "unit2");
}

TEST_F(DisplayLoopTest, WithoutAPictureThePictureRequestSaysWhy) {
  h_.source->look = LookWithout(PlaneLook::Primary::kBlanked);
  absl::Status answer;
  h_.loop().AddPicture(
      {false, kNever, [&](const absl::StatusOr<Picture>& p) { answer = p.status(); }});
  h_.Step();
  EXPECT_EQ(answer.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(answer.message()).find("BLANKED"), std::string::npos);
}

TEST_F(DisplayLoopTest, APictureWaitsForPassingErrorsUntilItsDeadline) {
  h_.Step();
  h_.source->look = LookWithout(PlaneLook::Primary::kTransient);
  std::vector<absl::Status> answers;
  const auto keep = [&](const absl::StatusOr<Picture>& p) { answers.push_back(p.status()); };
  h_.loop().AddPicture({false, h_.clock.NowNs() + 3 * kTransientRetryNs, keep});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(h_.Step(), h_.clock.NowNs() + kTransientRetryNs);
    h_.clock.Advance(kTransientRetryNs);
  }
  EXPECT_TRUE(answers.empty());
  h_.Step();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(DisplayLoopTest, AModeIsPassedToTheSource) {
  h_.source->mode_answer = absl::FailedPreconditionError("no EDID");
  absl::Status answer;
  h_.loop().AddMode({1920, 1080, [&](absl::Status status) { answer = std::move(status); }});
  h_.Step();
  EXPECT_EQ(h_.source->modes.size(), 1u);
  EXPECT_EQ(answer, absl::FailedPreconditionError("no EDID"));
}

// --- The end.

TEST_F(DisplayLoopTest, CloseSaysGoodbyeAnswersAndLetsGoOfEverything) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  auto late = h_.Join();
  absl::Status picture;
  absl::Status mode;
  bool refreshed = false;
  h_.loop().AddPicture({false, 0, [&](const absl::StatusOr<Picture>& p) { picture = p.status(); }});
  h_.loop().AddMode({64, 64, [&](absl::Status status) { mode = std::move(status); }});
  h_.loop().AddRefresh([&](const DisplaySnapshot&) { refreshed = true; });
  h_.loop().Close(Goodbye{Goodbye::Reason::kDetached, "bye", -1});
  EXPECT_EQ(TakeAll(*viewer), "state:DETACHING goodbye");
  EXPECT_EQ(TakeAll(*late).substr(0, 7), "started");
  EXPECT_TRUE(late->finished());
  EXPECT_EQ(picture.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(mode.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(refreshed);
  EXPECT_TRUE(h_.source->destroyed);
  EXPECT_EQ(h_.encoder->alive, 0);
  EXPECT_EQ(h_.published.back().state.state, DisplayState::kDetaching);
  EXPECT_EQ(h_.published.back().viewer_count, 0);
}

}  // namespace
}  // namespace planecast
