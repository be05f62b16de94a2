#include "encoder/testing/va_driver/cavlc.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace planecast::sw_va {
namespace {

/// A code word: its length, 0 if there is none, and its value.
struct Code {
  uint8_t length;
  uint8_t value;
};

// Table 9-5 by [column][total_coeff][trailing_ones]; columns 0 <= nC < 2, 2 <= nC < 4, 4 <= nC < 8.
constexpr Code kCoeffToken[3][17][4] = {{{{1, 1}, {}, {}, {}},
                                         {{6, 5}, {2, 1}, {}, {}},
                                         {{8, 7}, {6, 4}, {3, 1}, {}},
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
                                        {{{2, 3}, {}, {}, {}},
                                         {{6, 11}, {2, 2}, {}, {}},
                                         {{6, 7}, {5, 7}, {3, 3}, {}},
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
                                        {{{4, 15}, {}, {}, {}},
                                         {{6, 15}, {4, 14}, {}, {}},
                                         {{6, 11}, {5, 15}, {4, 13}, {}},
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

// Table 9-5, column nC == -1.
constexpr Code kCoeffTokenChromaDc[5][4] = {{{2, 1}, {}, {}, {}},
                                            {{6, 7}, {1, 1}, {}, {}},
                                            {{6, 4}, {6, 6}, {3, 1}, {}},
                                            {{6, 3}, {7, 3}, {7, 2}, {6, 5}},
                                            {{6, 2}, {8, 3}, {8, 2}, {7, 0}}};

// Tables 9-7 and 9-8 by [total_coeff - 1][total_zeros].
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

// Table 9-10 by [min(zeros_left, 7) - 1][run_before].
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

constexpr int kEscapePrefix = 15;
constexpr int kEscapeSuffixBits = 12;
constexpr int kSuffixLengthMax = 6;

void Put(Code code, BitSink& sink) {
  sink.Bits(code.value, code.length);
}

/// The non-zero levels of a block, last in scan order first, and the zeros before each.
struct Runs {
  int count = 0;
  int trailing_ones = 0;
  int total_zeros = 0;
  std::array<int, 16> level{};
  std::array<int, 16> zeros_before{};
};

Runs FindRuns(std::span<const int16_t> levels) {
  Runs runs;
  bool ones_only = true;
  for (int i = static_cast<int>(levels.size()) - 1; i >= 0; --i) {
    const int level = levels[static_cast<size_t>(i)];
    if (level == 0) {
      if (runs.count == 0) continue;
      ++runs.zeros_before[static_cast<size_t>(runs.count - 1)];
      ++runs.total_zeros;
      continue;
    }
    runs.level[static_cast<size_t>(runs.count++)] = level;
    ones_only = ones_only && std::abs(level) == 1;
    if (ones_only && runs.trailing_ones < 3) ++runs.trailing_ones;
  }
  return runs;
}

void WriteToken(const Runs& runs, int nc, BitSink& sink) {
  const auto total = static_cast<size_t>(runs.count);
  const auto ones = static_cast<size_t>(runs.trailing_ones);
  if (nc == kChromaDcNc) {
    Put(kCoeffTokenChromaDc[total][ones], sink);
  } else if (nc >= 8) {
    // The last column is a plain number.
    sink.Bits(runs.count == 0 ? 3 : static_cast<uint32_t>((runs.count - 1) * 4) + ones, 6);
  } else {
    Put(kCoeffToken[nc < 2 ? 0 : nc < 4 ? 1 : 2][total][ones], sink);
  }
}

void WriteLevel(int level_code, int suffix_length, BitSink& sink) {
  if (suffix_length == 0) {
    if (level_code < 14) {
      sink.Bits(1, level_code + 1);
    } else if (level_code < 30) {
      sink.Bits(1, 15);
      sink.Bits(static_cast<uint32_t>(level_code - 14), 4);
    } else {
      sink.Bits(1, kEscapePrefix + 1);
      sink.Bits(static_cast<uint32_t>(level_code - 30), kEscapeSuffixBits);
    }
    return;
  }
  if (level_code < kEscapePrefix << suffix_length) {
    sink.Bits(1, (level_code >> suffix_length) + 1);
    sink.Bits(static_cast<uint32_t>(level_code) & ((1u << suffix_length) - 1), suffix_length);
    return;
  }
  sink.Bits(1, kEscapePrefix + 1);
  sink.Bits(static_cast<uint32_t>(level_code - (kEscapePrefix << suffix_length)),
            kEscapeSuffixBits);
}

void WriteLevels(const Runs& runs, BitSink& sink) {
  for (int i = 0; i < runs.trailing_ones; ++i) {
    sink.Bits(runs.level[static_cast<size_t>(i)] < 0 ? 1 : 0, 1);
  }
  int suffix_length = runs.count > 10 && runs.trailing_ones < 3 ? 1 : 0;
  for (int i = runs.trailing_ones; i < runs.count; ++i) {
    const int level = runs.level[static_cast<size_t>(i)];
    int level_code = level > 0 ? 2 * level - 2 : -2 * level - 1;
    // The first level after fewer than three ones can't be one itself.
    if (i == runs.trailing_ones && runs.trailing_ones < 3) level_code -= 2;
    WriteLevel(level_code, suffix_length, sink);
    if (suffix_length == 0) suffix_length = 1;
    if (std::abs(level) > 3 << (suffix_length - 1) && suffix_length < kSuffixLengthMax) {
      ++suffix_length;
    }
  }
}

void WriteRuns(const Runs& runs, size_t block_size, BitSink& sink) {
  if (static_cast<size_t>(runs.count) == block_size) return;
  const auto row = static_cast<size_t>(runs.count - 1);
  const auto zeros = static_cast<size_t>(runs.total_zeros);
  Put(block_size == 4 ? kTotalZerosChromaDc[row][zeros] : kTotalZeros[row][zeros], sink);
  int zeros_left = runs.total_zeros;
  for (int i = 0; i + 1 < runs.count && zeros_left > 0; ++i) {
    const int run = runs.zeros_before[static_cast<size_t>(i)];
    Put(kRunBefore[std::min(zeros_left, 7) - 1][run], sink);
    zeros_left -= run;
  }
}

}  // namespace

void WriteBlockCavlc(std::span<const int16_t> levels, int nc, BitSink& sink) {
  const Runs runs = FindRuns(levels);
  WriteToken(runs, nc, sink);
  if (runs.count == 0) return;
  WriteLevels(runs, sink);
  WriteRuns(runs, levels.size(), sink);
}

}  // namespace planecast::sw_va
