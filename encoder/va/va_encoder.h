// Encoding on a GPU: the plane's own memory becomes a VA surface, the surface NV12, the NV12 H.264;
// only coded bytes reach the CPU.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/encoder.h"
#include "encoder/screen/rate_control.h"
#include "encoder/va/va_convert.h"
#include "encoder/va/va_display.h"
#include "encoder/va/va_import.h"
#include "encoder/va/va_policy.h"
#include "encoder/va/va_session.h"
#include "encoder/va/va_upload.h"
#include "encoder/va/va_wait.h"

namespace planecast {

struct VaEncoderOptions {
  /// How long the GPU may take for one picture before it counts as hanging.
  int64_t timeout_ns = GpuTimeoutNs();
  /// Ways that are known not to work, from the top of the ladder.
  size_t rungs_to_skip = 0;
  /// Fail rather than try the next way.
  bool one_rung = false;
  /// Why; becomes EncoderIdentity::degraded_reason.
  std::string skip_reason;
};

/// An Encoder on one render node.
///
/// It climbs down the ladder of ways (va_policy.h) until one codes its first picture; what works
/// once is kept, and fails as it fails. After a hang everything of the GPU's is let go of on
/// another thread, since that may take as long as the hang.
class VaEncoder final : public Encoder {
 public:
  /// `params` and `rate` have been checked. NOT_FOUND, PERMISSION_DENIED or UNAVAILABLE if the node
  /// can't be used, UNIMPLEMENTED if its GPU does not encode this profile or size.
  static absl::StatusOr<std::unique_ptr<VaEncoder>> Make(const EncoderParams& params,
                                                         const RateParams& rate, Clock& clock,
                                                         const VaEncoderOptions& options);
  /// Half an encoder; for Make alone.
  VaEncoder(const EncoderParams& params, const RateParams& rate, Clock& clock,
            const VaEncoderOptions& options);
  ~VaEncoder() override;

  absl::StatusOr<EncodeResult> Encode(const Frame& frame, const EncodeRequest& request) override;
  void SetRate(const RateParams& rate) override;
  const StreamDescription& description() const override { return description_; }
  const EncoderIdentity& identity() const override { return identity_; }

  /// The ways of this GPU, best first, and the one in use.
  const std::vector<VaRung>& ladder() const { return ladder_; }
  size_t rung() const { return rung_; }

 private:
  /// What belongs to one opened GPU; given away whole when it hangs.
  struct Gpu {
    std::shared_ptr<VaDisplay> display;
    std::unique_ptr<VaImports> imports;
    std::unique_ptr<VaUpload> upload;
    std::unique_ptr<VaConvert> convert;
    std::unique_ptr<VaSession> session;
  };
  /// Where a frame's pixels are now.
  struct Source {
    VASurfaceID surface = VA_INVALID_SURFACE;
    PixelPath path = PixelPath::kZeroCopy;
    std::string reason = {};
    /// Nothing if only the picture can tell.
    std::optional<uint32_t> changed_rows = std::nullopt;
  };

  absl::Status Open();
  absl::Status OpenSession();
  void GiveUpGpu(bool hangs);
  absl::Status Check(const PlaneLayout& layout) const;
  absl::StatusOr<Source> Bring(const Frame& frame);
  absl::StatusOr<EncodeResult> TryEncode(const Frame& frame, const EncodeRequest& request);
  absl::StatusOr<VaCoded> Code(bool* key_frame, int* quantizer, bool refine);
  absl::StatusOr<std::shared_ptr<AccessUnit>> MakeUnit(const Frame& frame, const VaCoded& coded,
                                                       bool key_frame, const Source& source);
  bool Coarse() const { return !driver_rate() && last_quantizer_ > rate_.sharp_quantizer; }
  void NoteCoded(int quantizer, bool key_frame, bool refine, size_t bytes);
  bool CursorChanged(const Cursor* cursor) const;
  void NoteCursor(const Cursor* cursor);
  bool driver_rate() const { return ladder_[rung_].rate_control != VA_RC_CQP; }
  void TellIdentity();

  const EncoderParams params_;
  const VaEncoderOptions options_;
  Clock& clock_;
  RateParams rate_;
  RateControl rate_control_;
  StreamContract contract_;
  StreamDescription description_;
  EncoderIdentity identity_;
  std::vector<VaRung> ladder_;
  size_t rung_ = 0;
  /// The rung has coded a picture.
  bool proven_ = false;
  std::string vendor_;
  VaStream stream_;
  std::unique_ptr<Gpu> gpu_;

  bool key_frame_needed_ = true;
  int last_quantizer_ = 0;
  std::optional<PixelPath> last_path_;
  std::optional<Cursor> drawn_cursor_;
};

}  // namespace planecast
