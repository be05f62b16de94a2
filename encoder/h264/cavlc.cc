#include "encoder/h264/cavlc.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace planecast {
namespace {

struct Code {
  uint8_t length;
  uint8_t bits;
};

// coeff_token, table 9-5, by how many levels are not zero and how many trailing ones there are. The
// columns are nC of 0 and 1, 2 and 3, 4 to 7; from 8 on, the code has six bits and a rule.
constexpr Code kCoeffToken[3][17][4] = {{{{1, 1}},
                                         {{6, 5}, {2, 1}},
                                         {{8, 7}, {6, 4}, {3, 1}},
                                         {{9, 7}, {8, 6}, {7, 5}, {5, 3}},
                                         {{10, 7}, {9, 6}, {8, 5}, {6, 3}},
                                         {{11, 7}, {10, 6}, {9, 5}, {7, 4}},
                                         {{13, 15}, {11, 6}, {10, 5}, {8, 4}},
                                         {{13, 11}, {13, 14}, {11, 5}, {9, 4}},
                                         {{13, 8}, {13, 10}, {13, 13}, {10, 4}},
                                         {{14, 15}, {14, 14}, {13, 9}, {11, 4}},
                                         {{14, 11}, {14, 10}, {14, 13}, {13, 12}},
                                         {{15, 15}, {15, 14}, {14, 9}, {14, 12}},
                                         {{15, 11}, {15, 10}, {15, 13}, {14, 8}},
                                         {{16, 15}, {15, 1}, {15, 9}, {15, 12}},
                                         {{16, 11}, {16, 14}, {16, 13}, {15, 8}},
                                         {{16, 7}, {16, 10}, {16, 9}, {16, 12}},
                                         {{16, 4}, {16, 6}, {16, 5}, {16, 8}}},
                                        {{{2, 3}},
                                         {{6, 11}, {2, 2}},
                                         {{6, 7}, {5, 7}, {3, 3}},
                                         {{7, 7}, {6, 10}, {6, 9}, {4, 5}},
                                         {{8, 7}, {6, 6}, {6, 5}, {4, 4}},
                                         {{8, 4}, {7, 6}, {7, 5}, {5, 6}},
                                         {{9, 7}, {8, 6}, {8, 5}, {6, 8}},
                                         {{11, 15}, {9, 6}, {9, 5}, {6, 4}},
                                         {{11, 11}, {11, 14}, {11, 13}, {7, 4}},
                                         {{12, 15}, {11, 10}, {11, 9}, {9, 4}},
                                         {{12, 11}, {12, 14}, {12, 13}, {11, 12}},
                                         {{12, 8}, {12, 10}, {12, 9}, {11, 8}},
                                         {{13, 15}, {13, 14}, {13, 13}, {12, 12}},
                                         {{13, 11}, {13, 10}, {13, 9}, {13, 12}},
                                         {{13, 7}, {14, 11}, {13, 6}, {13, 8}},
                                         {{14, 9}, {14, 8}, {14, 10}, {13, 1}},
                                         {{14, 7}, {14, 6}, {14, 5}, {14, 4}}},
                                        {{{4, 15}},
                                         {{6, 15}, {4, 14}},
                                         {{6, 11}, {5, 15}, {4, 13}},
                                         {{6, 8}, {5, 12}, {5, 14}, {4, 12}},
                                         {{7, 15}, {5, 10}, {5, 11}, {4, 11}},
                                         {{7, 11}, {5, 8}, {5, 9}, {4, 10}},
                                         {{7, 9}, {6, 14}, {6, 13}, {4, 9}},
                                         {{7, 8}, {6, 10}, {6, 9}, {4, 8}},
                                         {{8, 15}, {7, 14}, {7, 13}, {5, 13}},
                                         {{8, 11}, {8, 14}, {7, 10}, {6, 12}},
                                         {{9, 15}, {8, 10}, {8, 13}, {7, 12}},
                                         {{9, 11}, {9, 14}, {8, 9}, {8, 12}},
                                         {{9, 8}, {9, 10}, {9, 13}, {8, 8}},
                                         {{10, 13}, {9, 7}, {9, 9}, {9, 12}},
                                         {{10, 9}, {10, 12}, {10, 11}, {10, 10}},
                                         {{10, 5}, {10, 8}, {10, 7}, {10, 6}},
                                         {{10, 1}, {10, 4}, {10, 3}, {10, 2}}}};

// The same for chroma DC.
constexpr Code kCoeffTokenChromaDc[5][4] = {{{2, 1}},
                                            {{6, 7}, {1, 1}},
                                            {{6, 4}, {6, 6}, {3, 1}},
                                            {{6, 3}, {7, 3}, {7, 2}, {6, 5}},
                                            {{6, 2}, {8, 3}, {8, 2}, {7, 0}}};

// total_zeros, tables 9-7 and 9-8, by how many levels are not zero (from 1) and the zeros.
constexpr Code kTotalZeros[15][16] = {
    {{1, 1},
     {3, 3},
     {3, 2},
     {4, 3},
     {4, 2},
     {5, 3},
     {5, 2},
     {6, 3},
     {6, 2},
     {7, 3},
     {7, 2},
     {8, 3},
     {8, 2},
     {9, 3},
     {9, 2},
     {9, 1}},
    {{3, 7},
     {3, 6},
     {3, 5},
     {3, 4},
     {3, 3},
     {4, 5},
     {4, 4},
     {4, 3},
     {4, 2},
     {5, 3},
     {5, 2},
     {6, 3},
     {6, 2},
     {6, 1},
     {6, 0}},
    {{4, 5},
     {3, 7},
     {3, 6},
     {3, 5},
     {4, 4},
     {4, 3},
     {3, 4},
     {3, 3},
     {4, 2},
     {5, 3},
     {5, 2},
     {6, 1},
     {5, 1},
     {6, 0}},
    {{5, 3},
     {3, 7},
     {4, 5},
     {4, 4},
     {3, 6},
     {3, 5},
     {3, 4},
     {4, 3},
     {3, 3},
     {4, 2},
     {5, 2},
     {5, 1},
     {5, 0}},
    {{4, 5},
     {4, 4},
     {4, 3},
     {3, 7},
     {3, 6},
     {3, 5},
     {3, 4},
     {3, 3},
     {4, 2},
     {5, 1},
     {4, 1},
     {5, 0}},
    {{6, 1}, {5, 1}, {3, 7}, {3, 6}, {3, 5}, {3, 4}, {3, 3}, {3, 2}, {4, 1}, {3, 1}, {6, 0}},
    {{6, 1}, {5, 1}, {3, 5}, {3, 4}, {3, 3}, {2, 3}, {3, 2}, {4, 1}, {3, 1}, {6, 0}},
    {{6, 1}, {4, 1}, {5, 1}, {3, 3}, {2, 3}, {2, 2}, {3, 2}, {3, 1}, {6, 0}},
    {{6, 1}, {6, 0}, {4, 1}, {2, 3}, {2, 2}, {3, 1}, {2, 1}, {5, 1}},
    {{5, 1}, {5, 0}, {3, 1}, {2, 3}, {2, 2}, {2, 1}, {4, 1}},
    {{4, 0}, {4, 1}, {3, 1}, {3, 2}, {1, 1}, {3, 3}},
    {{4, 0}, {4, 1}, {2, 1}, {1, 1}, {3, 1}},
    {{3, 0}, {3, 1}, {1, 1}, {2, 1}},
    {{2, 0}, {2, 1}, {1, 1}},
    {{1, 0}, {1, 1}}};

// Table 9-9 (a).
constexpr Code kTotalZerosChromaDc[3][4] = {
    {{1, 1}, {2, 1}, {3, 1}, {3, 0}}, {{1, 1}, {2, 1}, {2, 0}}, {{1, 1}, {1, 0}}};

// run_before, table 9-10, by the zeros that are left (from 1, 7 for more than 6) and the run.
constexpr Code kRunBefore[7][15] = {{{1, 1}, {1, 0}},
                                    {{1, 1}, {2, 1}, {2, 0}},
                                    {{2, 3}, {2, 2}, {2, 1}, {2, 0}},
                                    {{2, 3}, {2, 2}, {2, 1}, {3, 1}, {3, 0}},
                                    {{2, 3}, {2, 2}, {3, 3}, {3, 2}, {3, 1}, {3, 0}},
                                    {{2, 3}, {3, 0}, {3, 1}, {3, 3}, {3, 2}, {3, 5}, {3, 4}},
                                    {{3, 7},
                                     {3, 6},
                                     {3, 5},
                                     {3, 4},
                                     {3, 3},
                                     {3, 2},
                                     {3, 1},
                                     {4, 1},
                                     {5, 1},
                                     {6, 1},
                                     {7, 1},
                                     {8, 1},
                                     {9, 1},
                                     {10, 1},
                                     {11, 1}}};

// Table 9-4, coded_block_pattern for inter prediction by codeNum.
constexpr uint8_t kInterPatterns[48] = {
    0,  16, 1,  2,  4,  8,  32, 3,  5,  10, 12, 15, 47, 7,  11, 13, 14, 6,  9,  31, 35, 37, 42, 44,
    33, 34, 36, 40, 39, 43, 45, 46, 17, 18, 20, 24, 19, 21, 26, 28, 23, 27, 29, 30, 22, 25, 38, 41};

constexpr int kTrailingOnesMax = 3;

void Write(const Code& code, BitWriter& out) {
  out.Bits(code.bits, code.length);
}

void WriteCoeffToken(int count, int ones, int context, BitWriter& out) {
  if (context == kChromaDcContext) return Write(kCoeffTokenChromaDc[count][ones], out);
  if (context >= 8) {
    return out.Bits(count == 0 ? 3 : static_cast<uint32_t>((count - 1) << 2 | ones), 6);
  }
  Write(kCoeffToken[context >= 4 ? 2 : context / 2][count][ones], out);
}

// level_prefix and level_suffix, clause 9.2.2.1 backwards.
void WriteLevel(int code, int suffix_length, BitWriter& out) {
  const auto prefix = [&out](int zeros) { out.Bits(1, zeros + 1); };
  if (suffix_length == 0 && code < 14) return prefix(code);
  if (suffix_length == 0 && code < 30) {
    prefix(14);
    return out.Bits(static_cast<uint32_t>(code - 14), 4);
  }
  if (suffix_length > 0 && code < 15 << suffix_length) {
    prefix(code >> suffix_length);
    return out.Bits(static_cast<uint32_t>(code & ((1 << suffix_length) - 1)), suffix_length);
  }
  prefix(15);
  out.Bits(static_cast<uint32_t>(code - (suffix_length == 0 ? 30 : 15 << suffix_length)), 12);
}

void WriteLargeLevels(std::span<const int> levels, int count, int ones, BitWriter& out) {
  int suffix_length = count > 10 && ones < kTrailingOnesMax ? 1 : 0;
  bool is_first = true;
  for (const int level : levels) {
    int code = level > 0 ? 2 * level - 2 : -2 * level - 1;
    // It would be a trailing one if it were so small.
    if (is_first && ones < kTrailingOnesMax) code -= 2;
    is_first = false;
    WriteLevel(code, suffix_length, out);
    suffix_length = std::max(suffix_length, 1);
    if (std::abs(level) > 3 << (suffix_length - 1) && suffix_length < 6) ++suffix_length;
  }
}

}  // namespace

