#include "encoder/testing/va_driver/cabac_engine.h"

#include <algorithm>

#include "encoder/testing/va_driver/cabac_tables.h"

namespace planecast::sw_va {

CabacEngine::CabacEngine(int table, int slice_qp, BitSink& sink) : sink_(sink) {
  for (const CabacInitRange& range : kCabacInit) {
    if (range.table[table] == nullptr) continue;
    for (int i = 0; i < range.count; ++i) {
      const CabacInit init = range.table[table][i];
      const int state = std::clamp(((init.m * std::clamp(slice_qp, 0, 51)) >> 4) + init.n, 1, 126);
      Context& context = contexts_[static_cast<size_t>(range.first + i)];
      context.mps = state > 63;
      context.state = static_cast<uint8_t>(state > 63 ? state - 64 : 63 - state);
    }
  }
}

void CabacEngine::Decision(int index, bool bin) {
  Context& context = contexts_[static_cast<size_t>(index)];
  const uint32_t lps = kCabacRangeLps[context.state][range_ >> 6 & 3];
  range_ -= lps;
  if (bin == context.mps) {
    context.state = std::min<uint8_t>(context.state + 1, 62);
  } else {
    low_ += range_;
    range_ = lps;
    if (context.state == 0) context.mps = !context.mps;
    context.state = kCabacNextLps[context.state];
  }
  Renormalise();
}

void CabacEngine::Bypass(bool bin) {
  low_ <<= 1;
  if (bin) low_ += range_;
  if (low_ >= 1024) {
    PutBit(true);
    low_ -= 1024;
  } else if (low_ < 512) {
    PutBit(false);
  } else {
    low_ -= 512;
    ++outstanding_;
  }
}

void CabacEngine::Terminate(bool bin) {
  range_ -= 2;
  if (bin) {
    low_ += range_;
    Flush();
  } else {
    Renormalise();
  }
}

void CabacEngine::Renormalise() {
  while (range_ < 256) {
    if (low_ < 256) {
      PutBit(false);
    } else if (low_ >= 512) {
      low_ -= 512;
      PutBit(true);
    } else {
      low_ -= 256;
      ++outstanding_;
    }
    range_ <<= 1;
    low_ <<= 1;
  }
}

void CabacEngine::PutBit(bool bit) {
  if (first_bit_) {
    first_bit_ = false;
  } else {
    sink_.Bits(bit ? 1 : 0, 1);
  }
  for (; outstanding_ > 0; --outstanding_) sink_.Bits(bit ? 0 : 1, 1);
}

void CabacEngine::Flush() {
  range_ = 2;
  Renormalise();
  PutBit((low_ >> 9 & 1) != 0);
  // The last of these two bits is rbsp_stop_one_bit.
  sink_.Bits((low_ >> 7 & 3) | 1, 2);
}

}  // namespace planecast::sw_va
