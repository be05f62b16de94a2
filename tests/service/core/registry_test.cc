#include "service/core/registry.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::EncoderScript;
using ::planecast::testing::LookWithout;
using ::planecast::testing::ScriptedEncoderFactory;
using ::planecast::testing::ScriptedSource;
using ::planecast::testing::SourceScript;

AttachRequest Request(const std::string& id, const std::string& request_id = "") {
  AttachRequest request;
  request.display_id = id;
  request.request_id = request_id;
  request.spec.device = FakeSpec{"ideal", "desktop", 0, 0, 0};
  return request;
}

absl::StatusCode CodeOf(const absl::Status& status) {
  return status.code();
}
template <typename T>
absl::StatusCode CodeOf(const absl::StatusOr<T>& result) {
  return result.status().code();
}

class RegistryTest : public ::testing::Test {
 protected:
  RegistryTest() {
    options_.display.clock = &MonotonicClock();
    options_.display.make_encoder = ScriptedEncoderFactory(encoder_, MonotonicClock());
    options_.open_source =
        [this](const DisplaySpec&) -> absl::StatusOr<std::unique_ptr<PlaneSource>> {
      ++opened_;
      if (before_open_) before_open_();
      if (!open_error_.ok()) return open_error_;
      auto script = std::make_shared<SourceScript>();
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        sources_.push_back(script);
      }
      return std::make_unique<ScriptedSource>(script);
    };
  }
  Registry& registry() {
    if (registry_ == nullptr) registry_ = std::make_unique<Registry>(options_);
    return *registry_;
  }
  std::string Ids(int page_size = 0, const std::string& token = "") {
    const absl::StatusOr<DisplayPage> page = registry().List(page_size, token);
    std::string ids;
    for (const DisplaySnapshot& display : page->displays) ids += display.id + " ";
    next_token_ = page->next_page_token;
    return ids;
  }

  RegistryOptions options_;
  std::shared_ptr<EncoderScript> encoder_ = std::make_shared<EncoderScript>();
  std::atomic<int> opened_{0};
  std::function<void()> before_open_;
  absl::Status open_error_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<SourceScript>> sources_;
  std::string next_token_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(RegistryTest, AttachAnswersWithTheFirstLooksState) {
  const absl::StatusOr<DisplaySnapshot> display = registry().Attach(Request("a"));
  ASSERT_TRUE(display.ok());
  EXPECT_EQ(display->id, "a");
  EXPECT_EQ(display->state.state, DisplayState::kActive);
  EXPECT_EQ(std::get<FakeSpec>(display->spec.device).profile, "ideal");
}

