// Pictures of two sources in one H.264 stream: an encoder library's, and our own between them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "encoder/h264/h264_bits.h"
#include "encoder/h264/h264_headers.h"

namespace planecast {

/// Reference frames that a stream with patches needs.
inline constexpr uint32_t kPatchedReferenceFrames = 2;

/// Numbers pictures and says what they refer to, so that the library never has to know of ours.
///
/// The library believes that each of its P pictures refers to its last one. Pictures of our own,
/// the patches, come in between: each refers to the picture before it, whoever coded that. So that
/// the library's last picture stays as it is in the decoder, the first patch after it makes it the
/// long-term reference 0 (memory_management_control_operation 3, clause 8.2.5.4), and the library's
/// next picture is made to refer to that (clause 8.2.4.3.2). Its slices are otherwise untouched, so
/// what the library takes for the decoder's state is the decoder's state. Two reference frames
/// suffice: the sliding window (clause 8.2.5.3) drops the short-term one.
///
/// Thread-compatible.
class ReferenceChain {
 public:
  /// UNIMPLEMENTED if slices that go with these parameter sets can't be renumbered.
  static absl::StatusOr<ReferenceChain> Make(const SequenceParameterSet& sps,
                                             const PictureParameterSet& pps);

  /// The PPS of patches: CAVLC, and an id that the library does not use.
  PictureParameterSet patch_pps() const;

  /// The library coded an IDR, whose slices need no change.
  void BeginIdr();

  /// The library coded a P picture; its slices go through Adopt after this.
  void BeginPicture();
  /// Slices of the library's can't be sent as they are.
  bool renumbers() const { return renumbers_; }
  /// A slice of the library's current P picture as it is to be sent. INTERNAL if it is not what it
  /// should be.
  absl::StatusOr<std::vector<uint8_t>> Adopt(std::span<const uint8_t> nal) const;

  /// Begins a patch: writes the header of its one slice, up to the slice data. `quantizer` is 0 to
  /// 51. The picture is not deblocked, so what is skipped stays as it was.
  void BeginPatch(int quantizer, BitWriter& out);

 private:
  ReferenceChain(const SequenceParameterSet& sps, const PictureParameterSet& pps)
      : sps_(sps), pps_(pps) {}
  void Advance();
  /// Copies a slice header with another frame_num and, after patches, another reference.
  absl::Status CopyHeader(BitReader& in, BitWriter& out) const;

  SequenceParameterSet sps_;
  PictureParameterSet pps_;
  uint32_t frame_num_ = 0;
  /// Patches since the library's last picture.
  bool patched_ = false;
  /// The decoder has a long-term reference.
  bool has_far_ = false;
  /// The decoder has two short-term references: the library's last two pictures.
  bool has_two_near_ = false;
  /// The library's current picture follows a patch.
  bool refers_far_ = false;
  /// Some picture was numbered otherwise than the library thinks.
  bool renumbers_ = false;
};

}  // namespace planecast
