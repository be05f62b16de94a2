#include <gtest/gtest.h>

#include "service/core/display_loop.h"
#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::CountingCodec;
using ::planecast::testing::kMs;
using ::planecast::testing::kNever;
using ::planecast::testing::kSecond;
using ::planecast::testing::LookWithFrame;
using ::planecast::testing::LookWithout;
using ::planecast::testing::LoopHarness;
using ::planecast::testing::MakeBuffer;
using ::planecast::testing::TakeAll;
using ::planecast::testing::TakeLast;

class DisplayEncodeTest : public ::testing::Test {
 protected:
  LoopHarness h_;
};

// --- Joining.

TEST_F(DisplayEncodeTest, AJoinerSeesAPictureWithoutWaitingForAFlip) {
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE key1");
}

TEST_F(DisplayEncodeTest, TheFirstStartedDescribesThePicture) {
  auto viewer = h_.Join();
  h_.Step();
  const StreamEventPtr event = viewer->Take();
  const auto& started = std::get<StreamStarted>(event->body);
  ASSERT_TRUE(started.description.has_value());
  EXPECT_EQ(started.description->codec, "avc1.42C01F");
  EXPECT_EQ(started.encoder, "scripted");
  EXPECT_EQ(started.display_id, "test");
}

TEST_F(DisplayEncodeTest, WithoutAPictureAJoinerIsToldWhyAndGetsOneLater) {
  h_.source->look = LookWithout(PlaneLook::Primary::kNoFramebuffer);
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "started state:WAITING_FOR_GUEST");
  EXPECT_EQ(h_.encoder->made, 0);
  h_.source->look = LookWithFrame(MakeBuffer(64, 64));
  h_.Flip();
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE key1");
}

TEST_F(DisplayEncodeTest, ALateJoinerGetsItsOwnKeyFrameAndTheOthersGetItToo) {
  auto first = h_.Join();
  h_.Step();
  TakeAll(*first);
  h_.Flip(kSecond / 2);
  TakeAll(*first);
  auto second = h_.Join();
  h_.Step(kSecond / 4);
  EXPECT_EQ(TakeAll(*second), "started state:ACTIVE key3");
  EXPECT_EQ(TakeAll(*first), "key3");
}

TEST_F(DisplayEncodeTest, OneEncodeServesAllViewersWithTheSameBytes) {
  CountingCodec codec;
  h_.options.codec = &codec;
  h_.Step();
  codec.encoded = 0;
  std::vector<std::shared_ptr<Viewer>> viewers;
  for (int i = 0; i < 50; ++i) viewers.push_back(h_.Join());
  h_.Step();
  EXPECT_EQ(h_.encoder->encodes, 1);
  EXPECT_EQ(codec.encoded, 2) << "the state and the unit";
  const auto first = TakeLast<UnitEvent>(*viewers.front());
  const auto last = TakeLast<UnitEvent>(*viewers.back());
  EXPECT_EQ(first, last);
}

TEST_F(DisplayEncodeTest, JoinersOfAScreenThatStandsStillShareOneKeyFrame) {
  h_.encoder->change_once = true;
  auto first = h_.Join();
  h_.Step();
  TakeAll(*first);
  for (int i = 0; i < 20; ++i) {
    auto joiner = h_.Join();
    h_.Step(kSecond);
    EXPECT_EQ(TakeAll(*joiner).substr(0, 25), "started state:ACTIVE key1");
  }
  EXPECT_EQ(h_.Value(Count::kKeyFrames), 1u);
  EXPECT_EQ(TakeAll(*first).find("key"), std::string::npos);
}

TEST_F(DisplayEncodeTest, ACrowdThatJoinsIsMerged) {
  auto first = h_.Join();
  h_.Step();
  TakeAll(*first);
  h_.Flip(kSecond);
  TakeAll(*first);
  std::vector<std::shared_ptr<Viewer>> joiners;
  for (int i = 0; i < 20; ++i) {
    joiners.push_back(h_.Join());
    h_.Flip(kMs);
    TakeAll(*first);
  }
  EXPECT_EQ(h_.Value(Count::kKeyFrames), 2u);
  h_.Step(kJoinKeyFrameIntervalMinNs);
  EXPECT_EQ(h_.Value(Count::kKeyFrames), 3u);
  for (const auto& joiner : joiners) {
    EXPECT_NE(TakeAll(*joiner).find("ACTIVE key"), std::string::npos);
  }
}

