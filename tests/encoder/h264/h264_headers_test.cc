#include "encoder/h264/h264_headers.h"

#include <gtest/gtest.h>

#include "encoder/h264/h264_bits.h"
#include "tests/encoder/test_frames.h"

namespace planecast {
namespace {

using Bytes = std::vector<uint8_t>;

// 1920x1080 at 60 Hz as planecast writes it.
SequenceParameterSet FullHd() {
  SequenceParameterSet sps{.level_idc = 42, .width_mbs = 120, .height_mbs = 68};
  ApplyContract(
      {.visible_width_px = 1920, .visible_height_px = 1080, .frame_rate_hz = 60, .level_idc = 42},
      sps);
  return sps;
}

TEST(H264Headers, SpsIsWrittenByteByByte) {
  EXPECT_EQ(WriteSps(FullHd()),
            (Bytes{0x67, 0x42, 0xc0, 0x2a, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x97,
                   0x01, 0x6a, 0x02, 0x02, 0x03, 0x4a, 0x00, 0x00, 0x03, 0x00,
                   0x02, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x1e, 0x10, 0x08, 0x54}));
}

TEST(H264Headers, PpsIsWrittenByteByByte) {
  // ue 0, ue 0, cavlc, no bottom poc, one group, one reference each, no weights, se -3, se 0, se 0,
  // deblocking control.
  EXPECT_EQ(WritePps({.initial_qp = 23, .high = std::nullopt}), (Bytes{0x68, 0xce, 0x0f, 0xc8}));
}

TEST(H264Headers, DelimiterTellsKeyFrames) {
  EXPECT_EQ(WriteAccessUnitDelimiter(true), (Bytes{0x09, 0x10}));
  EXPECT_EQ(WriteAccessUnitDelimiter(false), (Bytes{0x09, 0x30}));
}

TEST(H264Headers, SpsSurvivesTheRoundTrip) {
  const SequenceParameterSet plain = FullHd();
  SequenceParameterSet high = plain;
  high.profile_idc = 100;
  high.constraint_flags = 0x0c;
  high.poc_type = 0;
  high.log2_poc_lsb_max = 9;
  high.log2_frame_num_max = 16;
  high.reference_frames = 4;
  high.id = 3;
  high.frame_num_gaps = true;
  SequenceParameterSet bare = plain;
  bare.vui.reset();
  bare.crop_bottom_pairs = 0;
  SequenceParameterSet sparse = plain;
  sparse.vui = Vui{.square_pixels = false,
                   .video_signal = std::nullopt,
                   .chroma_location = std::nullopt,
                   .timing = std::nullopt,
                   .picture_structure = true,
                   .restriction = std::nullopt};
  for (const SequenceParameterSet& sps : {plain, high, bare, sparse}) {
    const auto parsed = ParseSps(WriteSps(sps));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, sps);
  }
}

TEST(H264Headers, PpsSurvivesTheRoundTrip) {
  const PictureParameterSet plain;
  const PictureParameterSet high{.id = 2,
                                 .sps_id = 3,
                                 .cabac = true,
                                 .reference_l0_active = 2,
                                 .initial_qp = 12,
                                 .chroma_qp_offset = -2,
                                 .constrained_intra = true,
                                 .high = PictureParameterSet::High{.second_chroma_qp_offset = -2}};
  for (const PictureParameterSet& pps : {plain, high}) {
    const auto parsed = ParsePps(WritePps(pps));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, pps);
  }
}

TEST(H264Headers, EveryCutOfAnSpsIsRefused) {
  const Bytes nal = WriteSps(FullHd());
  // The last byte holds nothing but the end of the last number and the stop bit.
  for (size_t size = 0; size + 1 < nal.size(); ++size) {
    EXPECT_FALSE(ParseSps(std::span(nal).first(size)).ok()) << size;
  }
}

TEST(H264Headers, RandomBytesNeverCrashTheParsers) {
  testing::Random random(1);
  for (int round = 0; round < 20000; ++round) {
    Bytes nal = {static_cast<uint8_t>(round % 2 == 0 ? 0x67 : 0x68)};
    const uint32_t size = random.Below(60);
    for (uint32_t i = 0; i < size; ++i) nal.push_back(static_cast<uint8_t>(random.Next() >> 7));
    if (size > 0 && round % 4 == 0) nal[1] = 66;
    const auto sps = ParseSps(nal);
    if (sps.ok()) {
      const auto again = ParseSps(WriteSps(*sps));
      ASSERT_TRUE(again.ok()) << again.status();
    }
    ParsePps(nal).status().IgnoreError();
  }
}

TEST(H264Headers, ContractReplacesWhatTheLibrarySaid) {
  SequenceParameterSet sps{
      .level_idc = 10, .frame_num_gaps = true, .width_mbs = 41, .height_mbs = 30};
  sps.vui->video_signal->matrix = 6;
  sps.vui->restriction->reorder_frames = 2;
  ApplyContract(
      {.visible_width_px = 641, .visible_height_px = 479, .frame_rate_hz = 30, .level_idc = 31},
      sps);
  EXPECT_EQ(sps.level_idc, 31);
  EXPECT_FALSE(sps.frame_num_gaps);
  // 656 - 641 = 15 columns too many, of which whole pairs can go; likewise one line.
  EXPECT_EQ(sps.crop_right_pairs, 7u);
  EXPECT_EQ(sps.crop_bottom_pairs, 0u);
  EXPECT_EQ(sps.vui->video_signal, VideoSignal{});
  EXPECT_EQ(sps.vui->restriction->reorder_frames, 0u);
  EXPECT_EQ(sps.vui->timing->time_scale, 60u);
}

TEST(H264Headers, CodecStringIsProfileFlagsLevel) {
  EXPECT_EQ(CodecString(FullHd()), "avc1.42C02A");
  EXPECT_EQ(CodecString({.profile_idc = 100, .constraint_flags = 0, .level_idc = 31}),
            "avc1.64001F");
}

TEST(H264Headers, LevelFollowsSizeAndRate) {
  const auto level = [](uint32_t width_px, uint32_t height_px, uint32_t rate_hz) {
    return int{LevelFor({(width_px + 15) / 16, (height_px + 15) / 16, rate_hz})};
  };
  EXPECT_EQ(level(176, 144, 15), 10);
  EXPECT_EQ(level(640, 480, 30), 30);
  EXPECT_EQ(level(1280, 720, 30), 31);
  EXPECT_EQ(level(1280, 720, 60), 32);
  EXPECT_EQ(level(1920, 1080, 30), 40);
  EXPECT_EQ(level(1920, 1080, 60), 42);
  EXPECT_EQ(level(3840, 2160, 60), 52);
  EXPECT_EQ(level(7680, 4320, 60), 61);
  EXPECT_EQ(level(7680, 4320, 240), 62);
  // Few macroblocks, but a side longer than lower levels allow.
  EXPECT_EQ(level(2048, 16, 30), 31);
}

}  // namespace
}  // namespace planecast
