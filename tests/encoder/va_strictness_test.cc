// The software driver refuses what real drivers refuse, and more: what it takes can be trusted. And
// it reads Intel's tilings where they lie.
#include <drm_fourcc.h>
#include <gtest/gtest.h>
#include <va/va.h>

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "encoder/va_display.h"
#include "encoder/va_params.h"
#include "tests/encoder/va_testing.h"
#include "tests/h264/stream_check.h"

namespace planecast {
namespace {

using testing::SwDriver;

constexpr uint32_t kSizePx = 64;

/// Everything that goes into one picture.
struct Parts {
  VAEncSequenceParameterBufferH264 sequence;
  VAEncPictureParameterBufferH264 picture;
  VAEncSliceParameterBufferH264 slice;
  std::vector<VaPackedHeader> headers;
  VASurfaceID input;
};

/// Submits an IDR after something was done to its parts. Empty if the driver took it, else why not.
std::string Submit(const std::function<void(Parts&)>& tamper) {
  auto opened = VaDisplay::Open(testing::kSwRenderNode);
  if (!opened.ok()) return std::string(opened.status().message());
  const VaDisplay& display = **opened;
  const VaStream stream = MakeVaStream({.visible_width_px = kSizePx,
                                        .visible_height_px = kSizePx,
                                        .frame_rate_hz = 60,
                                        .level_idc = 10},
                                       H264Profile::kConstrainedBaseline, false);
  VAConfigAttrib attributes[] = {{VAConfigAttribRateControl, VA_RC_CQP},
                                 {VAConfigAttribEncPackedHeaders, PackedHeadersToUse(0x1f)}};
  VAConfigID config = VA_INVALID_ID;
  VAContextID context = VA_INVALID_ID;
  EXPECT_EQ(vaCreateConfig(display.get(), VAProfileH264ConstrainedBaseline, VAEntrypointEncSlice,
                           attributes, 2, &config),
            VA_STATUS_SUCCESS);
  EXPECT_EQ(vaCreateContext(display.get(), config, kSizePx, kSizePx, VA_PROGRESSIVE, nullptr, 0,
                            &context),
            VA_STATUS_SUCCESS);
  auto input = display.CreateSurface(kVaNv12, kSizePx, kSizePx);
  auto reconstruction = display.CreateSurface(kVaNv12, kSizePx, kSizePx);
  auto coded = display.CreateBuffer(context, VAEncCodedBufferType, 100'000, nullptr);
  const VaPicture picture{.idr = true,
                          .quantizer = 30,
                          .reconstruction = reconstruction->id(),
                          .reference = VA_INVALID_SURFACE,
                          .coded = coded->id()};
  Parts parts{MakeSequenceParams(stream, 1'000'000), MakePictureParams(stream, picture),
              MakeSliceParams(stream, picture), MakePackedHeaders(stream, picture), input->id()};
  tamper(parts);

  std::vector<VaBuffer> buffers;
  const auto add = [&](VABufferType type, size_t size, const void* data) {
    auto buffer = display.CreateBuffer(context, type, size, data);
    EXPECT_TRUE(buffer.ok()) << buffer.status();
    buffers.push_back(*std::move(buffer));
  };
  add(VAEncSequenceParameterBufferType, sizeof(parts.sequence), &parts.sequence);
  add(VAEncPictureParameterBufferType, sizeof(parts.picture), &parts.picture);
  for (const VaPackedHeader& header : parts.headers) {
    VAEncPackedHeaderParameterBuffer params{};
    params.type = header.type;
    params.bit_length = header.size_bits;
    params.has_emulation_bytes = 1;
    add(VAEncPackedHeaderParameterBufferType, sizeof(params), &params);
    add(VAEncPackedHeaderDataBufferType, header.bytes.size(), header.bytes.data());
  }
  add(VAEncSliceParameterBufferType, sizeof(parts.slice), &parts.slice);
  VAStatus status = vaBeginPicture(display.get(), context, parts.input);
  for (const VaBuffer& buffer : buffers) {
    VABufferID id = buffer.id();
    if (status == VA_STATUS_SUCCESS) status = vaRenderPicture(display.get(), context, &id, 1);
  }
  if (status == VA_STATUS_SUCCESS) status = vaEndPicture(display.get(), context);
  return status == VA_STATUS_SUCCESS ? "" : testing::SwLastRejection();
}

TEST(SwDriverIsStrict, TakesWhatIsRight) {
  const SwDriver driver("ihd");
  EXPECT_EQ(Submit([](Parts&) {}), "");
}

TEST(SwDriverIsStrict, RefusesEachThingThatIsWrong) {
  struct Case {
    const char* reason;
    std::function<void(Parts&)> tamper;
  };
  const Case cases[] = {
      {"IDR with frame_num", [](Parts& p) { p.picture.frame_num = 1; }},
      {"differ in idr_pic_id", [](Parts& p) { p.slice.idr_pic_id = 1; }},
      {"differ in slice_qp_delta", [](Parts& p) { ++p.slice.slice_qp_delta; }},
      {"differ in pic_init_qp", [](Parts& p) { p.picture.pic_init_qp = 27; }},
      {"differ in level_idc", [](Parts& p) { p.sequence.level_idc = 51; }},
      {"differ in cropping",
       [](Parts& p) {
         p.sequence.frame_cropping_flag = 1;
         p.sequence.frame_crop_right_offset = 2;
       }},
      {"differ in pic_order_cnt_lsb", [](Parts& p) { p.picture.CurrPic.TopFieldOrderCnt = 2; }},
      {"differ in disable_deblocking", [](Parts& p) { p.slice.disable_deblocking_filter_idc = 1; }},
      {"differ in constrained_intra",
       [](Parts& p) { p.picture.pic_fields.bits.constrained_intra_pred_flag = 1; }},
      {"transform_8x8", [](Parts& p) { p.picture.pic_fields.bits.transform_8x8_mode_flag = 1; }},
      {"CABAC in Baseline",
       [](Parts& p) { p.picture.pic_fields.bits.entropy_coding_mode_flag = 1; }},
      {"ReferenceFrames", [](Parts& p) { p.picture.ReferenceFrames[3].picture_id = 0; }},
      {"one surface", [](Parts& p) { p.picture.CurrPic.picture_id = p.input; }},
      {"CurrPic is no surface", [](Parts& p) { p.picture.CurrPic.picture_id = 4711; }},
      {"coded_buf", [](Parts& p) { p.picture.coded_buf = 4711; }},
      {"cover the picture", [](Parts& p) { --p.slice.num_macroblocks; }},
      {"gap or overlap", [](Parts& p) { p.slice.macroblock_address = 1; }},
      {"IDR with P slices", [](Parts& p) { p.slice.slice_type = 0; }},
      {"slice_type", [](Parts& p) { p.slice.slice_type = 1; }},
      {"context size", [](Parts& p) { ++p.sequence.picture_width_in_mbs; }},
      {"intra_idr_period", [](Parts& p) { p.sequence.intra_idr_period = 0; }},
      {"B pictures", [](Parts& p) { p.sequence.ip_period = 2; }},
      {"without its packed SPS", [](Parts& p) { p.headers.erase(p.headers.begin()); }},
      {"slice header is missing", [](Parts& p) { p.headers.pop_back(); }},
      {"without a start code", [](Parts& p) { p.headers[0].bytes[3] = 2; }},
      {"bit_length is beyond", [](Parts& p) { p.headers[0].size_bits += 64; }},
      {"bits after the packed slice",
       [](Parts& p) {
         p.headers[2].bytes.push_back(0x55);
         p.headers[2].size_bits += 8;
       }},
      {"did not ask for", [](Parts& p) { p.headers[0].type = VAEncPackedHeaderRawData; }},
  };
  const SwDriver driver("ihd");
  for (const Case& one : cases) {
    EXPECT_NE(Submit(one.tamper).find(one.reason), std::string::npos)
        << one.reason << " was answered with: " << testing::SwLastRejection();
  }
}

/// Offset of a byte in a tile of 4 KiB: whose bits of x (bytes) and y (lines) are its bits, from
/// the low one. Written down from Intel's tables, apart from the driver's own.
struct TileBits {
  uint64_t modifier;
  uint32_t width_bytes;
  uint32_t height_lines;
  const char* bits;
};
constexpr TileBits kTilings[] = {
    {I915_FORMAT_MOD_X_TILED, 512, 8, "xxxxxxxxxyyy"},
    {I915_FORMAT_MOD_Y_TILED, 128, 32, "xxxxyyyyyxxx"},
    {I915_FORMAT_MOD_Yf_TILED, 128, 32, "xxxxyyxyxyxy"},
};

size_t TiledOffset(const TileBits& tiling, uint32_t pitch_bytes, uint32_t x_bytes, uint32_t y) {
  const size_t tile =
      y / tiling.height_lines * (pitch_bytes / tiling.width_bytes) + x_bytes / tiling.width_bytes;
  size_t within = 0;
  int x_bit = 0;
  int y_bit = 0;
  for (int bit = 0; bit < 12; ++bit) {
    const bool from_x = tiling.bits[bit] == 'x';
    const uint32_t value = from_x ? x_bytes >> x_bit++ & 1 : y >> y_bit++ & 1;
    within |= size_t{value} << bit;
  }
  return tile * 4096 + within;
}

TEST(SwDriver, ReadsIntelsTilings) {
  constexpr uint32_t kWidthPx = 256;
  constexpr uint32_t kHeightPx = 96;
  for (const TileBits& tiling : kTilings) {
    for (const char* persona : {"ihd", "radeonsi"}) {
      SCOPED_TRACE(std::string(tiling.bits) + " " + persona);
      const SwDriver driver(persona);
      testing::MemfdPlane plane(DRM_FORMAT_XRGB8888, kWidthPx, kHeightPx, 0, tiling.modifier);
      for (uint32_t y = 0; y < kHeightPx; ++y) {
        for (uint32_t x = 0; x < kWidthPx; ++x) {
          // Fine enough that any exchanged bit of an address shows.
          const uint32_t rgb = (x / 4 * 4) << 16 | (y * 2) << 8 | ((x / 32 + y / 8) % 2 * 255);
          plane.Poke(TiledOffset(tiling, kWidthPx * 4, x * 4, y), rgb);
        }
      }
      EncoderParams params;
      params.width_px = kWidthPx;
      params.height_px = kHeightPx;
      params.render_node = testing::kSwRenderNode;
      auto encoder = MakeEncoder("vaapi", params, {.quantizer = 10}, MonotonicClock());
      ASSERT_TRUE(encoder.ok()) << encoder.status();
      const auto result = (*encoder)->Encode(plane.frame(), {});
      if (std::string(persona) == "radeonsi") {
        EXPECT_FALSE(result.ok()) << "only Intel's drivers know Intel's tilings";
        continue;
      }
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->unit->pixel_path, PixelPath::kZeroCopy);
      const auto pictures = testing::CheckStream({result->unit->bytes}, {});
      ASSERT_TRUE(pictures.ok()) << pictures.status();
      for (uint32_t y = 4; y < kHeightPx; y += 8) {
        for (uint32_t x = 6; x < kWidthPx; x += 16) {
          const double red = x / 4 * 4 / 255.0;
          const double green = y * 2 / 255.0;
          const double blue = (x / 32 + y / 8) % 2;
          const double luma = 16 + 219 * (0.2126 * red + 0.7152 * green + 0.0722 * blue);
          ASSERT_NEAR((*pictures)[0].y[y * kWidthPx + x], luma, 6) << x << "," << y;
        }
      }
    }
  }
}

}  // namespace
}  // namespace planecast
