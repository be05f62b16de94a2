#include "service/core/display.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::EncoderScript;
using ::planecast::testing::kMs;
using ::planecast::testing::kSecond;
using ::planecast::testing::LookWithout;
using ::planecast::testing::ScriptedEncoderFactory;
using ::planecast::testing::ScriptedSource;
using ::planecast::testing::SourceScript;

/// Long enough for any machine; a test that waits so long has failed.
constexpr std::chrono::seconds kPatience(60);

/// A transport: a thread that takes what there is and acknowledges it.
class Transport {
 public:
  Transport(std::shared_ptr<Viewer> viewer, uint64_t units)
      : viewer_(std::move(viewer)), units_(units) {
    viewer_->SetNotify([state = state_] { state->Notify(); });
    thread_ = std::thread([this] { Run(); });
  }
  ~Transport() {
    thread_.join();
    viewer_->Close();
  }
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// Waits for the end of the stream, or for as many units as were asked for; false if neither
  /// came.
  bool Wait() { return state_->done.get_future().wait_for(kPatience) == std::future_status::ready; }
  uint64_t units_seen() const { return units_seen_; }
  bool contract_kept() const { return contract_kept_; }

 private:
  /// Outlives the transport, since a notification may be under way when it ends.
  struct State {
    std::mutex mutex;
    std::condition_variable notified;
    bool notify = false;
    std::promise<void> done;
    void Notify() {
      const std::lock_guard<std::mutex> lock(mutex);
      notify = true;
      notified.notify_one();
    }
    bool Await() {
      std::unique_lock<std::mutex> lock(mutex);
      const bool told = notified.wait_for(lock, kPatience, [this] { return notify; });
      notify = false;
      return told;
    }
  };

  void Run() {
    while (units_seen_ < units_ && !viewer_->finished()) {
      const StreamEventPtr event = viewer_->Take();
      if (event == nullptr) {
        if (!state_->Await()) break;
        continue;
      }
      viewer_->OnWritten();
      Check(*event);
    }
    state_->done.set_value();
  }
  void Check(const StreamEvent& event) {
    const auto* unit = std::get_if<UnitEvent>(&event.body);
    if (unit == nullptr) return;
    if (unit->sequence != last_ + 1 && !unit->unit->key_frame) contract_kept_ = false;
    last_ = unit->sequence;
    ++units_seen_;
    if (!viewer_->Acknowledge(last_).ok()) contract_kept_ = false;
  }

  std::shared_ptr<Viewer> viewer_;
  const uint64_t units_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::atomic<uint64_t> units_seen_{0};
  std::atomic<bool> contract_kept_{true};
  uint64_t last_ = 0;
  std::thread thread_;
};

class DisplayTest : public ::testing::Test {
 protected:
  std::unique_ptr<Display> Make(Display::SnapshotCallback on_change = nullptr) {
    DisplayOptions options;
    options.clock = &MonotonicClock();
    options.make_encoder = ScriptedEncoderFactory(encoder_, MonotonicClock());
    options.frame_rate_max_hz = 240;
    options.viewers_max = viewers_max_;
    return std::make_unique<Display>(DisplayIdentity{"test", {}, false},
                                     std::make_unique<ScriptedSource>(source_), options,
                                     std::move(on_change));
  }
  static DisplaySnapshot Refresh(Display& display) {
    std::promise<DisplaySnapshot> promise;
    display.Refresh([&promise](const DisplaySnapshot& snapshot) { promise.set_value(snapshot); });
    return promise.get_future().get();
  }

  std::shared_ptr<SourceScript> source_ = std::make_shared<SourceScript>();
  std::shared_ptr<EncoderScript> encoder_ = std::make_shared<EncoderScript>();
  int viewers_max_ = 256;
};

TEST_F(DisplayTest, StreamsToAViewerUntilItIsStopped) {
  source_->poll_interval_ns = kMs;
  auto display = Make();
  auto viewer = display->AddViewer("v", {{}, true});
  ASSERT_TRUE(viewer.ok());
  Transport transport(*viewer, 50);
  EXPECT_TRUE(transport.Wait());
  EXPECT_TRUE(transport.contract_kept());
  EXPECT_EQ(transport.units_seen(), 50u);
}

TEST_F(DisplayTest, FiftyViewersComeAndGo) {
  source_->poll_interval_ns = kMs;
  auto display = Make();
  std::atomic<int> failures{0};
  std::vector<std::thread> crowd;
  crowd.reserve(50);
  for (int i = 0; i < 50; ++i) {
    crowd.emplace_back([&display, &failures, i] {
      for (uint64_t visit = 0; visit < 3; ++visit) {
        auto viewer = display->AddViewer("v" + std::to_string(i), ViewerOptions{{}, i % 2 == 0});
        if (!viewer.ok()) {
          ++failures;
          return;
        }
        if (i % 7 == 0) (*viewer)->RequestKeyFrame();
        if (i % 5 == 0 && !(*viewer)->SetLimits({1'000'000, 200}).ok()) ++failures;
        if (i % 11 == 0) {
          // One that leaves without a word.
          (*viewer)->Close();
          continue;
        }
        Transport transport(*viewer, 2 + visit);
        if (!transport.Wait() || !transport.contract_kept()) ++failures;
      }
    });
  }
  for (std::thread& member : crowd) member.join();
  EXPECT_EQ(failures, 0);
  display->Stop(Goodbye{});
  EXPECT_EQ(display->Snapshot().viewer_count, 0);
  EXPECT_EQ(encoder_->alive, 0);
}

