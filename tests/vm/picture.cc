#include "tests/vm/picture.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace planecast::vmtest {
namespace {

/// Edge of a patch that is not compared: chroma of the neighbour and deblocking reach this far.
constexpr uint32_t kPatchEdgePx = 10;
/// Largest error of a mean colour value of a flat patch, in code values.
constexpr double kPatchErrorMax = 3;
/// Text is coded with loss; below this it would be illegible.
constexpr double kTextPsnrMinDb = 28;

struct Yuv {
  double y, cb, cr;
};

/// BT.709, limited range.
Yuv ToYuv(uint32_t rgb) {
  const double r = (rgb >> 16 & 0xff) / 255.0;
  const double g = (rgb >> 8 & 0xff) / 255.0;
  const double b = (rgb & 0xff) / 255.0;
  const double y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return {16 + 219 * y, 128 + 224 * (b - y) / 1.8556, 128 + 224 * (r - y) / 1.5748};
}

double Mean(const std::vector<uint8_t>& plane, uint32_t stride, uint32_t x, uint32_t y,
            uint32_t width, uint32_t height) {
  uint64_t sum = 0;
  for (uint32_t line = y; line < y + height; ++line) {
    for (uint32_t column = x; column < x + width; ++column) sum += plane[line * stride + column];
  }
  return static_cast<double>(sum) / (static_cast<double>(width) * height);
}

absl::Status ComparePatch(const Picture& picture, const Patch& patch) {
  const uint32_t x = patch.x_px + kPatchEdgePx;
  const uint32_t y = patch.y_px + kPatchEdgePx;
  const uint32_t width = patch.width_px - 2 * kPatchEdgePx;
  const uint32_t height = patch.height_px - 2 * kPatchEdgePx;
  const uint32_t chroma_stride = (picture.width_px + 1) / 2;
  const Yuv is{Mean(picture.luma, picture.width_px, x, y, width, height),
               Mean(picture.cb, chroma_stride, x / 2, y / 2, width / 2, height / 2),
               Mean(picture.cr, chroma_stride, x / 2, y / 2, width / 2, height / 2)};
  const Yuv want = ToYuv(patch.rgb);
  const double error =
      std::max({std::abs(is.y - want.y), std::abs(is.cb - want.cb), std::abs(is.cr - want.cr)});
  if (error <= kPatchErrorMax) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrFormat("the patch at %u,%u is YCbCr %.0f %.0f %.0f instead of %.0f %.0f %.0f",
                      patch.x_px, patch.y_px, is.y, is.cb, is.cr, want.y, want.cb, want.cr));
}

absl::Status CompareText(const Picture& picture, const Pattern& pattern) {
  double squares = 0;
  uint64_t count = 0;
  for (uint32_t y = pattern.text_y_px(); y < picture.height_px; ++y) {
    for (uint32_t x = 0; x < picture.width_px; ++x, ++count) {
      const double error = picture.luma[y * picture.width_px + x] - ToYuv(pattern.At(x, y)).y;
      squares += error * error;
    }
  }
  const double mean = std::max(squares / static_cast<double>(count), 1e-3);
  const double psnr_db = 10 * std::log10(255 * 255 / mean);
  if (psnr_db >= kTextPsnrMinDb) return absl::OkStatus();
  return absl::DataLossError(absl::StrFormat("the text has %.1f dB only", psnr_db));
}

std::vector<uint8_t> CopyPlane(const uint8_t* data, int stride_bytes, uint32_t width,
                               uint32_t height) {
  std::vector<uint8_t> plane(size_t{width} * height);
  for (uint32_t line = 0; line < height; ++line) {
    memcpy(plane.data() + size_t{line} * width, data + ptrdiff_t{line} * stride_bytes, width);
  }
  return plane;
}

absl::StatusOr<Picture> ToPicture(const AVFrame& frame) {
  if (frame.format != AV_PIX_FMT_YUV420P) return absl::InternalError("the picture is not 4:2:0");
  Picture picture;
  picture.width_px = static_cast<uint32_t>(frame.width);
  picture.height_px = static_cast<uint32_t>(frame.height);
  const uint32_t chroma_width = (picture.width_px + 1) / 2;
  const uint32_t chroma_height = (picture.height_px + 1) / 2;
  picture.luma = CopyPlane(frame.data[0], frame.linesize[0], picture.width_px, picture.height_px);
  picture.cb = CopyPlane(frame.data[1], frame.linesize[1], chroma_width, chroma_height);
  picture.cr = CopyPlane(frame.data[2], frame.linesize[2], chroma_width, chroma_height);
  return picture;
}

std::string ErrorText(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(error, text, sizeof(text));
  return text;
}

