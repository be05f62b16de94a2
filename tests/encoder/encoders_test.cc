// Which encoders there are, and what they are made from.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "encoder/encoder.h"
#include "encoder/pixels/pixels.h"

namespace planecast {
namespace {

TEST(MakeEncoder, UnknownIdIsNotFoundAndTellsWhatThereIs) {
  const auto status =
      MakeEncoder("nvenc", {.width_px = 64, .height_px = 64}, {}, MonotonicClock()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find(ProbeSoftwareEncoders().front().id), absl::string_view::npos)
      << status;
}

TEST(MakeEncoder, AutoTakesTheFirstThatIsAvailable) {
  const auto encoder = MakeEncoder("auto", {.width_px = 64, .height_px = 64}, {}, MonotonicClock());
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  EXPECT_EQ((*encoder)->description().profile, "constrained-baseline");
}

TEST(MakeEncoder, ParametersOutOfRangeAreInvalid) {
  const EncoderParams good{.width_px = 64, .height_px = 64};
  const auto code = [](const EncoderParams& params, const RateParams& rate) {
    return MakeEncoder("auto", params, rate, MonotonicClock()).status().code();
  };
  ASSERT_EQ(code(good, {}), absl::StatusCode::kOk);
  for (const EncoderParams& bad :
       {EncoderParams{.width_px = 15, .height_px = 64}, EncoderParams{.width_px = 64},
        EncoderParams{.width_px = kPlaneWidthMaxPx + 1, .height_px = 64},
        EncoderParams{.width_px = 64, .height_px = 64, .frame_rate_hz = 0},
        EncoderParams{.width_px = 64, .height_px = 64, .frame_rate_hz = 241},
        EncoderParams{.width_px = 64, .height_px = 64, .threads = 0},
        EncoderParams{.width_px = 64, .height_px = 64, .threads = 17}}) {
    EXPECT_EQ(code(bad, {}), absl::StatusCode::kInvalidArgument);
  }
  for (const RateParams& bad :
       {RateParams{.quantizer = 9}, RateParams{.quantizer = 41},
        RateParams{.bitrate_max_bps = 99'999}, RateParams{.bitrate_max_bps = 1'000'000'001}}) {
    EXPECT_EQ(code(good, bad), absl::StatusCode::kInvalidArgument);
  }
}

TEST(ProbeSoftwareEncoders, EveryBuiltInEncoderWorksHere) {
  const auto capabilities = ProbeSoftwareEncoders();
  ASSERT_FALSE(capabilities.empty());
  for (const EncoderCapability& capability : capabilities) {
    EXPECT_TRUE(capability.available) << capability.id << ": " << capability.reason;
    EXPECT_FALSE(capability.library_version.empty());
    EXPECT_FALSE(capability.hardware);
    EXPECT_EQ(capability.profiles, (std::vector<std::string>{"constrained-baseline", "high"}));
    EXPECT_GE(capability.width_max_px, 3840u);
    EXPECT_EQ(capability.fourccs.size(), 7u);
    for (const uint32_t fourcc : capability.fourccs) EXPECT_TRUE(CpuFormatSupported(fourcc, 0));
  }
}

}  // namespace
}  // namespace planecast
