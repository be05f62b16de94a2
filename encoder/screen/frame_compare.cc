#include "encoder/screen/frame_compare.h"

#include <cstring>

// Highway compiles this file once for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encoder/screen/frame_compare.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace planecast {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// At most half a macroblock line of 16-bit pixels, so that a vector never straddles macroblocks.
using Words = hn::CappedTag<uint32_t, 8>;

// One line of one macroblock of kWords 32-bit words.
template <size_t kWords>
HWY_INLINE bool CompareLine(const uint8_t* HWY_RESTRICT source, uint8_t* HWY_RESTRICT shadow,
                            hn::Vec<Words> used_bits) {
  const Words d;
  bool changed = false;
  for (size_t i = 0; i < kWords; i += hn::Lanes(d)) {
    const auto* from = reinterpret_cast<const uint32_t*>(source) + i;
    auto* to = reinterpret_cast<uint32_t*>(shadow) + i;
    const auto now = hn::LoadU(d, from);
    const auto difference = hn::And(hn::Xor(now, hn::LoadU(d, to)), used_bits);
    if (HWY_LIKELY(hn::AllTrue(d, hn::Eq(difference, hn::Zero(d))))) continue;
    hn::StoreU(now, d, to);
    changed = true;
  }
  return changed;
}

// The end of a line, less than a macroblock wide.
template <typename Pixel>
bool CompareTail(const uint8_t* source, uint8_t* shadow, size_t count, Pixel used_bits) {
  bool changed = false;
  for (size_t i = 0; i < count; ++i) {
    Pixel now;
    Pixel before;
    std::memcpy(&now, source + i * sizeof(Pixel), sizeof(Pixel));
    std::memcpy(&before, shadow + i * sizeof(Pixel), sizeof(Pixel));
    if (((now ^ before) & used_bits) == 0) continue;
    std::memcpy(shadow + i * sizeof(Pixel), &now, sizeof(Pixel));
    changed = true;
  }
  return changed;
}

template <typename Pixel>
bool CompareRows(const CompareRow& row, uint32_t used_bits, uint8_t* changed_mbs) {
  constexpr size_t kMbBytes = kMacroblockPx * sizeof(Pixel);
  const size_t full_mbs = row.width_px / kMacroblockPx;
  const size_t tail_px = row.width_px % kMacroblockPx;
  const auto used = hn::Set(Words(), used_bits);
  bool changed = false;
  for (size_t line = 0; line < row.lines; ++line) {
    const uint8_t* source = row.source + line * row.source_stride_bytes;
    uint8_t* shadow = row.shadow + line * row.shadow_stride_bytes;
    for (size_t mb = 0; mb < full_mbs; ++mb) {
      if (HWY_LIKELY(
              !CompareLine<kMbBytes / 4>(source + mb * kMbBytes, shadow + mb * kMbBytes, used))) {
        continue;
      }
      changed_mbs[mb] = 1;
      changed = true;
    }
    if (tail_px == 0) continue;
    if (!CompareTail<Pixel>(source + full_mbs * kMbBytes, shadow + full_mbs * kMbBytes, tail_px,
                            static_cast<Pixel>(used_bits))) {
      continue;
    }
    changed_mbs[full_mbs] = 1;
    changed = true;
  }
  return changed;
}

bool CompareRows16(const CompareRow& row, uint32_t used_bits, uint8_t* changed_mbs) {
  return CompareRows<uint16_t>(row, used_bits, changed_mbs);
}

bool CompareRows32(const CompareRow& row, uint32_t used_bits, uint8_t* changed_mbs) {
  return CompareRows<uint32_t>(row, used_bits, changed_mbs);
}

}  // namespace HWY_NAMESPACE
}  // namespace planecast
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace planecast {

HWY_EXPORT(CompareRows16);
HWY_EXPORT(CompareRows32);

bool CompareAndCopy(PackedFormat format, const CompareRow& row, uint8_t* changed_mbs) {
  switch (format) {
    case PackedFormat::kRgb565:
      return HWY_DYNAMIC_DISPATCH(CompareRows16)(row, 0xffffffff, changed_mbs);
    case PackedFormat::kXrgb8888:
    case PackedFormat::kXbgr8888:
      return HWY_DYNAMIC_DISPATCH(CompareRows32)(row, 0x00ffffff, changed_mbs);
    case PackedFormat::kXrgb2101010:
    case PackedFormat::kXbgr2101010:
      return HWY_DYNAMIC_DISPATCH(CompareRows32)(row, 0x3fffffff, changed_mbs);
  }
  return false;
}

}  // namespace planecast
#endif  // HWY_ONCE