/// Calls `use` with every decoded frame of a file's first stream.
template <typename Use>
absl::Status ForEachFrame(const std::string& path, Use use) {
  AVFormatContext* format = nullptr;
  int result = avformat_open_input(&format, path.c_str(), nullptr, nullptr);
  if (result < 0) return absl::InternalError(absl::StrCat(path, ": ", ErrorText(result)));
  const std::unique_ptr<AVFormatContext*, void (*)(AVFormatContext**)> close_format(
      &format, &avformat_close_input);
  result = avformat_find_stream_info(format, nullptr);
  if (result < 0 || format->nb_streams == 0) return absl::InternalError("no stream in the file");
  const AVCodecParameters* parameters = format->streams[0]->codecpar;
  AVCodecContext* codec = avcodec_alloc_context3(avcodec_find_decoder(parameters->codec_id));
  const std::unique_ptr<AVCodecContext*, void (*)(AVCodecContext**)> close_codec(
      &codec, &avcodec_free_context);
  avcodec_parameters_to_context(codec, parameters);
  result = avcodec_open2(codec, nullptr, nullptr);
  if (result < 0) return absl::InternalError(ErrorText(result));
  AVPacket* packet = av_packet_alloc();
  const std::unique_ptr<AVPacket*, void (*)(AVPacket**)> free_packet(&packet, &av_packet_free);
  AVFrame* frame = av_frame_alloc();
  const std::unique_ptr<AVFrame*, void (*)(AVFrame**)> free_frame(&frame, &av_frame_free);
  absl::Status status;
  const auto drain = [&] {
    while (status.ok() && avcodec_receive_frame(codec, frame) == 0) status = use(*frame);
  };
  while (status.ok() && av_read_frame(format, packet) == 0) {
    if (packet->stream_index == 0) {
      result = avcodec_send_packet(codec, packet);
      if (result < 0) status = absl::InternalError(ErrorText(result));
      drain();
    }
    av_packet_unref(packet);
  }
  avcodec_send_packet(codec, nullptr);
  drain();
  return status;
}

}  // namespace

std::optional<uint16_t> Picture::Code() const {
  if (width_px < Pattern::kWidthMinPx || height_px < Pattern::kHeightMinPx) return std::nullopt;
  return Pattern::ReadCode(luma.data(), width_px);
}

absl::Status Compare(const Picture& picture, const Pattern& pattern) {
  if (picture.width_px != pattern.width_px() || picture.height_px != pattern.height_px()) {
    return absl::DataLossError(
        absl::StrCat("the picture is ", picture.width_px, "x", picture.height_px));
  }
  for (const Patch& patch : pattern.Patches()) {
    absl::Status status = ComparePatch(picture, patch);
    if (!status.ok()) return status;
  }
  return CompareText(picture, pattern);
}

H264Decoder::H264Decoder()
    : context_(avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264))),
      frame_(av_frame_alloc()),
      packet_(av_packet_alloc()) {
  context_->thread_count = 1;
  context_->err_recognition = AV_EF_EXPLODE;
  if (avcodec_open2(context_, nullptr, nullptr) != 0) avcodec_free_context(&context_);
}

H264Decoder::~H264Decoder() {
  av_packet_free(&packet_);
  av_frame_free(&frame_);
  avcodec_free_context(&context_);
}

absl::StatusOr<Picture> H264Decoder::Decode(std::string_view access_unit) {
  if (context_ == nullptr) return absl::InternalError("libavcodec has no H.264 decoder");
  int result = av_new_packet(packet_, static_cast<int>(access_unit.size()));
  if (result == 0) {
    memcpy(packet_->data, access_unit.data(), access_unit.size());
    result = avcodec_send_packet(context_, packet_);
    av_packet_unref(packet_);
  }
  if (result != 0) return absl::InternalError(absl::StrCat("refused: ", ErrorText(result)));
  result = avcodec_receive_frame(context_, frame_);
  if (result == AVERROR(EAGAIN)) return absl::FailedPreconditionError("a picture is held back");
  if (result != 0) return absl::InternalError(ErrorText(result));
  return ToPicture(*frame_);
}

absl::StatusOr<std::vector<Picture>> DecodeFile(const std::string& path) {
  std::vector<Picture> pictures;
  const absl::Status status = ForEachFrame(path, [&](const AVFrame& frame) {
    auto picture = ToPicture(frame);
    if (picture.ok()) pictures.push_back(*std::move(picture));
    return picture.status();
  });
  if (!status.ok()) return status;
  return pictures;
}

absl::StatusOr<RgbImage> DecodePng(const std::string& path) {
  RgbImage image;
  const absl::Status status = ForEachFrame(path, [&](const AVFrame& frame) {
    if (frame.format != AV_PIX_FMT_RGB24 && frame.format != AV_PIX_FMT_RGBA) {
      return absl::InternalError("the PNG is neither RGB nor RGBA");
    }
    const int step = frame.format == AV_PIX_FMT_RGBA ? 4 : 3;
    image.width_px = static_cast<uint32_t>(frame.width);
    image.height_px = static_cast<uint32_t>(frame.height);
    image.pixels.clear();
    for (int y = 0; y < frame.height; ++y) {
      const uint8_t* pixel = frame.data[0] + ptrdiff_t{y} * frame.linesize[0];
      for (int x = 0; x < frame.width; ++x, pixel += step) {
        image.pixels.push_back(uint32_t{pixel[0]} << 16 | uint32_t{pixel[1]} << 8 | pixel[2]);
      }
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return image;
}

absl::Status CompareExactly(const RgbImage& image, const Pattern& pattern) {
  if (image.width_px != pattern.width_px() || image.height_px != pattern.height_px()) {
    return absl::DataLossError(absl::StrCat("it is ", image.width_px, "x", image.height_px));
  }
  uint64_t different = 0;
  for (uint32_t y = 0; y < image.height_px; ++y) {
    for (uint32_t x = 0; x < image.width_px; ++x) {
      different += image.pixels[size_t{y} * image.width_px + x] != pattern.At(x, y);
    }
  }
  if (different == 0) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(different, " pixels differ"));
}

}  // namespace planecast::vmtest
