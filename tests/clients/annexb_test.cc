#include "clients/cli/annexb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace planecast::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::string_view_literals;

TEST(SplitNalsTest, TakesLongAndShortStartCodes) {
  EXPECT_THAT(SplitNals("\0\0\0\1\x67zz\0\0\1\x65yy"sv), ElementsAre("\x67zz"sv, "\x65yy"sv));
}

TEST(SplitNalsTest, LeavesOutZerosAfterAUnit) {
  EXPECT_THAT(SplitNals("\0\0\1ab\0\0\0\0\0\1cd\0\0"sv), ElementsAre("ab"sv, "cd"sv));
}

TEST(SplitNalsTest, SurvivesWhatIsNoStream) {
  EXPECT_THAT(SplitNals(""), IsEmpty());
  EXPECT_THAT(SplitNals("garbage"), IsEmpty());
  EXPECT_THAT(SplitNals("\0\0\1"sv), IsEmpty());
  EXPECT_THAT(SplitNals("\0\0\1\0\0\1"sv), IsEmpty());
  EXPECT_EQ(NalType(""), -1);
}

TEST(SplitParameterSetsTest, PartsParametersFromPictureAndDropsDelimiters) {
  const SplitUnit split = SplitParameterSets(
      "\0\0\0\1\x09\x10\0\0\0\1\x67SPS\0\0\0\1\x68PPS\0\0\1\x06SEI\0\0\1\x65IDR"sv);
  EXPECT_EQ(split.parameter_sets, "\0\0\0\1\x67SPS\0\0\0\1\x68PPS"sv);
  EXPECT_EQ(split.picture, "\0\0\0\1\x06SEI\0\0\0\1\x65IDR"sv);
}

}  // namespace
}  // namespace planecast::cli
