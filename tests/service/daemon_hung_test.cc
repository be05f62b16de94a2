// A display whose device hangs, and everybody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/service/daemon_access_testing.h"
#include "tests/service/telemetry/metrics_text.h"

namespace planecast::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kOk[] = "OK";
constexpr char kHangs[] = "UNAVAILABLE TRY_AGAIN";

class DaemonHungTest : public DaemonAccessTest {
 protected:
  ~DaemonHungTest() override { Release(); }

  /// The display's thread waits from its next step on.
  void Hang(const std::string& profile) { stuck_.emplace_back(Script(profile)->mutex); }
  void Release() { stuck_.clear(); }

  template <class Work>
  static std::future<grpc::Status> InBackground(Work work) {
    return std::async(std::launch::async, std::move(work));
  }
  grpc::Status Told(std::future<grpc::Status>& call) {
    while (call.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
      // Whatever the machine's speed: it waits by this clock.
      clock_.Jump(kSecond);
    }
    return call.get();
  }
  static grpc::Status DetachAs(const As& as, const std::string& id) {
    v1::DetachDisplayRequest request;
    request.set_name("displays/" + id);
    v1::DetachDisplayResponse response;
    return Call(as, &v1::DisplayService::Stub::DetachDisplay, request, &response);
  }
  static grpc::Status SnapshotAs(const As& as, const std::string& id) {
    v1::GetSnapshotRequest request;
    request.set_name("displays/" + id);
    v1::GetSnapshotResponse response;
    return Call(as, &v1::DisplayService::Stub::GetSnapshot, request, &response);
  }

 private:
  std::vector<std::unique_lock<std::mutex>> stuck_;
};

TEST_F(DaemonHungTest, OneThatHangsKeepsNoOtherFromComingAndGoing) {
  StartWith({"a"});
  AttachFake("b", "gvt");
  Hang("ideal");
  // More than there are workers.
  std::vector<std::future<grpc::Status>> detaches;
  for (int i = 0; i < 6; ++i) {
    detaches.push_back(InBackground([this] { return DetachAs(Operator(), "a"); }));
  }
  Await("a",
        [](const v1::Display& display) { return display.state() == v1::Display::STATE_DETACHING; });
  EXPECT_TRUE(DetachAs(Operator(), "b").ok());
  AttachFake("c", "gvt");
  EXPECT_EQ(Display("a").state(), v1::Display::STATE_DETACHING);
  for (auto& detach : detaches) {
    const grpc::Status status = Told(detach);
    EXPECT_EQ(testing::Told(status), kHangs);
    EXPECT_THAT(status.error_message(), HasSubstr("display a has not answered for 10 s"));
  }
  EXPECT_EQ(Display("a").state(), v1::Display::STATE_DETACHING);
  EXPECT_EQ(Attach(FakeRequest("a")).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  // It is detached as soon as it can be.
  auto last = InBackground([this] { return DetachAs(Operator(), "a"); });
  Release();
  EXPECT_THAT(testing::Told(last.get()), AnyOf(kOk, "NOT_FOUND DISPLAY_NOT_FOUND"));
  grpc::Status gone;
  do {
    gone = Get("displays/a");
  } while (gone.ok());
  EXPECT_EQ(gone.error_code(), grpc::StatusCode::NOT_FOUND);
  AttachFake("a");
}

TEST_F(DaemonHungTest, WhoAsksItSomethingIsToldSo) {
  StartWith({"a"});
  // What is known of it is old.
  clock_.Jump(2 * kSecond);
  Hang("ideal");
  auto get = InBackground([this] { return GetAs(Operator(), "a"); });
  auto snapshot = InBackground([this] { return SnapshotAs(Operator(), "a"); });
  auto mode = InBackground([this] { return SetModeAs(Operator(), "a"); });
  for (auto* call : {&get, &snapshot, &mode}) EXPECT_EQ(testing::Told(Told(*call)), kHangs);
  Release();
  EXPECT_EQ(testing::Told(GetAs(Operator(), "a")), kOk);
  EXPECT_EQ(testing::Told(SnapshotAs(Operator(), "a")), kOk);
}

TEST_F(DaemonHungTest, AnswersThatComeAfterTheServicesAreGoneTouchNothingOfThem) {
  StartWith({"a"}, "metrics_address: \"127.0.0.1:0\"");
  AttachFake("b", "gvt");
  clock_.Jump(2 * kSecond);
  Hang("ideal");
  Hang("gvt");
  auto get = InBackground([this] { return GetAs(Operator(), "a"); });
  auto snapshot = InBackground([this] { return SnapshotAs(Operator(), "a"); });
  auto mode = InBackground([this] { return SetModeAs(Operator(), "a"); });
  auto detach = InBackground([this] { return DetachAs(Operator(), "b"); });
  Await("b",
        [](const v1::Display& display) { return display.state() == v1::Display::STATE_DETACHING; });
  const std::string metrics = daemon_->metrics_address();
  std::thread drain([this] { daemon_->Drain(); });
  for (auto* call : {&get, &snapshot, &mode, &detach}) EXPECT_FALSE(call->get().ok());
  // The metrics go after the services and before the displays.
  while (!HttpGet(metrics, "/metrics").empty()) {
  }
  Release();
  drain.join();
}

}  // namespace
}  // namespace planecast::testing
