#include "service/core/rendition_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::EncoderScript;
using ::planecast::testing::kMs;
using ::planecast::testing::kSecond;
using ::planecast::testing::LoopHarness;
using ::planecast::testing::MakeBuffer;
using ::planecast::testing::ScriptedEncoderFactory;
using ::planecast::testing::TakeAll;
using ::planecast::testing::UnitOfSize;

constexpr int64_t kCapBps = 20'000'000;

// --- Viewers and limits alone.

class RenditionSetTest : public ::testing::Test {
 protected:
  DisplayOptions Options() {
    DisplayOptions options;
    options.clock = &clock_;
    options.make_encoder = ScriptedEncoderFactory(encoder_, clock_);
    options.rate.bitrate_max_bps = kCapBps;
    return options;
  }
  std::shared_ptr<Viewer> Join(const ViewerOptions& options = {}) {
    auto viewer = std::make_shared<Viewer>("viewer", options, signal_, metrics_, clock_);
    set_.Add(viewer);
    return viewer;
  }
  std::shared_ptr<Viewer> JoinWithLimits(const ViewerLimits& limits) {
    return Join({.limits = limits});
  }
  void Step(int64_t after_ns = 0) {
    clock_.Advance(after_ns);
    set_.Sweep();
    set_.Assign(clock_.NowNs());
  }
  Rendition& At(size_t index) { return **(set_.begin() + static_cast<std::ptrdiff_t>(index)); }
  /// Its encoder makes pictures of this width, and its members know.
  void Prepare(Rendition& rendition, uint32_t width_px) {
    rendition.Prepare(Frame{MakeBuffer(width_px, 64), 0, 0}, clock_.NowNs());
    for (Member& member : rendition.members()) {
      member.greeted = true;
      member.told = *rendition.description();
    }
  }

  ManualClock clock_;
  std::shared_ptr<EncoderScript> encoder_ = std::make_shared<EncoderScript>();
  std::shared_ptr<WakeSignal> signal_ = std::make_shared<WakeSignal>();
  std::shared_ptr<DisplayMetrics> metrics_ = std::make_shared<DisplayMetrics>();
  const DisplayOptions options_ = Options();
  const DisplaySpec spec_{};
  std::vector<const Rendition*> told_;
  RenditionSet set_{options_, spec_, *metrics_,
                    [this](Member&, const Rendition& to) { told_.push_back(&to); }};
};

TEST_F(RenditionSetTest, ThereIsOneWithoutViewersToo) {
  Step();
  EXPECT_EQ(set_.size(), 1u);
  auto viewer = Join();
  Step();
  EXPECT_EQ(set_.ViewerCount(), 1u);
  viewer->Close();
  Step();
  EXPECT_EQ(set_.ViewerCount(), 0u);
  EXPECT_EQ(set_.size(), 1u);
}

TEST_F(RenditionSetTest, ALimitThatIsNearWhatTheOthersTakeIsKeptForAll) {
  Join();
  JoinWithLimits({17'000'000, 50});
  Step();
  EXPECT_EQ(set_.size(), 1u);
  EXPECT_EQ(set_.best().rate().bitrate_max_bps, 17'000'000);
}

TEST_F(RenditionSetTest, WhoTakesMuchLessLeavesTheBestOneAlone) {
  auto fast = Join();
  auto modest = JoinWithLimits({1'000'000, 0});
  Step();
  ASSERT_EQ(set_.size(), 2u);
  ASSERT_EQ(set_.ViewerCount(), 2u);
  EXPECT_EQ(At(0).members().at(0).viewer, fast);
  EXPECT_EQ(At(0).rate().bitrate_max_bps, kCapBps);
  EXPECT_EQ(At(1).members().at(0).viewer, modest);
  EXPECT_EQ(At(1).rate().bitrate_max_bps, 1'000'000);
  EXPECT_EQ(metrics_->Value(Count::kMovesDown), 1u);
}