TEST_F(DisplayEncodeTest, WhoJoinsAgainAndAgainGetsFewKeyFrames) {
  auto first = h_.Join();
  h_.Step();
  TakeAll(*first);
  h_.Flip(kSecond);
  TakeAll(*first);
  const auto key_frames_in_10_s = [&] {
    const uint64_t before = h_.Value(Count::kKeyFrames);
    for (int i = 0; i < 200; ++i) {
      auto joiner = h_.Join();
      h_.Flip(kJoinKeyFrameIntervalMinNs);
      TakeAll(*first);
      TakeAll(*joiner);
    }
    return h_.Value(Count::kKeyFrames) - before;
  };
  EXPECT_LE(key_frames_in_10_s(), kQuickKeyFramesMax + 21u);
  EXPECT_LE(key_frames_in_10_s(), 21u);
  // In peace those who join are served at once again.
  for (int i = 0; i < kQuickKeyFramesMax; ++i) {
    h_.Flip(2 * kSecond);
    auto joiner = h_.Join();
    h_.Flip(kJoinKeyFrameIntervalMinNs);
    EXPECT_NE(TakeAll(*joiner).find("ACTIVE key"), std::string::npos);
    TakeAll(*first);
  }
  auto crowd = h_.Join();
  h_.Flip(kJoinKeyFrameIntervalMinNs);
  auto another = h_.Join();
  h_.Flip(kJoinKeyFrameIntervalMinNs);
  EXPECT_NE(TakeAll(*another).find("ACTIVE key"), std::string::npos);
}

// --- Sizes, encoders.

TEST_F(DisplayEncodeTest, ANewSizeMakesANewEncoderAndBeginsAnew) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.source->look = LookWithFrame(MakeBuffer(128, 96));
  h_.Flip();
  const StreamEventPtr event = viewer->Take();
  EXPECT_EQ(std::get<StreamStarted>(event->body).description->visible_width_px, 128u);
  viewer->OnWritten();
  EXPECT_EQ(TakeAll(*viewer), "key2");
  EXPECT_EQ(h_.encoder->made, 2);
  EXPECT_EQ(h_.encoder->alive, 1);
  EXPECT_EQ(h_.encoder->params.height_px, 96u);
}

TEST_F(DisplayEncodeTest, AGuestThatFlapsItsSizeMakesFewEncoders) {
  auto viewer = h_.Join({{}, true});
  h_.Step();
  int64_t next_ns = 0;
  for (int i = 0; i < 101; ++i) {
    h_.source->look = LookWithFrame(MakeBuffer(i % 2 == 0 ? 128 : 64, 64));
    next_ns = h_.Flip(10 * kMs);
  }
  EXPECT_LE(h_.encoder->made, 12);
  EXPECT_GE(h_.encoder->made, 5);
  // The last size is not forgotten: it comes when it is time, without another flip.
  for (int i = 0; i < 3 && h_.encoder->params.width_px != 128; ++i) {
    ASSERT_GT(next_ns, h_.clock.NowNs()) << "no busy loop";
    ASSERT_LE(next_ns, h_.clock.NowNs() + kResizeIntervalMinNs);
    h_.clock.Set(next_ns);
    next_ns = h_.Step();
  }
  EXPECT_EQ(h_.encoder->params.width_px, 128u);
  EXPECT_NE(TakeAll(*viewer).find("key"), std::string::npos);
}

TEST_F(DisplayEncodeTest, TheEncoderLingersAfterTheLastViewer) {
  auto viewer = h_.Join();
  h_.Step();
  viewer->Close();
  const int64_t next_ns = h_.Step();
  EXPECT_EQ(next_ns, h_.clock.NowNs() + kEncoderLingerNs);
  EXPECT_EQ(h_.encoder->alive, 1);
  h_.Step(kEncoderLingerNs - 1);
  EXPECT_EQ(h_.encoder->alive, 1);
  EXPECT_EQ(h_.Step(1), kNever);
  EXPECT_EQ(h_.encoder->alive, 0);
}

TEST_F(DisplayEncodeTest, AReturningViewerFindsTheEncoderThatLingered) {
  h_.Join()->Close();
  auto viewer = h_.Join();
  h_.Step();
  viewer->Close();
  h_.Step();
  auto again = h_.Join();
  h_.Step(kSecond);
  EXPECT_EQ(h_.encoder->made, 1);
  EXPECT_EQ(TakeAll(*again).substr(0, 24), "started state:ACTIVE key");
}

