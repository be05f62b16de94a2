#include <gtest/gtest.h>

#include <set>

#include "service/core/display_name.h"
#include "service/core/display_state.h"
#include "service/core/latency_window.h"
#include "service/core/viewer_id.h"
#include "tests/service/core/core_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::LookWithFrame;
using ::planecast::testing::LookWithout;
using ::planecast::testing::MakeBuffer;

TEST(DisplayNameTest, AcceptsLowerCaseLettersDigitsAndDashes) {
  EXPECT_TRUE(ValidateDisplayId("a").ok());
  EXPECT_TRUE(ValidateDisplayId("vm-1-screen0").ok());
  EXPECT_TRUE(ValidateDisplayId(std::string(63, 'x')).ok());
}

TEST(DisplayNameTest, RefusesEverythingElse) {
  for (const std::string& id :
       {std::string(), std::string(64, 'x'), std::string("A"), std::string("a/b"),
        std::string("a b"), std::string("\xc3\xa4"), std::string("a\0b", 3)}) {
    EXPECT_EQ(ValidateDisplayId(id).code(), absl::StatusCode::kInvalidArgument) << id;
  }
}

TEST(DisplayNameTest, QuotesBadIdsWithoutTheirControlCharacters) {
  const std::string message(ValidateDisplayId("\x1b[31m" + std::string(5000, 'X')).message());
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
  EXPECT_LT(message.size(), 300u);
}

