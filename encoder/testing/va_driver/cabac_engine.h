// The arithmetic encoder of CABAC, clause 9.3.4.
#pragma once

#include <array>
#include <cstdint>

#include "encoder/testing/va_driver/bit_sink.h"

namespace planecast::sw_va {

/// Number of context variables that are kept; those of interlaced and 8x8 coding stay unused.
inline constexpr int kCabacContexts = 460;

/// Thread-compatible.
class CabacEngine {
 public:
  /// `table` 0 is that of I slices, 1 to 3 those of cabac_init_idc 0 to 2.
  CabacEngine(int table, int slice_qp, BitSink& sink);

  void Decision(int context, bool bin);
  void Bypass(bool bin);
  /// end_of_slice_flag and the like; 1 ends the engine: the stop bit is then written too.
  void Terminate(bool bin);

 private:
  void Renormalise();
  void PutBit(bool bit);
  void Flush();

  struct Context {
    uint8_t state = 0;
    bool mps = false;
  };
  std::array<Context, kCabacContexts> contexts_;
  BitSink& sink_;
  uint32_t low_ = 0;
  uint32_t range_ = 510;
  int outstanding_ = 0;
  bool first_bit_ = true;
};

}  // namespace planecast::sw_va
