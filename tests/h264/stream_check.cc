#include "tests/h264/stream_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/h264/av_log_capture.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
}
#include <wels/codec_api.h>

namespace planecast::testing {
namespace {

struct ContextDeleter {
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
};
struct FrameDeleter {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
struct PacketDeleter {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
struct FilterDeleter {
  void operator()(AVBSFContext* filter) const { av_bsf_free(&filter); }
};
using Packet = std::unique_ptr<AVPacket, PacketDeleter>;

// A packet of its own memory, with the padding that FFmpeg wants.
Packet MakePacket(std::span<const uint8_t> bytes) {
  Packet packet(av_packet_alloc());
  if (packet == nullptr || av_new_packet(packet.get(), static_cast<int>(bytes.size())) != 0) {
    return nullptr;
  }
  std::memcpy(packet->data, bytes.data(), bytes.size());
  return packet;
}

std::vector<uint8_t> CopyPlane(const uint8_t* data, int stride_bytes, size_t width, size_t lines) {
  std::vector<uint8_t> plane(width * lines);
  for (size_t line = 0; line < lines; ++line) {
    std::memcpy(plane.data() + line * width, data + static_cast<ptrdiff_t>(line) * stride_bytes,
                width);
  }
  return plane;
}

bool SameSamples(const DecodedPicture& a, const DecodedPicture& b) {
  return a.width_px == b.width_px && a.height_px == b.height_px && a.y == b.y && a.u == b.u &&
         a.v == b.v;
}

uint32_t Channel(double value) {
  return static_cast<uint32_t>(std::clamp(std::lround(value), 0L, 255L));
}

absl::Status At(size_t unit, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("unit ", unit, ": ", status.message()));
}

// What the colour contract says, against what libavcodec read from the VUI.
bool KeepsColorContract(const DecodedPicture& picture) {
  return picture.color_primaries == 1 && picture.color_transfer == 1 && picture.color_matrix == 1 &&
         !picture.full_range;
}

}  // namespace

uint32_t RgbAt(const DecodedPicture& picture, uint32_t x, uint32_t y) {
  const size_t chroma_width = (picture.width_px + 1) / 2;
  const size_t chroma = size_t{y / 2} * chroma_width + x / 2;
  const double luma = (picture.y[size_t{y} * picture.width_px + x] - 16) * 255.0 / 219;
  const double u = (picture.u[chroma] - 128) * 255.0 / 224;
  const double v = (picture.v[chroma] - 128) * 255.0 / 224;
  return Channel(luma + 1.5748 * v) << 16 | Channel(luma - 0.187324 * u - 0.468124 * v) << 8 |
         Channel(luma + 1.8556 * u);
}

struct AvcodecDecoder::State {
  std::unique_ptr<AVCodecContext, ContextDeleter> context;
  std::unique_ptr<AVFrame, FrameDeleter> frame;
};

AvcodecDecoder::AvcodecDecoder() : state_(std::make_unique<State>()) {
  const AVCodec* codec = avcodec_find_decoder(AV_CODEC_ID_H264);
  state_->context.reset(avcodec_alloc_context3(codec));
  state_->frame.reset(av_frame_alloc());
  // Without LOW_DELAY: the stream itself must make the decoder give pictures at once.
  state_->context->thread_count = 1;
  state_->context->err_recognition = AV_EF_EXPLODE;
  if (avcodec_open2(state_->context.get(), codec, nullptr) != 0) state_->context.reset();
}

AvcodecDecoder::~AvcodecDecoder() = default;

absl::StatusOr<DecodedPicture> AvcodecDecoder::Decode(std::span<const uint8_t> access_unit) {
  if (state_->context == nullptr) return absl::InternalError("libavcodec has no H.264 decoder");
  const AvLogCapture capture;
  const Packet packet = MakePacket(access_unit);
  if (packet == nullptr) return absl::ResourceExhaustedError("no memory for a packet");
  if (avcodec_send_packet(state_->context.get(), packet.get()) != 0) {
    return absl::DataLossError(absl::StrCat("libavcodec refuses the unit: ", capture.complaints()));
  }
  const int received = avcodec_receive_frame(state_->context.get(), state_->frame.get());
  if (received == AVERROR(EAGAIN)) {
    return absl::FailedPreconditionError("libavcodec holds the picture back");
  }
  if (received != 0 || !capture.complaints().empty()) {
    return absl::DataLossError(absl::StrCat("libavcodec complains: ", capture.complaints()));
  }
  const AVFrame& frame = *state_->frame;
  if (frame.format != AV_PIX_FMT_YUV420P) return absl::DataLossError("not 8-bit 4:2:0");
  const auto width = static_cast<size_t>(frame.width);
  const auto height = static_cast<size_t>(frame.height);
  return DecodedPicture{
      .width_px = static_cast<uint32_t>(width),
      .height_px = static_cast<uint32_t>(height),
      .y = CopyPlane(frame.data[0], frame.linesize[0], width, height),
      .u = CopyPlane(frame.data[1], frame.linesize[1], (width + 1) / 2, (height + 1) / 2),
      .v = CopyPlane(frame.data[2], frame.linesize[2], (width + 1) / 2, (height + 1) / 2),
      .key_frame = frame.key_frame != 0,
      .color_primaries = frame.color_primaries,
      .color_transfer = frame.color_trc,
      .color_matrix = frame.colorspace,
      .full_range = frame.color_range == AVCOL_RANGE_JPEG};
}

struct OpenH264Decoder::State {
  ISVCDecoder* decoder = nullptr;
};

OpenH264Decoder::OpenH264Decoder() : state_(std::make_unique<State>()) {
  if (WelsCreateDecoder(&state_->decoder) != 0) return;
  int level = WELS_LOG_QUIET;
  state_->decoder->SetOption(DECODER_OPTION_TRACE_LEVEL, &level);
  SDecodingParam params = {};
  params.sVideoProperty.eVideoBsType = VIDEO_BITSTREAM_AVC;
  // No concealment: a damaged stream must fail.
  params.eEcActiveIdc = ERROR_CON_DISABLE;
  state_->decoder->Initialize(&params);
}

OpenH264Decoder::~OpenH264Decoder() {
  if (state_->decoder == nullptr) return;
  state_->decoder->Uninitialize();
  WelsDestroyDecoder(state_->decoder);
}

absl::StatusOr<DecodedPicture> OpenH264Decoder::Decode(std::span<const uint8_t> access_unit) {
  if (state_->decoder == nullptr) return absl::InternalError("OpenH264 has no decoder");
  uint8_t* planes[3] = {};
  SBufferInfo info = {};
  const DECODING_STATE result = state_->decoder->DecodeFrameNoDelay(
      access_unit.data(), static_cast<int>(access_unit.size()), planes, &info);
  if (result != dsErrorFree) {
    return absl::DataLossError(absl::StrCat("OpenH264 complains: ", static_cast<int>(result)));
  }
  if (info.iBufferStatus != 1) {
    return absl::FailedPreconditionError("OpenH264 holds the picture back");
  }
  const SSysMEMBuffer& buffer = info.UsrData.sSystemBuffer;
  const auto width = static_cast<size_t>(buffer.iWidth);
  const auto height = static_cast<size_t>(buffer.iHeight);
  DecodedPicture picture;
  picture.width_px = static_cast<uint32_t>(width);
  picture.height_px = static_cast<uint32_t>(height);
  picture.y = CopyPlane(planes[0], buffer.iStride[0], width, height);
  picture.u = CopyPlane(planes[1], buffer.iStride[1], (width + 1) / 2, (height + 1) / 2);
  picture.v = CopyPlane(planes[2], buffer.iStride[1], (width + 1) / 2, (height + 1) / 2);
  return picture;
}

std::string TraceHeaders(const std::vector<std::vector<uint8_t>>& access_units) {
  const AvLogCapture capture;
  AVBSFContext* raw = nullptr;
  const AVBitStreamFilter* filter_type = av_bsf_get_by_name("trace_headers");
  if (filter_type == nullptr || av_bsf_alloc(filter_type, &raw) != 0) {
    return "this libavcodec has no trace_headers filter";
  }
  const std::unique_ptr<AVBSFContext, FilterDeleter> filter(raw);
  filter->par_in->codec_type = AVMEDIA_TYPE_VIDEO;
  filter->par_in->codec_id = AV_CODEC_ID_H264;
  if (av_bsf_init(filter.get()) != 0) return "trace_headers does not start";
  for (const auto& unit : access_units) {
    const Packet packet = MakePacket(unit);
    if (packet == nullptr || av_bsf_send_packet(filter.get(), packet.get()) != 0) {
      return absl::StrCat("trace_headers takes no unit: ", capture.complaints());
    }
    const Packet out(av_packet_alloc());
    if (av_bsf_receive_packet(filter.get(), out.get()) != 0) {
      return absl::StrCat("trace_headers fails: ", capture.complaints());
    }
  }
  return capture.complaints();
}

absl::StatusOr<std::vector<DecodedPicture>> CheckStream(
    const std::vector<std::vector<uint8_t>>& access_units, const StreamExpectation& expectation) {
  if (access_units.empty()) return absl::InvalidArgumentError("an empty stream");
  const std::string complaints = TraceHeaders(access_units);
  if (!complaints.empty()) return absl::DataLossError(complaints);
  AvcodecDecoder avcodec;
  OpenH264Decoder openh264;
  std::vector<DecodedPicture> pictures;
  for (size_t i = 0; i < access_units.size(); ++i) {
    auto picture = avcodec.Decode(access_units[i]);
    if (!picture.ok()) return At(i, picture.status());
    if (i == 0 && !picture->key_frame) return absl::DataLossError("the first unit is no IDR");
    if (!KeepsColorContract(*picture)) {
      return At(i, absl::DataLossError("not marked as BT.709 limited range"));
    }
    if (!expectation.high_profile) {
      const auto second = openh264.Decode(access_units[i]);
      if (!second.ok()) return At(i, second.status());
      if (!SameSamples(*picture, *second)) {
        return At(i, absl::DataLossError("the decoders disagree"));
      }
    }
    pictures.push_back(std::move(*picture));
  }
  return pictures;
}

}  // namespace planecast::testing
