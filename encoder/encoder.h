// A frame becomes an access unit.
#pragma once

#include <cstdint>
#include <limits>
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
  /// Size of the frames. 16 to kPlaneWidthMaxPx x kPlaneHeightMaxPx.
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  /// Visible size of the coded picture, not larger than the frames; odd sizes are cropped in the
  /// SPS. 0: that of the frames. Encoders that can't scale refuse another size with UNIMPLEMENTED.
  uint32_t output_width_px = 0;
  uint32_t output_height_px = 0;
  /// Nominal rate for the VUI and the rate control, 1 to 240.
  int frame_rate_hz = 60;
  /// 1 to 16.
  int threads = 1;
  H264Profile profile = H264Profile::kConstrainedBaseline;
  /// Only for encoders on a GPU: the render node, e.g. "/dev/dri/renderD128". Empty: the first that
  /// works.
  std::string render_node = {};
  /// With "auto": an encoder on the CPU, since the GPU failed. The reason is the caller's to tell.
  bool software_only = false;
};

/// May change between any two frames without an IDR.
struct RateParams {
  /// Quantiser of a picture when the bitrate allows it, 10 to 40; lower is sharper.
  int quantizer = 23;
  /// Bits per second over about a second, 100'000 to 1'000'000'000. The encoder raises the
  /// quantiser to stay below.
  int64_t bitrate_max_bps = 20'000'000;
  /// Quantiser of a picture that stands still, in the end: 10 to 40. A picture that is nowhere
  /// coarser than the default is visually lossless: black text of one pixel's breadth above 45 dB,
  /// the hardest there is.
  int sharp_quantizer = 16;

  friend bool operator==(const RateParams&, const RateParams&) = default;
};

/// What to do with one frame.
struct EncodeRequest {
  /// Code an IDR with parameter sets, even if no pixel changed.
  bool force_idr = false;
  /// If no pixel changed, code anew what is coarser than RateParams::sharp_quantizer, a step finer,
  /// as far as the cap has room. A picture that changed is coded as without. Encoders whose rate
  /// control is the driver's ignore it; one that codes with quantisers of its own (CQP) takes the
  /// whole picture for as coarse as its last unit was.
  bool refine = false;
  /// Drawn into the picture if not null; the frame's memory is left alone. A change of the cursor
  /// counts as a change of the pixels under it. Valid during the call.
  const Cursor* cursor = nullptr;
};

/// What became of one frame.
struct EncodeResult {
  /// Null if no pixel changed since the last unit, no IDR was asked for and nothing was refined.
  std::shared_ptr<const AccessUnit> unit;
  /// Macroblock rows that changed, for statistics.
  uint32_t changed_rows = 0;
  /// Time spent on finding changes and on conversion, and on coding, in ns.
  int64_t convert_duration_ns = 0;
  int64_t encode_duration_ns = 0;
  /// When a request to refine this picture would find room under the cap, if it stays as it is.
  /// INT64_MAX if nothing is to be refined, or this encoder can't: then nothing need be asked.
  int64_t refine_ns = std::numeric_limits<int64_t>::max();
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

  friend bool operator==(const StreamDescription&, const StreamDescription&) = default;
};

/// Who codes.
struct EncoderIdentity {
  /// "vaapi", "x264", "openh264".
  std::string id = {};
  /// For a person: library and version, or driver, entrypoint and rate control.
  std::string detail = {};
  bool hardware = false;
  /// One sentence if a better way failed before this one was taken; else empty.
  std::string degraded_reason = {};
};

/// Codes the frames of one display at one size.
///
/// Low latency: every Encode returns its own unit, no reordering. Bound to one
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
  /// May change with any Encode: a GPU encoder may turn to another entrypoint or rate control.
  virtual const EncoderIdentity& identity() const = 0;
};

/// What an encoder implementation can do on this host.
struct EncoderCapability {
  /// "vaapi", "x264", "openh264".
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

/// A profile and entrypoint that a VA driver offers for H.264, as queried. Names are libva's
/// without prefix.
struct GpuEntrypoint {
  /// "ConstrainedBaseline", "Main", "High".
  std::string profile = {};
  /// "EncSliceLP", "EncSlice".
  std::string name = {};
  /// "CQP", "CBR", "VBR", ...; the driver's claim.
  std::vector<std::string> rate_controls = {};
  /// "SPS", "PPS", "slice", "misc", "raw".
  std::vector<std::string> packed_headers = {};
  /// 0 where the driver doesn't say.
  uint32_t width_max_px = 0;
  uint32_t height_max_px = 0;
  uint32_t references_max = 0;
  uint32_t slices_max = 0;
};

/// What a probe encode with one entrypoint and rate control gave.
struct GpuProbe {
  std::string profile = {};
  std::string entrypoint = {};
  std::string rate_control = {};
  /// Why it failed; OK if a picture came out that is what it should be.
  absl::Status status = {};
  /// From submission to coded bytes.
  int64_t duration_ns = 0;
};

/// One render node of this host, as it was found at start.
struct RenderNode {
  /// "/dev/dri/renderD128".
  std::string path = {};
  /// The driver's own words, e.g. "Intel iHD driver for Intel(R) Gen Graphics - 23.1.1".
  std::string driver = {};
  /// Of libva's interface, e.g. "1.17".
  std::string va_version = {};
  /// Some probe encode worked; otherwise `reason` says why none did and what may help.
  bool available = false;
  std::string reason = {};
  std::vector<GpuEntrypoint> entrypoints = {};
  /// In the order in which they were tried, best first; the first that worked is what encoders use.
  std::vector<GpuProbe> probes = {};
};

struct EncoderCatalogOptions {
  /// Nodes to probe beside those of /dev/dri.
  std::vector<std::string> render_nodes = {};
};

/// The encoders of this host, best first, each probed once by coding a small picture.
///
/// Immutable and thread-safe after Probe. A value; copies share what they know.
class EncoderCatalog {
 public:
  /// May take seconds: opens each GPU.
  static EncoderCatalog Probe(const EncoderCatalogOptions& options);

  const std::vector<EncoderCapability>& encoders() const;
  const std::vector<RenderNode>& render_nodes() const;

  /// As the function MakeEncoder, but knows which GPU and which way of using it works. "auto" takes
  /// the GPU if its probe worked, and else software; the encoder's identity tells why.
  absl::StatusOr<std::unique_ptr<Encoder>> Make(std::string_view id, const EncoderParams& params,
                                                const RateParams& rate, Clock& clock) const;

 private:
  struct Content;
  std::shared_ptr<const Content> content_;
};

/// The software encoders that were built in, best first, each probed by coding a small picture.
std::vector<EncoderCapability> ProbeSoftwareEncoders();

/// Makes an encoder. `id` is "vaapi", one of ProbeSoftwareEncoders' or "auto", the best of those.
/// NOT_FOUND for an id that was not built in, INVALID_ARGUMENT for parameters out of range. `clock`
/// must outlive the encoder.
absl::StatusOr<std::unique_ptr<Encoder>> MakeEncoder(std::string_view id,
                                                     const EncoderParams& params,
                                                     const RateParams& rate, Clock& clock);

}  // namespace planecast
