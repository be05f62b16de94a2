#include "encoder/h264/h264_bits.h"

#include <gtest/gtest.h>

#include <climits>

namespace planecast {
namespace {

using Bytes = std::vector<uint8_t>;

TEST(H264Bits, ExpGolombHasTheCodesOfTheStandard) {
  // Table 9-2: 1, 010, 011, 00100, then the stop bit.
  BitWriter out;
  for (uint32_t value = 0; value < 4; ++value) out.Ue(value);
  EXPECT_EQ(out.Finish(), (Bytes{0b10100110, 0b01001000}));
}

TEST(H264Bits, SignedExpGolombAlternates) {
  // Table 9-3: 0, 1, -1, 2 are codes 0, 1, 2, 3.
  BitWriter out;
  for (const int value : {0, 1, -1, 2}) out.Se(value);
  EXPECT_EQ(out.Finish(), (Bytes{0b10100110, 0b01001000}));
}

TEST(H264Bits, WhatIsWrittenIsRead) {
  constexpr uint32_t kUnsigned[] = {0, 1, 2, 7, 8, 255, 65535, 0x7fffffff, 0xfffffffe};
  constexpr int32_t kSigned[] = {0, 1, -1, 51, -51, INT_MAX / 2, INT_MIN / 2};
  BitWriter out;
  for (const uint32_t value : kUnsigned) out.Ue(value);
  for (const int32_t value : kSigned) out.Se(value);
  out.Bits(0xdeadbeef, 32);
  const Bytes bytes = out.Finish();
  BitReader in(bytes);
  for (const uint32_t value : kUnsigned) EXPECT_EQ(in.Ue(), value);
  for (const int32_t value : kSigned) EXPECT_EQ(in.Se(), value);
  EXPECT_TRUE(in.MoreData());
  EXPECT_EQ(in.Bits(32), 0xdeadbeef);
  EXPECT_FALSE(in.MoreData());
  EXPECT_TRUE(in.ok());
}

TEST(H264Bits, ReadingBeyondTheEndFails) {
  const Bytes bytes = {0xff};
  BitReader in(bytes);
  EXPECT_EQ(in.Bits(8), 0xffu);
  EXPECT_EQ(in.Bits(1), 0u);
  EXPECT_FALSE(in.ok());
}

TEST(H264Bits, EndlessExpGolombFails) {
  const Bytes bytes(100, 0);
  BitReader in(bytes);
  EXPECT_EQ(in.Ue(), 0u);
  EXPECT_FALSE(in.ok());
}

TEST(H264Bits, EmulationPreventionIsPutInAndTakenOut) {
  const Bytes rbsp = {0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0x80};
  const Bytes nal = MakeNal(NalType::kSps, 3, rbsp);
  EXPECT_EQ(nal, (Bytes{0x67, 0, 0, 3, 0, 0, 3, 0, 1, 0, 0, 3, 2, 0, 0, 3, 3, 0, 0, 4, 0x80}));
  EXPECT_EQ(NalPayload(nal), rbsp);
}

TEST(H264Bits, AnnexBIsSplitAtBothStartCodes) {
  const Bytes stream = {0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 0, 1, 0x65, 4};
  const auto nals = SplitAnnexB(stream);
  ASSERT_EQ(nals.size(), 3u);
  EXPECT_EQ(Bytes(nals[0].begin(), nals[0].end()), (Bytes{0x67, 1, 2}));
  EXPECT_EQ(Bytes(nals[1].begin(), nals[1].end()), (Bytes{0x68, 3}));
  EXPECT_EQ(Bytes(nals[2].begin(), nals[2].end()), (Bytes{0x65, 4}));
  EXPECT_EQ(NalTypeOf(nals[2]), NalType::kIdrSlice);
}

TEST(H264Bits, StreamsWithoutNalUnitsSplitIntoNothing) {
  for (const Bytes& stream :
       {Bytes{}, Bytes{0, 0}, Bytes{0, 0, 1}, Bytes{0, 0, 1, 0, 0, 1, 0}, Bytes{1, 2, 3, 4, 5}}) {
    EXPECT_TRUE(SplitAnnexB(stream).empty());
  }
}

}  // namespace
}  // namespace planecast