TEST_F(RegistryTest, AttachRefusesMalformedIds) {
  EXPECT_EQ(CodeOf(registry().Attach(Request("A"))), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(registry().Attach(Request("a", "\n"))), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(opened_, 0);
}

TEST_F(RegistryTest, AttachRefusesATakenIdAndTheLimit) {
  options_.displays_max = 2;
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  EXPECT_EQ(CodeOf(registry().Attach(Request("a"))), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(registry().Attach(Request("b")).ok());
  EXPECT_EQ(CodeOf(registry().Attach(Request("c"))), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(opened_, 2);
}

TEST_F(RegistryTest, AFailedAttachLeavesNothingAndCanBeTriedAgain) {
  open_error_ = absl::PermissionDeniedError("no");
  EXPECT_EQ(registry().Attach(Request("a", "r1")).status(), open_error_);
  EXPECT_EQ(Ids(), "");
  open_error_ = absl::OkStatus();
  EXPECT_TRUE(registry().Attach(Request("a", "r1")).ok());
}

TEST_F(RegistryTest, ARetryWithTheSameRequestIdGetsTheSameDisplay) {
  ASSERT_TRUE(registry().Attach(Request("a", "r1")).ok());
  const absl::StatusOr<DisplaySnapshot> again = registry().Attach(Request("a", "r1"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->id, "a");
  EXPECT_EQ(opened_, 1);
}

TEST_F(RegistryTest, ARequestIdIsForOneRequest) {
  ASSERT_TRUE(registry().Attach(Request("a", "r1")).ok());
  EXPECT_EQ(CodeOf(registry().Attach(Request("b", "r1"))), absl::StatusCode::kInvalidArgument);
  AttachRequest other = Request("a", "r1");
  other.spec.device = CdevSpec{"/dev/vfio/devices/vfio0"};
  EXPECT_EQ(CodeOf(registry().Attach(other)), absl::StatusCode::kInvalidArgument);
}

TEST_F(RegistryTest, ALateRetryDoesNotBringADetachedDisplayBack) {
  ASSERT_TRUE(registry().Attach(Request("a", "r1")).ok());
  ASSERT_TRUE(registry().Detach("a").ok());
  EXPECT_EQ(CodeOf(registry().Attach(Request("a", "r1"))), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(registry().Attach(Request("a", "r2")).ok());
  EXPECT_EQ(CodeOf(registry().Attach(Request("a", "r1"))), absl::StatusCode::kAlreadyExists)
      << "also not by way of another display of that id";
}

TEST_F(RegistryTest, ConcurrentTwinsOpenTheDeviceOnce) {
  std::vector<std::future<absl::StatusOr<DisplaySnapshot>>> twins;
  std::promise<void> opening;
  std::promise<void> go_on;
  before_open_ = [&] {
    opening.set_value();
    go_on.get_future().wait();
  };
  registry();
  twins.reserve(8);
  for (int i = 0; i < 8; ++i) {
    twins.push_back(
        std::async(std::launch::async, [this] { return registry().Attach(Request("a", "r1")); }));
  }
  opening.get_future().wait();
  EXPECT_EQ(registry().List(0, "")->displays.at(0).state.state, DisplayState::kAttaching)
      << "listed, and no lock held, while the device is being opened";
  EXPECT_EQ(CodeOf(registry().Detach("a")), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeOf(registry().AddViewer("a", {})), absl::StatusCode::kUnavailable);
  go_on.set_value();
  for (auto& twin : twins) EXPECT_TRUE(twin.get().ok());
  EXPECT_EQ(opened_, 1);
}

TEST_F(RegistryTest, RememberedRequestIdsAreBounded) {
  for (size_t i = 0; i < kRequestIdsRememberedMax + 1; ++i) {
    ASSERT_TRUE(registry().Attach(Request("a", "r" + std::to_string(i))).ok());
    ASSERT_TRUE(registry().Detach("a").ok());
  }
  EXPECT_EQ(CodeOf(registry().Attach(Request("a", "r1"))), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(registry().Attach(Request("a", "r0")).ok()) << "the oldest is forgotten";
}

TEST_F(RegistryTest, DetachClosesTheDeviceBeforeItReturns) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  auto joined = registry().AddViewer("a", {});
  ASSERT_TRUE(joined.ok());
  ASSERT_TRUE(registry().Detach("a").ok());
  EXPECT_TRUE(sources_.at(0)->destroyed);
  EXPECT_TRUE(joined->viewer->ending());
  EXPECT_EQ(CodeOf(registry().Detach("a")), absl::StatusCode::kNotFound);
  EXPECT_EQ(Ids(), "");
  joined->viewer->Close();
}

TEST_F(RegistryTest, ConcurrentDetachesBothWaitForTheEnd) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  auto other = std::async(std::launch::async, [this] { return registry().Detach("a"); });
  const absl::Status mine = registry().Detach("a");
  EXPECT_TRUE(mine.ok() || absl::IsNotFound(mine));
  EXPECT_TRUE(sources_.at(0)->destroyed);
  const absl::Status theirs = other.get();
  EXPECT_TRUE(theirs.ok() || absl::IsNotFound(theirs));
  EXPECT_TRUE(mine.ok() || theirs.ok());
}

TEST_F(RegistryTest, ListsSortedPageByPage) {
  for (const char* id : {"c", "a", "e", "b", "d"}) ASSERT_TRUE(registry().Attach(Request(id)).ok());
  EXPECT_EQ(Ids(), "a b c d e ");
  EXPECT_EQ(next_token_, "");
  EXPECT_EQ(Ids(2), "a b ");
  ASSERT_TRUE(registry().Detach("b").ok());
  EXPECT_EQ(Ids(2, next_token_), "c d ") << "the token outlives the display that it names";
  EXPECT_EQ(Ids(2, next_token_), "e ");
  EXPECT_EQ(next_token_, "");
}

TEST_F(RegistryTest, RefusesForeignPageTokensAndNegativeSizes) {
  for (const char* token : {"x", "a", "displays-after:", "displays-after:A", "displays-after"}) {
    EXPECT_EQ(CodeOf(registry().List(0, token)), absl::StatusCode::kInvalidArgument) << token;
  }
  EXPECT_EQ(CodeOf(registry().List(-1, "")), absl::StatusCode::kInvalidArgument);
}

TEST_F(RegistryTest, GetAndOthersSayNotFound) {
  absl::Status get;
  registry().Get("a",
                 [&](const absl::StatusOr<DisplaySnapshot>& display) { get = display.status(); });
  EXPECT_EQ(get.code(), absl::StatusCode::kNotFound);
  absl::Status picture;
  registry().GetPicture("a", false, 0,
                        [&](const absl::StatusOr<Picture>& p) { picture = p.status(); });
  EXPECT_EQ(picture.code(), absl::StatusCode::kNotFound);
  absl::Status mode;
  registry().SetMode("a", 64, 64, [&](absl::Status status) { mode = std::move(status); });
  EXPECT_EQ(mode.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(CodeOf(registry().AddViewer("a", {})), absl::StatusCode::kNotFound);
}

TEST_F(RegistryTest, AScrapeWaitsForNobodyAndSeesADisplayRun) {
  ASSERT_TRUE(registry().Attach(Request("b")).ok());
  {
    const std::lock_guard<std::mutex> lock(sources_.at(0)->mutex);
    sources_.at(0)->poll_interval_ns = testing::kMs;
  }
  auto joined = registry().AddViewer("b", {.limits = {}, .acknowledges = true});
  ASSERT_TRUE(joined.ok());
  Viewer& viewer = *joined->viewer;
  std::atomic<bool> done{false};
  std::thread transport([&] {
    while (!done) {
      const StreamEventPtr event = viewer.Take();
      if (event == nullptr) {
        std::this_thread::yield();
        continue;
      }
      viewer.OnWritten();
      if (const auto* unit = std::get_if<UnitEvent>(&event->body)) {
        EXPECT_TRUE(viewer.Acknowledge(unit->sequence, {1, 1}).ok());
      }
    }
  });
  uint64_t acknowledged = 0;
  while (acknowledged < 20) {
    const std::vector<DisplayReading> readings = registry().ReadDisplays();
    ASSERT_EQ(readings.size(), 1u);
    ASSERT_NE(readings[0].metrics, nullptr);
    const uint64_t count = readings[0].metrics->Times(Stage::kEncodedToAcknowledged).count();
    EXPECT_GE(count, acknowledged);
    acknowledged = count;
    std::this_thread::yield();
  }
  const DisplayReading reading = registry().ReadDisplays().at(0);
  EXPECT_EQ(reading.snapshot.viewer_count, 1);
  EXPECT_EQ(reading.snapshot.encoder, "scripted");
  EXPECT_FALSE(reading.snapshot.encoder_hardware);
  EXPECT_GE(reading.metrics->Value(Count::kSent), 20u);
  // A display that is being opened is listed, and hinders nothing.
  before_open_ = [&] {
    const std::vector<DisplayReading> readings = registry().ReadDisplays();
    ASSERT_EQ(readings.size(), 2u);
    EXPECT_EQ(readings[0].snapshot.id, "a");
    EXPECT_EQ(readings[0].metrics, nullptr);
  };
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  ASSERT_TRUE(registry().Detach("b").ok());
  EXPECT_EQ(registry().ReadDisplays().size(), 1u);
  done = true;
  transport.join();
  EXPECT_GE(reading.metrics->Value(Count::kSent), 20u) << "what was read outlives the display";
  viewer.Close();
}

TEST_F(RegistryTest, ViewersAreFoundByTheirSecretUntilTheyClose) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  auto joined = registry().AddViewer("a", {});
  ASSERT_TRUE(joined.ok());
  const std::string id = joined->viewer->id();
  EXPECT_EQ(registry().FindViewer(id), joined->viewer);
  EXPECT_EQ(registry().FindViewer(""), nullptr);
  EXPECT_EQ(registry().FindViewer(id.substr(1)), nullptr);
  joined->viewer->Close();
  EXPECT_EQ(registry().FindViewer(id), nullptr);
}

TEST_F(RegistryTest, AViewerResumesUnderItsIdAndTheStreamBeforeEnds) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  auto first = registry().AddViewer("a", {});
  ASSERT_TRUE(first.ok());
  const std::string id = first->viewer->id();
  ViewerOptions options;
  options.resumed_id = id;
  auto second = registry().AddViewer("a", options);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->viewer->id(), id);
  EXPECT_EQ(registry().FindViewer(id), second->viewer);
  EXPECT_TRUE(first->viewer->ending());
  const auto last = testing::TakeLast<Goodbye>(*first->viewer);
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->reason, Goodbye::Reason::kResumed);
  EXPECT_EQ(last->retry_after_ms, -1);
  // Its end is not the end of the one that goes on.
  first->viewer->Close();
  EXPECT_EQ(registry().FindViewer(id), second->viewer);
}

TEST_F(RegistryTest, AViewerOfAServerThatRestartedKeepsItsId) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  ViewerOptions options;
  options.resumed_id = "0123456789abcdef0123456789abcdef";
  auto joined = registry().AddViewer("a", options);
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ(joined->viewer->id(), options.resumed_id);
}

