#include "encoder/va/va_encoder.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "encoder/h264/h264_bits.h"
#include "encoder/h264/stream_contract.h"
#include "encoder/screen/skip_detect.h"

namespace planecast {
namespace {

// A picture that outgrew its buffer is coded once more with a quarter of the bits.
constexpr int kRetryCoarser = 12;

/// The error of a frame that no rung will ever take, as opposed to a failing GPU.
bool RefusesFrame(const absl::Status& error) {
  return absl::IsUnimplemented(error) || absl::IsFailedPrecondition(error) ||
         absl::IsInvalidArgument(error);
}

uint32_t OutputSize(uint32_t wanted, uint32_t frame) {
  return wanted == 0 ? frame : wanted;
}

VAProfile ProfileOf(H264Profile profile) {
  return profile == H264Profile::kHigh ? VAProfileH264High : VAProfileH264ConstrainedBaseline;
}

}  // namespace

VaEncoder::VaEncoder(const EncoderParams& params, const RateParams& rate, Clock& clock,
                     const VaEncoderOptions& options)
    : params_(params),
      options_(options),
      clock_(clock),
      rate_(rate),
      rate_control_(rate, params.frame_rate_hz,
                    uint64_t{OutputSize(params.output_width_px, params.width_px)} *
                        OutputSize(params.output_height_px, params.height_px)) {}

VaEncoder::~VaEncoder() = default;

absl::StatusOr<std::unique_ptr<VaEncoder>> VaEncoder::Make(const EncoderParams& params,
                                                           const RateParams& rate, Clock& clock,
                                                           const VaEncoderOptions& options) {
  auto encoder = std::make_unique<VaEncoder>(params, rate, clock, options);
  if (auto status = encoder->Open(); !status.ok()) return status;
  return encoder;
}

// Opens the GPU and learns what it can do. Nothing is encoded yet.
absl::Status VaEncoder::Open() {
  auto display = VaDisplay::Open(params_.render_node);
  if (!display.ok()) return display.status();
  vendor_ = (*display)->vendor();
  const VaPolicy& policy = PolicyFor(vendor_);
  ladder_ = MakeLadder(QueryEncodeCaps(**display), ProfileOf(params_.profile), policy);
  if (ladder_.empty()) {
    return absl::UnimplementedError(absl::StrCat(
        params_.render_node, " (", vendor_, ") does not encode this H.264 profile; see vainfo"));
  }
  const uint32_t width_px = OutputSize(params_.output_width_px, params_.width_px);
  const uint32_t height_px = OutputSize(params_.output_height_px, params_.height_px);
  const VaEncodeCaps& caps = ladder_[0].caps;
  if ((caps.width_max_px != 0 && width_px > caps.width_max_px) ||
      (caps.height_max_px != 0 && height_px > caps.height_max_px)) {
    return absl::UnimplementedError(
        absl::StrFormat("%ux%u pixels are more than the GPU codes (%ux%u)", width_px, height_px,
                        caps.width_max_px, caps.height_max_px));
  }
  if (!HasVideoProcessing(**display)) {
    return absl::UnimplementedError(
        absl::StrCat(params_.render_node, " (", vendor_, ") does not convert RGB"));
  }
  rung_ = std::min(options_.rungs_to_skip, ladder_.size() - 1);
  contract_ = {
      .visible_width_px = width_px,
      .visible_height_px = height_px,
      .frame_rate_hz = static_cast<uint32_t>(params_.frame_rate_hz),
      .level_idc = LevelFor({.width_mbs = (width_px + 15) / 16,
                             .height_mbs = (height_px + 15) / 16,
                             .frame_rate_hz = static_cast<uint32_t>(params_.frame_rate_hz)})};
  stream_ = MakeVaStream(contract_, params_.profile, policy.transform_8x8);
  description_ = DescribeStream(stream_.sps, contract_, params_.profile);
  identity_.id = "vaapi";
  identity_.hardware = true;
  identity_.degraded_reason = options_.skip_reason;
  TellIdentity();
  gpu_ = std::make_unique<Gpu>();
  gpu_->display = *std::move(display);
  return absl::OkStatus();
}

void VaEncoder::TellIdentity() {
  const VaRung& rung = ladder_[rung_];
  identity_.detail =
      absl::StrCat(params_.render_node, ", ", vendor_, ", ", EntrypointName(rung.caps.entrypoint),
                   " ", RateControlName(rung.rate_control));
}

absl::Status VaEncoder::OpenSession() {
  if (gpu_ == nullptr) {
    auto display = VaDisplay::Open(params_.render_node);
    if (!display.ok()) return display.status();
    gpu_ = std::make_unique<Gpu>();
    gpu_->display = *std::move(display);
  }
  if (gpu_->session != nullptr) return absl::OkStatus();
  if (gpu_->convert == nullptr) {
    auto convert = VaConvert::Make(gpu_->display, options_.timeout_ns);
    if (!convert.ok()) return convert.status();
    gpu_->convert = *std::move(convert);
    gpu_->imports = std::make_unique<VaImports>(gpu_->display);
    gpu_->upload = std::make_unique<VaUpload>(gpu_->display);
  }
  auto session = VaSession::Make(gpu_->display, ladder_[rung_], PolicyFor(vendor_), stream_,
                                 options_.timeout_ns);
  if (!session.ok()) return session.status();
  gpu_->session = *std::move(session);
  key_frame_needed_ = true;
  return absl::OkStatus();
}

// What a hanging driver is asked to destroy may hang too, so that is not done on this thread. It
// ends when the kernel has reset the GPU.
void VaEncoder::GiveUpGpu(bool hangs) {
  if (hangs) {
    std::thread([gpu = std::move(gpu_)]() mutable { gpu.reset(); }).detach();
  }
  gpu_.reset();
  drawn_cursor_.reset();
  key_frame_needed_ = true;
}

absl::Status VaEncoder::Check(const PlaneLayout& layout) const {
  if (layout.width_px == params_.width_px && layout.height_px == params_.height_px) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrFormat("frame of %ux%u for an encoder of %ux%u",
                                                    layout.width_px, layout.height_px,
                                                    params_.width_px, params_.height_px));
}

