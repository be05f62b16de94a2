#include "service/telemetry/state_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/service/daemon_testing.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StateLogTest : public ::testing::Test {
 protected:
  void Tell(const std::string& id, DisplayState state, const std::string& reason = "") {
    DisplaySnapshot snapshot;
    snapshot.id = id;
    snapshot.state.state = state;
    snapshot.state.reason = reason;
    states_.OnDisplay(snapshot);
  }
  size_t Lines() const {
    const std::string text = log_.Text();
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  TempDir dir_;
  LogFile log_{dir_.path() + "/log"};
  ManualClock clock_;
  StateLog states_{log_.logger(), clock_};
};

TEST_F(StateLogTest, AChangeIsALineWithItsReason) {
  Tell("a", DisplayState::kActive);
  Tell("a", DisplayState::kActive);
  Tell("a", DisplayState::kBlanked, "The guest switched its screen off.");
  Tell("b", DisplayState::kDeviceGone, "The VMM exited.");
  EXPECT_EQ(Lines(), 3U);
  EXPECT_THAT(log_.Text(), HasSubstr("info a: ACTIVE\n"));
  EXPECT_THAT(log_.Text(), HasSubstr("info a: BLANKED: The guest switched its screen off.\n"));
  EXPECT_THAT(log_.Text(), HasSubstr("warning b: DEVICE_GONE: The VMM exited.\n"));
}

TEST_F(StateLogTest, WhatWorksLessWellIsALineToo) {
  DisplaySnapshot snapshot;
  snapshot.id = "a";
  snapshot.state.state = DisplayState::kActive;
  snapshot.degraded_reason = "The GPU encoder failed.";
  states_.OnDisplay(snapshot);
  states_.OnDisplay(snapshot);
  snapshot.degraded_reason.clear();
  states_.OnDisplay(snapshot);
  EXPECT_EQ(Lines(), 3U) << log_.Text();
  EXPECT_THAT(log_.Text(), HasSubstr("warning a: The GPU encoder failed.\n"));
  EXPECT_THAT(log_.Text(), HasSubstr("info a: works as well as it can again\n"));
}

TEST_F(StateLogTest, AGuestCantFillTheLog) {
  const auto flap = [this] {
    for (int i = 0; i < 1000; ++i) {
      Tell("a", i % 2 == 0 ? DisplayState::kActive : DisplayState::kBlanked);
    }
  };
  flap();
  EXPECT_EQ(Lines(), kStateLinesPerWindow + 1U);
  EXPECT_THAT(log_.Text(), HasSubstr("too often"));
  Tell("b", DisplayState::kActive);
  EXPECT_EQ(Lines(), kStateLinesPerWindow + 2U);
  clock_.Advance(kStateLineWindowNs);
  flap();
  EXPECT_EQ(Lines(), 2 * (kStateLinesPerWindow + 1U) + 1U);
}

TEST_F(StateLogTest, ADisplayThatIsAttachedAgainBeginsAnew) {
  Tell("a", DisplayState::kActive);
  Tell("a", DisplayState::kDetaching);
  Tell("a", DisplayState::kActive);
  EXPECT_EQ(Lines(), 2U);
}

}  // namespace
}  // namespace planecast::testing