TEST_F(RegistryTest, AnIdThatIsNoneIsRefused) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  for (const char* id :
       {"x", "0123456789abcdef0123456789abcdeF", "0123456789abcdef0123456789abcdef0"}) {
    ViewerOptions options;
    options.resumed_id = id;
    EXPECT_EQ(CodeOf(registry().AddViewer("a", options)), absl::StatusCode::kInvalidArgument) << id;
  }
}

/// The next event of a watch, waiting for it.
class WatchReader {
 public:
  explicit WatchReader(std::shared_ptr<DisplayWatch> watch) : watch_(std::move(watch)) {
    watch_->SetNotify([this] {
      const std::lock_guard<std::mutex> lock(mutex_);
      notified_ = true;
      changed_.notify_one();
    });
  }
  WatchEvent Next() {
    while (true) {
      if (std::optional<WatchEvent> event = watch_->Take()) return *std::move(event);
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return notified_; });
      notified_ = false;
    }
  }

 private:
  std::shared_ptr<DisplayWatch> watch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool notified_ = false;
};

TEST_F(RegistryTest, AWatchTellsAttachChangeAndDetach) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  auto watch = registry().Watch();
  ASSERT_TRUE(watch.ok());
  WatchReader reader(*watch);
  EXPECT_EQ(std::get<DisplaySnapshot>(reader.Next()).id, "a");
  EXPECT_TRUE(std::holds_alternative<WatchBookmark>(reader.Next()));
  ASSERT_TRUE(registry().Attach(Request("b")).ok());
  DisplaySnapshot b = std::get<DisplaySnapshot>(reader.Next());
  if (b.state.state == DisplayState::kAttaching) b = std::get<DisplaySnapshot>(reader.Next());
  EXPECT_EQ(b.id, "b");
  EXPECT_EQ(b.state.state, DisplayState::kActive);
  {
    const std::lock_guard<std::mutex> lock(sources_.at(1)->mutex);
    sources_.at(1)->look = LookWithout(PlaneLook::Primary::kBlanked);
  }
  // Nobody streams and nobody asks: the watch itself keeps the state fresh.
  b = std::get<DisplaySnapshot>(reader.Next());
  EXPECT_EQ(b.state.state, DisplayState::kBlanked);
  ASSERT_TRUE(registry().Detach("b").ok());
  WatchEvent event = reader.Next();
  if (std::holds_alternative<DisplaySnapshot>(event)) event = reader.Next();
  EXPECT_EQ(std::get<DisplayDetached>(event).id, "b");
  (*watch)->Close();
}

