#include "encoder/h264/cavlc.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>
#include <vector>

namespace planecast {
namespace {

// The bits as text, without the trailing bits.
std::string Written(std::span<const int16_t> levels, int context) {
  BitWriter out;
  WriteLevels(levels, context, out);
  const std::vector<uint8_t> bytes = out.Finish();
  BitReader in(bytes);
  std::string text;
  for (size_t rest = in.RestBits(); rest > 0; --rest) text += in.Flag() ? '1' : '0';
  return text;
}

std::string WrittenBlock(std::vector<int16_t> levels, int context) {
  levels.resize(16);
  return Written(levels, context);
}

TEST(Cavlc, EmptyBlocksAreOneCode) {
  EXPECT_EQ(WrittenBlock({}, 0), "1");
  EXPECT_EQ(WrittenBlock({}, 2), "11");
  EXPECT_EQ(WrittenBlock({}, 4), "1111");
  EXPECT_EQ(WrittenBlock({}, 8), "000011");
  EXPECT_EQ(Written(std::array<int16_t, 4>{}, kChromaDcContext), "01");
}

// By hand, from the tables: 0, 3, 0, 1, -1, -1, 0, 1 has five levels, of which the last three are
// ones, three zeros, and runs of 1, 0, 0, 1.
TEST(Cavlc, BlockFromAWorkedExample) {
  EXPECT_EQ(WrittenBlock({0, 3, 0, 1, -1, -1, 0, 1}, 0),
            "0000100"  // five levels, three trailing ones
            "011"      // their signs from the last: +, -, -
            "1"        // +1 at suffix length 0, code 0
            "0010"     // +3 at suffix length 1: code 4, prefix 2, suffix 0
            "111"      // three zeros of five levels
            "10"       // a run of one of three
            "1"        // none of two
            "1"        // none of two
            "01");     // one of two
}

TEST(Cavlc, LargeLevelsEscape) {
  // A level that is no trailing one, then prefix and suffix, then no zeros.
  EXPECT_EQ(WrittenBlock({9}, 0), "000101" + std::string("000000000000001") + "0000" + "1");
  EXPECT_EQ(WrittenBlock({17}, 0),
            "000101" + std::string("0000000000000001") + "000000000000" + "1");
  EXPECT_EQ(WrittenBlock({-17}, 0),
            "000101" + std::string("0000000000000001") + "000000000001" + "1");
}

TEST(Cavlc, FullBlockHasNoZerosToTell) {
  const std::vector<int16_t> full(16, 1);
  const std::string text = Written(full, 9);
  EXPECT_EQ(text.substr(0, 9),
            "111111"
            "000");
  BitWriter out;
  EXPECT_EQ(WriteLevels(full, 9, out), 16);
}

TEST(Cavlc, NoTwoBlocksAreWrittenAlike) {
  for (const int context : {0, 2, 4, 8}) {
    std::set<std::string> seen;
    size_t blocks = 0;
    for (int mask = 0; mask < 1 << 16; mask += 37) {
      for (const int16_t value : {1, -1, 2, 9}) {
        std::vector<int16_t> levels(16);
        for (size_t i = 0; i < 16; ++i) {
          if ((mask >> i & 1) != 0) levels[i] = value;
        }
        if (mask == 0 && value != 1) continue;
        seen.insert(Written(levels, context));
        ++blocks;
      }
    }
    EXPECT_EQ(seen.size(), blocks) << context;
  }
}

// No code begins with another: then what follows can't be mistaken.
TEST(Cavlc, ChromaDcBlocksAreToldApart) {
  std::vector<std::string> codes;
  std::array<int16_t, 4> levels{};
  for (int code = 0; code < 81; ++code) {
    int rest = code;
    for (int16_t& level : levels) {
      level = static_cast<int16_t>(rest % 3 - 1);
      rest /= 3;
    }
    codes.push_back(Written(levels, kChromaDcContext));
  }
  for (size_t a = 0; a < codes.size(); ++a) {
    for (size_t b = 0; b < codes.size(); ++b) {
      if (a == b) continue;
      EXPECT_NE(codes[a], codes[b].substr(0, codes[a].size())) << a << " " << b;
    }
  }
}

TEST(Cavlc, PatternCodesAreAPermutation) {
  std::set<uint32_t> codes;
  for (uint8_t pattern = 0; pattern < 48; ++pattern) codes.insert(InterPatternCode(pattern));
  EXPECT_EQ(codes.size(), 48u);
  EXPECT_EQ(*codes.rbegin(), 47u);
  EXPECT_EQ(InterPatternCode(0), 0u);
  EXPECT_EQ(InterPatternCode(16), 1u);
  EXPECT_EQ(InterPatternCode(47), 12u);
  EXPECT_EQ(InterPatternCode(41), 47u);
}

}  // namespace
}  // namespace planecast
