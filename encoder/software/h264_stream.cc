#include "encoder/software/h264_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "encoder/h264/h264_bits.h"
#include "encoder/h264/stream_contract.h"

namespace planecast {
namespace {

// nal_ref_idc of patches: they are referred to, as every picture is.
constexpr int kPatchRefIdc = 2;

}  // namespace

absl::StatusOr<std::unique_ptr<H264Stream>> H264Stream::Make(const BackendInfo& backend,
                                                             const BackendParams& params,
                                                             const StreamContract& contract) {
  auto library = backend.make(params);
  if (!library.ok()) return library.status();
  auto stream = std::make_unique<H264Stream>(*std::move(library), contract);
  if (auto status = stream->Open(backend); !status.ok()) return status;
  return stream;
}

absl::Status H264Stream::Open(const BackendInfo& backend) {
  auto headers = backend_->ParameterSets();
  if (!headers.ok()) return headers.status();
  std::optional<SequenceParameterSet> library_sps;
  std::optional<PictureParameterSet> pps;
  for (const auto nal : *headers) {
    if (NalTypeOf(nal) == NalType::kSps) {
      auto parsed = ContractSps(nal, contract_);
      if (!parsed.ok()) return parsed.status();
      library_sps = *parsed;
    }
    if (NalTypeOf(nal) == NalType::kPps) {
      auto parsed = ParsePps(nal);
      if (!parsed.ok()) return parsed.status();
      pps = *parsed;
    }
  }
  if (!library_sps.has_value() || !pps.has_value()) {
    return absl::InternalError(absl::StrCat(backend.id, " gave no parameter sets"));
  }
  sps_ = *library_sps;
  if (!backend.tells_decoded) return absl::OkStatus();
  auto chain = ReferenceChain::Make(sps_, *pps);
  if (!chain.ok()) return chain.status();
  patches_.emplace(Patches{
      .chain = *chain, .coder = PatchCoder(sps_.width_mbs, sps_.height_mbs), .ready = false});
  contract_.reference_frames_min = kPatchedReferenceFrames;
  ApplyContract(contract_, sps_);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint8_t>> H264Stream::Assemble(CodedNals nals, bool key_frame) const {
  if (!patches_.has_value()) return AssembleUnit(nals, key_frame, contract_);
  const ReferenceChain& chain = patches_->chain;
  const std::vector<uint8_t> patch_pps = WritePps(chain.patch_pps());
  std::vector<std::vector<uint8_t>> slices;
  // The spans point into its elements.
  slices.reserve(nals.size());
  for (size_t i = 0; i < nals.size(); ++i) {
    const std::optional<NalType> type = NalTypeOf(nals[i]);
    if (type == NalType::kPps) {
      nals.insert(nals.begin() + static_cast<ptrdiff_t>(++i), patch_pps);
    } else if (type == NalType::kSlice && chain.renumbers()) {
      auto slice = chain.Adopt(nals[i]);
      if (!slice.ok()) return slice.status();
      slices.push_back(*std::move(slice));
      nals[i] = slices.back();
    }
  }
  return AssembleUnit(nals, key_frame, contract_);
}

void H264Stream::AddPatched(std::span<uint8_t> mbs) const {
  if (!patches_.has_value()) return;
  const std::span<const uint8_t> patched = patches_->coder.patched_mbs();
  for (size_t i = 0; i < mbs.size(); ++i) mbs[i] |= patched[i];
}

absl::StatusOr<std::vector<uint8_t>> H264Stream::CodePicture(const CodingJob& job) {
  if (patches_.has_value() && !job.key_frame &&
      patches_->coder.PatchedWith(job.changed_mbs) !=
          static_cast<size_t>(job.changed_mbs.size() -
                              std::count(job.changed_mbs.begin(), job.changed_mbs.end(), 0))) {
    return absl::InternalError("patched macroblocks were not given to the encoder library");
  }
  auto nals = backend_->Encode(job);
  if (!nals.ok()) return nals.status();
  if (!patches_.has_value()) return Assemble(*std::move(nals), job.key_frame);
  if (job.key_frame) {
    patches_->chain.BeginIdr();
  } else {
    patches_->chain.BeginPicture();
  }
  const std::optional<Nv12Picture> decoded = backend_->decoded();
  patches_->ready = decoded.has_value();
  patches_->coder.Restart(decoded.value_or(Nv12Picture()));
  return Assemble(*std::move(nals), job.key_frame);
}

bool H264Stream::CanPatch(std::span<const uint8_t> mbs, size_t mbs_max) const {
  return patches_.has_value() && patches_->ready && patches_->coder.PatchedWith(mbs) <= mbs_max;
}

std::vector<uint8_t> H264Stream::CodePatch(const PatchCoder::Job& job) {
  BitWriter out;
  patches_->chain.BeginPatch(job.quantizer, out);
  patches_->coder.Code(job, out);
  std::vector<uint8_t> bytes;
  AppendAnnexB(WriteAccessUnitDelimiter(/*key_frame=*/false), bytes);
  AppendAnnexB(MakeNal(NalType::kSlice, kPatchRefIdc, out.Finish()), bytes);
  return bytes;
}

}  // namespace planecast
