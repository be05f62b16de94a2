#include "encoder/pixels/color_convert.h"

#include <cstring>

// Highway compiles this file once for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encoder/pixels/color_convert.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#ifndef PLANECAST_ENCODER_COLOR_CONVERT_ONCE_
#define PLANECAST_ENCODER_COLOR_CONVERT_ONCE_
namespace planecast {

// Rec. ITU-R BT.709-6, item 3: the weights of the channels in luma.
inline constexpr double kRedWeight = 0.2126;
inline constexpr double kBlueWeight = 0.0722;
inline constexpr double kGreenWeight = 1 - kRedWeight - kBlueWeight;
// Item 4: code values of 8-bit limited range.
inline constexpr double kLumaRange = 219;
inline constexpr double kChromaRange = 224;
inline constexpr int kLumaOffset = 16;
inline constexpr int kChromaOffset = 128;

constexpr int32_t RoundToInt(double value) {
  return static_cast<int32_t>(value < 0 ? value - 0.5 : value + 0.5);
}

// Weights of two 16-bit halves of a word, for multiply-and-add-pairs.
constexpr uint32_t Pair(int32_t high, int32_t low) {
  return static_cast<uint32_t>(high) << 16 | (static_cast<uint32_t>(low) & 0xffff);
}

// Weights in fixed point for one format: `fraction_bits` is as large as 16-bit weights allow.
template <int kRedMax, int kGreenMax, int kBlueMax, int kFractionBitsArg>
struct Weights {
  static constexpr int kFractionBits = kFractionBitsArg;
  static constexpr double kOne = 1 << kFractionBits;
  static constexpr int32_t kYRed = RoundToInt(kRedWeight * kLumaRange / kRedMax * kOne);
  static constexpr int32_t kYGreen = RoundToInt(kGreenWeight * kLumaRange / kGreenMax * kOne);
  static constexpr int32_t kYBlue = RoundToInt(kBlueWeight * kLumaRange / kBlueMax * kOne);
  static constexpr double kU = kChromaRange / (2 * (1 - kBlueWeight)) * kOne;
  static constexpr int32_t kURed = RoundToInt(-kRedWeight * kU / kRedMax);
  static constexpr int32_t kUBlue = RoundToInt((1 - kBlueWeight) * kU / kBlueMax);
  static constexpr double kV = kChromaRange / (2 * (1 - kRedWeight)) * kOne;
  static constexpr int32_t kVRed = RoundToInt((1 - kRedWeight) * kV / kRedMax);
  static constexpr int32_t kVBlue = RoundToInt(-kBlueWeight * kV / kBlueMax);
  // Where the channels have the same range, the weights cancel out exactly: grey has no chroma.
  static constexpr bool kSameRange = kRedMax == kGreenMax && kGreenMax == kBlueMax;
  static constexpr int32_t kUGreen =
      kSameRange ? -kURed - kUBlue : RoundToInt(-kGreenWeight * kU / kGreenMax);
  static constexpr int32_t kVGreen =
      kSameRange ? -kVRed - kVBlue : RoundToInt(-kGreenWeight * kV / kGreenMax);
};

using Weights8 = Weights<255, 255, 255, 15>;
using Weights10 = Weights<1023, 1023, 1023, 17>;
using Weights565 = Weights<31, 63, 31, 13>;

}  // namespace planecast
#endif  // PLANECAST_ENCODER_COLOR_CONVERT_ONCE_

HWY_BEFORE_NAMESPACE();
namespace planecast {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Capped, so that the buffers for the ends of lines have a fixed size.
using Words = hn::CappedTag<uint32_t, 16>;
using WordVec = hn::Vec<Words>;
using Ints = hn::RebindToSigned<Words>;
constexpr size_t kStepMaxPx = 32;

// A pixel or a sum of four, in two words: two channels in the halves of one, green in the other.
struct Channels {
  WordVec outer;
  WordVec green;
};

struct Unpack8 {
  static constexpr size_t kBytesPerPixel = 4;
  static HWY_INLINE Channels Load(const uint8_t* source) {
    const Words d;
    const auto pixel = hn::LoadU(d, reinterpret_cast<const uint32_t*>(source));
    return {hn::And(pixel, hn::Set(d, 0x00ff00ffu)),
            hn::And(hn::ShiftRight<8>(pixel), hn::Set(d, 0xffu))};
  }
};

struct Unpack10 {
  static constexpr size_t kBytesPerPixel = 4;
  static HWY_INLINE Channels Load(const uint8_t* source) {
    const Words d;
    const auto pixel = hn::LoadU(d, reinterpret_cast<const uint32_t*>(source));
    const auto high =
        hn::And(hn::ShiftRight<4>(pixel), hn::Set(d, 0x03ff0000u));  // bits 20-29 to 16-25
    return {hn::Or(high, hn::And(pixel, hn::Set(d, 0x3ffu))),
            hn::And(hn::ShiftRight<10>(pixel), hn::Set(d, 0x3ffu))};
  }
};

struct Unpack565 {
  static constexpr size_t kBytesPerPixel = 2;
  static HWY_INLINE Channels Load(const uint8_t* source) {
    const Words d;
    const hn::Rebind<uint16_t, Words> d16;
    const auto pixel = hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(source)));
    const auto high = hn::And(hn::ShiftLeft<5>(pixel), hn::Set(d, 0x001f0000u));
    return {hn::Or(high, hn::And(pixel, hn::Set(d, 0x1fu))),
            hn::And(hn::ShiftRight<5>(pixel), hn::Set(d, 0x3fu))};
  }
};

