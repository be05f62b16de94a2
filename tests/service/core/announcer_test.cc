#include "service/core/announcer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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

constexpr int kCursorRateHz = 50;
constexpr int64_t kPeriodNs = kSecond / kCursorRateHz;

class AnnouncerTest : public ::testing::Test {
 protected:
  AnnouncerTest() {
    state_.state = DisplayState::kActive;
    cursor_.visible = true;
    cursor_.image = ImageOf(1);
  }
  static std::shared_ptr<const CursorImage> ImageOf(uint32_t color, uint32_t side_px = 1) {
    auto image = std::make_shared<CursorImage>();
    image->width_px = image->height_px = side_px;
    image->argb.assign(size_t{side_px} * side_px, 0xff000000 | color);
    return image;
  }
  /// The cursor changes to that image.
  void Show(const std::shared_ptr<const CursorImage>& image) {
    const Cursor before = cursor_;
    cursor_.image = image;
    announcer_.TellCursor(before, cursor_, clock_.NowNs());
  }
  DisplayOptions Options() {
    DisplayOptions options;
    options.clock = &clock_;
    options.make_encoder = ScriptedEncoderFactory(encoder_, clock_);
    return options;
  }
  std::shared_ptr<Viewer> Join(const ViewerOptions& options = {}) {
    auto viewer = std::make_shared<Viewer>("viewer", options, signal_, metrics_, clock_);
    renditions_.Add(viewer);
    return viewer;
  }
  std::shared_ptr<Viewer> JoinAndGreet(const ViewerOptions& options = {}) {
    auto viewer = Join(options);
    announcer_.Greet(News());
    TakeAll(*viewer);
    return viewer;
  }
  DisplayNews News() {
    return {cursor_path_, FlipRegime::kPolling, state_, cursor_, clock_.NowNs()};
  }
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
  Announcer announcer_{renditions_, "test", &codec_, *metrics_, kCursorRateHz};
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
  announcer_.TellCursor({}, cursor_, clock_.NowNs());
  announcer_.TellImage(clock_.NowNs());
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
  announcer_.TellCursor(cursor_, cursor_, clock_.NowNs());
  EXPECT_EQ(TakeAll(*viewer), "");
  Cursor other = cursor_;
  other.x_px = 7;
  announcer_.TellCursor(cursor_, other, clock_.NowNs());
  EXPECT_EQ(TakeAll(*viewer), "moved");
  other = cursor_;
  other.image = ImageOf(2);
  clock_.Advance(kPeriodNs);
  announcer_.TellCursor(cursor_, other, clock_.NowNs());
  EXPECT_EQ(TakeAll(*viewer), "shape");
  other = cursor_;
  other.visible = false;
  other.image = nullptr;
  announcer_.TellCursor(cursor_, other, clock_.NowNs());
  EXPECT_EQ(TakeAll(*viewer), "moved") << "hidden, and what it looked like is kept";
}

// --- Images of the cursor.

TEST_F(AnnouncerTest, ImagesKeepToTheFrameRateAndTheLastOneIsAlwaysTold) {
  auto viewer = JoinAndGreet();
  clock_.Advance(kSecond);
  size_t told = 0;
  for (uint32_t color = 2; color < 2 + 205; ++color) {
    Show(ImageOf(color));
    told += TakeLast<CursorShape>(*viewer) != nullptr ? 1 : 0;
    clock_.Advance(kPeriodNs / 10);
  }
  EXPECT_NEAR(static_cast<double>(told), 20, 1);
  Show(ImageOf(7));
  const int64_t next_ns = announcer_.NextImageNs();
  EXPECT_LE(next_ns, clock_.NowNs() + kPeriodNs);
  announcer_.TellImage(next_ns);
  EXPECT_EQ(TakeLast<CursorShape>(*viewer)->image->argb[0], 0xff000007);
  EXPECT_EQ(announcer_.NextImageNs(), Announcer::kNever);
}

TEST_F(AnnouncerTest, ImagesNotSeenBeforeKeepToTheirBytes) {
  auto viewer = JoinAndGreet();
  clock_.Advance(kSecond);
  int64_t bytes = 0;
  const int64_t begin_ns = clock_.NowNs();
  for (uint32_t color = 2; clock_.NowNs() < begin_ns + 10 * kSecond; ++color) {
    Show(ImageOf(color, 256));
    const auto shape = TakeLast<CursorShape>(*viewer);
    if (shape != nullptr) bytes += static_cast<int64_t>(shape->image->argb.size() * 4);
    clock_.Advance(kPeriodNs);
  }
  EXPECT_LE(bytes, 10 * kNewCursorBytesPerSecondMax + 2 * 256 * 256 * 4);
  EXPECT_GE(bytes, 5 * kNewCursorBytesPerSecondMax);
}

