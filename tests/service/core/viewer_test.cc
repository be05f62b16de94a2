#include "service/core/viewer.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>

#include "service/core/wake_signal.h"
#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::Describe;
using ::planecast::testing::kMs;
using ::planecast::testing::kSecond;
using ::planecast::testing::TakeAll;
using ::planecast::testing::TakeLast;
using ::planecast::testing::UnitOfSize;

class ViewerTest : public ::testing::Test {
 protected:
  Viewer& Make(bool acknowledges) {
    viewer_ =
        std::make_unique<Viewer>("v", ViewerOptions{{}, acknowledges}, signal_, metrics_, clock_);
    viewer_->OfferStarted(MakeEvent(StreamStarted{}, nullptr));
    return *viewer_;
  }
  void Offer(uint64_t sequence, bool key_frame, size_t size_bytes = 1000) {
    viewer_->OfferUnit(UnitOfSize(sequence, key_frame, size_bytes, clock_.NowNs()), clock_.NowNs(),
                       true);
  }
  void OfferState(DisplayState state) {
    StateReport report;
    report.state = state;
    viewer_->OfferStateChanged(MakeEvent(StateChanged{report}, nullptr));
  }
  void OfferMove(int x_px) {
    viewer_->OfferCursorMoved(MakeEvent(CursorMoved{x_px, 0, true}, nullptr));
  }
  /// The next event's word, its write begun and not completed.
  std::string BeginWrite() {
    const StreamEventPtr event = viewer_->Take();
    return event == nullptr ? "" : Describe(*event);
  }

  ManualClock clock_;
  std::shared_ptr<WakeSignal> signal_ = std::make_shared<WakeSignal>();
  std::shared_ptr<DisplayMetrics> metrics_ = std::make_shared<DisplayMetrics>();
  std::unique_ptr<Viewer> viewer_;
};

TEST_F(ViewerTest, AJoinerGetsNoUnitBeforeAKeyFrame) {
  Viewer& viewer = Make(false);
  Offer(1, false);
  EXPECT_EQ(TakeAll(viewer), "started");
  Offer(2, true);
  Offer(3, false);
  EXPECT_EQ(TakeAll(viewer), "key2 unit3");
}

TEST_F(ViewerTest, UnitsMissedBeforeTheFirstKeyFrameAreNoDrops) {
  Viewer& viewer = Make(false);
  Offer(1, false);
  Offer(2, true);
  viewer.OfferStats({});
  EXPECT_EQ(TakeLast<StreamStats>(viewer)->dropped.Sum(), 0u);
}

TEST_F(ViewerTest, TakeGivesNothingWhileAWriteIsInFlight) {
  Viewer& viewer = Make(false);
  Offer(1, true);
  EXPECT_EQ(BeginWrite(), "started");
  EXPECT_EQ(viewer.Take(), nullptr);
  viewer.OnWritten();
  EXPECT_EQ(BeginWrite(), "key1");
}

TEST_F(ViewerTest, AtMostThreeUnitsAreUnacknowledgedUntilTheRoundTripIsKnown) {
  Viewer& viewer = Make(true);
  for (uint64_t sequence = 1; sequence <= 5; ++sequence) Offer(sequence, sequence == 1);
  EXPECT_EQ(TakeAll(viewer), "started key1 unit2 unit3");
  EXPECT_FALSE(viewer.GetWants().ready);
  ASSERT_TRUE(viewer.Acknowledge(1).ok());
  EXPECT_EQ(TakeAll(viewer), "unit4 unit5");
  ASSERT_TRUE(viewer.Acknowledge(4).ok());
  EXPECT_TRUE(viewer.GetWants().ready);
}

