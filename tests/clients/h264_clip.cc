#include "tests/clients/h264_clip.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
}

#include <cstring>
#include <memory>
#include <stdexcept>

namespace planecast {
namespace {

constexpr int kFirstLuma = 32;
constexpr int kLumaStep = 8;

struct Deleter {
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
  void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
template <typename T>
using Owned = std::unique_ptr<T, Deleter>;

void Check(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

Owned<AVCodecContext> OpenEncoder(int width_px, int height_px) {
  const AVCodec* codec = avcodec_find_encoder_by_name("libx264");
  Check(codec != nullptr, "libavcodec has no libx264");
  Owned<AVCodecContext> encoder(avcodec_alloc_context3(codec));
  encoder->width = width_px;
  encoder->height = height_px;
  encoder->pix_fmt = AV_PIX_FMT_YUV420P;
  encoder->time_base = {1, 60};
  encoder->gop_size = 1000;
  encoder->thread_count = 1;
  av_opt_set(encoder->priv_data, "preset", "ultrafast", 0);
  av_opt_set(encoder->priv_data, "tune", "zerolatency", 0);
  av_opt_set(encoder->priv_data, "x264-params", "aud=1", 0);
  Check(avcodec_open2(encoder.get(), codec, nullptr) == 0, "can't open libx264");
  return encoder;
}

void Paint(AVFrame& frame, int luma) {
  for (int y = 0; y < frame.height; ++y) {
    std::memset(frame.data[0] + static_cast<ptrdiff_t>(y) * frame.linesize[0], luma,
                static_cast<size_t>(frame.width));
  }
  for (int plane = 1; plane <= 2; ++plane) {
    for (int y = 0; y < frame.height / 2; ++y) {
      std::memset(frame.data[plane] + static_cast<ptrdiff_t>(y) * frame.linesize[plane], 128,
                  static_cast<size_t>(frame.width / 2));
    }
  }
}

void Decode(AVCodecContext& decoder, const AVPacket* packet, ProbedClip& clip) {
  const Owned<AVFrame> frame(av_frame_alloc());
  if (avcodec_send_packet(&decoder, packet) != 0) clip.error = "a picture can't be decoded";
  while (avcodec_receive_frame(&decoder, frame.get()) == 0) {
    if (frame->decode_error_flags != 0) clip.error = "a picture decodes with errors";
    clip.lumas.push_back(
        frame->data[0][(frame->height / 2) * frame->linesize[0] + frame->width / 2]);
  }
}

void ReadPictures(AVFormatContext& format, ProbedClip& clip) {
  const AVStream& stream = *format.streams[0];
  const AVCodec* codec = avcodec_find_decoder(stream.codecpar->codec_id);
  const Owned<AVCodecContext> decoder(avcodec_alloc_context3(codec));
  avcodec_parameters_to_context(decoder.get(), stream.codecpar);
  decoder->err_recognition = AV_EF_EXPLODE;
  decoder->thread_count = 1;
  if (avcodec_open2(decoder.get(), codec, nullptr) != 0) clip.error = "no decoder";
  const Owned<AVPacket> packet(av_packet_alloc());
  while (clip.error.empty() && av_read_frame(&format, packet.get()) == 0) {
    clip.times_s.push_back(static_cast<double>(packet->pts) * av_q2d(stream.time_base));
    Decode(*decoder, packet.get(), clip);
    av_packet_unref(packet.get());
  }
  if (clip.error.empty()) Decode(*decoder, nullptr, clip);
}

}  // namespace

std::vector<ClipUnit> EncodeClip(int width_px, int height_px, int count) {
  av_log_set_level(AV_LOG_ERROR);
  const Owned<AVCodecContext> encoder = OpenEncoder(width_px, height_px);
  const Owned<AVFrame> frame(av_frame_alloc());
  frame->width = width_px;
  frame->height = height_px;
  frame->format = AV_PIX_FMT_YUV420P;
  Check(av_frame_get_buffer(frame.get(), 0) == 0, "no memory for a picture");
  const Owned<AVPacket> packet(av_packet_alloc());
  std::vector<ClipUnit> units;
  for (int i = 0; i < count; ++i) {
    av_frame_make_writable(frame.get());
    Paint(*frame, kFirstLuma + kLumaStep * i);
    frame->pts = i;
    Check(avcodec_send_frame(encoder.get(), frame.get()) == 0, "libx264 takes no picture");
    Check(avcodec_receive_packet(encoder.get(), packet.get()) == 0, "libx264 gives no picture");
    units.push_back({std::string(reinterpret_cast<const char*>(packet->data),
                                 static_cast<size_t>(packet->size)),
                     (packet->flags & AV_PKT_FLAG_KEY) != 0});
    av_packet_unref(packet.get());
  }
  return units;
}

ProbedClip ProbeClip(const std::string& path) {
  ProbedClip clip;
  AVFormatContext* opened = nullptr;
  if (avformat_open_input(&opened, path.c_str(), nullptr, nullptr) != 0) {
    clip.error = "can't open " + path;
    return clip;
  }
  const Owned<AVFormatContext> format(opened);
  if (avformat_find_stream_info(opened, nullptr) < 0 || opened->nb_streams != 1) {
    clip.error = "no single stream in " + path;
    return clip;
  }
  const AVCodecParameters& parameters = *opened->streams[0]->codecpar;
  clip.width_px = parameters.width;
  clip.height_px = parameters.height;
  clip.has_avcc = parameters.extradata_size > 0 && parameters.extradata[0] == 1;
  clip.duration_s = static_cast<double>(opened->duration) / AV_TIME_BASE;
  ReadPictures(*opened, clip);
  return clip;
}

}  // namespace planecast
