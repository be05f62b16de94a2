// Pure parts of the VA encoder: headers and parameters that agree, policies, and pictures that show
// nothing new.
#include "encoder/va/va_params.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "encoder/h264/h264_bits.h"
#include "encoder/h264/h264_slice_header.h"
#include "encoder/screen/skip_detect.h"
#include "encoder/va/va_policy.h"

namespace planecast {
namespace {

VaStream Stream(H264Profile profile = H264Profile::kConstrainedBaseline) {
  return MakeVaStream(
      {.visible_width_px = 1920, .visible_height_px = 1080, .frame_rate_hz = 60, .level_idc = 42},
      profile, false);
}

TEST(SliceHeader, IdrIsByteExact) {
  const VaStream stream = Stream();
  const PartialNal nal =
      WriteSliceHeader({.idr = true, .idr_pic_id = 1, .quantizer = 28}, stream.sps, stream.pps);
  // first_mb 1, slice_type 0001000, pps 1, frame_num 16 zeros, idr_pic_id 010, poc 16 zeros,
  // marking 00, qp_delta +2 00100, deblocking 1 1 1: 54 bits.
  EXPECT_EQ(nal.bytes, (std::vector<uint8_t>{0x65, 0x88, 0x80, 0x00, 0x20, 0x00, 0x00, 0x9c}));
  EXPECT_EQ(nal.unused_bits, 2);
}

TEST(SliceHeader, PictureIsReadBackAsWritten) {
  const VaStream stream = Stream(H264Profile::kHigh);
  const PartialNal nal =
      WriteSliceHeader({.frame_num = 65535, .poc = 131070, .cabac_init_idc = 2, .quantizer = 51},
                       stream.sps, stream.pps);
  const std::vector<uint8_t> rbsp = NalPayload(nal.bytes);
  BitReader in(rbsp);
  EXPECT_EQ(in.Ue(), 0u);
  EXPECT_EQ(in.Ue(), 5u);
  EXPECT_EQ(in.Ue(), 0u);
  EXPECT_EQ(in.Bits(16), 65535u);
  EXPECT_EQ(in.Bits(16), 131070u & 0xffff);
  EXPECT_EQ(in.Bits(3), 0u);
  EXPECT_EQ(in.Ue(), 2u);
  EXPECT_EQ(in.Se(), 25);
  EXPECT_EQ(in.Ue(), 0u);
  EXPECT_EQ(in.Se(), 0);
  EXPECT_EQ(in.Se(), 0);
  EXPECT_EQ(nal.unused_bits, static_cast<int>(rbsp.size() * 8) - 59);
}

TEST(VaParams, HeadersAndParametersSayTheSame) {
  const VaStream stream = Stream();
  const VaPicture picture{
      .number = 70000, .quantizer = 31, .reconstruction = 5, .reference = 6, .coded = 7};
  const auto params = MakePictureParams(stream, picture);
  EXPECT_EQ(params.frame_num, 70000 % 65536);
  EXPECT_EQ(params.CurrPic.picture_id, 5u);
  EXPECT_EQ(params.CurrPic.TopFieldOrderCnt, 140000);
  EXPECT_EQ(params.ReferenceFrames[0].picture_id, 6u);
  EXPECT_EQ(params.ReferenceFrames[0].frame_idx, 69999u % 65536);
  for (size_t i = 1; i < 16; ++i) {
    EXPECT_EQ(params.ReferenceFrames[i].picture_id, VA_INVALID_SURFACE);
    EXPECT_EQ(params.ReferenceFrames[i].flags, uint32_t{VA_PICTURE_H264_INVALID});
  }
  EXPECT_EQ(params.coded_buf, 7u);
  const auto slice = MakeSliceParams(stream, picture);
  EXPECT_EQ(slice.slice_type, 0);
  EXPECT_EQ(slice.slice_qp_delta, 5);
  EXPECT_EQ(slice.num_macroblocks, 120u * 68);
  EXPECT_EQ(slice.RefPicList0[0].picture_id, 6u);
  EXPECT_EQ(slice.RefPicList0[1].picture_id, VA_INVALID_SURFACE);
  EXPECT_EQ(slice.RefPicList1[0].picture_id, VA_INVALID_SURFACE);
  const auto headers = MakePackedHeaders(stream, picture);
  ASSERT_EQ(headers.size(), 1u);
  EXPECT_EQ(headers[0].type, uint32_t{VAEncPackedHeaderSlice});
}

TEST(VaParams, AnIdrCarriesItsParameterSetsOneByOne) {
  const VaStream stream = Stream();
  const auto headers = MakePackedHeaders(stream, {.idr = true});
  ASSERT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers[0].type, uint32_t{VAEncPackedHeaderSequence});
  EXPECT_EQ(headers[1].type, uint32_t{VAEncPackedHeaderPicture});
  for (const VaPackedHeader& header : headers) {
    EXPECT_EQ(SplitAnnexB(header.bytes).size(), 1u);
    EXPECT_LE(header.size_bits, header.bytes.size() * 8);
    EXPECT_GT(header.size_bits, header.bytes.size() * 8 - 8);
  }
  const auto sequence = MakeSequenceParams(stream, 8'000'000);
  EXPECT_EQ(sequence.ip_period, 1u);
  EXPECT_NE(sequence.intra_idr_period, 0u);
  EXPECT_EQ(sequence.frame_crop_bottom_offset, 4u);
  EXPECT_EQ(stream.sps.vui->restriction->reorder_frames, 0u);
  EXPECT_EQ(stream.sps.vui->restriction->buffered_frames, 1u);
}

TEST(VaParams, RateControlIsACapWithoutStuffing) {
  const auto rate = MakeRateControl({.quantizer = 23, .bitrate_max_bps = 5'000'000}, 30);
  EXPECT_EQ(rate.value.bits_per_second, 5'000'000u);
  EXPECT_EQ(rate.value.target_percentage, 100u);
  EXPECT_EQ(rate.value.rc_flags.bits.disable_bit_stuffing, 1u);
  EXPECT_EQ(rate.value.rc_flags.bits.disable_frame_skip, 1u);
  EXPECT_EQ(rate.value.min_qp, 23u);
  EXPECT_EQ(rate.value.initial_qp, 30u);
  const auto intel = MakeHrd({.bitrate_max_bps = 6'000'000}, PolicyFor("Intel iHD driver"), 60);
  EXPECT_EQ(intel.value.buffer_size, 200'000u);
  const auto amd = MakeHrd({.bitrate_max_bps = 6'000'000}, PolicyFor("Mesa Gallium driver"), 60);
  EXPECT_EQ(amd.value.buffer_size, 6'000'000u);
}

TEST(VaPolicy, KnowsVendorsAndHasOneForAll) {
  EXPECT_EQ(PolicyFor("Intel iHD driver for Intel(R) Gen Graphics - 23.1").rate_control,
            uint32_t{VA_RC_VBR});
  EXPECT_EQ(PolicyFor("Mesa Gallium driver 25.0 for AMD").rate_control, uint32_t{VA_RC_CBR});
  EXPECT_FALSE(PolicyFor("Mesa Gallium driver 25.0 for AMD").transform_8x8);
  EXPECT_EQ(PolicyFor("something new").rate_control, uint32_t{VA_RC_CQP});
}

TEST(VaPolicy, PackedHeadersAreTakenTogetherOrNotAtAll) {
  constexpr uint32_t kNeeded =
      VA_ENC_PACKED_HEADER_SEQUENCE | VA_ENC_PACKED_HEADER_PICTURE | VA_ENC_PACKED_HEADER_SLICE;
  EXPECT_EQ(PackedHeadersToUse(0x1f), kNeeded);
  EXPECT_EQ(PackedHeadersToUse(VA_ENC_PACKED_HEADER_SEQUENCE), 0u);
  EXPECT_EQ(PackedHeadersToUse(0), 0u);
}

TEST(VaPolicy, TheLadderGoesFromLowPowerToCqp) {
  const VaEncodeCaps low{.profile = VAProfileH264High,
                         .entrypoint = VAEntrypointEncSliceLP,
                         .rate_controls = VA_RC_CQP | VA_RC_VBR};
  VaEncodeCaps full = low;
  full.entrypoint = VAEntrypointEncSlice;
  const auto ladder = MakeLadder({full, low}, VAProfileH264High, PolicyFor("Intel iHD"));
  ASSERT_EQ(ladder.size(), 4u);
  EXPECT_EQ(ladder[0].caps.entrypoint, VAEntrypointEncSliceLP);
  EXPECT_EQ(ladder[0].rate_control, uint32_t{VA_RC_VBR});
  EXPECT_EQ(ladder[1].caps.entrypoint, VAEntrypointEncSlice);
  EXPECT_EQ(ladder[2].caps.entrypoint, VAEntrypointEncSliceLP);
  EXPECT_EQ(ladder[2].rate_control, uint32_t{VA_RC_CQP});
  EXPECT_TRUE(MakeLadder({full, low}, VAProfileH264Main, PolicyFor("Intel iHD")).empty());
}

/// A P picture of one slice with this run of skipped macroblocks and then these bits.
std::vector<uint8_t> SkipRun(const VaStream& stream, uint32_t run, bool another_mb) {
  const PartialNal header =
      WriteSliceHeader({.frame_num = 3, .poc = 6, .quantizer = 26}, stream.sps, stream.pps);
  const std::vector<uint8_t> rbsp = NalPayload(header.bytes);
  BitReader in(rbsp);
  BitWriter out;
  for (size_t i = 0; i < rbsp.size() * 8 - static_cast<size_t>(header.unused_bits); ++i) {
    out.Bits(in.Bits(1), 1);
  }
  out.Ue(run);
  if (another_mb) {
    for (const int value : {0, 0, 0}) out.Ue(static_cast<uint32_t>(value));
  }
  std::vector<uint8_t> unit;
  AppendAnnexB(MakeNal(NalType::kSlice, 3, out.Finish()), unit);
  return unit;
}

TEST(SkipDetect, FindsAPictureOfSkippedMacroblocksOnly) {
  const VaStream stream = Stream();
  EXPECT_TRUE(ShowsNothingNew(SkipRun(stream, 120 * 68, false), stream.sps, stream.pps));
}

TEST(SkipDetect, AnythingElseShowsSomething) {
  const VaStream stream = Stream();
  EXPECT_FALSE(ShowsNothingNew(SkipRun(stream, 120 * 68 - 1, true), stream.sps, stream.pps));
  EXPECT_FALSE(ShowsNothingNew(SkipRun(stream, 120 * 68 - 1, false), stream.sps, stream.pps));
  EXPECT_FALSE(ShowsNothingNew({}, stream.sps, stream.pps));
  // The same bits in a CABAC stream mean something else.
  const VaStream cabac = Stream(H264Profile::kHigh);
  EXPECT_FALSE(ShowsNothingNew(SkipRun(stream, 120 * 68, false), cabac.sps, cabac.pps));
  std::vector<uint8_t> two = SkipRun(stream, 120 * 68, false);
  const std::vector<uint8_t> again = two;
  two.insert(two.end(), again.begin(), again.end());
  EXPECT_FALSE(ShowsNothingNew(two, stream.sps, stream.pps));
}

}  // namespace
}  // namespace planecast