// By import if that can be, else by the CPU.
absl::StatusOr<VaEncoder::Source> VaEncoder::Bring(const Frame& frame) {
  auto imported = gpu_->imports->Get(frame.buffer);
  if (imported.ok()) {
    gpu_->upload->Forget();
    return Source{.surface = *imported};
  }
  auto uploaded = gpu_->upload->Upload(*frame.buffer);
  if (!uploaded.ok()) {
    const absl::Status& why = uploaded.status();
    if (!RefusesFrame(why)) return why;
    return absl::Status(
        why.code(), absl::StrCat(imported.status().message(),
                                 "; nor can the CPU bring the pixels to the GPU: ", why.message()));
  }
  return Source{.surface = uploaded->surface,
                .path = PixelPath::kCpuCopy,
                .reason = std::string(imported.status().message()),
                .changed_rows = uploaded->changed_rows};
}

bool VaEncoder::CursorChanged(const Cursor* cursor) const {
  const bool draws = cursor != nullptr && cursor->visible && cursor->image != nullptr;
  if (!draws) return drawn_cursor_.has_value();
  return !drawn_cursor_.has_value() || !(*drawn_cursor_ == *cursor);
}

void VaEncoder::NoteCursor(const Cursor* cursor) {
  drawn_cursor_.reset();
  if (cursor != nullptr && cursor->visible && cursor->image != nullptr) drawn_cursor_ = *cursor;
}

// Codes the converted picture; one that outgrew its buffer once more, coarser, as a key frame.
absl::StatusOr<VaCoded> VaEncoder::Code(bool* key_frame, int* quantizer, bool refine) {
  const int64_t now_ns = clock_.NowNs();
  const RateControl::Coarse coarse{.quantizer = last_quantizer_, .area = 1};
  // To a driver with rate control of its own this is a guess for the first picture.
  *quantizer = refine ? rate_control_.RefinementQuantizer(now_ns, coarse)
                      : rate_control_.NextQuantizer(now_ns, *key_frame);
  for (bool again = false;; again = true) {
    if (auto status = gpu_->session->Submit(*key_frame, *quantizer, rate_); !status.ok()) {
      return status;
    }
    auto coded = gpu_->session->Finish();
    if (!coded.ok() || !coded->overflow) return coded;
    if (again) return absl::InternalError("a picture outgrew its buffer twice");
    *key_frame = true;
    *quantizer = std::min(*quantizer + kRetryCoarser, RateControl::kQuantizerMax);
  }
}

absl::StatusOr<std::shared_ptr<AccessUnit>> VaEncoder::MakeUnit(const Frame& frame,
                                                                const VaCoded& coded,
                                                                bool key_frame,
                                                                const Source& source) {
  std::vector<std::span<const uint8_t>> nals = SplitAnnexB(coded.bytes);
  const auto has = [&](NalType type) {
    return std::any_of(nals.begin(), nals.end(),
                       [&](std::span<const uint8_t> nal) { return NalTypeOf(nal) == type; });
  };
  if (has(NalType::kIdrSlice) != key_frame) {
    return absl::InternalError("the GPU coded another kind of picture than asked for");
  }
  // Drivers that write their own parameter sets may think that once is enough.
  std::vector<uint8_t> sps;
  std::vector<uint8_t> pps;
  if (key_frame && (!has(NalType::kSps) || !has(NalType::kPps))) {
    sps = WriteSps(stream_.sps);
    pps = WritePps(stream_.pps);
    nals.insert(nals.begin(), {sps, pps});
  }
  auto bytes = AssembleUnit(nals, key_frame, contract_);
  if (!bytes.ok()) return bytes.status();
  auto unit = std::make_shared<AccessUnit>();
  unit->bytes = *std::move(bytes);
  unit->key_frame = key_frame;
  unit->pixel_path = source.path;
  if (key_frame || last_path_ != source.path) unit->pixel_path_reason = source.reason;
  last_path_ = source.path;
  unit->flip_time_ns = frame.flip_time_ns;
  unit->capture_time_ns = frame.capture_time_ns;
  unit->encoded_time_ns = clock_.NowNs();
  return unit;
}

