// A GPU that fails: built anew, then software, each shown as a state.
#include "service/core/encoder_choice.h"

#include <gtest/gtest.h>

#include "service/core/display_loop.h"
#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::kSecond;
using ::planecast::testing::LookWithFrame;
using ::planecast::testing::LoopHarness;
using ::planecast::testing::MakeBuffer;
using ::planecast::testing::TakeAll;

const absl::Status kBroken = absl::InternalError("the ring hangs");
const absl::Status kRefusal = absl::FailedPreconditionError("no import");

class EncoderChoiceTest : public ::testing::Test {
 protected:
  void SetUp() override { h_.encoder->hardware = true; }
  LoopHarness h_;
};

TEST_F(EncoderChoiceTest, AGpuThatFailsOnceIsBuiltAnewAtOnce) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.encoder->hardware_errors.push_back(kBroken);
  h_.Flip();
  h_.Step();
  EXPECT_EQ(h_.encoder->made, 2);
  EXPECT_FALSE(h_.encoder->params.software_only);
  EXPECT_EQ(h_.loop().snapshot().encoder, "gpu");
  EXPECT_EQ(h_.loop().snapshot().degraded_reason, "");
  EXPECT_EQ(TakeAll(*viewer), "started key2");
}

TEST_F(EncoderChoiceTest, AGpuThatFailsAgainGivesWayToSoftwareWithAReason) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.encoder->hardware_errors = {kBroken, kBroken};
  h_.Flip();
  h_.Step();
  h_.Step();
  EXPECT_EQ(h_.encoder->made, 3);
  EXPECT_TRUE(h_.encoder->params.software_only);
  const DisplaySnapshot& snapshot = h_.loop().snapshot();
  EXPECT_EQ(snapshot.state.state, DisplayState::kActive);
  EXPECT_EQ(snapshot.encoder, "scripted");
  EXPECT_NE(snapshot.degraded_reason.find("the ring hangs"), std::string::npos)
      << snapshot.degraded_reason;
  EXPECT_EQ(TakeAll(*viewer).substr(0, 7), "started");
}

TEST_F(EncoderChoiceTest, SoftwareStaysUntilAnEncoderIsMadeAfterAWhile) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.encoder->hardware_errors = {kBroken, kBroken};
  h_.Flip();
  h_.Step();
  h_.Step();
  TakeAll(*viewer);
  ASSERT_TRUE(h_.encoder->params.software_only);
  h_.Flip(kHardwareRetryNs);
  TakeAll(*viewer);
  EXPECT_EQ(h_.encoder->made, 3);
  h_.source->look = LookWithFrame(MakeBuffer(128, 64));
  h_.Flip();
  EXPECT_EQ(h_.encoder->made, 4);
  EXPECT_FALSE(h_.encoder->params.software_only);
  EXPECT_EQ(h_.loop().snapshot().degraded_reason, "");
  TakeAll(*viewer);
}

TEST_F(EncoderChoiceTest, APlaneThatTheGpuRefusesGoesToSoftware) {
  h_.encoder->hardware_errors = {kRefusal};
  auto viewer = h_.Join();
  h_.Step();
  h_.Step();
  EXPECT_TRUE(h_.encoder->params.software_only);
  EXPECT_EQ(h_.loop().snapshot().state.state, DisplayState::kActive);
  EXPECT_NE(h_.loop().snapshot().degraded_reason.find("no import"), std::string::npos);
}

TEST_F(EncoderChoiceTest, APlaneThatNeitherTakesIsAStateWithBothReasons) {
  h_.encoder->hardware_errors = {kRefusal};
  h_.encoder->encode_errors = {absl::FailedPreconditionError("no mapping")};
  auto viewer = h_.Join();
  h_.Step();
  h_.Step();
  const StateReport& state = h_.loop().snapshot().state;
  EXPECT_EQ(state.state, DisplayState::kImportFailed);
  EXPECT_NE(state.reason.find("no import"), std::string::npos) << state.reason;
  EXPECT_NE(state.reason.find("no mapping"), std::string::npos) << state.reason;
}

TEST_F(EncoderChoiceTest, AGpuThatFailsOnAPlaneThatTheCpuCantReadIsTriedOn) {
  auto viewer = h_.Join();
  h_.Step();
  TakeAll(*viewer);
  h_.encoder->hardware_errors = {kBroken, kBroken, kBroken};
  h_.encoder->encode_errors.assign(2, absl::FailedPreconditionError("no mapping"));
  h_.Flip();
  h_.Step();
  h_.Step();
  const StateReport state = h_.loop().snapshot().state;
  EXPECT_EQ(state.state, DisplayState::kImportFailed);
  EXPECT_NE(state.reason.find("the ring hangs"), std::string::npos) << state.reason;
  EXPECT_NE(state.reason.find("no mapping"), std::string::npos) << state.reason;
  EXPECT_EQ(h_.loop().snapshot().degraded_reason, "");
  EXPECT_EQ(h_.encoder->made, 3);
  // Again the GPU, then software, each once: no busy loop.
  h_.Step(kFrameRetryNs);
  for (int i = 0; i < 5; ++i) h_.Step();
  EXPECT_EQ(h_.encoder->made, 5);
  EXPECT_EQ(h_.loop().snapshot().state, state) << "and nothing new to tell";
  h_.Step(kFrameRetryNs);
  EXPECT_EQ(h_.encoder->made, 6);
  EXPECT_EQ(h_.loop().snapshot().state.state, DisplayState::kActive);
  EXPECT_EQ(h_.loop().snapshot().encoder, "gpu");
}

TEST(EncoderChoice, WithoutAStandInTheGpuIsTriedOn) {
  EncoderChoice choice(false);
  EXPECT_EQ(choice.HardwareFailed(kBroken, kSecond), EncoderChoice::Verdict::kRebuild);
  EXPECT_EQ(choice.HardwareFailed(kBroken, kSecond), EncoderChoice::Verdict::kWait);
  EXPECT_FALSE(choice.SoftwareOnly({}, kSecond));
  EXPECT_EQ(choice.HardwareRefused(kRefusal, {}, kSecond), EncoderChoice::Verdict::kWait);
  EXPECT_EQ(choice.reason(), "");
}

TEST(EncoderChoice, AGpuThatRanWellForAWhileIsForgiven) {
  EncoderChoice choice(true);
  choice.HardwareFailed(kBroken, kSecond);
  choice.HardwareCoded(2 * kSecond);
  choice.HardwareCoded(2 * kSecond + kHardwareProvenNs);
  EXPECT_EQ(choice.HardwareFailed(kBroken, 2 * kSecond + kHardwareProvenNs),
            EncoderChoice::Verdict::kRebuild);
  EXPECT_FALSE(choice.SoftwareOnly({}, 3 * kSecond + kHardwareProvenNs));
}

TEST(EncoderChoice, AnotherPlaneIsTheGpusAgain) {
  EncoderChoice choice(true);
  PlaneLayout layout;
  layout.width_px = 640;
  choice.HardwareRefused(kRefusal, layout, kSecond);
  EXPECT_TRUE(choice.SoftwareOnly(layout, kSecond));
  layout.width_px = 800;
  EXPECT_FALSE(choice.SoftwareOnly(layout, kSecond));
  EXPECT_EQ(choice.SoftwareRefused(), "");
}

}  // namespace
}  // namespace planecast
