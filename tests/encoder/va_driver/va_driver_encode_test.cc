// What the driver refuses of a picture to encode: each a mistake that GPUs answer with a broken
// stream.
#include <gtest/gtest.h>

#include <functional>

#include "tests/encoder/va/va_testing.h"
#include "tests/encoder/va_driver/va_client.h"

namespace planecast::testing {
namespace {

constexpr uint32_t kSeqPicSlice =
    VA_ENC_PACKED_HEADER_SEQUENCE | VA_ENC_PACKED_HEADER_PICTURE | VA_ENC_PACKED_HEADER_SLICE;

struct Refusal {
  std::string why;
  std::function<void(EncodeClient&, EncodeInput&)> spoil;
  EncodeClient::Options options;
};

void ExpectRefused(const Refusal& refusal, bool inter) {
  SCOPED_TRACE(refusal.why);
  EncodeClient client(refusal.options);
  EncodeInput input = client.Idr();
  if (inter) {
    EncodeInput first = input;
    if (refusal.options.packed_headers != 0) client.Pack(first);
    ASSERT_EQ(client.Encode(first), VA_STATUS_SUCCESS) << SwLastRejection();
    input = client.Inter();
  }
  if (refusal.options.packed_headers != 0) client.Pack(input);
  refusal.spoil(client, input);
  EXPECT_NE(client.Encode(input), VA_STATUS_SUCCESS);
  EXPECT_EQ(SwLastRejection(), refusal.why);
}

TEST(VaDriverEncode, TakesWhatTheRefusalsSpoil) {
  for (const uint32_t packed : {0u, kSeqPicSlice}) {
    for (const VAProfile profile : {VAProfileH264Main, VAProfileH264High}) {
      EncodeClient client({.profile = profile, .packed_headers = packed});
      for (const bool inter : {false, true}) {
        EncodeInput input = inter ? client.Inter() : client.Idr();
        if (packed != 0) client.Pack(input);
        ASSERT_EQ(client.Encode(input), VA_STATUS_SUCCESS) << SwLastRejection();
        std::vector<uint8_t> bytes;
        uint32_t status = 0;
        ASSERT_EQ(client.Take(&bytes, &status), VA_STATUS_SUCCESS);
        EXPECT_EQ(status & ~VA_CODED_BUF_STATUS_PICTURE_AVE_QP_MASK, 0u);
        ASSERT_GT(bytes.size(), 5u);
        EXPECT_EQ(bytes[4] & 0x1f, inter ? 1 : 7);
      }
    }
  }
}

TEST(VaDriverEncode, RefusesParametersThatContradict) {
  const Refusal refusals[] = {
      {"no sequence parameters", [](auto&, auto& in) { in.with_sequence = false; }, {}},
      {"no picture parameters", [](auto&, auto& in) { in.with_picture = false; }, {}},
      {"no slice parameters", [](auto&, auto& in) { in.slices.clear(); }, {}},
      {"too many slices",
       [](auto&, auto& in) { in.slices.resize(2, in.slices[0]); },
       {.persona = "minimal"}},
      {"sequence size and context size differ",
       [](auto&, auto& in) { in.sequence.picture_width_in_mbs = 5; },
       {}},
      {"only progressive 4:2:0",
       [](auto&, auto& in) { in.sequence.seq_fields.bits.frame_mbs_only_flag = 0; },
       {}},
      {"only progressive 4:2:0",
       [](auto&, auto& in) { in.sequence.seq_fields.bits.chroma_format_idc = 3; },
       {}},
      {"ip_period asks for B pictures", [](auto&, auto& in) { in.sequence.ip_period = 2; }, {}},
      {"intra_idr_period 0: drivers put in their own",
       [](auto&, auto& in) { in.sequence.intra_idr_period = 0; },
       {}},
      {"the input is no NV12 surface of the coded size",
       [](auto& client, auto& in) { in.target = client.Surface(VA_FOURCC_BGRX, 64, 48); },
       {}},
      {"the input is no NV12 surface of the coded size",
       [](auto& client, auto& in) { in.target = client.Surface(VA_FOURCC_NV12, 64, 32); },
       {}},
      {"CurrPic is no surface",
       [](auto&, auto& in) { in.picture.CurrPic.picture_id = 0x7fff; },
       {}},
      {"CurrPic is no NV12 surface of the coded size",
       [](auto& client, auto& in) {
         in.picture.CurrPic.picture_id = client.Surface(VA_FOURCC_NV12, 48, 48);
       },
       {}},
      {"input and reconstruction are one surface",
       [](auto&, auto& in) { in.picture.CurrPic.picture_id = in.target; },
       {}},
      {"coded_buf is no coded buffer", [](auto&, auto& in) { in.picture.coded_buf = 0x7fff; }, {}},
      {"a ReferenceFrames entry is neither invalid nor a reconstructed picture",
       [](auto&, auto& in) { in.picture.ReferenceFrames[3].picture_id = 0; },
       {}},
      {"weighted prediction, redundant pictures or scaling matrices",
       [](auto&, auto& in) { in.picture.pic_fields.bits.weighted_pred_flag = 1; },
       {}},
      {"weighted prediction, redundant pictures or scaling matrices",
       [](auto&, auto& in) { in.picture.pic_fields.bits.redundant_pic_cnt_present_flag = 1; },
       {}},
      {"weighted prediction, redundant pictures or scaling matrices",
       [](auto&, auto& in) { in.picture.pic_fields.bits.pic_scaling_matrix_present_flag = 1; },
       {}},
      {"transform_8x8_mode_flag gives undecodable streams here",
       [](auto&, auto& in) { in.picture.pic_fields.bits.transform_8x8_mode_flag = 1; },
       {}},
      {"transform_8x8_mode_flag gives undecodable streams here",
       [](auto&, auto& in) { in.picture.pic_fields.bits.transform_8x8_mode_flag = 1; },
       {.persona = "radeonsi-old", .profile = VAProfileH264High}},
      {"CABAC in Baseline",
       [](auto&, auto& in) { in.picture.pic_fields.bits.entropy_coding_mode_flag = 1; },
       {.profile = VAProfileH264ConstrainedBaseline}},
      {"pic_init_qp", [](auto&, auto& in) { in.picture.pic_init_qp = 52; }, {}},
      {"an IDR with frame_num other than 0", [](auto&, auto& in) { in.picture.frame_num = 1; }, {}},
      {"the first picture is no IDR",
       [](auto&, auto& in) { in.picture.pic_fields.bits.idr_pic_flag = 0; },
       {}},
      {"slices leave a gap or overlap",
       [](auto&, auto& in) { in.slices[0].macroblock_address = 1; },
       {}},
      {"slices don't cover the picture",
       [](auto&, auto& in) { in.slices[0].num_macroblocks = 11; },
       {}},
      {"slice_type", [](auto&, auto& in) { in.slices[0].slice_type = 1; }, {}},
      {"an IDR with P slices", [](auto&, auto& in) { in.slices[0].slice_type = 0; }, {}},
      {"slice quantiser out of range",
       [](auto&, auto& in) { in.slices[0].slice_qp_delta = 26; },
       {}},
      {"slice quantiser out of range",
       [](auto&, auto& in) { in.slices[0].slice_qp_delta = -27; },
       {}},
      {"cabac_init_idc or disable_deblocking_filter_idc",
       [](auto&, auto& in) { in.slices[0].cabac_init_idc = 3; },
       {}},
      {"cabac_init_idc or disable_deblocking_filter_idc",
       [](auto&, auto& in) { in.slices[0].disable_deblocking_filter_idc = 3; },
       {}},
  };
  for (const Refusal& refusal : refusals) ExpectRefused(refusal, false);
}

TEST(VaDriverEncode, RefusesWrongReferences) {
  const Refusal refusals[] = {
      {"frame_num jumps", [](auto&, auto& in) { in.picture.frame_num = 2; }, {}},
      {"slices of several types",
       [](auto&, auto& in) {
         in.slices.resize(2, in.slices[0]);
         in.slices[0].num_macroblocks = in.slices[1].num_macroblocks = 6;
         in.slices[1].macroblock_address = 6;
         in.slices[1].slice_type = 2;
       },
       {}},
      {"more references than offered",
       [](auto&, auto& in) { in.picture.num_ref_idx_l0_active_minus1 = 8; },
       {}},
      {"more references than offered",
       [](auto&, auto& in) {
         in.slices[0].num_ref_idx_active_override_flag = 1;
         in.slices[0].num_ref_idx_l0_active_minus1 = 1;
       },
       {.persona = "radeonsi-old"}},
      {"RefPicList0[0] is no reconstructed picture",
       [](auto& client, auto& in) { in.slices[0].RefPicList0[0].picture_id = client.input(); },
       {}},
      {"a picture refers to itself",
       [](auto& client, auto& in) { in.picture.CurrPic.picture_id = client.reconstruction(0); },
       {}},
      {"RefPicList0 has an entry beyond its end",
       [](auto&, auto& in) { in.slices[0].RefPicList0[1] = in.slices[0].RefPicList0[0]; },
       {}},
      {"two IDRs in a row with one idr_pic_id",
       [](auto& client, auto& in) { in = client.Idr(); },
       {}},
  };
  for (const Refusal& refusal : refusals) ExpectRefused(refusal, true);
}

TEST(VaDriverEncode, TakesOneIdrNumberTwiceWhenAPictureLiesBetween) {
  EncodeClient client({});
  for (const EncodeInput& input : {client.Idr(), client.Inter(), client.Idr()}) {
    EXPECT_EQ(client.Encode(input), VA_STATUS_SUCCESS) << SwLastRejection();
  }
}

TEST(VaDriverEncode, TakesAReferenceOnlyFromItsOwnContext) {
  EncodeClient client({});
  ASSERT_EQ(client.Encode(client.Idr()), VA_STATUS_SUCCESS);
  EncodeInput input = client.Idr();
  input.slices[0].idr_pic_id = 1;
  input.picture.ReferenceFrames[0].picture_id = client.input();
  EXPECT_NE(client.Encode(input), VA_STATUS_SUCCESS);
  EXPECT_EQ(SwLastRejection(),
            "a ReferenceFrames entry is neither invalid nor a reconstructed picture");
}

TEST(VaDriverEncode, RefusesMiscParametersThatDriversChokeOn) {
  VAEncMiscParameterRateControl rate{};
  rate.bits_per_second = 1'000'000;
  VAEncMiscParameterHRD hrd{};
  VAEncMiscParameterFrameRate frames{};
  VAEncMiscParameterBufferROI regions{};
  regions.num_roi = 9;
  const Refusal refusals[] = {
      {"HRD buffer of no size",
       [&](auto&, auto& in) { in.misc.push_back(Misc(VAEncMiscParameterTypeHRD, hrd)); },
       {.persona = "radeonsi-old"}},
      {"frame rate 0",
       [&](auto&, auto& in) { in.misc.push_back(Misc(VAEncMiscParameterTypeFrameRate, frames)); },
       {}},
      {"too many regions",
       [&](auto&, auto& in) { in.misc.push_back(Misc(VAEncMiscParameterTypeROI, regions)); },
       {}},
      {"VBR with a target of 0 %",
       [&](auto&, auto& in) { in.misc.push_back(Misc(VAEncMiscParameterTypeRateControl, rate)); },
       {.rate_control = VA_RC_VBR}},
      {"rate control without a rate", [](auto&, auto&) {}, {.rate_control = VA_RC_CBR}},
  };
  for (const Refusal& refusal : refusals) ExpectRefused(refusal, false);
}

TEST(VaDriverEncode, RefusesPackedHeadersThatAreIncomplete) {
  const EncodeClient::Options packed{.packed_headers = kSeqPicSlice};
  const auto drop = [](size_t index) {
    return [index](auto&, auto& in) {
      in.packed.erase(in.packed.begin() + static_cast<std::ptrdiff_t>(index));
    };
  };
  const Refusal refusals[] = {
      {"an IDR without its packed SPS", drop(0), packed},
      {"an IDR without its packed PPS", drop(1), packed},
      {"a packed slice header is missing", drop(2), packed},
      {"a packed header that the config did not ask for",
       [](auto& client, auto& in) { client.Pack(in); },
       {}},
      {"without packed slice headers this driver gives a broken stream",
       [](auto&, auto&) {},
       {.persona = "radeonsi"}},
      {"packed data without its parameters",
       [](auto&, auto& in) { in.packed[0].with_parameters = false; }, packed},
      {"packed header without data", [](auto&, auto& in) { in.packed[2].with_data = false; },
       packed},
      {"bit_length is beyond the buffer", [](auto&, auto& in) { in.packed[0].bit_length += 64; },
       packed},
      {"packed header without a start code", [](auto&, auto& in) { in.packed[0].bytes[3] = 2; },
       packed},
      {"packed slice header: syntax", [](auto&, auto& in) { in.packed[2].bit_length -= 1; },
       packed},
      {"packed slice header: syntax", [](auto&, auto& in) { in.packed[2].bytes[4] = 0x66; },
       packed},
      {"bits after the packed slice header",
       [](auto&, auto& in) {
         in.packed[2].bytes.push_back(0);
         in.packed[2].bytes.push_back(0);
         in.packed[2].bit_length += 9;
       },
       packed},
      {"packed parameter set and parameters differ in syntax",
       [](auto&, auto& in) { in.packed[0].bit_length = 48; }, packed},
  };
  for (const Refusal& refusal : refusals) ExpectRefused(refusal, false);
}

/// The parameters are changed after the headers were packed.
TEST(VaDriverEncode, RefusesParameterSetsThatDifferFromParameters) {
  struct Difference {
    std::string field;
    std::function<void(EncodeInput&)> change;
    VAProfile profile = VAProfileH264Main;
  };
  const Difference differences[] = {
      {"level_idc", [](auto& in) { in.sequence.level_idc = 31; }},
      {"seq_parameter_set_id", [](auto& in) { in.sequence.seq_parameter_set_id = 1; }},
      {"log2_max_frame_num",
       [](auto& in) { in.sequence.seq_fields.bits.log2_max_frame_num_minus4 = 5; }},
      {"pic_order_cnt_type", [](auto& in) { in.sequence.seq_fields.bits.pic_order_cnt_type = 2; }},
      {"log2_max_poc_lsb",
       [](auto& in) { in.sequence.seq_fields.bits.log2_max_pic_order_cnt_lsb_minus4 = 5; }},
      {"max_num_ref_frames", [](auto& in) { in.sequence.max_num_ref_frames = 2; }},
      {"cropping",
       [](auto& in) {
         in.sequence.frame_cropping_flag = 1;
         in.sequence.frame_crop_bottom_offset = 1;
       }},
      {"parameter set ids", [](auto& in) { in.picture.pic_parameter_set_id = 1; }},
      {"entropy_coding_mode_flag",
       [](auto& in) { in.picture.pic_fields.bits.entropy_coding_mode_flag = 0; }},
      {"num_ref_idx_l0_default_active",
       [](auto& in) { in.picture.num_ref_idx_l0_active_minus1 = 1; }},
      {"pic_init_qp", [](auto& in) { in.picture.pic_init_qp = 27; }},
      {"chroma_qp_index_offset", [](auto& in) { in.picture.chroma_qp_index_offset = 1; }},
      {"second_chroma_qp_index_offset",
       [](auto& in) { in.picture.second_chroma_qp_index_offset = 1; }, VAProfileH264High},
      {"deblocking_filter_control_present_flag",
       [](auto& in) { in.picture.pic_fields.bits.deblocking_filter_control_present_flag = 0; }},
      {"constrained_intra_pred_flag",
       [](auto& in) { in.picture.pic_fields.bits.constrained_intra_pred_flag = 1; }},
      {"transform_8x8_mode_flag",
       [](auto& in) { in.picture.pic_fields.bits.transform_8x8_mode_flag = 1; }, VAProfileH264High},
  };
  for (const Difference& difference : differences) {
    ExpectRefused({"packed parameter set and parameters differ in " + difference.field,
                   [&](auto&, auto& in) { difference.change(in); },
                   {.profile = difference.profile, .packed_headers = kSeqPicSlice}},
                  false);
  }
  // The picture gets smaller than its surfaces and context, which alone would be right.
  ExpectRefused({"packed parameter set and parameters differ in picture size",
                 [](auto&, auto& in) {
                   in.sequence.picture_height_in_mbs = 2;
                   in.slices[0].num_macroblocks = 8;
                 },
                 {.packed_headers = kSeqPicSlice}},
                false);
}

TEST(VaDriverEncode, RefusesSliceHeadersThatDifferFromParameters) {
  struct Difference {
    std::string field;
    std::function<void(EncodeInput&)> change;
    bool inter = true;
  };
  const Difference differences[] = {
      {"nal_ref_idc", [](auto& in) { in.picture.pic_fields.bits.reference_pic_flag = 0; }},
      {"slice_type", [](auto& in) { in.slices[0].slice_type = 2; }},
      {"pic_parameter_set_id", [](auto& in) { in.slices[0].pic_parameter_set_id = 1; }},
      {"frame_num", [](auto& in) { in.picture.frame_num = 0; }},
      {"idr_pic_id", [](auto& in) { in.slices[0].idr_pic_id = 1; }, false},
      {"pic_order_cnt_lsb", [](auto& in) { in.picture.CurrPic.TopFieldOrderCnt = 4; }},
      {"num_ref_idx_l0_active",
       [](auto& in) {
         in.slices[0].num_ref_idx_active_override_flag = 1;
         in.slices[0].num_ref_idx_l0_active_minus1 = 1;
       }},
      {"cabac_init_idc", [](auto& in) { in.slices[0].cabac_init_idc = 1; }},
      {"slice_qp_delta", [](auto& in) { in.slices[0].slice_qp_delta = 1; }},
      {"disable_deblocking_filter_idc",
       [](auto& in) { in.slices[0].disable_deblocking_filter_idc = 2; }},
      {"deblocking offsets", [](auto& in) { in.slices[0].slice_alpha_c0_offset_div2 = 1; }},
      {"deblocking offsets", [](auto& in) { in.slices[0].slice_beta_offset_div2 = -1; }},
  };
  for (const Difference& difference : differences) {
    ExpectRefused({"packed slice header and parameters differ in " + difference.field,
                   [&](auto&, auto& in) { difference.change(in); },
                   {.packed_headers = kSeqPicSlice}},
                  difference.inter);
  }
  ExpectRefused({"packed slice header and parameters differ in nal_unit_type",
                 [](auto& client, auto& in) {
                   in = client.Idr();
                   in.slices[0].idr_pic_id = 1;
                   client.Pack(in);
                   in.picture.pic_fields.bits.idr_pic_flag = 0;
                 },
                 {.packed_headers = kSeqPicSlice}},
                true);
  ExpectRefused({"packed slice header and parameters differ in first_mb_in_slice",
                 [](auto&, auto& in) {
                   in.slices.resize(2, in.slices[0]);
                   in.slices[0].num_macroblocks = in.slices[1].num_macroblocks = 6;
                   in.slices[1].macroblock_address = 6;
                   in.packed.push_back(in.packed.back());
                 },
                 {.packed_headers = kSeqPicSlice}},
                false);
}

TEST(VaDriverEncode, RefusesSeveralNalUnitsForOneSlice) {
  // Only packed headers with emulation prevention are searched for further start codes, so that the
  // buffers are made here.
  EncodeClient client({.packed_headers = kSeqPicSlice});
  EncodeInput input = client.Idr();
  client.Pack(input);
  VAEncPackedHeaderParameterBuffer parameters{};
  parameters.type = VAEncPackedHeaderSlice;
  parameters.has_emulation_bytes = 1;
  std::vector<uint8_t> bytes = input.packed[2].bytes;
  bytes.insert(bytes.end(), {0, 0, 0, 1, 0x65, 0xff});
  parameters.bit_length = static_cast<uint32_t>(bytes.size()) * 8;
  VABufferID buffers[] = {client.Buffer(client.context(), VAEncSequenceParameterBufferType,
                                        sizeof(input.sequence), &input.sequence),
                          client.Buffer(client.context(), VAEncPictureParameterBufferType,
                                        sizeof(input.picture), &input.picture),
                          client.Buffer(client.context(), VAEncPackedHeaderParameterBufferType,
                                        sizeof(parameters), &parameters),
                          client.Buffer(client.context(), VAEncPackedHeaderDataBufferType,
                                        static_cast<uint32_t>(bytes.size()), bytes.data()),
                          client.Buffer(client.context(), VAEncSliceParameterBufferType,
                                        sizeof(input.slices[0]), input.slices.data())};
  ASSERT_EQ(vaBeginPicture(client.display(), client.context(), input.target), VA_STATUS_SUCCESS);
  ASSERT_EQ(vaRenderPicture(client.display(), client.context(), buffers, 5), VA_STATUS_SUCCESS);
  EXPECT_NE(vaEndPicture(client.display(), client.context()), VA_STATUS_SUCCESS);
  EXPECT_EQ(SwLastRejection(), "several NAL units for one slice");
}

}  // namespace
}  // namespace planecast::testing