// For each word: high half times high half plus low half times low half.
HWY_INLINE hn::Vec<Ints> MultiplyPairs(WordVec values, WordVec weights) {
  const Ints d32;
#if HWY_TARGET == HWY_SCALAR
  const uint32_t v = hn::GetLane(values);
  const uint32_t w = hn::GetLane(weights);
  const auto product = [](uint32_t a, uint32_t b) {
    return int32_t{static_cast<int16_t>(a)} * static_cast<int16_t>(b);
  };
  return hn::Set(d32, product(v >> 16, w >> 16) + product(v, w));
#else
  const hn::Repartition<int16_t, Words> d16;
  auto sum1 = hn::Zero(d32);
  const auto sum0 = hn::ReorderWidenMulAccumulate(d32, hn::BitCast(d16, values),
                                                  hn::BitCast(d16, weights), hn::Zero(d32), sum1);
  return hn::RearrangeToOddPlusEven(sum0, sum1);
#endif
}

// Weighted sum, rounded, with `offset`, as 8-bit samples.
template <int kShift>
HWY_INLINE void StoreSamples(const Channels& channels, uint32_t outer_weights,
                             uint32_t green_weight, int offset, uint8_t* target) {
  const Words d;
  const Ints d32;
  const hn::Rebind<uint8_t, Ints> d8;
  const auto sum = hn::Add(MultiplyPairs(channels.outer, hn::Set(d, outer_weights)),
                           MultiplyPairs(channels.green, hn::Set(d, green_weight)));
  const auto bias = hn::Set(d32, (offset << kShift) + (1 << (kShift - 1)));
  const auto samples = hn::ShiftRight<kShift>(hn::Add(sum, bias));
  hn::StoreU(hn::DemoteTo(d8, samples), d8, target);
}

// Sums of neighbours, over two vectors that follow each other.
HWY_INLINE WordVec AddColumns(WordVec left, WordVec right) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Add(left, right);
#else
  const Words d;
  return hn::Add(hn::ConcatEven(d, right, left), hn::ConcatOdd(d, right, left));
#endif
}

HWY_INLINE Channels AddLines(const Channels& a, const Channels& b) {
  return {hn::Add(a.outer, b.outer), hn::Add(a.green, b.green)};
}

// Two lines by two vectors of pixels.
template <class Unpack, class W, bool kRedHigh>
HWY_INLINE void ConvertStep(const uint8_t* line0, const uint8_t* line1, uint8_t* y0, uint8_t* y1,
                            uint8_t* u, uint8_t* v) {
  const size_t lanes = hn::Lanes(Words());
  const size_t right_bytes = lanes * Unpack::kBytesPerPixel;
  constexpr uint32_t kY = kRedHigh ? Pair(W::kYRed, W::kYBlue) : Pair(W::kYBlue, W::kYRed);
  constexpr uint32_t kU = kRedHigh ? Pair(W::kURed, W::kUBlue) : Pair(W::kUBlue, W::kURed);
  constexpr uint32_t kV = kRedHigh ? Pair(W::kVRed, W::kVBlue) : Pair(W::kVBlue, W::kVRed);
  constexpr uint32_t kYGreen = Pair(0, W::kYGreen);
  constexpr uint32_t kUGreen = Pair(0, W::kUGreen);
  constexpr uint32_t kVGreen = Pair(0, W::kVGreen);
  const Channels left0 = Unpack::Load(line0);
  const Channels right0 = Unpack::Load(line0 + right_bytes);
  const Channels left1 = Unpack::Load(line1);
  const Channels right1 = Unpack::Load(line1 + right_bytes);
  StoreSamples<W::kFractionBits>(left0, kY, kYGreen, kLumaOffset, y0);
  StoreSamples<W::kFractionBits>(right0, kY, kYGreen, kLumaOffset, y0 + lanes);
  StoreSamples<W::kFractionBits>(left1, kY, kYGreen, kLumaOffset, y1);
  StoreSamples<W::kFractionBits>(right1, kY, kYGreen, kLumaOffset, y1 + lanes);
  const Channels left = AddLines(left0, left1);
  const Channels right = AddLines(right0, right1);
  const Channels sums = {AddColumns(left.outer, right.outer), AddColumns(left.green, right.green)};
  StoreSamples<W::kFractionBits + 2>(sums, kU, kUGreen, kChromaOffset, u);
  StoreSamples<W::kFractionBits + 2>(sums, kV, kVGreen, kChromaOffset, v);
}

