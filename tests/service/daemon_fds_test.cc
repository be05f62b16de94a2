// A whole daemon that is short of file descriptors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/sockets/file_limit.h"
#include "tests/service/daemon_testing.h"
#include "vfio/fake/fake_source.h"
#include "vfio/fd_budget.h"

namespace planecast::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Event = v1::StreamEvent;

constexpr size_t kUsualLimit = 1024;
constexpr int kDisplays = 64;
/// The viewers and the guests live in this process too. A viewer has a socket; a guest's next
/// cursor is its memory and, fetched, a dma-buf, while the one before is still kept.
constexpr size_t kOfTheTest = (1 + 2) * kDisplays + 16;

/// Lowers this process's soft limit for as long as it lives.
class LowerFileLimit {
 public:
  explicit LowerFileLimit(rlim_t soft) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit lowered = {std::min(soft, before_.rlim_max), before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &lowered), 0);
  }
  ~LowerFileLimit() { setrlimit(RLIMIT_NOFILE, &before_); }
  LowerFileLimit(const LowerFileLimit&) = delete;
  LowerFileLimit& operator=(const LowerFileLimit&) = delete;

 private:
  rlimit before_ = {};
};

class DaemonFdsTest : public DaemonTest {
 protected:
  DaemonFdsTest() {
    // All come from one address here.
    config_text_ +=
        " limits { per_address { connections_max: 1000 viewers_max: 1000 } "
        "per_principal { viewers_max: 1000 } } ";
    parts_.fds = &budget_;
  }
  ~DaemonFdsTest() override { daemon_.reset(); }

  /// Displays are fakes whose guests the test plays.
  void PlayGuests() {
    parts_.open_source =
        [this](const DisplaySpec& spec) -> absl::StatusOr<std::unique_ptr<PlaneSource>> {
      FakeSourceOptions options = {
          .scene = SceneKind::kStatic, .width_px = 128, .height_px = 128, .buffer_count = 3};
      options.profile = *ParseFakeProfile(std::get<FakeSpec>(spec.device).profile);
      auto fds = budget_.Take(FakeFdNeeds(options.profile));
      if (!fds.ok()) return fds.status();
      auto made = MakeSteppedFakeSource(options, MonotonicClock(), *std::move(fds));
      if (!made.ok()) return made.status();
      made->runner->StepTo(0, MonotonicClock().NowNs());
      const std::lock_guard<std::mutex> lock(mutex_);
      guests_.push_back(made->device);
      return std::move(made->source);
    };
  }
  /// All guests show another cursor, and another buffer.
  void ChangeCursors(uint32_t color) {
    const FakeCursorImage image{
        .width_px = 64, .height_px = 64, .argb = std::vector<uint32_t>(64 * 64, color)};
    for (const auto& guest : guests_) {
      ASSERT_TRUE(guest->guest().SetCursor(image).ok()) << CountOpenFiles() << " open";
      guest->guest().Flip(static_cast<int>(color % 3));
    }
  }
  uint64_t FewestGets() const {
    uint64_t fewest = ~uint64_t{0};
    for (const auto& guest : guests_) fewest = std::min(fewest, guest->counters().gets);
    return fewest;
  }
  /// A connection of its own.
  static std::unique_ptr<v1::ViewerService::Stub> NewViewer(const std::string& target) {
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::ViewerService::NewStub(
        grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), own));
  }
  /// What an operator is told who connects now.
  std::vector<v1::Display> ListAsOperator() const {
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto stub = v1::DisplayService::NewStub(
        grpc::CreateCustomChannel("unix:" + SocketPath(), grpc::InsecureChannelCredentials(), own));
    CallContext context;
    v1::ListDisplaysResponse response;
    const grpc::Status status = stub->ListDisplays(&context, v1::ListDisplaysRequest(), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.displays().begin(), response.displays().end()};
  }
  std::vector<std::string> Shortages() {
    CallContext context;
    v1::GetHostInfoResponse response;
    EXPECT_TRUE(host_->GetHostInfo(&context, v1::GetHostInfoRequest(), &response).ok());
    return {response.shortages().begin(), response.shortages().end()};
  }

  FdBudget budget_{kUsualLimit};
  /// Room for two fakes that export dma-bufs.
  FdBudget for_two_{kFdsOwn + kFdsReserveMin + 2 * 13};
  std::vector<std::shared_ptr<FakeDevice>> guests_;
};