TEST_F(RenditionSetTest, EachStepDownLeavesTheNextOneToWhoTakesLessStill) {
  Join();
  JoinWithLimits({8'000'000, 0});
  JoinWithLimits({2'000'000, 0});
  JoinWithLimits({500'000, 0});
  Step();
  ASSERT_EQ(set_.size(), kRenditionsMax);
  EXPECT_EQ(At(1).rate().bitrate_max_bps, 8'000'000);
  EXPECT_EQ(At(2).members().size(), 2u);
  EXPECT_EQ(At(2).rate().bitrate_max_bps, 500'000) << "the last one is for all that are left";
}

TEST_F(RenditionSetTest, TheBestOneGoesWithItsLastViewerIfThereIsAnother) {
  auto fast = Join();
  auto modest = JoinWithLimits({1'000'000, 0});
  Step();
  ASSERT_EQ(set_.size(), 2u);
  const Rendition* const other = &At(1);
  fast->Close();
  set_.Sweep();
  EXPECT_EQ(set_.size(), 1u);
  EXPECT_EQ(&set_.best(), other);
}

TEST_F(RenditionSetTest, WhoMovesIsToldOnlyAStreamThatItDoesNotKnow) {
  auto fast = Join();
  for (const uint32_t best_width_px : {64, 128}) {
    auto modest = JoinWithLimits({1'000'000, 0});
    Step();
    ASSERT_EQ(set_.size(), 2u);
    told_.clear();
    Prepare(At(0), best_width_px);
    Prepare(At(1), 64);
    modest->OfferUnit(UnitOfSize(1, /*key_frame=*/true), clock_.NowNs(), /*fresh=*/true);
    TakeAll(*modest);
    ASSERT_TRUE(modest->SetLimits({}).ok());
    Step(kMoveUpWaitMinNs - 1);
    ASSERT_EQ(set_.size(), 2u) << "it has to do well for long";
    Step(1);
    ASSERT_EQ(set_.size(), 1u);
    if (best_width_px == 64) {
      EXPECT_TRUE(told_.empty());
    } else {
      EXPECT_EQ(told_, std::vector<const Rendition*>{&set_.best()});
    }
    modest->Close();
  }
}

TEST_F(RenditionSetTest, KnowsWhetherAnybodyWantsTheCursorInThePicture) {
  Join();
  ViewerOptions options{.limits = {1'000'000, 0}};
  options.cursor_in_picture = true;
  auto viewer = Join(options);
  Step();
  ASSERT_EQ(set_.size(), 2u);
  EXPECT_TRUE(set_.AnyWantsCursorInPicture());
  viewer->Close();
  Step();
  EXPECT_FALSE(set_.AnyWantsCursorInPicture());
}

// --- In a display, with links.

class DisplayRenditionsTest : public ::testing::Test {
 protected:
  DisplayRenditionsTest() {
    h_.options.rate.bitrate_max_bps = kCapBps;
    h_.encoder->unit_bytes = 10'000;
    h_.encoder->keeps_bitrate = true;
  }

  /// A viewer that acknowledges each unit `delay_ns` after it was sent, at a link's rate.
  struct Link {
    std::shared_ptr<Viewer> viewer;
    int64_t rate_bps = 0;
    int64_t free_ns = 0;
    std::deque<std::pair<uint64_t, int64_t>> under_way = {};
    size_t units = 0;
    size_t key_frames = 0;
    uint64_t last = 0;
    size_t gaps = 0;
  };
  Link Join(int64_t rate_bps, const ViewerLimits& limits = {}) {
    return {.viewer = h_.Join({limits, true}), .rate_bps = rate_bps};
  }
  void Serve(Link& link) {
    const int64_t now_ns = h_.clock.NowNs();
    while (!link.under_way.empty() && link.under_way.front().second <= now_ns) {
      ASSERT_TRUE(link.viewer->Acknowledge(link.under_way.front().first).ok());
      link.under_way.pop_front();
    }
    while (const StreamEventPtr event = link.viewer->Take()) {
      link.viewer->OnWritten();
      const auto* unit = std::get_if<UnitEvent>(&event->body);
      if (unit == nullptr) continue;
      const uint64_t sequence = unit->sequence + link.viewer->sequence_offset();
      if (link.last != 0 && sequence != link.last + 1) ++link.gaps;
      link.last = sequence;
      ++link.units;
      if (unit->unit->key_frame) ++link.key_frames;
      const auto bits = static_cast<int64_t>(unit->unit->bytes.size()) * 8;
      link.free_ns = std::max(link.free_ns, now_ns) + bits * kSecond / link.rate_bps;
      link.under_way.emplace_back(sequence, link.free_ns + 20 * kMs);
    }
  }
  /// The guest flips at 60 Hz; the encoder makes what its cap allows.
  void Run(int64_t duration_ns, const std::vector<Link*>& links) {
    const int64_t end_ns = h_.clock.NowNs() + duration_ns;
    while (h_.clock.NowNs() < end_ns) {
      h_.Flip(kSecond / 60);
      for (Link* link : links) Serve(*link);
      h_.Step();
    }
  }

  LoopHarness h_;
};

TEST_F(DisplayRenditionsTest, EqualViewersShareOneEncoder) {
  Link first = Join(100'000'000);
  Link second = Join(100'000'000);
  Run(3 * kSecond, {&first, &second});
  EXPECT_EQ(h_.encoder->made, 1);
  EXPECT_EQ(h_.Value(Count::kMovesDown), 0u);
}

TEST_F(DisplayRenditionsTest, AViewerAloneOnASlowLinkLowersTheBitrate) {
  Link slow = Join(2'000'000);
  Run(3 * kSecond, {&slow});
  EXPECT_EQ(h_.encoder->made, 1);
  EXPECT_LT(h_.encoder->rate.bitrate_max_bps, 2'500'000);
  EXPECT_GT(h_.encoder->rate.bitrate_max_bps, 500'000);
}

TEST_F(DisplayRenditionsTest, AViewerThatCantFollowGetsAnEncoderOfItsOwn) {
  Link fast = Join(100'000'000);
  Run(kSecond, {&fast});
  Link slow = Join(2'000'000);
  Run(kSecond / 10, {&fast, &slow});
  const size_t key_frames = fast.key_frames;
  const size_t units = fast.units;
  Run(5 * kSecond, {&fast, &slow});
  EXPECT_EQ(h_.encoder->alive, 2);
  EXPECT_EQ(h_.Value(Count::kMovesDown), 1u);
  EXPECT_EQ(fast.key_frames, key_frames) << "the slow one's are its own";
  EXPECT_GE(fast.units, units + 299);
  EXPECT_EQ(fast.gaps, 0u);
  EXPECT_LT(h_.encoder->rate.bitrate_max_bps, 2'500'000) << "the last made encoder's";
}

TEST_F(DisplayRenditionsTest, TwoSlowViewersShareOne) {
  Link fast = Join(100'000'000);
  Link slow = Join(2'000'000);
  Link other = Join(2'200'000);
  Run(5 * kSecond, {&fast, &slow, &other});
  EXPECT_EQ(h_.encoder->alive, 2);
}

TEST_F(DisplayRenditionsTest, ThereAreNeverMoreThanThree) {
  std::vector<Link> links = {Join(100'000'000), Join(12'000'000), Join(4'000'000), Join(1'200'000),
                             Join(400'000)};
  std::vector<Link*> all;
  for (Link& link : links) all.push_back(&link);
  h_.encoder->unit_bytes = 30'000;
  for (int i = 0; i < 10; ++i) {
    Run(kSecond, all);
    ASSERT_LE(h_.encoder->alive, static_cast<int>(kRenditionsMax));
  }
  EXPECT_EQ(h_.encoder->alive, static_cast<int>(kRenditionsMax));
}

TEST_F(DisplayRenditionsTest, AViewerWhoseLinkRecoversComesBack) {
  Link fast = Join(100'000'000);
  Link slow = Join(2'000'000);
  Run(5 * kSecond, {&fast, &slow});
  ASSERT_EQ(h_.encoder->alive, 2);
  slow.rate_bps = 100'000'000;
  Run(20 * kSecond, {&fast, &slow});
  EXPECT_EQ(h_.encoder->alive, 1);
  EXPECT_GE(h_.Value(Count::kMovesUp), 1u);
}

TEST_F(DisplayRenditionsTest, AViewerThatCantStayWaitsLongerEachTime) {
  Link fast = Join(100'000'000);
  Link slow = Join(2'000'000);
  // So little that the slow link follows, then so much that it doesn't, again and again.
  for (int i = 0; i < 20; ++i) {
    h_.encoder->unit_bytes = 1000;
    Run(7 * kSecond, {&fast, &slow});
    h_.encoder->unit_bytes = 20'000;
    Run(2 * kSecond, {&fast, &slow});
  }
  EXPECT_GE(h_.Value(Count::kMovesUp), 1u);
  EXPECT_LE(h_.Value(Count::kMovesUp), 6u);
}

TEST_F(DisplayRenditionsTest, LimitsThatOneAsksForDontHoldUpTheOthers) {
  Link fast = Join(100'000'000);
  Link modest = Join(100'000'000, {1'000'000, 15});
  Run(2 * kSecond, {&fast, &modest});
  EXPECT_EQ(h_.encoder->alive, 2);
  EXPECT_EQ(h_.encoder->rate.bitrate_max_bps, 1'000'000) << "the last made encoder's";
  EXPECT_NEAR(static_cast<double>(modest.units), 30, 3);
  EXPECT_GE(fast.units, 118u);
  ASSERT_TRUE(modest.viewer->SetLimits({}).ok());
  Run(7 * kSecond, {&fast, &modest});
  EXPECT_EQ(h_.encoder->alive, 1);
}

TEST_F(DisplayRenditionsTest, AnEncoderThatCantBeMadeTwiceIsShared) {
  Link fast = Join(100'000'000);
  Run(kSecond, {&fast});
  for (int i = 0; i < 100; ++i) {
    h_.encoder->make_errors.push_back(absl::ResourceExhaustedError("one session only"));
  }
  Link modest = Join(100'000'000, {1'000'000, 0});
  Run(10 * kSecond, {&fast, &modest});
  EXPECT_EQ(h_.encoder->alive, 1);
  EXPECT_EQ(h_.state(), DisplayState::kActive);
  EXPECT_EQ(h_.encoder->rate.bitrate_max_bps, 1'000'000);
  const size_t units = modest.units;
  Run(kSecond, {&fast, &modest});
  EXPECT_GE(modest.units, units + 50);
}

TEST_F(DisplayRenditionsTest, TheLastViewerOfTheBestOneLeavesItToTheOthers) {
  Link fast = Join(100'000'000);
  Link slow = Join(2'000'000);
  Run(3 * kSecond, {&fast, &slow});
  ASSERT_EQ(h_.encoder->alive, 2);
  fast.viewer->Close();
  const size_t key_frames = slow.key_frames;
  Run(kSecond, {&slow});
  EXPECT_EQ(h_.encoder->alive, 1);
  EXPECT_EQ(slow.key_frames, key_frames) << "nothing changes for who stays";
  slow.viewer->Close();
  Run(kSecond, {});
  EXPECT_EQ(h_.loop().snapshot().viewer_count, 0);
}

TEST_F(DisplayRenditionsTest, ANewSizeIsToldInEach) {
  Link fast = Join(100'000'000);
  Link modest = Join(100'000'000, {1'000'000, 0});
  Run(kSecond, {&fast, &modest});
  h_.source->look = testing::LookWithFrame(testing::MakeBuffer(128, 64));
  h_.Flip();
  EXPECT_THAT(TakeAll(*fast.viewer), ::testing::HasSubstr("started key"));
  EXPECT_THAT(TakeAll(*modest.viewer), ::testing::HasSubstr("started key"));
}

}  // namespace
}  // namespace planecast