TEST_F(DisplayEncodeTest, TheCapIsTheLeastOfConfigAndViewers) {
  h_.options.rate.bitrate_max_bps = 8'000'000;
  auto first = h_.Join({{5'000'000, 0}, false});
  auto second = h_.Join({{0, 0}, false});
  h_.Step();
  EXPECT_EQ(h_.encoder->rate.bitrate_max_bps, 5'000'000);
  ASSERT_TRUE(second->SetLimits({1'000'000, 0}).ok());
  h_.Step(kMs);
  EXPECT_EQ(h_.encoder->rate.bitrate_max_bps, 1'000'000);
  ASSERT_TRUE(second->SetLimits({1, 0}).ok());
  h_.Step(kMs);
  EXPECT_EQ(h_.encoder->rate.bitrate_max_bps, 100'000) << "the encoder's least";
  second->Close();
  first->Close();
  auto third = h_.Join({{100'000'000, 0}, false});
  h_.Step(kMs);
  EXPECT_EQ(h_.encoder->rate.bitrate_max_bps, 8'000'000);
}

TEST_F(DisplayEncodeTest, TheFrameRateCapHoldsOnAverage) {
  auto viewer = h_.Join({{0, 30}, false});
  h_.Step();
  for (int64_t ms = 0; ms < 10'000; ms += 7) {
    h_.Flip(7 * kMs);
    TakeAll(*viewer);
  }
  EXPECT_NEAR(static_cast<double>(h_.Value(Count::kEncoded)), 300, 5);
  EXPECT_GT(h_.Value(Count::kSkippedFrameRate), 0u);
}

TEST_F(DisplayEncodeTest, AFrameHeldBackByTheCapIsSentWhenItIsTime) {
  auto viewer = h_.Join({{0, 10}, false});
  h_.Step();
  TakeAll(*viewer);
  h_.Flip(60 * kMs);
  TakeAll(*viewer);
  const int64_t next_ns = h_.Flip(10 * kMs);
  EXPECT_EQ(TakeAll(*viewer), "");
  ASSERT_LE(next_ns, h_.clock.NowNs() + 100 * kMs);
  h_.clock.Set(next_ns);
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "unit3") << "without another flip";
}

TEST_F(DisplayEncodeTest, KeyFramesBeyondTheCapAreNotOwedByThoseWhoWatchOn) {
  auto viewer = h_.Join();
  auto greedy = h_.Join({{0, 1}, false});
  h_.Step();
  for (int64_t ms = 0; ms < 10'000; ms += 100) {
    greedy->RequestKeyFrame();
    h_.Flip(100 * kMs);
    TakeAll(*greedy);
    TakeAll(*viewer);
  }
  EXPECT_GT(h_.Value(Count::kKeyFrames), 15u);
  greedy->Close();
  h_.Step();
  h_.Flip(17 * kMs);
  EXPECT_NE(TakeAll(*viewer), "") << "at the rate of those who are left";
}

TEST_F(DisplayEncodeTest, KeyFramesBeyondTheCapHoldTheirOwnViewerBackByOneFrameAtMost) {
  auto greedy = h_.Join({{0, 1}, false});
  h_.Step();
  for (int64_t ms = 0; ms < 10'000; ms += 100) {
    greedy->RequestKeyFrame();
    h_.Flip(100 * kMs);
    TakeAll(*greedy);
  }
  h_.Step(kSecond);
  TakeAll(*greedy);
  h_.Flip(kSecond);
  EXPECT_NE(TakeAll(*greedy).find("unit"), std::string::npos);
}

// --- Back-pressure.

TEST_F(DisplayEncodeTest, SkipsBeforeEncodingWhenNoViewerCanTakeAUnit) {
  auto viewer = h_.Join({{}, true});
  h_.Step();
  for (int i = 0; i < 2; ++i) h_.Flip();
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE key1 unit2 unit3");
  for (int i = 0; i < 10; ++i) h_.Flip();
  EXPECT_EQ(h_.encoder->encodes, 3);
  EXPECT_EQ(h_.Value(Count::kSkippedNoViewerReady), 10u);
  EXPECT_EQ(TakeAll(*viewer), "");
}