int WriteLevels(std::span<const int16_t> levels, int context, BitWriter& out) {
  // From the highest frequency down, as they are written.
  std::array<int, 16> values{};
  std::array<int, 16> runs{};
  int count = 0;
  int zeros = 0;
  for (size_t i = levels.size(); i > 0; --i) {
    if (levels[i - 1] != 0) {
      values[static_cast<size_t>(count++)] = levels[i - 1];
    } else if (count > 0) {
      ++runs[static_cast<size_t>(count - 1)];
      ++zeros;
    }
  }
  int ones = 0;
  while (ones < std::min(count, kTrailingOnesMax) &&
         std::abs(values[static_cast<size_t>(ones)]) == 1) {
    ++ones;
  }
  WriteCoeffToken(count, ones, context, out);
  if (count == 0) return 0;
  const std::span<const int> written(values.data(), static_cast<size_t>(count));
  for (const int one : written.first(static_cast<size_t>(ones))) out.Flag(one < 0);
  WriteLargeLevels(written.subspan(static_cast<size_t>(ones)), count, ones, out);
  if (static_cast<size_t>(count) == levels.size()) return count;
  Write(levels.size() == 4 ? kTotalZerosChromaDc[count - 1][zeros] : kTotalZeros[count - 1][zeros],
        out);
  for (size_t i = 0; i + 1 < written.size() && zeros > 0; ++i) {
    Write(kRunBefore[std::min(zeros, 7) - 1][runs[i]], out);
    zeros -= runs[i];
  }
  return count;
}

uint32_t InterPatternCode(uint8_t pattern) {
  const auto* const found =
      std::find(std::begin(kInterPatterns), std::end(kInterPatterns), pattern);
  return static_cast<uint32_t>(found - std::begin(kInterPatterns));
}

}  // namespace planecast