class ManyDisplaysTest : public DaemonFdsTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(ManyDisplaysTest, AreWatchedAtTheUsualLimitAndOperatorsComeIn) {
#ifdef PLANECAST_SANITIZE_ADDRESS
  GTEST_SKIP()
      << "UBSan's check of virtual calls opens a pipe, and reports a bad object without one";
#endif
  const LowerFileLimit limit(kUsualLimit + kOfTheTest);
  PlayGuests();
  Start();
  EXPECT_THAT(Shortages(), IsEmpty());
  std::vector<std::unique_ptr<v1::ViewerService::Stub>> stubs;
  std::vector<std::unique_ptr<Stream>> streams;
  for (int n = 0; n < kDisplays; ++n) {
    AttachFake(absl::StrCat("d", n), GetParam());
    stubs.push_back(NewViewer(daemon_->addresses().at(1).target));
    streams.push_back(std::make_unique<Stream>(*stubs.back(), absl::StrCat("d", n)));
    ASSERT_TRUE(streams.back()->Next(Event::kAccessUnit).has_access_unit()) << n;
  }
  const bool has_cursors = TraitsOf(*ParseFakeProfile(GetParam())).cursor_plane;
  for (uint32_t round = 1; has_cursors && round <= 12; ++round) {
    const uint64_t gets = FewestGets();
    ChangeCursors(0xff000000 | round);
    // Nobody goes on before all have fetched it.
    while (FewestGets() == gets && !HasFailure()) Display("d0");
  }
  const std::vector<v1::Display> displays = ListAsOperator();
  ASSERT_EQ(displays.size(), static_cast<size_t>(kDisplays));
  for (const v1::Display& display : displays) {
    EXPECT_EQ(display.state(), v1::Display::STATE_ACTIVE) << display.state_reason();
    EXPECT_THAT(display.degraded_reason(), HasSubstr(has_cursors ? "LimitNOFILE" : ""));
  }
  EXPECT_EQ(Shortages().empty(), !has_cursors);
  for (const auto& stream : streams) {
    EXPECT_TRUE(stream->Next(Event::kAccessUnit).has_access_unit());
  }
}

INSTANTIATE_TEST_SUITE_P(Profiles, ManyDisplaysTest, ::testing::Values("ideal", "gvt", "nvidia"),
                         [](const auto& profile) { return std::string(profile.param); });

TEST_F(DaemonFdsTest, ThereAreNoMoreConnectionsThanFileDescriptorsForThem) {
  Start();
  EXPECT_THAT(log_.Text(), HasSubstr("at most 72 TCP connections instead of 1024"));
  std::vector<std::unique_ptr<v1::ViewerService::Stub>> stubs;
  std::vector<std::unique_ptr<Stream>> streams;
  AttachFake("a");
  const auto watch = [&] {
    stubs.push_back(NewViewer(daemon_->addresses().at(1).target));
    streams.push_back(std::make_unique<Stream>(*stubs.back(), "a"));
    return streams.back()->Next().has_started();
  };
  // One is this test's own.
  for (size_t n = 1; n < budget_.connections_max(); ++n) ASSERT_TRUE(watch()) << n;
  EXPECT_FALSE(watch());
  EXPECT_EQ(ListAsOperator().size(), 1u);
}

TEST_F(DaemonFdsTest, OverBudgetTheNextIsRefusedAndTheOthersGoOn) {
  parts_.open_source = nullptr;
  parts_.fds = &for_two_;
  Start();
  AttachFake("a", "mbochs");
  AttachFake("b", "mbochs");
  Stream stream(*viewers_, "a");
  ASSERT_TRUE(stream.Next(Event::kAccessUnit).has_access_unit());
  const grpc::Status refused = Attach(FakeRequest("c", "mbochs"));
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("LimitNOFILE"));
  EXPECT_THAT(refused.error_details(), HasSubstr("LIMIT_REACHED"));
  EXPECT_THAT(Shortages(), ElementsAre(HasSubstr("26 of the 26")));
  EXPECT_EQ(ListAsOperator().size(), 2u);
  EXPECT_TRUE(stream.Next(Event::kAccessUnit).has_access_unit());
  ASSERT_TRUE(Detach("displays/b").ok());
  AttachFake("c", "mbochs");
}

}  // namespace
}  // namespace planecast::testing