TEST_F(DisplayEncodeTest, LooksAgainAtOnceWhenAViewerCanTakeAUnit) {
  auto viewer = h_.Join({{}, true});
  h_.Step();
  for (int i = 0; i < 3; ++i) h_.Flip();
  TakeAll(*viewer);
  const int looks = h_.source->looks;
  h_.signal->Clear();
  ASSERT_TRUE(viewer->Acknowledge(1).ok());
  EXPECT_TRUE(h_.signal->Clear()) << "the display is woken";
  h_.Step(kMs);
  EXPECT_EQ(h_.source->looks, looks + 1) << "the newest picture, not the one held back";
  EXPECT_EQ(TakeAll(*viewer), "unit4");
}

TEST_F(DisplayEncodeTest, AViewerThatKeepsUpWakesNobodyWithItsAcknowledgements) {
  auto viewer = h_.Join({{}, true});
  h_.Step();
  TakeAll(*viewer);
  h_.Step(kMs);
  h_.signal->Clear();
  ASSERT_TRUE(viewer->Acknowledge(1).ok());
  EXPECT_FALSE(h_.signal->Clear());
}

TEST_F(DisplayEncodeTest, ASlowViewerHurtsNobody) {
  auto fast = h_.Join();
  auto slow = h_.Join();
  h_.Step();
  TakeAll(*fast);
  for (int i = 0; i < 100; ++i) {
    h_.Flip();
    TakeAll(*fast);
  }
  fast->OfferStats({});
  EXPECT_EQ(TakeLast<StreamStats>(*fast)->dropped.Sum(), 0u);
  EXPECT_EQ(h_.Value(Count::kEncoded), 101u);
  EXPECT_EQ(h_.Value(Count::kKeyFrames), 1u) << "a viewer that takes nothing asks for nothing";
}

TEST_F(DisplayEncodeTest, ASlowViewerComesBackWithAKeyFrameAfterTheGap) {
  auto fast = h_.Join();
  auto slow = h_.Join({{}, true});
  h_.Step();
  EXPECT_EQ(TakeAll(*slow), "started state:ACTIVE key1");
  for (int i = 0; i < 50; ++i) {
    h_.Flip();
    TakeAll(*fast);
    if (i < 2) TakeAll(*slow);
  }
  EXPECT_EQ(TakeAll(*slow), "");
  ASSERT_TRUE(slow->Acknowledge(3).ok());
  EXPECT_TRUE(h_.signal->Clear());
  h_.Step(kMs);
  // From an encoder of its own: to the others that key frame would be a large picture.
  EXPECT_EQ(TakeAll(*slow), "key1");
  EXPECT_GT(1 + slow->sequence_offset(), 4u);
  EXPECT_EQ(TakeAll(*fast), "");
}

TEST_F(DisplayEncodeTest, ASequenceGapIsAlwaysFollowedByAKeyFrame) {
  // Viewers of every kind of slowness, through flips, overflows, requests and new sizes.
  std::vector<std::shared_ptr<Viewer>> viewers;
  std::vector<uint64_t> last(6, 0);
  for (size_t i = 0; i < last.size(); ++i) viewers.push_back(h_.Join({{}, i % 2 == 0}));
  uint32_t random = 1;
  int gaps = 0;
  for (int step = 0; step < 5000; ++step) {
    random = random * 1664525 + 1013904223;
    if (random >> 24 == 0) h_.source->look = LookWithFrame(MakeBuffer(64 + random % 64, 64));
    if (random >> 26 == 1) viewers[random % viewers.size()]->RequestKeyFrame();
    h_.Flip();
    for (size_t i = 0; i < viewers.size(); ++i) {
      if ((random >> (8 + i)) % (4 * i + 1) != 0) continue;
      const StreamEventPtr event = viewers[i]->Take();
      if (event == nullptr) continue;
      viewers[i]->OnWritten();
      const auto* unit = std::get_if<UnitEvent>(&event->body);
      if (unit == nullptr) continue;
      const uint64_t sequence = unit->sequence + viewers[i]->sequence_offset();
      if (sequence != last[i] + 1) {
        ++gaps;
        ASSERT_TRUE(unit->unit->key_frame) << last[i] << " then " << sequence;
      }
      ASSERT_GT(sequence, last[i]);
      last[i] = sequence;
      ASSERT_TRUE(viewers[i]->Acknowledge(last[i]).ok());
    }
  }
  EXPECT_GT(gaps, 20) << "the test saw what it is about";
}