TEST(DisplayNameTest, TakesTheIdOutOfAResourceName) {
  EXPECT_EQ(*DisplayIdFromName("displays/vm-1"), "vm-1");
  EXPECT_EQ(DisplayNameFromId("vm-1"), "displays/vm-1");
  for (const char* name : {"", "vm-1", "displays", "displays/", "displays/A", "display/vm-1",
                           "displays/vm-1/", "/displays/vm-1"}) {
    EXPECT_EQ(DisplayIdFromName(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(DisplayNameTest, RequestIdsArePrintableAndShort) {
  EXPECT_TRUE(ValidateRequestId("").ok());
  EXPECT_TRUE(ValidateRequestId("6f9619ff-8b86-d011-b42d-00cf4fc964ff").ok());
  EXPECT_FALSE(ValidateRequestId(std::string(65, 'a')).ok());
  EXPECT_FALSE(ValidateRequestId("a\n").ok());
}

struct LookCase {
  PlaneLook::Primary primary;
  absl::Status problem;
  DisplayState state;
};

TEST(DisplayStateTest, EveryLookThatHasNoPictureSaysWhyAndWhatToDo) {
  using Primary = PlaneLook::Primary;
  const LookCase cases[] = {
      {Primary::kNoFramebuffer, absl::OkStatus(), DisplayState::kWaitingForGuest},
      {Primary::kBlanked, absl::OkStatus(), DisplayState::kBlanked},
      {Primary::kFailed, absl::UnimplementedError("x"), DisplayState::kUnsupportedFormat},
      {Primary::kFailed, absl::FailedPreconditionError("x"), DisplayState::kImportFailed},
      {Primary::kFailed, absl::InvalidArgumentError("x"), DisplayState::kDeviceError},
      {Primary::kFailed, absl::UnavailableError("x"), DisplayState::kDeviceError},
      {Primary::kFailed, absl::UnavailableError(""), DisplayState::kDeviceError},
      {Primary::kGone, absl::UnavailableError("x"), DisplayState::kDeviceGone},
  };
  for (const LookCase& test : cases) {
    const auto report = StateOfLook(LookWithout(test.primary, test.problem));
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->state, test.state) << DisplayStateName(report->state);
    EXPECT_FALSE(report->reason.empty());
    EXPECT_FALSE(report->remedy.empty());
  }
}

TEST(DisplayStateTest, AFrameIsActiveAndAPassingErrorSaysNothing) {
  EXPECT_EQ(StateOfLook(LookWithFrame(MakeBuffer(16, 16)))->state, DisplayState::kActive);
  EXPECT_FALSE(StateOfLook(LookWithout(PlaneLook::Primary::kTransient)).has_value());
}

TEST(DisplayStateTest, ReasonsAreSentencesHoweverTheErrorWasWorded) {
  const std::pair<const char*, const char*> cases[] = {
      {"no such device", "No such device."},
      {"The device is away.", "The device is away."},
      {"is it bound?", "Is it bound?"},
      {"/dev/vfio/12 is in use", "/dev/vfio/12 is in use."},
      {"x264 takes no such size", "x264 takes no such size."},
      {"d", "D."},
  };
  for (const auto& [message, reason] : cases) {
    EXPECT_EQ(StateOfEncodeError(absl::InternalError(message)).reason, reason);
  }
  EXPECT_EQ(StateOfLook(LookWithFrame(MakeBuffer(16, 16)))->reason, "");
}

TEST(DisplayStateTest, RemediesNameOnlyWhatThereIs) {
  const StateReport import = StateOfEncodeError(absl::FailedPreconditionError("not mappable"));
  EXPECT_EQ(import.remedy.find("encoder on the GPU"), std::string::npos);
  const auto absent =
      StateOfLook(LookWithout(PlaneLook::Primary::kFailed, absl::UnavailableError("absent")));
  EXPECT_NE(absent->remedy.find("tries again by itself"), std::string::npos);
  EXPECT_EQ(absent->remedy.find("restart"), std::string::npos);
}

TEST(DisplayStateTest, EncodeErrorsKeepTheirReason) {
  const StateReport report =
      StateOfEncodeError(absl::FailedPreconditionError("needs a GPU import"));
  EXPECT_EQ(report.state, DisplayState::kImportFailed);
  EXPECT_EQ(report.reason, "Needs a GPU import.");
  EXPECT_EQ(StateOfEncodeError(absl::UnimplementedError("x")).state,
            DisplayState::kUnsupportedFormat);
  EXPECT_EQ(StateOfEncodeError(absl::InternalError("x")).state, DisplayState::kEncoderFailed);
}

TEST(LatencyWindowTest, GivesPercentilesAndStartsAfresh) {
  LatencyWindow window;
  for (int64_t ns = 100; ns >= 1; --ns) window.Add(ns);
  window.Add(-5);
  const StageLatency latency = window.Take();
  EXPECT_EQ(latency.samples, 101);
  EXPECT_EQ(latency.p50_ns, 50);
  EXPECT_EQ(latency.p95_ns, 95);
  EXPECT_EQ(latency.max_ns, 100);
  EXPECT_EQ(window.Take().samples, 0);
}

TEST(LatencyWindowTest, CountsAllSamplesOfABusyWindow) {
  LatencyWindow window;
  for (size_t i = 0; i < 10 * kLatencySamplesMax; ++i) window.Add(static_cast<int64_t>(i));
  const StageLatency latency = window.Take();
  EXPECT_EQ(latency.samples, static_cast<int64_t>(10 * kLatencySamplesMax));
  EXPECT_EQ(latency.max_ns, static_cast<int64_t>(10 * kLatencySamplesMax - 1));
}

TEST(ViewerIdTest, IdsAre128BitsAndDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    const absl::StatusOr<std::string> id = MakeViewerId();
    ASSERT_TRUE(id.ok());
    EXPECT_EQ(id->size(), 32u);
    EXPECT_EQ(id->find_first_not_of("0123456789abcdef"), std::string::npos);
    ids.insert(*id);
  }
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(StreamEventTest, IsSerialisedOnceUnlessItDiffersByViewer) {
  testing::CountingCodec codec;
  EXPECT_NE(MakeEvent(CursorMoved{}, &codec)->encoded, nullptr);
  EXPECT_EQ(codec.encoded, 1);
  EXPECT_EQ(MakeEvent(StreamStarted{}, &codec)->encoded, nullptr);
  EXPECT_EQ(MakeEvent(StreamStats{}, &codec)->encoded, nullptr);
  EXPECT_EQ(codec.encoded, 1);
}

TEST(LabelsTest, AreBoundedAndPlain) {
  EXPECT_TRUE(ValidateLabels({}).ok());
  EXPECT_TRUE(ValidateLabels({{"example.org/owner-1_a", "Zoë & Co"}}).ok());
  EXPECT_TRUE(ValidateLabels({{std::string(63, 'a'), std::string(256, 'v')}}).ok());
  EXPECT_FALSE(ValidateLabels({{"", "v"}}).ok());
  EXPECT_FALSE(ValidateLabels({{std::string(64, 'a'), "v"}}).ok());
  EXPECT_FALSE(ValidateLabels({{"a", std::string(257, 'v')}}).ok());
  EXPECT_FALSE(ValidateLabels({{"a b", "v"}}).ok());
  EXPECT_FALSE(ValidateLabels({{"a", "two\nlines"}}).ok());
  std::map<std::string, std::string> many;
  for (size_t i = 0; i <= kLabelsMax; ++i) many["k" + std::to_string(i)] = "";
  EXPECT_FALSE(ValidateLabels(many).ok());
}

}  // namespace
}  // namespace planecast
