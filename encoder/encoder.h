// A frame becomes an access unit.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/access_unit.h"
#include "vfio/clock.h"
#include "vfio/frame.h"

namespace planecast {

enum class H264Profile { kConstrainedBaseline, kHigh };

/// Constant for the life of an encoder.
struct EncoderParams {
  /// Visible size; odd sizes are cropped in the SPS. 16 to kPlaneWidthMaxPx x kPlaneHeightMaxPx.
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  /// Nominal rate for the VUI and the rate control, 1 to 240.
  int frame_rate_hz = 60;
  /// 1 to 16.
  int threads = 1;
  H264Profile profile = H264Profile::kConstrainedBaseline;
};

/// May change between any two frames without an IDR.
struct RateParams {
  /// Quantiser of a picture when the bitrate allows it, 10 to 40; lower is sharper.
  int quantizer = 23;
  /// Bits per second over about a second, 100'000 to 1'000'000'000. The encoder raises the
  /// quantiser to stay below.
  int64_t bitrate_max_bps = 20'000'000;

  friend bool operator==(const RateParams&, const RateParams&) = default;
};

/// What to do with one frame.
struct EncodeRequest {
  /// Code an IDR with parameter sets, even if no pixel changed.
  bool force_idr = false;
};

/// What became of one frame.
struct EncodeResult {
  /// Null if no pixel changed since the last unit and no IDR was asked for.
  std::shared_ptr<const AccessUnit> unit;
  /// Macroblock rows that changed, for statistics.
  uint32_t changed_rows = 0;
  /// Time spent on finding changes and on conversion, and on coding, in ns.
  int64_t convert_duration_ns = 0;
  int64_t encode_duration_ns = 0;
};

/// What a viewer needs to know before the first access unit.
struct StreamDescription {
  /// RFC 6381, from the SPS, e.g. "avc1.42C01F".
  std::string codec;
  /// "constrained-baseline" or "high".
  std::string profile;
  uint32_t coded_width_px = 0;
  uint32_t coded_height_px = 0;
  uint32_t visible_width_px = 0;
  uint32_t visible_height_px = 0;
  // Colour is a contract, not a choice: always BT.709 limited range (H.273 code points 1/1/1).
};

/// Codes the frames of one display at one size.
///
/// Low latency: every Encode returns its own unit, no reordering, one reference. Bound to one
/// thread. A failed Encode leaves the encoder usable; the next unit is then an IDR.
class Encoder {
 public:
  virtual ~Encoder() = default;

  /// Codes `frame`, whose buffer must have this encoder's size.
  ///
  /// Errors tell the display's state: UNIMPLEMENTED, the format or modifier has no path here
  /// (UNSUPPORTED_FORMAT); FAILED_PRECONDITION, the memory can't be reached (IMPORT_FAILED);
  /// anything else, the encoder failed (ENCODER_FAILED).
  virtual absl::StatusOr<EncodeResult> Encode(const Frame& frame, const EncodeRequest& request) = 0;

  virtual void SetRate(const RateParams& rate) = 0;
  /// Constant.
  virtual const StreamDescription& description() const = 0;
};

/// What an encoder implementation can do on this host.
struct EncoderCapability {
  /// "x264", "openh264".
  std::string id;
  std::string library_version;
  /// A probe encode worked; otherwise `reason` says why not.
  bool available = false;
  std::string reason;
  bool hardware = false;
  std::vector<std::string> profiles;
  uint32_t width_max_px = 0;
  uint32_t height_max_px = 0;
  std::vector<uint32_t> fourccs;
};

/// The encoders that were built in, best first, each probed by coding a small picture.
std::vector<EncoderCapability> ProbeEncoders();

/// Makes an encoder. `id` is one of ProbeEncoders' or "auto". NOT_FOUND for an id that was not
/// built in, INVALID_ARGUMENT for parameters out of range. `clock` must outlive the encoder.
absl::StatusOr<std::unique_ptr<Encoder>> MakeEncoder(std::string_view id,
                                                     const EncoderParams& params,
                                                     const RateParams& rate, Clock& clock);

}  // namespace planecast