TEST_F(RegistryTest, ADetachNeedNotWaitForTheDevice) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  auto watch = registry().Watch();
  ASSERT_TRUE(watch.ok());
  WatchReader reader(*watch);
  EXPECT_EQ(std::get<DisplaySnapshot>(reader.Next()).id, "a");
  EXPECT_TRUE(std::holds_alternative<WatchBookmark>(reader.Next()));
  std::promise<uint64_t> ended;
  {
    const std::lock_guard<std::mutex> hangs(sources_.front()->mutex);
    ASSERT_TRUE(
        registry().BeginDetach("a", [&](uint64_t display) { ended.set_value(display); }).ok());
    EXPECT_EQ(std::get<DisplaySnapshot>(reader.Next()).state.state, DisplayState::kDetaching);
    EXPECT_EQ(registry().Last("a")->state.state, DisplayState::kDetaching);
    EXPECT_EQ(CodeOf(registry().AddViewer("a", {})), absl::StatusCode::kUnavailable);
    EXPECT_EQ(CodeOf(registry().Attach(Request("a"))), absl::StatusCode::kAlreadyExists);
    std::optional<DisplaySnapshot> told;
    registry().Get("a", [&](absl::StatusOr<DisplaySnapshot> snapshot) { told = *snapshot; });
    ASSERT_TRUE(told.has_value()) << "at once";
    EXPECT_EQ(told->state.state, DisplayState::kDetaching);
    // So many may wait for it, and no more.
    absl::Status more;
    int waiting = 1;
    for (; more.ok() && waiting < 1000; ++waiting)
      more = registry().BeginDetach("a", [](uint64_t) {});
    EXPECT_EQ(more.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_FALSE(sources_.front()->destroyed);
  }
  const uint64_t generation = ended.get_future().get();
  EXPECT_TRUE(sources_.front()->destroyed);
  EXPECT_TRUE(registry().FinishDetach("a", generation));
  EXPECT_EQ(Ids(), "");
  (*watch)->Close();
}

