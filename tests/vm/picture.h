// Decoding what a client received, and comparing it with what the guest painted.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/vm/pattern.h"

struct AVCodecContext;
struct AVFrame;
struct AVPacket;

namespace planecast::vmtest {

/// A decoded 4:2:0 picture, cropped to its visible part.
struct Picture {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  /// width_px bytes per line.
  std::vector<uint8_t> luma;
  /// (width_px + 1) / 2 bytes per line each.
  std::vector<uint8_t> cb;
  std::vector<uint8_t> cr;

  /// The frame code that is painted into it, if one is legible.
  std::optional<uint16_t> Code() const;
};

/// Compares a picture with a pattern: every patch in colour, the text in luma. OK, or what differs.
absl::Status Compare(const Picture& picture, const Pattern& pattern);

/// H.264 to pictures by libavcodec, one picture out per access unit in. Thread-compatible.
class H264Decoder {
 public:
  H264Decoder();
  ~H264Decoder();
  H264Decoder(const H264Decoder&) = delete;
  H264Decoder& operator=(const H264Decoder&) = delete;

  /// INTERNAL if the decoder refuses the unit, FAILED_PRECONDITION if it holds the picture back.
  absl::StatusOr<Picture> Decode(std::string_view access_unit);

 private:
  AVCodecContext* context_;
  AVFrame* frame_;
  AVPacket* packet_;
};

/// All pictures of a file that libavformat can read (MP4, raw H.264).
absl::StatusOr<std::vector<Picture>> DecodeFile(const std::string& path);

/// A PNG as RGB, 0x00RRGGBB.
struct RgbImage {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  std::vector<uint32_t> pixels;
};
absl::StatusOr<RgbImage> DecodePng(const std::string& path);

/// Compares an image with a pattern, pixel by pixel and without any tolerance. OK, or what differs.
absl::Status CompareExactly(const RgbImage& image, const Pattern& pattern);

}  // namespace planecast::vmtest
