// Numbers of CABAC, clause 9.3.
#pragma once

#include <cstdint>

namespace planecast::sw_va {

/// m and n of a context variable, clause 9.3.1.1.
struct CabacInit {
  int8_t m;
  int8_t n;
};

/// A run of context variables that the tables list together.
struct CabacInitRange {
  int first;
  int count;
  /// By [table][index]: I slices, then cabac_init_idc 0 to 2.
  const CabacInit* table[4];
};

/// All ranges that are used; what is in none of them is left at state 0.
inline constexpr int kCabacInitRanges = 5;
extern const CabacInitRange kCabacInit[kCabacInitRanges];

/// Table 9-44: rangeTabLPS by [pStateIdx][qCodIRangeIdx].
extern const uint8_t kCabacRangeLps[64][4];
/// Table 9-45: transIdxLPS.
extern const uint8_t kCabacNextLps[64];

}  // namespace planecast::sw_va