TEST_F(RegistryTest, WhoFinishesADetachTakesNoOtherDisplay) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  std::promise<uint64_t> ended;
  ASSERT_TRUE(
      registry().BeginDetach("a", [&](uint64_t display) { ended.set_value(display); }).ok());
  const uint64_t generation = ended.get_future().get();
  EXPECT_EQ(Ids(), "a ") << "until it is finished";
  EXPECT_TRUE(registry().FinishDetach("a", generation));
  EXPECT_EQ(Ids(), "");
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  EXPECT_FALSE(registry().FinishDetach("a", generation));
  EXPECT_EQ(Ids(), "a ");
  EXPECT_EQ(CodeOf(registry().BeginDetach("b", [](uint64_t) {})), absl::StatusCode::kNotFound);
}

TEST_F(RegistryTest, AFailedAttachIsTakenBackFromWatches) {
  auto watch = registry().Watch();
  ASSERT_TRUE(watch.ok());
  WatchReader reader(*watch);
  EXPECT_TRUE(std::holds_alternative<WatchBookmark>(reader.Next()));
  open_error_ = absl::NotFoundError("no");
  before_open_ = [&] { EXPECT_EQ(std::get<DisplaySnapshot>(reader.Next()).id, "a"); };
  EXPECT_FALSE(registry().Attach(Request("a")).ok());
  EXPECT_EQ(std::get<DisplayDetached>(reader.Next()).id, "a");
  (*watch)->Close();
}

TEST_F(RegistryTest, WatchesAreBoundedAndMayOutliveTheRegistry) {
  std::vector<std::shared_ptr<DisplayWatch>> watches;
  for (size_t i = 0; i < kDisplayWatchesMax; ++i) watches.push_back(*registry().Watch());
  EXPECT_EQ(CodeOf(registry().Watch()), absl::StatusCode::kResourceExhausted);
  watches.back()->Close();
  EXPECT_TRUE(registry().Watch().ok());
  registry_.reset();
  for (const auto& watch : watches) watch->Close();
}

TEST_F(RegistryTest, DrainEndsStreamsAndWatchesAndRefusesAllThatIsNew) {
  ASSERT_TRUE(registry().Attach(Request("a")).ok());
  auto joined = registry().AddViewer("a", {});
  auto watch = registry().Watch();
  ASSERT_TRUE(joined.ok() && watch.ok());
  std::promise<void> told;
  auto& viewer = *joined->viewer;
  std::atomic<bool> first{true};
  viewer.SetNotify([&] {
    if (viewer.ending() && first.exchange(false)) told.set_value();
  });
  const Goodbye goodbye{Goodbye::Reason::kDraining, "bye", 1000};
  registry().Drain(goodbye);
  registry().Drain(goodbye);
  told.get_future().wait();
  const auto last = testing::TakeLast<Goodbye>(viewer);
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->reason, Goodbye::Reason::kDraining);
  EXPECT_EQ(last->retry_after_ms, 1000);
  WatchReader reader(*watch);
  EXPECT_EQ(std::get<DisplaySnapshot>(reader.Next()).id, "a");
  EXPECT_TRUE(std::holds_alternative<WatchBookmark>(reader.Next()));
  EXPECT_TRUE(std::holds_alternative<WatchEnd>(reader.Next()));
  EXPECT_EQ(CodeOf(registry().Attach(Request("b"))), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeOf(registry().AddViewer("a", {})), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeOf(registry().Watch()), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(registry().Detach("a").ok()) << "what is there can still be closed";
  (*watch)->Close();
}