// Copies the end of a line and fills up with its last pixel.
template <size_t kBytesPerPixel>
void PadLine(const uint8_t* source, size_t count_px, uint8_t* padded) {
  std::memcpy(padded, source, count_px * kBytesPerPixel);
  for (size_t x = count_px; x < kStepMaxPx; ++x) {
    std::memcpy(padded + x * kBytesPerPixel, padded + (count_px - 1) * kBytesPerPixel,
                kBytesPerPixel);
  }
}

template <class Unpack, class W, bool kRedHigh>
void ConvertLinePair(const uint8_t* line0, const uint8_t* line1, size_t width_px, uint8_t* y0,
                     uint8_t* y1, uint8_t* u, uint8_t* v) {
  constexpr size_t kBytes = Unpack::kBytesPerPixel;
  const size_t step_px = 2 * hn::Lanes(Words());
  size_t x = 0;
  for (; x + step_px <= width_px; x += step_px) {
    ConvertStep<Unpack, W, kRedHigh>(line0 + x * kBytes, line1 + x * kBytes, y0 + x, y1 + x,
                                     u + x / 2, v + x / 2);
  }
  const size_t rest_px = width_px - x;
  if (rest_px == 0) return;
  HWY_ALIGN uint8_t padded[2][kStepMaxPx * 4];
  HWY_ALIGN uint8_t samples[4][kStepMaxPx];
  PadLine<kBytes>(line0 + x * kBytes, rest_px, padded[0]);
  PadLine<kBytes>(line1 + x * kBytes, rest_px, padded[1]);
  ConvertStep<Unpack, W, kRedHigh>(padded[0], padded[1], samples[0], samples[1], samples[2],
                                   samples[3]);
  std::memcpy(y0 + x, samples[0], rest_px);
  std::memcpy(y1 + x, samples[1], rest_px);
  std::memcpy(u + x / 2, samples[2], (rest_px + 1) / 2);
  std::memcpy(v + x / 2, samples[3], (rest_px + 1) / 2);
}

template <class Unpack, class W, bool kRedHigh>
void ConvertRectangle(const PackedPixels& source, const I420Planes& planes) {
  for (size_t line = 0; line < source.lines; line += 2) {
    const size_t next = line + 1 < source.lines ? line + 1 : line;
    ConvertLinePair<Unpack, W, kRedHigh>(
        source.data + line * source.stride_bytes, source.data + next * source.stride_bytes,
        source.width_px, planes.y + line * planes.y_stride_bytes,
        planes.y + next * planes.y_stride_bytes, planes.u + line / 2 * planes.uv_stride_bytes,
        planes.v + line / 2 * planes.uv_stride_bytes);
  }
}

void ConvertXrgb8888(const PackedPixels& source, const I420Planes& planes) {
  ConvertRectangle<Unpack8, Weights8, true>(source, planes);
}
void ConvertXbgr8888(const PackedPixels& source, const I420Planes& planes) {
  ConvertRectangle<Unpack8, Weights8, false>(source, planes);
}
void ConvertRgb565(const PackedPixels& source, const I420Planes& planes) {
  ConvertRectangle<Unpack565, Weights565, true>(source, planes);
}
void ConvertXrgb2101010(const PackedPixels& source, const I420Planes& planes) {
  ConvertRectangle<Unpack10, Weights10, true>(source, planes);
}
void ConvertXbgr2101010(const PackedPixels& source, const I420Planes& planes) {
  ConvertRectangle<Unpack10, Weights10, false>(source, planes);
}

}  // namespace HWY_NAMESPACE
}  // namespace planecast
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace planecast {

HWY_EXPORT(ConvertXrgb8888);
HWY_EXPORT(ConvertXbgr8888);
HWY_EXPORT(ConvertRgb565);
HWY_EXPORT(ConvertXrgb2101010);
HWY_EXPORT(ConvertXbgr2101010);

void ConvertToI420(PackedFormat format, const PackedPixels& source, const I420Planes& planes) {
  switch (format) {
    case PackedFormat::kXrgb8888:
      return HWY_DYNAMIC_DISPATCH(ConvertXrgb8888)(source, planes);
    case PackedFormat::kXbgr8888:
      return HWY_DYNAMIC_DISPATCH(ConvertXbgr8888)(source, planes);
    case PackedFormat::kRgb565:
      return HWY_DYNAMIC_DISPATCH(ConvertRgb565)(source, planes);
    case PackedFormat::kXrgb2101010:
      return HWY_DYNAMIC_DISPATCH(ConvertXrgb2101010)(source, planes);
    case PackedFormat::kXbgr2101010:
      return HWY_DYNAMIC_DISPATCH(ConvertXbgr2101010)(source, planes);
  }
}

}  // namespace planecast
#endif  // HWY_ONCE
