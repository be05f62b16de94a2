// One way to encode on one GPU: config, context, surfaces and coded buffer of a rung of the ladder.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/va/va_display.h"
#include "encoder/va/va_params.h"
#include "encoder/va/va_policy.h"
#include "encoder/va/va_wait.h"

namespace planecast {

/// What the driver made of a picture.
struct VaCoded {
  /// Annex B, as the driver wrote it.
  std::vector<uint8_t> bytes;
  /// The driver's average quantiser, or 0 if it tells none.
  int quantizer = 0;
  /// The picture outgrew its buffer and is of no use; a coarser one may not.
  bool overflow = false;
};

/// Codes NV12 surfaces one by one; one picture is in flight at most. Bound to one thread.
class VaSession {
 public:
  static absl::StatusOr<std::unique_ptr<VaSession>> Make(std::shared_ptr<VaDisplay> display,
                                                         const VaRung& rung, const VaPolicy& policy,
                                                         const VaStream& stream,
                                                         int64_t timeout_ns);

  /// Half a session; for Make alone.
  VaSession(std::shared_ptr<VaDisplay> display, const VaRung& rung, const VaPolicy& policy,
            const VaStream& stream, int64_t timeout_ns);

  /// Where the next picture belongs: NV12, its size whole macroblocks. Free between Finish calls.
  VASurfaceID input() const { return input_.id(); }

  /// Hands the input to the encoder and returns at once.
  absl::Status Submit(bool idr, int quantizer, const RateParams& rate);
  /// Waits for it. After an error the session is of no use; DEADLINE_EXCEEDED means that the GPU
  /// hangs, and that destruction may take long.
  absl::StatusOr<VaCoded> Finish();
  /// The picture is sent: the next one refers to it. One that is not kept leaves no trace: the next
  /// takes its place, in numbers and references.
  void Keep();

 private:
  absl::Status Open();
  absl::Status Render(const VaPicture& picture, const RateParams& rate);
  absl::Status AddPacked(const VaPicture& picture, std::vector<VaBuffer>& buffers);
  template <typename T>
  absl::Status Add(VABufferType type, const T& value, std::vector<VaBuffer>& buffers);

  const std::shared_ptr<VaDisplay> display_;
  const VaRung rung_;
  const VaPolicy policy_;
  const VaStream stream_;
  const int64_t timeout_ns_;
  const uint32_t packed_headers_;

  // In the order in which they may not be destroyed.
  VaConfig config_;
  VaSurface input_;
  /// The reference, and where the next picture is reconstructed.
  VaSurface reference_;
  VaSurface reconstruction_;
  VaContext context_;
  VaBuffer coded_;
  VaWait wait_;

  /// The picture in flight, or the last one.
  VaPicture picture_;
  /// The last one that was kept.
  uint32_t kept_number_ = 0;
  uint32_t idr_pic_id_ = 0;
  bool kept_any_ = false;
  RateParams told_rate_;
  bool rate_told_ = false;
};

}  // namespace planecast