TEST_F(ViewerTest, TheWindowHoldsWhatTheLinkBringsInARoundTrip) {
  Viewer& viewer = Make(true);
  Offer(1, true);
  TakeAll(viewer);
  clock_.Advance(100 * kMs);
  ASSERT_TRUE(viewer.Acknowledge(1).ok());
  // 60 Hz over a round trip of 100 ms: six on their way at a time, and nothing waits.
  uint64_t sequence = 2;
  for (; sequence < 10; ++sequence) {
    ASSERT_TRUE(viewer.GetWants().ready) << sequence;
    Offer(sequence, false);
    EXPECT_EQ(TakeAll(viewer), "unit" + std::to_string(sequence));
    clock_.Advance(16 * kMs);
    const uint64_t arrived = sequence - std::min<uint64_t>(sequence - 1, 6);
    ASSERT_TRUE(viewer.Acknowledge(arrived).ok());
  }
  // Unit 4 was sent 96 ms ago. Once one is late by more than the queue may be, no more are sent.
  clock_.Advance(kQueueBudgetNs);
  EXPECT_TRUE(viewer.GetWants().ready);
  clock_.Advance(5 * kMs);
  EXPECT_FALSE(viewer.GetWants().ready);
  ASSERT_TRUE(viewer.Acknowledge(9).ok());
  EXPECT_TRUE(viewer.GetWants().ready);
}

TEST_F(ViewerTest, TwoUnitsAreAlwaysSentHoweverLateTheFirstIs) {
  Viewer& viewer = Make(true);
  Offer(1, true);
  TakeAll(viewer);
  clock_.Advance(kMs);
  ASSERT_TRUE(viewer.Acknowledge(1).ok());
  Offer(2, false);
  TakeAll(viewer);
  clock_.Advance(kSecond);
  EXPECT_TRUE(viewer.GetWants().ready);
  Offer(3, false);
  EXPECT_EQ(TakeAll(viewer), "unit3");
  EXPECT_FALSE(viewer.GetWants().ready);
}

TEST_F(ViewerTest, AnotherRenditionBeginsWithAKeyFrameAndWithoutAGap) {
  Viewer& viewer = Make(true);
  Offer(7, true);
  EXPECT_EQ(TakeAll(viewer), "started key7");
  EXPECT_EQ(viewer.sequence_offset(), 0u);
  viewer.ChangeRendition();
  EXPECT_TRUE(viewer.GetWants().join_key_frame);
  EXPECT_EQ(viewer.GetWants().last_sequence, 0u);
  Offer(2, false);
  EXPECT_EQ(TakeAll(viewer), "") << "a unit of the new one that its decoder can't use";
  Offer(3, true);
  EXPECT_EQ(TakeAll(viewer), "key3");
  EXPECT_EQ(3 + viewer.sequence_offset(), 8u);
  EXPECT_EQ(viewer.GetWants().last_sequence, 3u);
  EXPECT_FALSE(viewer.Acknowledge(9).ok());
  EXPECT_TRUE(viewer.Acknowledge(8).ok());
}

TEST_F(ViewerTest, AnotherRenditionBeforeTheFirstUnitChangesNothing) {
  Viewer& viewer = Make(true);
  viewer.ChangeRendition();
  Offer(5, true);
  EXPECT_EQ(TakeAll(viewer), "started key5");
  EXPECT_EQ(viewer.sequence_offset(), 0u);
}

