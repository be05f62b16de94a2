// The access units of one stream: an encoder library's pictures, and our own patches between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "encoder/h264/h264_headers.h"
#include "encoder/h264/reference_chain.h"
#include "encoder/screen/patch_coder.h"
#include "encoder/software/h264_backend.h"

namespace planecast {

/// Codes pictures by a library, or by itself as patches where little changed, and makes access
/// units of what comes out: with a delimiter, parameter sets that keep the contract, and nothing
/// else.
///
/// Patches need a library that tells what its decoder shows. Bound to one thread.
class H264Stream {
 public:
  /// `contract.level_idc` is also the library's.
  static absl::StatusOr<std::unique_ptr<H264Stream>> Make(const BackendInfo& backend,
                                                          const BackendParams& params,
                                                          const StreamContract& contract);

  /// As it is sent.
  const SequenceParameterSet& sps() const { return sps_; }
  const StreamContract& contract() const { return contract_; }

  /// Adds the macroblocks that were patched since the library's last picture, which for the library
  /// are changes.
  void AddPatched(std::span<uint8_t> mbs) const;

  /// The library codes a picture, as Annex B. `job.changed_mbs` must include what AddPatched adds.
  /// After an error the next job must be a key frame.
  absl::StatusOr<std::vector<uint8_t>> CodePicture(const CodingJob& job);

  /// `mbs` (not 0: to be coded) can be coded as a patch, after which no more than `mbs_max`
  /// macroblocks are patched.
  bool CanPatch(std::span<const uint8_t> mbs, size_t mbs_max) const;
  /// Codes a patch, as Annex B. Only if CanPatch says so.
  std::vector<uint8_t> CodePatch(const PatchCoder::Job& job);

  /// For Make alone.
  H264Stream(std::unique_ptr<H264Backend> backend, const StreamContract& contract)
      : backend_(std::move(backend)), contract_(contract) {}

 private:
  struct Patches {
    ReferenceChain chain;
    PatchCoder coder;
    /// The library told what the decoder shows.
    bool ready = false;
  };

  absl::Status Open(const BackendInfo& backend);
  absl::StatusOr<std::vector<uint8_t>> Assemble(CodedNals nals, bool key_frame) const;

  std::unique_ptr<H264Backend> backend_;
  StreamContract contract_;
  SequenceParameterSet sps_;
  std::optional<Patches> patches_;
};

}  // namespace planecast