absl::StatusOr<EncodeResult> VaEncoder::TryEncode(const Frame& frame,
                                                  const EncodeRequest& request) {
  const int64_t begin_ns = clock_.NowNs();
  if (auto status = OpenSession(); !status.ok()) return status;
  const bool key_frame_was_needed = std::exchange(key_frame_needed_, true);
  auto source = Bring(frame);
  if (!source.ok()) return source.status();
  const bool cursor_changed = CursorChanged(request.cursor);
  bool key_frame = key_frame_was_needed || request.force_idr;
  const uint32_t rows = stream_.sps.height_mbs;
  EncodeResult result;
  result.changed_rows = source->changed_rows.value_or(rows);
  // Only the picture can tell whether an imported surface changed.
  const bool may_be_same = source->changed_rows.value_or(0) == 0 && !cursor_changed && !key_frame;
  const bool refine = request.refine && may_be_same && Coarse();
  if (may_be_same && source->changed_rows.has_value() && !refine) {
    key_frame_needed_ = false;
    result.convert_duration_ns = clock_.NowNs() - begin_ns;
    if (Coarse()) result.refine_ns = rate_control_.RefinementNs(clock_.NowNs());
    return result;
  }
  const VaConvert::Size size{params_.width_px, params_.height_px};
  const VaConvert::Size output{contract_.visible_width_px, contract_.visible_height_px};
  auto status =
      gpu_->convert->Convert(source->surface, size, gpu_->session->input(), output, request.cursor);
  if (!status.ok()) return status;
  NoteCursor(request.cursor);
  const int64_t converted_ns = clock_.NowNs();
  result.convert_duration_ns = converted_ns - begin_ns;

  int quantizer = 0;
  auto coded = Code(&key_frame, &quantizer, refine);
  if (!coded.ok()) return coded.status();
  result.encode_duration_ns = clock_.NowNs() - converted_ns;
  const bool nothing_new = !key_frame && ShowsNothingNew(coded->bytes, stream_.sps, stream_.pps);
  if (nothing_new) {
    result.changed_rows = 0;
    // There was nothing to refine: the picture is as good as it gets.
    if (refine) last_quantizer_ = quantizer;
  } else {
    auto unit = MakeUnit(frame, *coded, key_frame, *source);
    if (!unit.ok()) return unit.status();
    gpu_->session->Keep();
    NoteCoded(quantizer, key_frame, refine, (*unit)->bytes.size());
    if (driver_rate() && coded->quantizer != 0) last_quantizer_ = coded->quantizer;
    (*unit)->converted_time_ns = converted_ns;
    (*unit)->quantizer = last_quantizer_;
    (*unit)->refinement = refine;
    (*unit)->sharp = last_quantizer_ <= rate_.sharp_quantizer;
    result.unit = *std::move(unit);
    proven_ = true;
  }
  if (Coarse()) result.refine_ns = rate_control_.RefinementNs(clock_.NowNs());
  key_frame_needed_ = false;
  return result;
}

void VaEncoder::NoteCoded(int quantizer, bool key_frame, bool refine, size_t bytes) {
  const int64_t now_ns = clock_.NowNs();
  if (refine) {
    rate_control_.Refined(now_ns, {.quantizer = last_quantizer_, .area = 1}, quantizer, bytes);
  } else {
    rate_control_.Coded(now_ns, quantizer, key_frame, bytes);
  }
  last_quantizer_ = quantizer;
}

absl::StatusOr<EncodeResult> VaEncoder::Encode(const Frame& frame, const EncodeRequest& request) {
  if (auto status = Check(frame.buffer->layout()); !status.ok()) return status;
  while (true) {
    auto result = TryEncode(frame, request);
    if (result.ok() || RefusesFrame(result.status())) return result;
    GiveUpGpu(absl::IsDeadlineExceeded(result.status()));
    if (proven_ || options_.one_rung || rung_ + 1 >= ladder_.size()) return result;
    absl::StrAppend(&identity_.degraded_reason, identity_.degraded_reason.empty() ? "" : "; ",
                    EntrypointName(ladder_[rung_].caps.entrypoint), " with ",
                    RateControlName(ladder_[rung_].rate_control),
                    " failed: ", result.status().message());
    ++rung_;
    TellIdentity();
  }
}

void VaEncoder::SetRate(const RateParams& rate) {
  rate_ = rate;
  rate_control_.SetRate(rate);
}

}  // namespace planecast