TEST_F(RegistryTest, AttachUnderWayWhenTheServerDrainsIsRefusedAndClosed) {
  std::promise<void> opening;
  std::promise<void> go_on;
  before_open_ = [&] {
    opening.set_value();
    go_on.get_future().wait();
  };
  registry();
  auto attach =
      std::async(std::launch::async, [this] { return registry().Attach(Request("a")).status(); });
  opening.get_future().wait();
  registry().Drain(Goodbye{});
  go_on.set_value();
  EXPECT_EQ(attach.get().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(sources_.at(0)->destroyed);
  EXPECT_EQ(Ids(), "");
}

TEST_F(RegistryTest, ManyThreadsUseItAtOnce) {
  options_.displays_max = 8;
  registry();
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i] {
      const std::string id = "d" + std::to_string(i % 4);
      for (int round = 0; round < 20; ++round) {
        (void)registry().Attach(Request(id));
        auto joined = registry().AddViewer(id, {});
        (void)registry().List(0, "");
        auto watch = registry().Watch();
        if (watch.ok()) (*watch)->Take();
        registry().Get(id, [](const absl::StatusOr<DisplaySnapshot>&) {});
        if (joined.ok()) joined->viewer->Close();
        (void)registry().Detach(id);
        if (watch.ok()) (*watch)->Close();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Ids(), "") << "whoever attached has detached";
  for (const auto& source : sources_) EXPECT_TRUE(source->destroyed);
}

TEST_F(RegistryTest, EachAttachedDisplayHasAUidOfItsOwn) {
  const auto first = registry().Attach(Request("a"));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->uid.size(), 32U);
  EXPECT_EQ(registry().Last("a")->uid, first->uid);
  ASSERT_TRUE(registry().Detach("a").ok());
  EXPECT_FALSE(registry().Last("a").has_value());
  const auto second = registry().Attach(Request("a"));
  ASSERT_TRUE(second.ok());
  EXPECT_NE(second->uid, first->uid) << "whoever was let see the one was not let see the other";
}

TEST_F(RegistryTest, LabelsChangeOnlyForWhomReadWhatTheyAre) {
  AttachRequest request = Request("a");
  request.labels = {{"tenant", "t1"}};
  const auto attached = registry().Attach(request);
  ASSERT_TRUE(attached.ok());
  EXPECT_EQ(attached->labels, request.labels);
  const auto changed =
      registry().SetLabels("a", {{"tenant", "t2"}}, EtagParts{attached->uid, attached->revision});
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(changed->labels.at("tenant"), "t2");
  EXPECT_EQ(registry().Last("a")->labels, changed->labels);
  EXPECT_EQ(CodeOf(registry().SetLabels("a", {}, EtagParts{attached->uid, attached->revision})),
            absl::StatusCode::kAborted);
  EXPECT_EQ(CodeOf(registry().SetLabels("a", {}, EtagParts{"another", changed->revision})),
            absl::StatusCode::kAborted);
  EXPECT_TRUE(registry().SetLabels("a", {}, std::nullopt).ok());
  EXPECT_EQ(CodeOf(registry().SetLabels("b", {}, std::nullopt)), absl::StatusCode::kNotFound);
  EXPECT_EQ(CodeOf(registry().SetLabels("a", {{"Tenant", ""}}, std::nullopt)),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(RegistryTest, WhoMayNotSeeADisplayLearnsNothingOfItFromPages) {
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(registry().Attach(Request(id)).ok());
  const DisplayFilter visible = [](std::string_view id) { return id == "a" || id == "c"; };
  const auto first = registry().List(1, "", visible);
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->displays.size(), 1U);
  EXPECT_EQ(first->displays[0].id, "a");
  const auto second = registry().List(1, first->next_page_token, visible);
  ASSERT_TRUE(second.ok());
  ASSERT_EQ(second->displays.size(), 1U);
  EXPECT_EQ(second->displays[0].id, "c");
  EXPECT_EQ(second->next_page_token, "") << "d is not there for this caller";
}

}  // namespace
}  // namespace planecast