TEST_F(DisplayEncodeTest, RequestedKeyFramesAreMergedAndRateLimited) {
  auto first = h_.Join();
  auto second = h_.Join();
  h_.Step();
  for (int64_t ms = 0; ms < 5000; ms += 10) {
    first->RequestKeyFrame();
    second->RequestKeyFrame();
    h_.Flip(10 * kMs);
    TakeAll(*first);
    TakeAll(*second);
  }
  EXPECT_EQ(h_.Value(Count::kKeyFrames), 11u);
}

TEST_F(DisplayEncodeTest, ARequestedKeyFrameIsNewEvenIfNothingChanged) {
  h_.encoder->change_once = true;
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  viewer->RequestKeyFrame();
  const int64_t next_ns = h_.Step(kMs);
  EXPECT_EQ(TakeAll(*viewer), "");
  h_.clock.Set(next_ns);
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "key2");
}

TEST_F(DisplayEncodeTest, AStalledViewerIsEndedAndForgotten) {
  auto viewer = h_.Join();
  h_.Step();
  for (int i = 0; i < 21; ++i) h_.Step(kSecond);
  EXPECT_TRUE(viewer->ending());
  h_.Step(kMs);
  EXPECT_EQ(h_.published.back().viewer_count, 0);
  EXPECT_FALSE(h_.source->watched);
  EXPECT_EQ(h_.Value(Count::kViewersStalled), 1u);
}

// --- Numbers.

TEST_F(DisplayEncodeTest, StatsComeOnceASecond) {
  auto viewer = h_.Join();
  h_.Step();
  int stats = 0;
  for (int64_t ms = 0; ms < 3000; ms += 100) {
    h_.Flip(100 * kMs);
    if (TakeLast<StreamStats>(*viewer) != nullptr) ++stats;
  }
  EXPECT_EQ(stats, 3);
}

TEST_F(DisplayEncodeTest, StatsTellRatesOfTheLastSecond) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  std::shared_ptr<const StreamStats> last;
  for (int i = 0; i < 30; ++i) {
    h_.Flip(100 * kMs);
    if (auto stats = TakeLast<StreamStats>(*viewer)) last = stats;
  }
  ASSERT_NE(last, nullptr);
  EXPECT_NEAR(last->frames_per_second, 10, 0.01);
  EXPECT_EQ(last->bitrate_bps, 80'000);
  EXPECT_EQ(last->encoded, 31u);
  EXPECT_EQ(last->key_frames, 1u);
  EXPECT_EQ(last->encoded_bytes, 31'000u);
  EXPECT_EQ(last->viewer_count, 1);
  EXPECT_EQ(last->quantizer, 23);
  EXPECT_EQ(last->capture_to_encoded.samples, 10);
  EXPECT_EQ(last->encoded_to_written.samples, 10);
}

TEST_F(DisplayEncodeTest, StatsCountFromWhenTheViewerJoined) {
  auto first = h_.Join();
  h_.Step();
  for (int i = 0; i < 50; ++i) {
    h_.Flip(100 * kMs);
    TakeAll(*first);
  }
  auto second = h_.Join();
  std::shared_ptr<const StreamStats> last;
  for (int i = 0; i < 10; ++i) {
    h_.Flip(100 * kMs);
    TakeAll(*first);
    if (auto stats = TakeLast<StreamStats>(*second)) last = stats;
  }
  ASSERT_NE(last, nullptr);
  EXPECT_LE(last->looks, 10u);
  EXPECT_GE(last->looks, 5u);
  EXPECT_EQ(last->encoded, last->looks);
  EXPECT_EQ(last->key_frames, 1u);
  EXPECT_EQ(last->encoded_bytes, last->encoded * 1000);
  EXPECT_EQ(last->unchanged, 0u);
}

// --- Errors.

TEST_F(DisplayEncodeTest, AnEncoderThatFailsOnceIsRebuiltUnseen) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.encoder->encode_errors = {absl::InternalError("broken")};
  const int64_t next_ns = h_.Flip();
  EXPECT_EQ(next_ns, h_.clock.NowNs() + kEncoderRetryMinNs);
  EXPECT_EQ(h_.state(), DisplayState::kActive);
  h_.clock.Set(next_ns);
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "started key2");
  EXPECT_EQ(h_.encoder->made, 2);
}

