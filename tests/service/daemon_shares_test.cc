// One peer's share of what all have, and what a viewer may tell.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "service/access/shares.h"
#include "tests/service/daemon_access_testing.h"

namespace planecast::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kOk[] = "OK";
constexpr char kLimit[] = "RESOURCE_EXHAUSTED LIMIT_REACHED";

/// Tries until it works: what a call's end gives back comes back a moment later.
template <class Try>
bool Soon(Try works) {
  const auto end = std::chrono::steady_clock::now() + kCallMax;
  while (!works()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

/// A streaming call that goes on until it is gone; the first message, or the end, has come.
template <class Message>
class Ongoing {
 public:
  /// `begin` starts the call with the context.
  template <class Begin>
  Ongoing(const As& as, Begin begin) {
    as.Sign(context_);
    reader_ = begin(&context_);
    running_ = reader_->Read(&message_);
  }
  ~Ongoing() { Finish(); }
  Ongoing(const Ongoing&) = delete;
  Ongoing& operator=(const Ongoing&) = delete;

  bool running() const { return running_; }
  const Message& message() const { return message_; }
  grpc::Status Finish() {
    if (std::exchange(finished_, true)) return status_;
    if (running_) context_.TryCancel();
    while (running_ && reader_->Read(&message_)) {
    }
    return status_ = reader_->Finish();
  }

 private:
  CallContext context_;
  std::unique_ptr<grpc::ClientReader<Message>> reader_;
  Message message_;
  bool running_ = false;
  bool finished_ = false;
  grpc::Status status_;
};

class DaemonSharesTest : public DaemonAccessTest {
 protected:
  using ListWatch = Ongoing<v1::WatchDisplaysResponse>;
  using HealthWatch = Ongoing<grpc::health::v1::HealthCheckResponse>;

  std::string AuditText() const {
    std::ifstream file(AuditPath());
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  /// What somebody's next stream hears: OK if it starts.
  static grpc::Status TryStream(const As& as, const std::string& id = "a") {
    ViewerStream stream(as, id);
    return stream.Next().has_started() ? grpc::Status::OK : stream.Finish();
  }
  static std::unique_ptr<ListWatch> Watch(const As& as) {
    v1::DisplayService::Stub stub(as.channel);
    return std::make_unique<ListWatch>(as, [&stub](grpc::ClientContext* context) {
      return stub.WatchDisplays(context, v1::WatchDisplaysRequest());
    });
  }
  static std::unique_ptr<HealthWatch> WatchHealth(const As& as) {
    grpc::health::v1::Health::Stub stub(as.channel);
    return std::make_unique<HealthWatch>(as, [&stub](grpc::ClientContext* context) {
      return stub.Watch(context, grpc::health::v1::HealthCheckRequest());
    });
  }
  static grpc::Status CheckHealth(const As& as) {
    CallContext context;
    grpc::health::v1::HealthCheckResponse response;
    return grpc::health::v1::Health::NewStub(as.channel)
        ->Check(&context, grpc::health::v1::HealthCheckRequest(), &response);
  }
  static grpc::Status Snapshot(const As& as) {
    v1::GetSnapshotRequest request;
    request.set_name("displays/a");
    v1::GetSnapshotResponse response;
    return Call(as, &v1::DisplayService::Stub::GetSnapshot, request, &response);
  }
};

TEST_F(DaemonSharesTest, APrincipalHasHisShareOfViewers) {
  StartWith({"a", "a2"}, "limits { per_principal { viewers_max: 2 } }");
  const As manager = Manager();
  auto first = std::make_unique<ViewerStream>(manager, "a");
  ViewerStream second(Manager(), "a2");
  EXPECT_NE(first->started().viewer_id(), "");
  EXPECT_NE(second.started().viewer_id(), "");
  const grpc::Status told = TryStream(manager);
  EXPECT_EQ(Told(told), kLimit);
  EXPECT_THAT(told.error_message(), AllOf(HasSubstr("CN=manager has its share of 2 viewers"),
                                          HasSubstr("limits.per_principal.viewers_max")));
  // Others don't feel it, and operators have no share.
  EXPECT_EQ(Told(TryStream(Viewer(Ticket("viewer", "a").secret()))), kOk);
  std::vector<std::unique_ptr<ViewerStream>> operators;
  for (int i = 0; i < 4; ++i) {
    operators.push_back(std::make_unique<ViewerStream>(Operator(), "a"));
    EXPECT_NE(operators.back()->started().viewer_id(), "");
  }
  first.reset();
  EXPECT_TRUE(Soon([&] { return TryStream(manager).ok(); }));
  EXPECT_TRUE(Soon([this] { return AuditText().find("LIMIT_REACHED") != std::string::npos; }));
}

TEST_F(DaemonSharesTest, AnAddressHasItsShareOfViewersWhoeverItSaysItIs) {
  StartWith({"a"}, "limits { per_address { viewers_max: 1 } }");
  auto first = std::make_unique<ViewerStream>(Viewer(Ticket("viewer", "a").secret()), "a");
  EXPECT_NE(first->started().viewer_id(), "");
  const As other = Viewer(Ticket("viewer", "a").secret());
  const grpc::Status told = TryStream(other);
  EXPECT_EQ(Told(told), kLimit);
  EXPECT_THAT(told.error_message(), HasSubstr("limits.per_address.viewers_max"));
  EXPECT_EQ(Told(TryStream(Manager())), kOk) << "he comes from elsewhere";
  // What was refused used nothing up.
  first.reset();
  EXPECT_TRUE(Soon([&] { return TryStream(other).ok(); }));
}

TEST_F(DaemonSharesTest, AViewerThatComesBackHasItsPlaceStill) {
  StartWith({"a"}, "limits { per_principal { viewers_max: 1 } }");
  const As manager = Manager();
  ViewerStream stream(manager, "a");
  const std::string id = stream.started().viewer_id();
  EXPECT_EQ(Told(TryStream(manager)), kLimit);
  ViewerStream again(manager, "a", id);
  EXPECT_EQ(again.started().viewer_id(), id);
  EXPECT_EQ(stream.Goodbye().reason(), v1::Goodbye::REASON_RESUMED);
  EXPECT_EQ(Told(TryStream(manager)), kLimit);
}

TEST_F(DaemonSharesTest, OperatorsWatchADisplayThatHasItsLimitOfViewers) {
  StartWith({"a"}, "limits { viewers_per_display_max: 1 }");
  ViewerStream first(Manager(), "a");
  EXPECT_NE(first.started().viewer_id(), "");
  EXPECT_EQ(Told(TryStream(Viewer(Ticket("viewer", "a").secret()))), kLimit);
  EXPECT_EQ(Told(TryStream(Operator())), kOk);
}

TEST_F(DaemonSharesTest, StreamsThatDoNotStartKeepNobodyElsesOut) {
  StartWith({"a"}, "limits { per_principal { unstarted_streams_max: 3 } }");
  const As manager = Manager();
  v1::ViewerService::Stub stub(manager.channel);
  std::vector<std::unique_ptr<Stream>> unstarted;
  for (int i = 0; i < 3; ++i) unstarted.push_back(std::make_unique<Stream>(stub));
  const grpc::Status told = Stream(stub).Finish();
  EXPECT_EQ(Told(told), kLimit);
  EXPECT_THAT(told.error_message(), HasSubstr("limits.per_principal.unstarted_streams_max"));
  EXPECT_EQ(Told(TryStream(Operator())), kOk);
  EXPECT_EQ(Told(TryStream(Viewer(Ticket("viewer", "a").secret()))), kOk);
  // One that starts is none of them any more.
  v1::StreamDisplayRequest start;
  start.mutable_start()->set_name("displays/a");
  unstarted.front()->Send(start);
  EXPECT_TRUE(unstarted.front()->Next().has_started());
  EXPECT_EQ(Told(TryStream(manager)), kOk);
}

TEST_F(DaemonSharesTest, OnePeersWatchesLeaveRoomForOthers) {
  StartWith({"a"}, "limits { per_address { watches_max: 2 } }");
  const As manager = Manager();
  const auto first = Watch(manager);
  auto second = Watch(manager);
  EXPECT_TRUE(first->running() && second->running());
  const auto refused = Watch(manager);
  EXPECT_FALSE(refused->running());
  EXPECT_EQ(Told(refused->Finish()), kLimit);
  EXPECT_THAT(refused->Finish().error_message(),
              AllOf(HasSubstr("127.0.0.1 has its share of 2 watches"),
                    HasSubstr("limits.per_address.watches_max")));
  EXPECT_TRUE(Watch(Operator())->running());
  second.reset();
  EXPECT_TRUE(Soon([&] { return Watch(manager)->running(); }));
}

TEST_F(DaemonSharesTest, SomeWatchesAreKeptForOperators) {
  StartWith({"a"},
            "limits { per_address { watches_max: 1000 } per_principal { watches_max: 1000 } }");
  const As manager = Manager();
  std::vector<std::unique_ptr<ListWatch>> watches;
  for (int i = 0; i < kWatchesMax - kWatchesReserved; ++i) {
    watches.push_back(Watch(manager));
    ASSERT_TRUE(watches.back()->running()) << i;
  }
  EXPECT_EQ(Told(Watch(manager)->Finish()), kLimit);
  std::vector<std::unique_ptr<ListWatch>> operators;
  for (int i = 0; i < kWatchesReserved; ++i) {
    operators.push_back(Watch(Operator()));
    EXPECT_TRUE(operators.back()->running()) << i;
  }
}

TEST_F(DaemonSharesTest, OnePeersSnapshotsLeaveRoomForOthers) {
  StartWith({"a"}, "limits { per_principal { snapshots_max: 1 } }");
  const As manager = Manager();
  const auto script = Script("ideal");
  std::vector<std::thread> threads;
  std::atomic<int> taken = 0;
  std::promise<void> refused;
  {
    // The display's thread waits for this at its next look.
    const std::lock_guard<std::mutex> stuck(script->mutex);
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        const grpc::Status status = Snapshot(manager);
        if (status.ok()) {
          ++taken;
        } else {
          EXPECT_EQ(Told(status), kLimit);
          EXPECT_THAT(status.error_message(), HasSubstr("limits.per_principal.snapshots_max"));
          refused.set_value();
        }
      });
    }
    EXPECT_EQ(refused.get_future().wait_for(kCallMax), std::future_status::ready);
    // Has a share of his own, and none is left of the other's.
    threads.emplace_back([&, holder = Viewer(Ticket("viewer", "a").secret())] {
      ViewerStream stream(holder, "a");
      const As viewer = Viewer(holder.secret, stream.started().viewer_id());
      if (Snapshot(viewer).ok()) ++taken;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 2);
  // All is given back.
  EXPECT_TRUE(Soon([&] { return Snapshot(manager).ok(); }));
}

TEST_F(DaemonSharesTest, CallsThatGoOnAreSharedToo) {
  StartWith({"a"});
  const As anybody = Viewer();
  std::vector<std::unique_ptr<HealthWatch>> watches;
  grpc::Status told;
  while (told.ok() && watches.size() < kHealthWatchesMax) {
    watches.push_back(WatchHealth(anybody));
    if (!watches.back()->running()) told = watches.back()->Finish();
  }
  EXPECT_EQ(Told(told), kLimit);
  EXPECT_LT(watches.size(), size_t{kHealthWatchesMax} / 2) << "others have room";
  EXPECT_THAT(told.error_message(), HasSubstr("health watches"));
  // They take no place of anybody's calls, and of nobody's of the same address.
  EXPECT_EQ(Told(GetAs(Viewer(Ticket("viewer", "a").secret()), "a")), kOk);
  EXPECT_EQ(Told(CheckHealth(anybody)), kOk);
  EXPECT_EQ(Told(GetAs(Manager(), "a")), kOk);
  EXPECT_EQ(Told(GetAs(Operator(), "a")), kOk);
  watches.clear();
  EXPECT_TRUE(Soon([&] { return WatchHealth(anybody)->running(); }));
}

TEST_F(DaemonSharesTest, AFloodOfAcknowledgementsCostsItsSenderTheStream) {
  StartWith({"a"});
  ViewerStream other(Operator(), "a");
  EXPECT_NE(other.started().viewer_id(), "");
  Stream stream(*viewers_, "a", true);
  EXPECT_TRUE(stream.Next().has_started());
  v1::StreamDisplayRequest flood;
  for (int i = 0; i < 64; ++i) flood.mutable_acknowledgements()->add_acknowledgements();
  for (int i = 0; i < 1000 && stream.Send(flood); ++i) {
  }
  const grpc::Status told = stream.Finish();
  EXPECT_EQ(Told(told), kLimit);
  EXPECT_THAT(told.error_message(), HasSubstr("acknowledges more than 480 units a second"));
  EXPECT_EQ(Told(TryStream(Operator())), kOk);
}

TEST_F(DaemonSharesTest, AFloodOfReportsIsRefused) {
  StartWith({"a"});
  ViewerStream stream(Operator(), "a");
  v1::ReportViewerRequest report;
  report.set_viewer_id(stream.started().viewer_id());
  for (int i = 0; i < 64; ++i) report.add_acknowledgements();
  v1::ReportViewerResponse response;
  grpc::Status told;
  for (int i = 0; told.ok() && i < 1000; ++i) {
    told = Call(Operator(), &v1::ViewerService::Stub::ReportViewer, report, &response);
  }
  EXPECT_EQ(Told(told), kLimit);
}

TEST_F(DaemonSharesTest, OfManyChangesOfTheLimitsTheLastCounts) {
  {
    const std::lock_guard<std::mutex> lock(encoder_->mutex);
    encoder_->change_once = false;
  }
  StartWith({"a"});
  Stream stream(*viewers_, "a");
  EXPECT_TRUE(stream.Next().has_started());
  v1::StreamDisplayRequest request;
  for (int i = 0; i < 1000; ++i) {
    request.mutable_limits()->set_bitrate_max_bps(2'000'000 + i % 2 * 1'000'000);
    ASSERT_TRUE(stream.Send(request));
  }
  request.mutable_limits()->set_bitrate_max_bps(500'000);
  ASSERT_TRUE(stream.Send(request));
  const auto rate_bps = [this] {
    const std::lock_guard<std::mutex> lock(encoder_->mutex);
    return encoder_->rate.bitrate_max_bps;
  };
  while (rate_bps() != 500'000) {
    ASSERT_NE(stream.Next().event_case(), v1::StreamEvent::EVENT_NOT_SET);
  }
}

}  // namespace
}  // namespace planecast::testing