TEST_F(AnnouncerTest, TheSameImageHasTheSameNameAndIsSerialisedOnce) {
  auto viewer = JoinAndGreet();
  std::vector<uint32_t> names;
  const int encoded = codec_.encoded;
  for (const uint32_t color : {2U, 3U, 2U, 3U, 2U}) {
    clock_.Advance(kPeriodNs);
    Show(ImageOf(color));
    names.push_back(TakeLast<CursorShape>(*viewer)->id);
  }
  EXPECT_EQ(names, (std::vector<uint32_t>{names[0], names[1], names[0], names[1], names[0]}));
  EXPECT_NE(names[0], names[1]);
  EXPECT_NE(names[0], 0u);
  EXPECT_EQ(codec_.encoded, encoded + 2);
  // Another hot-spot is another image.
  auto other = *ImageOf(2);
  other.hotspot = CursorImage::Hotspot{0, 0};
  clock_.Advance(kPeriodNs);
  Show(std::make_shared<const CursorImage>(other));
  EXPECT_NE(TakeLast<CursorShape>(*viewer)->id, names[0]);
}

TEST_F(AnnouncerTest, WhoReadsPngGetsItWhereThatIsSmallerAndExact) {
  ViewerOptions reads_png;
  reads_png.cursor.png = true;
  auto png = JoinAndGreet(reads_png);
  auto raw = JoinAndGreet();
  TakeAll(*png);
  clock_.Advance(kPeriodNs);
  Show(ImageOf(2, 64));
  EXPECT_NE(TakeLast<CursorShape>(*png)->png, nullptr);
  EXPECT_EQ(TakeLast<CursorShape>(*raw)->png, nullptr);
  clock_.Advance(kPeriodNs);
  Show(ImageOf(2, 1));
  EXPECT_EQ(TakeLast<CursorShape>(*png)->png, nullptr) << "a header larger than the pixel";
  auto light = *ImageOf(2, 64);
  light.argb[5] = 0x00ffffff;
  clock_.Advance(kPeriodNs);
  Show(std::make_shared<const CursorImage>(light));
  EXPECT_EQ(TakeLast<CursorShape>(*png)->png, nullptr) << "straight alpha can't say it";
}

TEST_F(AnnouncerTest, AStormOfImagesTakesAQuarterOfASlowLink) {
  constexpr int64_t kLinkBps = 1'000'000;
  ViewerOptions options;
  options.limits.bitrate_max_bps = kLinkBps;
  auto slow = JoinAndGreet(options);
  auto fast = JoinAndGreet();
  TakeAll(*slow);
  clock_.Advance(kSecond);
  int64_t slow_bits = 0;
  size_t fast_shapes = 0;
  std::shared_ptr<const CursorShape> last;
  const int64_t begin_ns = clock_.NowNs();
  while (clock_.NowNs() < begin_ns + 10 * kSecond) {
    Show(ImageOf(static_cast<uint32_t>(clock_.NowNs() / kPeriodNs % 1000), 64));
    announcer_.TellImage(clock_.NowNs());
    if (const auto shape = TakeLast<CursorShape>(*slow)) {
      slow_bits += static_cast<int64_t>(CursorBytes(*shape)) * 8;
      last = shape;
    }
    fast_shapes += TakeLast<CursorShape>(*fast) != nullptr ? 1 : 0;
    clock_.Advance(kPeriodNs);
  }
  EXPECT_LE(slow_bits, 10 * kLinkBps / kCursorRateShare + 3 * 64 * 64 * 32);
  EXPECT_GE(slow_bits, 5 * kLinkBps / kCursorRateShare);
  EXPECT_GE(fast_shapes, 490u) << "one viewer's link holds up no other";
  // When the storm is over, the last image comes.
  while (announcer_.NextImageNs() != Announcer::kNever) {
    clock_.Set(std::max(clock_.NowNs(), announcer_.NextImageNs()));
    announcer_.TellImage(clock_.NowNs());
    if (const auto shape = TakeLast<CursorShape>(*slow)) last = shape;
  }
  EXPECT_EQ(*last->image, *cursor_.image);
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
