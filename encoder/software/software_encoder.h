// Encoding on the CPU: find what changed, convert that, have a library code it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/encoder.h"
#include "encoder/pixels/packed_format.h"
#include "encoder/screen/frame_compare.h"
#include "encoder/screen/rate_control.h"
#include "encoder/software/h264_backend.h"
#include "encoder/software/h264_stream.h"

namespace planecast {

/// An Encoder around an H264Backend.
///
/// A frame's memory is read once, row by row, and compared with a copy of the last frame; the copy
/// takes over what differs, and only the copy is converted. So a guest that draws meanwhile can
/// tear a picture, but what the encoder believes unchanged is unchanged. All large memory is
/// allocated once, but for the access units.
class SoftwareEncoder final : public Encoder {
 public:
  /// `params` and `rate` have been checked.
  /// `degraded_reason` says why it is no better encoder; may be empty.
  static absl::StatusOr<std::unique_ptr<Encoder>> Make(const BackendInfo& backend,
                                                       const EncoderParams& params,
                                                       const RateParams& rate, Clock& clock,
                                                       const std::string& degraded_reason = {});

  /// Half an encoder; for Make alone.
  SoftwareEncoder(const EncoderParams& params, const RateParams& rate, Clock& clock);

  absl::StatusOr<EncodeResult> Encode(const Frame& frame, const EncodeRequest& request) override;
  void SetRate(const RateParams& rate) override;
  const StreamDescription& description() const override { return description_; }
  const EncoderIdentity& identity() const override { return identity_; }

 private:
  absl::Status Open(const BackendInfo& backend);
  absl::Status Check(const PlaneLayout& layout) const;
  /// Reads the frame into the shadow and fills in changed_mbs_.
  absl::StatusOr<uint32_t> Compare(const PlaneBuffer& buffer, PackedFormat format);
  void UseFormat(PackedFormat format);
  /// Takes the cursor as the one to draw; null or hidden is none. Adds to changed_mbs_ what of it
  /// moved, and all of it if a pixel under it changed: it is drawn onto converted pixels only.
  /// Returns how many macroblock rows have changed now.
  uint32_t UseCursor(const Cursor* cursor, uint32_t changed_rows);
  /// The macroblocks under the cursor that is drawn.
  bool AnyChangedUnderCursor() const;
  void MarkUnderCursor();
  void ConvertChanges();
  void ConvertRow(uint32_t row_mbs, uint32_t begin_mbs, uint32_t end_mbs);
  void ReplicateEdges();
  /// A key frame, changes, or the same pixels in finer steps.
  enum class Purpose { kKeyFrame, kChanges, kRefinement };
  absl::StatusOr<std::shared_ptr<AccessUnit>> Code(const Frame& frame, Purpose purpose);
  struct Coded {
    std::vector<uint8_t> bytes;
    int quantizer = 0;
    bool key_frame = false;
    bool patch = false;
  };
  absl::StatusOr<Coded> CodeChanges(bool key_frame);
  absl::StatusOr<Coded> CodeRefinement();
  /// By the library; a key frame if it fails at anything else.
  absl::StatusOr<Coded> CodePicture(bool key_frame, int quantizer);
  /// Of the `count` macroblocks in changed_mbs_.
  Coded CodePatch(size_t count, int quantizer, Rounding rounding);
  void NoteQuantizers(const Coded& coded);
  RateControl::Coarse CoarseParts() const;
  /// As EncodeResult::refine_ns.
  int64_t RefinementNs(int64_t now_ns);
  bool IsSharp() const { return coarsest_quantizer_ <= rate_.sharp_quantizer; }
  I420Planes picture();

  const EncoderParams params_;
  const uint32_t width_mbs_;
  const uint32_t height_mbs_;
  Clock& clock_;
  RateParams rate_;
  RateControl rate_control_;
  std::unique_ptr<H264Stream> stream_;
  StreamDescription description_;
  EncoderIdentity identity_;

  std::optional<PackedFormat> format_;
  std::vector<uint8_t> shadow_;
  size_t shadow_stride_bytes_ = 0;
  std::vector<uint8_t> changed_mbs_;
  std::vector<uint8_t> samples_;
  /// What is drawn into the samples. The shadow has no cursor.
  std::optional<Cursor> cursor_;
  /// The whole shadow is to be converted, whatever the change map says.
  bool samples_stale_ = true;
  bool key_frame_needed_ = true;
  /// One per macroblock: the quantiser that it was last coded with.
  std::vector<uint8_t> mb_quantizers_;
  int coarsest_quantizer_ = RateControl::kQuantizerMax;
};

}  // namespace planecast
