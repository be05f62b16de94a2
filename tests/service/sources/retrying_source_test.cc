#include "service/sources/retrying_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/service/core/core_testing.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

class RetryingSourceTest : public ::testing::Test {
 protected:
  RetryingSource Make() {
    return RetryingSource(
        [this]() -> absl::StatusOr<std::unique_ptr<PlaneSource>> {
          ++opened_;
          if (!answer_.ok()) return answer_;
          return std::make_unique<ScriptedSource>(script_);
        },
        clock_);
  }

  ManualClock clock_;
  absl::Status answer_ = absl::FailedPreconditionError("the group is busy");
  std::shared_ptr<SourceScript> script_ = std::make_shared<SourceScript>();
  int opened_ = 0;
};

TEST_F(RetryingSourceTest, UntilTheDeviceOpensItSaysWhyNot) {
  RetryingSource source = Make();
  EXPECT_EQ(opened_, 1);
  const PlaneLook look = source.Look(clock_.NowNs());
  EXPECT_EQ(look.primary, PlaneLook::Primary::kFailed);
  EXPECT_EQ(look.problem.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(look.problem.message()), HasSubstr("the group is busy"));
  EXPECT_TRUE(source.wait_fds().empty());
  EXPECT_EQ(source.SetMode(640, 480, clock_.NowNs()).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RetryingSourceTest, AttemptsBackOff) {
  RetryingSource source = Make();
  int64_t wait_ns = kOpenRetryMinNs;
  for (int attempt = 2; attempt < 12; ++attempt) {
    EXPECT_EQ(source.NextTimedWorkNs(), clock_.NowNs() + wait_ns);
    clock_.Advance(wait_ns - 1);
    source.HandleEvents(clock_.NowNs());
    EXPECT_EQ(opened_, attempt - 1);
    clock_.Advance(1);
    EXPECT_FALSE(source.HandleEvents(clock_.NowNs()).flipped);
    EXPECT_EQ(opened_, attempt);
    wait_ns = std::min(wait_ns * 2, kOpenRetryMaxNs);
  }
}

TEST_F(RetryingSourceTest, OnceOpenItIsTheDevicesSource) {
  RetryingSource source = Make();
  source.SetWatched(true, clock_.NowNs());
  answer_ = absl::OkStatus();
  script_->info.mode_settable = true;
  clock_.Advance(kOpenRetryMinNs);
  // The display looks at once, also if nobody watches.
  const PlaneSource::Events events = source.HandleEvents(clock_.NowNs());
  EXPECT_TRUE(events.flipped);
  EXPECT_TRUE(events.gone);
  EXPECT_TRUE(source.problem().ok());
  EXPECT_TRUE(script_->watched);
  EXPECT_TRUE(source.info().mode_settable);
  EXPECT_EQ(source.Look(clock_.NowNs()).primary, PlaneLook::Primary::kFrame);
  EXPECT_EQ(source.NextTimedWorkNs(), kNever);
  EXPECT_TRUE(source.SetMode(640, 480, clock_.NowNs()).ok());
  EXPECT_EQ(opened_, 2);
}

TEST_F(RetryingSourceTest, ADisplayComesAliveWhenItsDeviceDoes) {
  DisplayOptions options;
  options.clock = &clock_;
  options.make_encoder = ScriptedEncoderFactory(std::make_shared<EncoderScript>(), clock_);
  DisplayLoop loop({}, std::make_unique<RetryingSource>(Make()), options,
                   std::make_shared<WakeSignal>(), [](const DisplaySnapshot&) {});
  const int64_t wake_ns = loop.Step(clock_.NowNs());
  EXPECT_EQ(loop.snapshot().state.state, DisplayState::kDeviceError);
  answer_ = absl::OkStatus();
  ASSERT_LE(wake_ns, clock_.NowNs() + kOpenRetryMinNs);
  clock_.Advance(kOpenRetryMinNs);
  loop.Step(clock_.NowNs());
  EXPECT_EQ(loop.snapshot().state.state, DisplayState::kActive);
}

}  // namespace
}  // namespace planecast::testing