TEST_F(DisplayEncodeTest, AnEncoderThatKeepsFailingIsAStateWithBackOff) {
  h_.encoder->make_errors.assign(6, absl::InternalError("no threads"));
  auto viewer = h_.Join();
  int64_t next_ns = h_.Step();
  std::vector<int64_t> waits_ns;
  for (int i = 0; i < 6; ++i) {
    while (h_.encoder->made == i + 1) {
      const int64_t now_ns = h_.clock.NowNs();
      ASSERT_GT(next_ns, now_ns) << "no busy loop";
      h_.clock.Set(next_ns);
      next_ns = h_.Step();
      if (h_.encoder->made == i + 2) waits_ns.push_back(h_.clock.NowNs());
    }
    TakeAll(*viewer);
    EXPECT_EQ(h_.state() == DisplayState::kEncoderFailed,
              i + 2 > kEncoderFailuresTolerated && i + 2 <= 6)
        << i;
  }
  for (size_t i = 2; i < waits_ns.size(); ++i) {
    EXPECT_EQ(waits_ns[i] - waits_ns[i - 1], 2 * (waits_ns[i - 1] - waits_ns[i - 2]));
  }
  EXPECT_EQ(h_.state(), DisplayState::kActive) << "it recovered";
}

TEST_F(DisplayEncodeTest, AFormatThatTheEncoderRefusesIsAState) {
  h_.encoder->encode_errors = {absl::UnimplementedError("tiled")};
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(TakeAll(*viewer), "started state:ACTIVE state:UNSUPPORTED_FORMAT");
  EXPECT_EQ(h_.encoder->alive, 1) << "the encoder is fine";
}

TEST_F(DisplayEncodeTest, TheDisplayNamesItsEncoderOnceItEncoded) {
  h_.encoder->encode_errors = {absl::UnimplementedError("tiled")};
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(h_.published.back().encoder, "");
  h_.source->look = LookWithFrame(MakeBuffer(64, 64));
  h_.Flip(kFrameRetryMinNs);
  EXPECT_EQ(h_.published.back().encoder, "scripted");
}

TEST_F(DisplayEncodeTest, ARefusedFrameIsTriedAgainWhenTheGuestShowsAnother) {
  h_.encoder->encode_errors = {absl::FailedPreconditionError("needs a GPU import")};
  auto viewer = h_.Join();
  h_.Step();
  EXPECT_EQ(h_.state(), DisplayState::kImportFailed);
  TakeAll(*viewer);
  for (int i = 0; i < 5; ++i) h_.Flip();
  EXPECT_EQ(h_.encoder->encodes, 1) << "the same buffer is not tried over and over";
  h_.source->look = LookWithFrame(MakeBuffer(64, 64));
  h_.Flip(kFrameRetryMinNs);
  EXPECT_EQ(TakeAll(*viewer), "key1 state:ACTIVE");
}

TEST_F(DisplayEncodeTest, ARefusedFrameIsTriedAgainAfterAWhile) {
  h_.encoder->encode_errors = {absl::FailedPreconditionError("busy")};
  auto viewer = h_.Join();
  h_.Step();
  int64_t next_ns = h_.Step();
  while (h_.encoder->encodes == 1 && h_.clock.NowNs() < 60 * kSecond) {
    ASSERT_GT(next_ns, h_.clock.NowNs()) << "no busy loop";
    h_.clock.Set(next_ns);
    next_ns = h_.Step();
  }
  EXPECT_EQ(h_.clock.NowNs(), kSecond + kFrameRetryNs);
  EXPECT_EQ(h_.state(), DisplayState::kActive);
}

TEST_F(DisplayEncodeTest, TwoRefusedBuffersInTurnAreNotTriedAtEachFlip) {
  h_.encoder->encode_errors.assign(1000, absl::FailedPreconditionError("needs a GPU import"));
  const auto a = MakeBuffer(64, 64);
  const auto b = MakeBuffer(64, 64);
  auto viewer = h_.Join();
  h_.Step();
  for (int i = 0; i < 60; ++i) {
    h_.source->look = LookWithFrame(i % 2 == 0 ? a : b);
    h_.Flip(16 * kMs);
  }
  EXPECT_LE(h_.encoder->encodes, 3);
}

TEST_F(DisplayEncodeTest, AnEncoderThatGivesNoKeyFrameWhenAskedIsBroken) {
  h_.encoder->ignores_force_idr = true;
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  viewer->RequestKeyFrame();
  const int64_t next_ns = h_.Step(kSecond);
  EXPECT_GT(next_ns, h_.clock.NowNs()) << "no busy loop";
  EXPECT_EQ(h_.Value(Count::kEncodeErrors), 1u);
  EXPECT_EQ(h_.encoder->alive, 0);
}

}  // namespace
}  // namespace planecast
