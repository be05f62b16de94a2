#include <gtest/gtest.h>

#include <limits>

#include "service/core/viewer.h"
#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::kMs;
using ::planecast::testing::TakeAll;
using ::planecast::testing::TakeLast;
using ::planecast::testing::UnitOfSize;

class ViewerMetricsTest : public ::testing::Test {
 protected:
  Viewer& Make(bool acknowledges) {
    viewer_ =
        std::make_unique<Viewer>("v", ViewerOptions{{}, acknowledges}, signal_, metrics_, clock_);
    viewer_->OfferStarted(MakeEvent(StreamStarted{}, nullptr));
    TakeAll(*viewer_);
    return *viewer_;
  }
  void Offer(uint64_t sequence, bool key_frame, size_t size_bytes = 1000) {
    viewer_->OfferUnit(UnitOfSize(sequence, key_frame, size_bytes, clock_.NowNs()), clock_.NowNs(),
                       true);
  }
  /// A unit that is written at once and acknowledged after `after_ns`.
  void SendAndAcknowledge(uint64_t sequence, int64_t after_ns, const ClientTimes& times) {
    Offer(sequence, sequence == 1);
    TakeAll(*viewer_);
    clock_.Advance(after_ns);
    ASSERT_TRUE(viewer_->Acknowledge(sequence, times).ok());
  }
  std::shared_ptr<const StreamStats> Stats() {
    viewer_->OfferStats({});
    return TakeLast<StreamStats>(*viewer_);
  }
  uint64_t Samples(Stage stage) const { return metrics_->Times(stage).count(); }

  ManualClock clock_;
  std::shared_ptr<WakeSignal> signal_ = std::make_shared<WakeSignal>();
  std::shared_ptr<DisplayMetrics> metrics_ = std::make_shared<DisplayMetrics>();
  std::unique_ptr<Viewer> viewer_;
};

TEST_F(ViewerMetricsTest, TheQueueAndTheWriteAreMeasuredApart) {
  Viewer& viewer = Make(false);
  Offer(1, true);
  clock_.Advance(3 * kMs);
  ASSERT_NE(viewer.Take(), nullptr);
  EXPECT_EQ(metrics_->Value(Count::kSent), 0u) << "the transport has not taken it yet";
  clock_.Advance(5 * kMs);
  viewer.OnWritten();
  const auto stats = Stats();
  EXPECT_EQ(stats->encoded_to_sent.p50_ns, 3 * kMs);
  EXPECT_EQ(stats->sent_to_written.p50_ns, 5 * kMs);
  EXPECT_EQ(stats->encoded_to_written.p50_ns, 8 * kMs);
  EXPECT_EQ(metrics_->Times(Stage::kEncodedToSent).sum_ns, 3u * kMs);
  EXPECT_EQ(metrics_->Times(Stage::kSentToWritten).sum_ns, 5u * kMs);
  EXPECT_EQ(metrics_->Value(Count::kSent), 1u);
  EXPECT_EQ(metrics_->Value(Count::kSentBytes), 1000u);
}

TEST_F(ViewerMetricsTest, TheNetworkIsTheRoundTripWithoutTheClient) {
  Make(true);
  SendAndAcknowledge(1, 20 * kMs, {.decode_ns = 4 * kMs, .present_ns = 12 * kMs});
  const auto stats = Stats();
  EXPECT_EQ(stats->network_round_trip.p50_ns, 8 * kMs);
  EXPECT_EQ(stats->received_to_decoded.p50_ns, 4 * kMs);
  EXPECT_EQ(stats->received_to_presented.p50_ns, 12 * kMs);
  EXPECT_EQ(stats->encoded_to_acknowledged.p50_ns, 20 * kMs);
  EXPECT_EQ(metrics_->Times(Stage::kNetworkRoundTrip).sum_ns, 8u * kMs);
}

TEST_F(ViewerMetricsTest, AClientThatSaysNothingIsNotMeasured) {
  Make(true);
  SendAndAcknowledge(1, 20 * kMs, {});
  SendAndAcknowledge(2, 20 * kMs, {.decode_ns = 4 * kMs, .present_ns = 0});
  const auto stats = Stats();
  EXPECT_EQ(stats->network_round_trip.samples, 0);
  EXPECT_EQ(stats->received_to_decoded.samples, 1);
  EXPECT_EQ(stats->received_to_presented.samples, 0);
  EXPECT_EQ(stats->encoded_to_acknowledged.samples, 2);
}

TEST_F(ViewerMetricsTest, WhatAClientSaysOfAUnitCountsOnce) {
  Viewer& viewer = Make(true);
  SendAndAcknowledge(1, 20 * kMs, {.decode_ns = kMs, .present_ns = kMs});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(viewer.Acknowledge(1, {kMs, kMs}).ok());
  EXPECT_EQ(Samples(Stage::kReceivedToDecoded), 1u);
  EXPECT_EQ(Samples(Stage::kReceivedToPresented), 1u);
  EXPECT_EQ(Samples(Stage::kNetworkRoundTrip), 1u);
}

TEST_F(ViewerMetricsTest, AbsurdTimesOfAClientDoNoHarm) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  Make(true);
  SendAndAcknowledge(1, 20 * kMs, {kMost, kMost});
  SendAndAcknowledge(2, 20 * kMs, {kLeast, kLeast});
  const auto stats = Stats();
  EXPECT_EQ(stats->received_to_decoded.samples, 1);
  EXPECT_EQ(stats->received_to_decoded.max_ns, kStageDurationMaxNs);
  EXPECT_EQ(stats->received_to_presented.max_ns, kStageDurationMaxNs);
  EXPECT_EQ(stats->network_round_trip.samples, 0) << "it claims more than the whole time";
}