TEST_F(ViewerTest, AnAcknowledgementOfAUnitThatWasNotSentIsRefused) {
  Viewer& viewer = Make(true);
  Offer(1, true);
  TakeAll(viewer);
  EXPECT_EQ(viewer.Acknowledge(2).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(viewer.Acknowledge(~uint64_t{0}).code(), absl::StatusCode::kInvalidArgument);
  viewer.OfferStats({});
  EXPECT_EQ(TakeLast<StreamStats>(viewer)->unacknowledged, 1);
}

TEST_F(ViewerTest, AViewerThatDoesNotAcknowledgeIsGatedByItsWrites) {
  Viewer& viewer = Make(false);
  TakeAll(viewer);
  Offer(1, true);
  EXPECT_EQ(BeginWrite(), "key1");
  EXPECT_TRUE(viewer.GetWants().ready) << "one unit may wait behind the write in flight";
  Offer(2, false);
  EXPECT_FALSE(viewer.GetWants().ready);
  viewer.OnWritten();
  EXPECT_EQ(BeginWrite(), "unit2");
  EXPECT_TRUE(viewer.GetWants().ready);
}

TEST_F(ViewerTest, OverflowInUnitsDropsToTheNextKeyFrame) {
  Viewer& viewer = Make(false);
  TakeAll(viewer);
  Offer(1, true);
  ASSERT_EQ(BeginWrite(), "key1");
  uint64_t sequence = 2;
  for (; sequence < 2 + kQueueUnitsMax; ++sequence) Offer(sequence, false);
  EXPECT_FALSE(viewer.GetWants().resync_key_frame);
  Offer(sequence++, false);
  EXPECT_TRUE(viewer.GetWants().resync_key_frame);
  Offer(sequence++, false);
  Offer(sequence, true);
  viewer.OnWritten();
  EXPECT_EQ(TakeAll(viewer), "key" + std::to_string(sequence));
  viewer.OfferStats({});
  const auto stats = TakeLast<StreamStats>(viewer);
  EXPECT_EQ(stats->dropped.Sum(), kQueueUnitsMax + 2);
  EXPECT_EQ(stats->resyncs, 1u);
}

TEST_F(ViewerTest, OverflowInBytesDropsToTheNextKeyFrame) {
  Viewer& viewer = Make(false);
  TakeAll(viewer);
  Offer(1, true, 10);
  ASSERT_EQ(BeginWrite(), "key1");
  Offer(2, false, kQueueBytesMax);
  EXPECT_FALSE(viewer.GetWants().resync_key_frame);
  Offer(3, false, 1);
  EXPECT_TRUE(viewer.GetWants().resync_key_frame);
}

TEST_F(ViewerTest, OverflowInAgeDropsToTheNextKeyFrame) {
  Viewer& viewer = Make(false);
  TakeAll(viewer);
  Offer(1, true);
  ASSERT_EQ(BeginWrite(), "key1");
  Offer(2, false);
  clock_.Advance(kQueueAgeMaxNs);
  Offer(3, false);
  EXPECT_FALSE(viewer.GetWants().resync_key_frame);
  clock_.Advance(1);
  Offer(4, false);
  EXPECT_TRUE(viewer.GetWants().resync_key_frame);
}

TEST_F(ViewerTest, AUnitLargerThanTheQueueIsAdmittedAlone) {
  Viewer& viewer = Make(false);
  Offer(1, true, kQueueBytesMax + 1);
  EXPECT_EQ(TakeAll(viewer), "started key1");
}

TEST_F(ViewerTest, ASlowLinkThatNobodyOutrunsDropsNothing) {
  Viewer& viewer = Make(true);
  TakeAll(viewer);
  Offer(1, true);
  ASSERT_EQ(BeginWrite(), "key1");
  Offer(2, false);
  clock_.Advance(4 * kQueueAgeMaxNs);
  ASSERT_TRUE(viewer.GetWants().ready);
  Offer(3, false);
  viewer.OnWritten();
  EXPECT_EQ(TakeAll(viewer), "unit2 unit3");
}

TEST_F(ViewerTest, AViewerThatOverflowsAgainSoonWaitsLongerForItsKeyFrame) {
  Viewer& viewer = Make(false);
  TakeAll(viewer);
  uint64_t sequence = 1;
  int64_t waits_ns[5] = {};
  for (int64_t& wait_ns : waits_ns) {
    Offer(sequence++, true);
    if (sequence == 2) BeginWrite();
    while (!viewer.GetWants().resync_key_frame) Offer(sequence++, false);
    wait_ns = viewer.GetWants().resync_not_before_ns - clock_.NowNs();
    clock_.Advance(kSecond);
  }
  EXPECT_EQ(waits_ns[0], 0);
  EXPECT_EQ(waits_ns[1], kResyncBackoffMinNs);
  EXPECT_EQ(waits_ns[2], 2 * kResyncBackoffMinNs);
  EXPECT_EQ(waits_ns[4], kResyncBackoffMaxNs);
  clock_.Advance(60 * kSecond);
  Offer(sequence++, true);
  while (!viewer.GetWants().resync_key_frame) Offer(sequence++, false);
  EXPECT_EQ(viewer.GetWants().resync_not_before_ns, clock_.NowNs()) << "forgiven after a while";
}

TEST_F(ViewerTest, CursorMovesCoalesceAndTheLatestWins) {
  Viewer& viewer = Make(false);
  TakeAll(viewer);
  for (int x_px = 0; x_px < 100; ++x_px) OfferMove(x_px);
  const StreamEventPtr event = viewer.Take();
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(std::get<CursorMoved>(event->body).x_px, 99);
  viewer.OnWritten();
  EXPECT_EQ(viewer.Take(), nullptr);
}

TEST_F(ViewerTest, TheCursorOvertakesUnitsThatWait) {
  Viewer& viewer = Make(true);
  for (uint64_t sequence = 1; sequence <= 4; ++sequence) Offer(sequence, sequence == 1);
  ASSERT_EQ(TakeAll(viewer), "started key1 unit2 unit3");
  OfferMove(1);
  EXPECT_EQ(TakeAll(viewer), "moved") << "the window is shut for units only";
}

TEST_F(ViewerTest, StateChangesAreAllKeptInOrder) {
  Viewer& viewer = Make(false);
  Offer(1, true);
  OfferState(DisplayState::kBlanked);
  OfferState(DisplayState::kActive);
  Offer(2, false);
  EXPECT_EQ(TakeAll(viewer), "started key1 state:BLANKED state:ACTIVE unit2");
}

TEST_F(ViewerTest, StateChangesSurviveAnOverflow) {
  Viewer& viewer = Make(false);
  TakeAll(viewer);
  Offer(1, true);
  ASSERT_EQ(BeginWrite(), "key1");
  OfferState(DisplayState::kBlanked);
  const uint64_t end = kQueueUnitsMax + 4;
  for (uint64_t sequence = 2; sequence < end; ++sequence) Offer(sequence, false);
  viewer.OnWritten();
  EXPECT_EQ(TakeAll(viewer), "state:BLANKED");
}

TEST_F(ViewerTest, StateChangesAreBoundedAndTheLatestIsKept) {
  Viewer& viewer = Make(false);
  for (int i = 0; i < 1000; ++i) OfferState(DisplayState::kBlanked);
  OfferState(DisplayState::kDeviceGone);
  size_t count = 0;
  std::string last;
  while (const StreamEventPtr event = viewer.Take()) {
    viewer.OnWritten();
    last = Describe(*event);
    ++count;
  }
  EXPECT_EQ(count, kQueueStatesMax + 1);
  EXPECT_EQ(last, "state:DEVICE_GONE");
}

TEST_F(ViewerTest, ANewSizeDropsUnitsOfTheOldAndKeepsTheLatestStarted) {
  Viewer& viewer = Make(false);
  TakeAll(viewer);
  Offer(1, true);
  Offer(2, false);
  viewer.OfferStarted(MakeEvent(StreamStarted{}, nullptr));
  viewer.OfferStarted(MakeEvent(StreamStarted{}, nullptr));
  Offer(3, false);
  Offer(4, true);
  EXPECT_EQ(TakeAll(viewer), "started key4");
}

TEST_F(ViewerTest, StartedIsTheFirstEventHoweverOftenItIsRenewed) {
  Viewer& viewer = Make(false);
  OfferState(DisplayState::kActive);
  Offer(1, true);
  StreamStarted renewed;
  renewed.display_id = "renewed";
  viewer.OfferStarted(MakeEvent(renewed, nullptr));
  const StreamEventPtr first = viewer.Take();
  ASSERT_EQ(Describe(*first), "started");
  EXPECT_EQ(std::get<StreamStarted>(first->body).display_id, "renewed");
  viewer.OnWritten();
  EXPECT_EQ(TakeAll(viewer), "state:ACTIVE");
}

TEST_F(ViewerTest, NotifiesOnceUntilTakeReturnsNothing) {
  Viewer& viewer = Make(false);
  int notified = 0;
  viewer.SetNotify([&notified] { ++notified; });
  EXPECT_EQ(notified, 1) << "something waited already";
  Offer(1, true);
  OfferMove(1);
  EXPECT_EQ(notified, 1);
  TakeAll(viewer);
  Offer(2, false);
  EXPECT_EQ(notified, 2);
}

TEST_F(ViewerTest, AnAcknowledgementThatOpensTheWindowNotifies) {
  Viewer& viewer = Make(true);
  int notified = 0;
  viewer.SetNotify([&notified] { ++notified; });
  for (uint64_t sequence = 1; sequence <= 4; ++sequence) Offer(sequence, sequence == 1);
  TakeAll(viewer);
  notified = 0;
  ASSERT_TRUE(viewer.Acknowledge(1).ok());
  EXPECT_EQ(notified, 1);
}

TEST_F(ViewerTest, AFloodOfAcknowledgementsWakesTheDisplayOnce) {
  Viewer& viewer = Make(true);
  for (uint64_t sequence = 1; sequence <= 3; ++sequence) Offer(sequence, sequence == 1);
  TakeAll(viewer);
  signal_->AwaitReady(true);
  signal_->Clear();
  ASSERT_TRUE(viewer.Acknowledge(3).ok());
  EXPECT_TRUE(signal_->Clear()) << "it can take another unit";
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(viewer.Acknowledge(3).ok());
  EXPECT_FALSE(signal_->Clear());
}

TEST_F(ViewerTest, TheCallbackMayUseTheViewer) {
  Viewer& viewer = Make(false);
  std::string taken;
  viewer.SetNotify([&] { taken += TakeAll(viewer); });
  EXPECT_EQ(taken, "started");
}

TEST_F(ViewerTest, GoodbyeDropsUnitsAndIsTheLastEvent) {
  Viewer& viewer = Make(false);
  TakeAll(viewer);
  Offer(1, true);
  OfferState(DisplayState::kDetaching);
  viewer.OfferGoodbye(MakeEvent(Goodbye{}, nullptr));
  viewer.OfferGoodbye(MakeEvent(Goodbye{}, nullptr));
  OfferState(DisplayState::kActive);
  Offer(2, true);
  EXPECT_TRUE(viewer.ending());
  EXPECT_FALSE(viewer.finished());
  EXPECT_EQ(TakeAll(viewer), "state:DETACHING goodbye");
  EXPECT_TRUE(viewer.finished());
  Offer(3, true);
  EXPECT_EQ(viewer.Take(), nullptr);
}

TEST_F(ViewerTest, GoodbyeNotifiesEvenWhileAWriteHangs) {
  Viewer& viewer = Make(false);
  int notified = 0;
  viewer.SetNotify([&notified] { ++notified; });
  ASSERT_EQ(BeginWrite(), "started");
  notified = 0;
  viewer.OfferGoodbye(MakeEvent(Goodbye{}, nullptr));
  EXPECT_EQ(notified, 1);
  EXPECT_EQ(viewer.Take(), nullptr);
}

TEST_F(ViewerTest, AViewerThatTakesNothingStalls) {
  Viewer& viewer = Make(false);
  clock_.Advance(kViewerStallNs - 1);
  EXPECT_FALSE(viewer.EndIfStalled(clock_.NowNs(), nullptr));
  clock_.Advance(1);
  EXPECT_TRUE(viewer.EndIfStalled(clock_.NowNs(), nullptr));
  EXPECT_FALSE(viewer.EndIfStalled(clock_.NowNs(), nullptr)) << "once";
  const auto goodbye = TakeLast<Goodbye>(viewer);
  ASSERT_NE(goodbye, nullptr);
  EXPECT_EQ(goodbye->reason, Goodbye::Reason::kStalled);
}

TEST_F(ViewerTest, AViewerThatNeverAcknowledgesAsItPromisedStalls) {
  Viewer& viewer = Make(true);
  TakeAll(viewer);
  clock_.Advance(kViewerStallNs);
  for (uint64_t sequence = 1; sequence <= 4; ++sequence) Offer(sequence, sequence == 1);
  TakeAll(viewer);
  for (int64_t waited_ns = 0; waited_ns < kViewerStallNs; waited_ns += kSecond) {
    EXPECT_FALSE(viewer.EndIfStalled(clock_.NowNs(), nullptr)) << waited_ns;
    viewer.OfferStats({});
    EXPECT_EQ(TakeAll(viewer), "stats");
    ASSERT_TRUE(viewer.Acknowledge(0).ok()) << "acknowledges nothing";
    clock_.Advance(kSecond);
  }
  EXPECT_TRUE(viewer.EndIfStalled(clock_.NowNs(), nullptr));
}

TEST_F(ViewerTest, AViewerThatAcknowledgesSlowlyDoesNotStall) {
  Viewer& viewer = Make(true);
  uint64_t sent = 0;
  for (uint64_t sequence = 1; sequence <= 40; ++sequence) {
    Offer(sequence, sequence == 1 || viewer.GetWants().resync_key_frame);
    if (const auto unit = TakeLast<UnitEvent>(viewer)) sent = unit->sequence;
    clock_.Advance(kViewerStallNs - 1);
    ASSERT_FALSE(viewer.EndIfStalled(clock_.NowNs(), nullptr));
    ASSERT_TRUE(viewer.Acknowledge(sent).ok());
  }
}

TEST_F(ViewerTest, AWriteThatNeverCompletesStalls) {
  Viewer& viewer = Make(false);
  ASSERT_EQ(BeginWrite(), "started");
  clock_.Advance(kViewerStallNs);
  EXPECT_TRUE(viewer.EndIfStalled(clock_.NowNs(), nullptr));
}

TEST_F(ViewerTest, AViewerOfAStillScreenDoesNotStall) {
  Viewer& viewer = Make(true);
  Offer(1, true);
  TakeAll(viewer);
  ASSERT_TRUE(viewer.Acknowledge(1).ok());
  clock_.Advance(100 * kViewerStallNs);
  EXPECT_FALSE(viewer.EndIfStalled(clock_.NowNs(), nullptr));
  OfferMove(1);
  clock_.Advance(kSecond);
  EXPECT_FALSE(viewer.EndIfStalled(clock_.NowNs(), nullptr)) << "the idle time does not count";
}

TEST_F(ViewerTest, MeasuresTheStagesThatAreItsOwn) {
  Viewer& viewer = Make(true);
  TakeAll(viewer);
  Offer(1, true);
  clock_.Advance(3 * kMs);
  TakeAll(viewer);
  clock_.Advance(4 * kMs);
  ASSERT_TRUE(viewer.Acknowledge(1).ok());
  viewer.OfferStats({});
  const auto stats = TakeLast<StreamStats>(viewer);
  EXPECT_EQ(stats->encoded_to_written.samples, 1);
  EXPECT_EQ(stats->encoded_to_written.p50_ns, 3 * kMs);
  EXPECT_EQ(stats->encoded_to_acknowledged.p95_ns, 7 * kMs);
  viewer.OfferStats({});
  EXPECT_EQ(TakeLast<StreamStats>(viewer)->encoded_to_written.samples, 0) << "a window, not a sum";
}

TEST_F(ViewerTest, AUnitFromBeforeTheViewerCameIsNotMeasured) {
  Viewer& viewer = Make(true);
  const StreamEventPtr old = UnitOfSize(1, true, 10, clock_.NowNs());
  clock_.Advance(50 * kSecond);
  viewer.OfferUnit(old, clock_.NowNs(), /*fresh=*/false);
  EXPECT_EQ(TakeAll(viewer), "started key1");
  viewer.OfferStats({});
  EXPECT_EQ(TakeLast<StreamStats>(viewer)->encoded_to_written.samples, 0);
}

TEST_F(ViewerTest, BecomingReadyWakesADisplayThatAwaitsItAndNoOther) {
  Viewer& viewer = Make(true);
  for (uint64_t sequence = 1; sequence <= 3; ++sequence) Offer(sequence, sequence == 1);
  TakeAll(viewer);
  signal_->Clear();
  ASSERT_TRUE(viewer.Acknowledge(1).ok());
  EXPECT_FALSE(signal_->Clear());
  signal_->AwaitReady(true);
  Viewer& awaited = Make(true);
  for (uint64_t sequence = 1; sequence <= 3; ++sequence) Offer(sequence, sequence == 1);
  TakeAll(awaited);
  signal_->Clear();
  ASSERT_TRUE(awaited.Acknowledge(1).ok());
  EXPECT_TRUE(signal_->Clear());
}

TEST_F(ViewerTest, RequestsAndClosingWakeTheDisplay) {
  Viewer& viewer = Make(true);
  signal_->Clear();
  viewer.RequestKeyFrame();
  EXPECT_TRUE(signal_->Clear());
  EXPECT_TRUE(viewer.GetWants().requested_key_frame);
  viewer.RequestKeyFrame();
  EXPECT_FALSE(signal_->Clear()) << "merged with the one that waits";
  ASSERT_TRUE(viewer.SetLimits({1000000, 30}).ok());
  EXPECT_TRUE(signal_->Clear());
  EXPECT_EQ(viewer.GetWants().limits.frame_rate_max_hz, 30);
  ASSERT_TRUE(viewer.SetLimits({1000000, 30}).ok());
  EXPECT_FALSE(signal_->Clear()) << "nothing new";
  viewer.Close();
  EXPECT_TRUE(signal_->Clear());
  EXPECT_TRUE(viewer.GetWants().ended);
  EXPECT_EQ(viewer.Take(), nullptr);
}

TEST_F(ViewerTest, ARequestedKeyFramePassesAClosedWindow) {
  Viewer& viewer = Make(true);
  int notified = 0;
  for (uint64_t sequence = 1; sequence <= 5; ++sequence) Offer(sequence, sequence == 1);
  EXPECT_EQ(TakeAll(viewer), "started key1 unit2 unit3");
  viewer.SetNotify([&notified] { ++notified; });
  viewer.RequestKeyFrame();
  EXPECT_EQ(notified, 1) << "the window is open again";
  EXPECT_EQ(TakeAll(viewer), "unit4 unit5");
  Offer(6, false);
  Offer(7, false);
  EXPECT_EQ(TakeAll(viewer), "unit6");
  Offer(8, true);
  EXPECT_EQ(TakeAll(viewer), "key8");
  EXPECT_FALSE(viewer.GetWants().requested_key_frame);
  EXPECT_TRUE(viewer.Acknowledge(2).ok()) << "an old one is still valid";
  EXPECT_TRUE(viewer.Acknowledge(8).ok());
}

TEST_F(ViewerTest, LimitsOutOfRangeAreRefused) {
  EXPECT_FALSE(ValidateViewerLimits({-1, 0}).ok());
  EXPECT_FALSE(ValidateViewerLimits({0, -1}).ok());
  EXPECT_FALSE(ValidateViewerLimits({0, kViewerFrameRateMaxHz + 1}).ok());
  EXPECT_TRUE(ValidateViewerLimits({0, kViewerFrameRateMaxHz}).ok());
}

TEST(WakeSignalTest, IsReadableFromWakeToClear) {
  WakeSignal signal;
  pollfd fd = {signal.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&fd, 1, 0), 0);
  signal.Wake();
  signal.Wake();
  EXPECT_EQ(poll(&fd, 1, 0), 1);
  EXPECT_TRUE(signal.Clear());
  EXPECT_EQ(poll(&fd, 1, 0), 0);
  signal.Wake();
  EXPECT_EQ(poll(&fd, 1, 0), 1) << "also the second time";
}

}  // namespace
}  // namespace planecast
