// Judges H.264 streams by decoders and parsers that are not ours.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace planecast::testing {

/// A decoded picture, cropped as the stream says. Planes without padding.
struct DecodedPicture {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  std::vector<uint8_t> y;
  std::vector<uint8_t> u;
  std::vector<uint8_t> v;
  bool key_frame = false;
  /// What the stream says of its colour, as H.273 code points.
  int color_primaries = 0;
  int color_transfer = 0;
  int color_matrix = 0;
  bool full_range = false;

  friend bool operator==(const DecodedPicture&, const DecodedPicture&) = default;
};

/// The colour at a pixel by BT.709 limited range, as 0xRRGGBB.
uint32_t RgbAt(const DecodedPicture& picture, uint32_t x, uint32_t y);

/// libavcodec, one access unit in, one picture out. Thread-compatible.
class AvcodecDecoder {
 public:
  AvcodecDecoder();
  ~AvcodecDecoder();
  AvcodecDecoder(const AvcodecDecoder&) = delete;
  AvcodecDecoder& operator=(const AvcodecDecoder&) = delete;

  /// FAILED_PRECONDITION if the decoder holds the picture back, DATA_LOSS if it complains.
  absl::StatusOr<DecodedPicture> Decode(std::span<const uint8_t> access_unit);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// OpenH264, one access unit in, one picture out; knows nothing of colour. Thread-compatible.
class OpenH264Decoder {
 public:
  OpenH264Decoder();
  ~OpenH264Decoder();
  OpenH264Decoder(const OpenH264Decoder&) = delete;
  OpenH264Decoder& operator=(const OpenH264Decoder&) = delete;

  /// As AvcodecDecoder's.
  absl::StatusOr<DecodedPicture> Decode(std::span<const uint8_t> access_unit);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Runs FFmpeg's header trace over the units and returns its complaints, empty if there are none.
std::string TraceHeaders(const std::vector<std::vector<uint8_t>>& access_units);

/// What a stream is expected to be.
struct StreamExpectation {
  /// OpenH264 holds one picture of a High profile stream back by its own design; then only
  /// libavcodec is asked.
  bool high_profile = false;
};

/// The whole judgement: the header trace has no complaint, both decoders give each unit's picture
/// at once and the same samples, the first unit is an IDR, the colour is BT.709 limited range.
/// Returns libavcodec's pictures.
absl::StatusOr<std::vector<DecodedPicture>> CheckStream(
    const std::vector<std::vector<uint8_t>>& access_units,
    const StreamExpectation& expectation = {});

}  // namespace planecast::testing