TEST_F(ViewerMetricsTest, AFullQueueAndWhatCannotBeDecodedAfterItAreToldApart) {
  Make(false);
  Offer(1, true);
  ASSERT_NE(viewer_->Take(), nullptr);
  for (uint64_t sequence = 2; sequence < 5 + kQueueUnitsMax; ++sequence) Offer(sequence, false);
  viewer_->OnWritten();
  const DropCounts dropped = Stats()->dropped;
  EXPECT_EQ(dropped[DropReason::kQueueFull], kQueueUnitsMax);
  EXPECT_EQ(dropped[DropReason::kAwaitingKeyFrame], 3u);
  EXPECT_EQ(dropped.Sum(), kQueueUnitsMax + 3);
  EXPECT_EQ(metrics_->Drops().Sum(), kQueueUnitsMax + 3);
  EXPECT_EQ(metrics_->Value(Count::kResyncs), 1u);
}

TEST_F(ViewerMetricsTest, AQueueThatIsTooOldIsItsOwnReason) {
  Make(false);
  Offer(1, true);
  ASSERT_NE(viewer_->Take(), nullptr);
  Offer(2, false);
  clock_.Advance(kQueueAgeMaxNs + 1);
  Offer(3, false);
  viewer_->OnWritten();
  const DropCounts dropped = Stats()->dropped;
  EXPECT_EQ(dropped[DropReason::kQueueAge], 1u);
  EXPECT_EQ(dropped[DropReason::kAwaitingKeyFrame], 1u);
  EXPECT_EQ(dropped[DropReason::kQueueFull], 0u);
}

TEST_F(ViewerMetricsTest, WhatIsVoidBeforeItIsSentIsSuperseded) {
  Viewer& viewer = Make(false);
  uint64_t superseded = 0;
  const auto queue_one = [&] { Offer(++superseded, true); };
  queue_one();
  viewer.RequestKeyFrame();
  queue_one();  // Answers the request.
  viewer.OfferStarted(MakeEvent(StreamStarted{}, nullptr));
  queue_one();
  viewer.ChangeRendition();
  EXPECT_EQ(Stats()->dropped[DropReason::kSuperseded], superseded);
  queue_one();
  viewer.OfferGoodbye(MakeEvent(Goodbye{}, nullptr));
  EXPECT_EQ(metrics_->Drops()[DropReason::kSuperseded], superseded);
  EXPECT_EQ(metrics_->Drops().Sum(), superseded);
  EXPECT_EQ(metrics_->Value(Count::kResyncs), 0u);
}

TEST_F(ViewerMetricsTest, TheViewersOfADisplayAddUp) {
  for (int i = 0; i < 3; ++i) {
    Make(true);
    SendAndAcknowledge(1, kMs, {.decode_ns = kMs / 2, .present_ns = kMs});
  }
  EXPECT_EQ(metrics_->Value(Count::kSent), 3u);
  EXPECT_EQ(Samples(Stage::kReceivedToPresented), 3u);
}

/// Of a display with its viewers.
class DisplayStatsTest : public ::testing::Test {
 protected:
  testing::LoopHarness h_;
};

TEST_F(DisplayStatsTest, TellEachStageTheEncoderAndTheFlipRegime) {
  h_.source->info.flip_regime = FlipRegime::kIrq;
  h_.encoder->convert_ns = 2 * kMs;
  h_.encoder->encode_ns = 3 * kMs;
  const auto viewer = h_.Join();
  h_.Flip();
  TakeAll(*viewer);
  h_.Step(kTickNs);
  const auto stats = TakeLast<StreamStats>(*viewer);
  ASSERT_NE(stats, nullptr);
  EXPECT_EQ(stats->encoder, "scripted");
  EXPECT_EQ(stats->flip_regime, FlipRegime::kIrq);
  EXPECT_EQ(stats->flip_to_capture.samples, 1);
  EXPECT_EQ(stats->capture_to_converted.p50_ns, 2 * kMs);
  EXPECT_EQ(stats->converted_to_encoded.p50_ns, 3 * kMs);
  EXPECT_EQ(stats->capture_to_encoded.p50_ns, 5 * kMs);
  EXPECT_EQ(h_.loop().metrics()->Times(Stage::kConvertedToEncoded).sum_ns, 3u * kMs);
}

TEST_F(DisplayStatsTest, CountSinceTheViewerJoined) {
  h_.encoder->change_once = true;
  h_.encoder->refinements = 1;
  const auto early = h_.Join();
  h_.encoder->encode_errors.push_back(absl::InternalError("once"));
  h_.Flip();
  h_.Flip(kEncoderRetryMinNs);
  h_.Flip();
  EXPECT_EQ(h_.Value(Count::kSkippedNoViewerReady), 1u) << "a unit waits for the transport";
  const CountValues joined = h_.loop().metrics()->Values();
  const auto late = h_.Join();
  for (int i = 0; i < 60; ++i) {
    h_.Step(20 * kMs);
    const auto of_early = TakeLast<StreamStats>(*early);
    const auto of_late = TakeLast<StreamStats>(*late);
    if (of_early == nullptr || of_late == nullptr) continue;
    EXPECT_EQ(of_early->encode_errors, 1u);
    EXPECT_EQ(of_late->encode_errors, 0u);
    const uint64_t skipped = h_.Value(Count::kSkippedNoViewerReady);
    EXPECT_EQ(of_early->skipped_no_viewer_ready, skipped);
    EXPECT_EQ(of_late->skipped_no_viewer_ready, skipped - joined[Count::kSkippedNoViewerReady]);
    EXPECT_EQ(of_early->refinements, h_.Value(Count::kRefinements));
  }
  EXPECT_GE(h_.Value(Count::kRefinements), 1u);
}

}  // namespace
}  // namespace planecast
