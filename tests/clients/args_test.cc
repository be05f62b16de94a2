#include "clients/cli/args.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace planecast::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<Flag> kFlags = {
    {.name = "file", .value = "FILE", .help = "", .letter = 'f'},
    {.name = "quick", .value = "", .help = "", .letter = 'q'},
};

absl::StatusOr<Args> Parse(const std::vector<std::string>& args) {
  Args parsed;
  size_t position = 0;
  const absl::Status status = ArgsParser(kFlags).Parse(args, position, false, parsed);
  if (!status.ok()) return status;
  return parsed;
}

TEST(ArgsParserTest, ReadsValuesInEachForm) {
  EXPECT_EQ(Parse({"--file", "a"})->Get("file"), "a");
  EXPECT_EQ(Parse({"--file=a"})->Get("file"), "a");
  EXPECT_EQ(Parse({"-f", "a"})->Get("file"), "a");
  EXPECT_EQ(Parse({"-fa"})->Get("file"), "a");
  EXPECT_EQ(Parse({"-f=a"})->Get("file"), "a");
  EXPECT_EQ(Parse({"-f="})->Get("file", "x"), "");
  EXPECT_EQ(Parse({"--file="})->Get("file", "x"), "");
  EXPECT_EQ(Parse({})->Get("file", "x"), "x");
}

TEST(ArgsParserTest, KeepsOperandsInOrderAndStopsAtDoubleDash) {
  const auto args = Parse({"one", "--quick", "-", "--", "--file"});
  ASSERT_TRUE(args.ok());
  EXPECT_TRUE(args->Has("quick"));
  EXPECT_FALSE(args->Has("file"));
  EXPECT_THAT(args->operands(), ElementsAre("one", "-", "--file"));
}

TEST(ArgsParserTest, RefusesUnknownFlagsAndWrongValues) {
  EXPECT_THAT(std::string(Parse({"--fiel"}).status().message()), HasSubstr("--fiel"));
  EXPECT_FALSE(Parse({"-x"}).ok());
  EXPECT_FALSE(Parse({"-qf"}).ok());
  EXPECT_FALSE(Parse({"-q=yes"}).ok());
  EXPECT_FALSE(Parse({"--quick=yes"}).ok());
  EXPECT_THAT(std::string(Parse({"--file"}).status().message()), HasSubstr("FILE"));
}

TEST(ArgsTest, ReadsNumbersWithinTheirRange) {
  EXPECT_EQ(**Parse({"--file=7"})->GetNumber("file", 1, 10), 7);
  EXPECT_FALSE(Parse({})->GetNumber("file", 1, 10)->has_value());
  for (const char* bad : {"0", "11", "7x", "", "99999999999999999999"}) {
    EXPECT_FALSE(Parse({"--file", bad})->GetNumber("file", 1, 10).ok()) << bad;
  }
}

TEST(ParseDurationMsTest, TakesSecondsAndMilliseconds) {
  EXPECT_EQ(*ParseDurationMs("10"), 10'000);
  EXPECT_EQ(*ParseDurationMs("2.5s"), 2'500);
  EXPECT_EQ(*ParseDurationMs("500ms"), 500);
  for (const char* bad : {"", "s", "0", "-1", "nan", "inf", "1e9", "1h"}) {
    EXPECT_FALSE(ParseDurationMs(bad).ok()) << bad;
  }
}

TEST(ArgsTest, KeepsAllValuesOfAFlag) {
  EXPECT_THAT(Parse({"--file=a", "-fb"})->GetAll("file"), ElementsAre("a", "b"));
  EXPECT_EQ(Parse({"--file=a", "-fb"})->Get("file"), "b");
  EXPECT_TRUE(Parse({})->GetAll("file").empty());
}

TEST(ParseSpanSecondsTest, TakesAWholeNumberWithItsUnit) {
  EXPECT_EQ(*ParseSpanSeconds("60s"), 60);
  EXPECT_EQ(*ParseSpanSeconds("5m"), 300);
  EXPECT_EQ(*ParseSpanSeconds("12h"), 43'200);
  EXPECT_EQ(*ParseSpanSeconds("30d"), 2'592'000);
  for (const char* bad : {"", "s", "60", "60 s", "1.5h", "-1s", "+1s", "0s", "31d", "1h30m", "60S",
                          "500ms", "2592001s", "99999999999d"}) {
    EXPECT_FALSE(ParseSpanSeconds(bad).ok()) << bad;
  }
}

TEST(ParseLabelTest, TakesAKeyAndAValueOrAKeyToRemove) {
  EXPECT_EQ(ParseLabel("a-=b=c-", true)->key, "a-");
  EXPECT_EQ(*ParseLabel("a-=b=c-", true)->value, "b=c-");
  EXPECT_EQ(*ParseLabel("a=", false)->value, "");
  EXPECT_EQ(ParseLabel("a--", true)->key, "a-");
  EXPECT_FALSE(ParseLabel("a-", true)->value.has_value());
  for (const char* bad : {"", "a", "=b", "-"}) EXPECT_FALSE(ParseLabel(bad, true).ok()) << bad;
  EXPECT_FALSE(ParseLabel("a-", false).ok());
}

TEST(ParseSizeTest, TakesWidthAndHeight) {
  EXPECT_EQ(ParseSize("1920x1080")->width_px, 1920);
  EXPECT_EQ(ParseSize("1920x1080")->height_px, 1080);
  EXPECT_TRUE(ParseSize("64x64").ok());
  EXPECT_TRUE(ParseSize("7680x4320").ok());
  for (const char* bad : {"1920", "x", "0x1", "1x", "1x1x1", "-1x1", "100000x1", "64x63", "63x64",
                          "7681x64", "64x4321"}) {
    EXPECT_FALSE(ParseSize(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace planecast::cli