TEST_F(DisplayTest, StopWhileStreamingSaysGoodbyeToAllAndClosesTheDevice) {
  source_->poll_interval_ns = kMs;
  auto display = Make();
  std::vector<std::unique_ptr<Transport>> transports;
  for (int i = 0; i < 8; ++i) {
    auto viewer = display->AddViewer("v" + std::to_string(i), {{}, i % 2 == 0});
    ASSERT_TRUE(viewer.ok());
    transports.push_back(std::make_unique<Transport>(*viewer, UINT64_MAX));
  }
  std::thread other([&display] { display->Stop(Goodbye{}); });
  display->Stop(Goodbye{});
  EXPECT_TRUE(source_->destroyed);
  EXPECT_EQ(encoder_->alive, 0);
  for (const auto& transport : transports) EXPECT_TRUE(transport->Wait());
  other.join();
}

TEST_F(DisplayTest, AfterStopEverythingIsRefusedOrAnswered) {
  auto display = Make();
  display->Stop(Goodbye{});
  EXPECT_EQ(display->AddViewer("v", {}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Refresh(*display).state.state, DisplayState::kDetaching);
  absl::Status picture;
  display->GetPicture(false, 0, [&](const absl::StatusOr<Picture>& p) { picture = p.status(); });
  EXPECT_EQ(picture.code(), absl::StatusCode::kUnavailable);
  absl::Status mode;
  display->SetMode(64, 64, [&](absl::Status status) { mode = std::move(status); });
  EXPECT_EQ(mode.code(), absl::StatusCode::kUnavailable);
}

TEST_F(DisplayTest, RefusesViewersAtTheLimitAndAdmitsAgainWhenOneLeft) {
  viewers_max_ = 2;
  auto display = Make();
  auto first = display->AddViewer("1", {});
  auto second = display->AddViewer("2", {});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(display->AddViewer("3", {}).status().code(), absl::StatusCode::kResourceExhausted);
  (*first)->Close();
  EXPECT_TRUE(display->AddViewer("3", {}).ok());
}

TEST_F(DisplayTest, RefusesViewersWithLimitsOutOfRange) {
  auto display = Make();
  EXPECT_EQ(display->AddViewer("v", {{-1, 0}, false}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(DisplayTest, DrainEndsViewersAndKeepsTheDisplay) {
  auto display = Make();
  auto viewer = display->AddViewer("v", {});
  ASSERT_TRUE(viewer.ok());
  Transport transport(*viewer, UINT64_MAX);
  display->Drain(Goodbye{Goodbye::Reason::kDraining, "bye", 1000});
  EXPECT_TRUE(transport.Wait());
  EXPECT_EQ(display->AddViewer("w", {}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Refresh(*display).state.state, DisplayState::kActive);
}

TEST_F(DisplayTest, GivesPicturesToManyAtOnceAndRefusesTooMany) {
  auto display = Make();
  std::atomic<int> good{0};
  std::atomic<int> exhausted{0};
  std::atomic<int> left{200};
  std::promise<void> all;
  for (int i = 0; i < 200; ++i) {
    display->GetPicture(false, MonotonicClock().NowNs() + 60 * kSecond,
                        [&](const absl::StatusOr<Picture>& picture) {
                          if (picture.ok()) ++good;
                          if (absl::IsResourceExhausted(picture.status())) ++exhausted;
                          if (--left == 0) all.set_value();
                        });
  }
  ASSERT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_GE(good, static_cast<int>(kRequestsPendingMax));
  EXPECT_EQ(good + exhausted, 200);
}

TEST_F(DisplayTest, APictureTakesASlotUntilItIsLetGo) {
  auto display = Make();
  std::vector<Picture> held;
  const auto get = [&display] {
    auto answer = std::make_shared<std::promise<absl::StatusOr<Picture>>>();
    display->GetPicture(
        false, MonotonicClock().NowNs() + 60 * kSecond,
        [answer](absl::StatusOr<Picture> picture) { answer->set_value(std::move(picture)); });
    return answer->get_future().get();
  };
  absl::StatusOr<Picture> picture = get();
  while (picture.ok() && held.size() < 2 * kRequestsPendingMax) {
    held.push_back(*std::move(picture));
    picture = get();
  }
  EXPECT_TRUE(absl::IsResourceExhausted(picture.status())) << picture.status();
  EXPECT_EQ(held.size(), kRequestsPendingMax);
  held.pop_back();
  EXPECT_TRUE(get().ok()) << "there is room again";
  // The pictures may outlive the display.
  display.reset();
}

TEST_F(DisplayTest, TellsItsChangesUpToTheEnd) {
  std::mutex mutex;
  std::vector<DisplayState> states;
  auto display = Make([&](const DisplaySnapshot& snapshot) {
    const std::lock_guard<std::mutex> lock(mutex);
    states.push_back(snapshot.state.state);
  });
  Refresh(*display);
  display->Stop(Goodbye{});
  const std::lock_guard<std::mutex> lock(mutex);
  ASSERT_EQ(states.size(), 2u);
  EXPECT_EQ(states[0], DisplayState::kActive);
  EXPECT_EQ(states[1], DisplayState::kDetaching);
}

TEST_F(DisplayTest, AnEventOnTheSourcesFdWakesTheDisplay) {
  WakeSignal device;
  source_->wait_fds = {device.fd()};
  std::promise<void> gone;
  auto display = Make([&gone](const DisplaySnapshot& snapshot) {
    if (snapshot.state.state == DisplayState::kDeviceGone) gone.set_value();
  });
  Refresh(*display);
  {
    const std::lock_guard<std::mutex> lock(source_->mutex);
    source_->look = LookWithout(PlaneLook::Primary::kGone);
    source_->events.gone = true;
  }
  device.Wake();
  EXPECT_EQ(gone.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(source_->destroyed);
}

}  // namespace
}  // namespace planecast
