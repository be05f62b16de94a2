#include "service/core/rendition.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kAtOnce = std::numeric_limits<int64_t>::min();

/// The error of a frame that no encoder of this kind will ever take, as opposed to a broken
/// encoder.
bool RefusesFrame(const absl::Status& error) {
  return error.code() == absl::StatusCode::kUnimplemented ||
         error.code() == absl::StatusCode::kFailedPrecondition;
}

/// What software says of a frame, with what the GPU said before.
absl::Status BothReasons(const absl::Status& error, const std::string& gpu_error) {
  if (gpu_error.empty()) return error;
  return absl::Status(error.code(),
                      absl::StrCat("The GPU: ", gpu_error, ". The CPU: ", error.message()));
}

int64_t BackoffNs(int failures) {
  const int doublings = std::clamp(failures - 1, 0, 16);
  return std::min(kEncoderRetryMinNs << doublings, kEncoderRetryMaxNs);
}

}  // namespace

Rendition::Rendition(const DisplayOptions& options, const DisplaySpec& spec,
                     DisplayMetrics& metrics)
    : options_(options),
      spec_(spec),
      clock_(*options.clock),
      metrics_(metrics),
      choice_(options.software_fallback),
      wanted_rate_(options.rate),
      frame_rate_hz_(options.frame_rate_max_hz),
      window_start_ns_(options.clock->NowNs()) {}

void Rendition::SetLimits(const RateParams& rate, int frame_rate_hz, bool narrow, int64_t now_ns) {
  wanted_rate_ = rate;
  narrow_ = narrow;
  if (!narrow) pace_hz_ = 0;
  frame_rate_hz_ = frame_rate_hz;
  pacer_.Limit(now_ns, FrameIntervalNs());
}

void Rendition::DrawCursor(const Cursor* cursor) {
  if (std::exchange(cursor_, cursor) == cursor) return;
  // Whoever joins now must not get a picture with the cursor drawn otherwise than it was told.
  still_units_.clear();
}

int64_t Rendition::FrameIntervalNs() const {
  const int rate_hz = pace_hz_ == 0 ? frame_rate_hz_ : std::min(frame_rate_hz_, pace_hz_);
  return kNsPerSecond / std::max(rate_hz, 1);
}

bool Rendition::AnyViewerReady() const {
  return std::any_of(members_.begin(), members_.end(),
                     [](const Member& member) { return member.wants.ready; });
}

bool Rendition::LookDue(const Frame* frame, int64_t now_ns) const {
  // Whoever waits gets the newest picture, not the one that was held back.
  if (HeldBackUntilNs(frame) > now_ns) return false;
  if (frame_pending_ && AnyViewerReady() && pacer_.Due(now_ns)) return true;
  // The pixels may have changed: then there is nothing to refine yet.
  if (RefineNs(frame) <= now_ns && AnyViewerReady()) return true;
  return frame != nullptr && KeyFrameNs() <= now_ns;
}

int64_t Rendition::NextNs(const Frame* frame) const {
  if (frame == nullptr) return kNever;
  int64_t next_ns = kNever;
  const int64_t held_back_ns = HeldBackUntilNs(frame);
  // A new size begins the stream anew, for viewers that are not ready too.
  const bool resizes = encoder_ != nullptr && !EncoderFits(*frame);
  if (frame_pending_ && (AnyViewerReady() || resizes)) {
    next_ns = std::min(next_ns, std::max(resizes ? 0 : pacer_.next_ns(), held_back_ns));
  }
  if (RefineNs(frame) != kNever && AnyViewerReady()) {
    next_ns = std::min(next_ns, std::max(RefineNs(frame), held_back_ns));
  }
  const int64_t key_frame_ns = KeyFrameNs();
  if (key_frame_ns != kNever) next_ns = std::min(next_ns, std::max(key_frame_ns, held_back_ns));
  return next_ns;
}

bool Rendition::AwaitsReady(const Frame* frame, int64_t now_ns) const {
  const bool refines = RefineNs(frame) <= now_ns;
  return std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
    const Viewer::Wants& wants = member.wants;
    return !wants.ready &&
           (frame_pending_ || refines || wants.join_key_frame || wants.resync_key_frame);
  });
}

void Rendition::Begin(int64_t now_ns) {
  pacer_.Restart();
  window_start_ns_ = now_ns;
  window_units_ = window_bytes_ = window_quantizers_ = 0;
}

void Rendition::Rest() {
  frame_pending_ = false;
  refine_ns_ = kNever;
  pace_hz_ = 0;
  // The encoder's troubles are of no interest without viewers; the next one tries afresh.
  encoder_failures_ = 0;
  problem_.reset();
}

bool Rendition::EncoderFits(const Frame& frame) const {
  const PlaneLayout& layout = frame.buffer->layout();
  return encoder_width_px_ == layout.width_px && encoder_height_px_ == layout.height_px;
}

Rendition::Readiness Rendition::Prepare(const Frame& frame, int64_t now_ns) {
  prepared_ = false;
  if (HeldBackUntilNs(&frame) > now_ns) return Readiness::kNone;
  const PlaneLayout& layout = frame.buffer->layout();
  if (encoder_ != nullptr && EncoderFits(frame)) {
    if (encoder_rate_ != wanted_rate_) encoder_->SetRate(wanted_rate_);
    encoder_rate_ = wanted_rate_;
    prepared_ = true;
    return Readiness::kReady;
  }
  if (encoder_ != nullptr) resize_min_ns_ = now_ns + kResizeIntervalMinNs;
  DropEncoder();
  EncoderParams params;
  params.width_px = layout.width_px;
  params.height_px = layout.height_px;
  params.frame_rate_hz = options_.frame_rate_max_hz;
  params.threads = options_.encoder_threads;
  params.profile = options_.profile;
  // Not once for all: a configured display may wait for its device, which then tells its GPU.
  if (options_.render_node_of) params.render_node = options_.render_node_of(spec_);
  params.software_only = choice_.SoftwareOnly(layout, now_ns);
  absl::StatusOr<std::unique_ptr<Encoder>> made = options_.make_encoder(params, wanted_rate_);
  if (!made.ok()) {
    HandleError(made.status(), frame, now_ns);
    return Readiness::kNone;
  }
  encoder_ = *std::move(made);
  identity_ = encoder_->identity();
  encoder_width_px_ = layout.width_px;
  encoder_height_px_ = layout.height_px;
  encoder_rate_ = wanted_rate_;
  prepared_ = true;
  return Readiness::kNewEncoder;
}

std::optional<bool> Rendition::MaybeEncode(Frame& frame, bool new_frame, int64_t now_ns) {
  if (!std::exchange(prepared_, false)) {
    if (new_frame) frame_pending_ = true;
    return std::nullopt;
  }
  ServeStillPicture(now_ns);
  const bool key_frame = KeyFrameNs() <= now_ns;
  if (!key_frame) {
    const bool refines = RefineNs(&frame) <= now_ns && AnyViewerReady();
    if (!new_frame && !frame_pending_ && !refines) return std::nullopt;
    if (!AnyViewerReady()) {
      if (new_frame) metrics_.Add(Count::kSkippedNoViewerReady);
      frame_pending_ = true;
      return std::nullopt;
    }
    if (!pacer_.Due(now_ns)) {
      if (new_frame) {
        pacer_.NoteHeld(now_ns);
        metrics_.Add(Count::kSkippedFrameRate);
      }
      frame_pending_ = true;
      return std::nullopt;
    }
  }
  frame_pending_ = false;
  return Encode(frame, key_frame, now_ns);
}

void Rendition::ServeStillPicture(int64_t now_ns) {
  if (still_units_.empty()) return;
  const uint64_t sequence = std::get<UnitEvent>(still_units_.front()->body).sequence;
  for (Member& member : members_) {
    const Viewer::Wants& wants = member.wants;
    const bool waits = wants.ready && (wants.join_key_frame || wants.resync_key_frame);
    // A viewer that had this very unit asks because it lost it: that takes a new one.
    if (!waits || wants.requested_key_frame || wants.last_sequence >= sequence) continue;
    for (const StreamEventPtr& event : still_units_) {
      member.viewer->OfferUnit(event, now_ns, /*fresh=*/false);
    }
    member.wants = member.viewer->GetWants();
  }
}

int64_t Rendition::RefineNs(const Frame* frame) const {
  if (refine_ns_ == kNever || encoder_ == nullptr || frame == nullptr) return kNever;
  return std::max({refine_ns_, still_ns_, pacer_.next_ns()});
}

int64_t Rendition::KeyFrameNs() const {
  const int64_t last_ns = last_key_frame_ns_.value_or(kAtOnce / 2);
  int64_t due_ns = kNever;
  for (const Member& member : members_) {
    const Viewer::Wants& wants = member.wants;
    if (wants.join_key_frame && wants.ready) {
      const bool quick = quick_key_frames_ < kQuickKeyFramesMax;
      due_ns =
          std::min(due_ns, last_ns + (quick ? kJoinKeyFrameIntervalMinNs : kKeyFrameIntervalMinNs));
    }
    if (wants.resync_key_frame && wants.ready) {
      due_ns =
          std::min(due_ns, std::max(wants.resync_not_before_ns, last_ns + kKeyFrameIntervalMinNs));
    }
    // Also for a viewer that is not ready: without its decoder it may never acknowledge again.
    if (wants.requested_key_frame) due_ns = std::min(due_ns, last_ns + kKeyFrameIntervalMinNs);
  }
  return due_ns;
}

void Rendition::NoteKeyFrame(int64_t now_ns) {
  metrics_.Add(Count::kKeyFrames);
  const int64_t since_ns = now_ns - last_key_frame_ns_.value_or(kAtOnce / 2);
  const int64_t intervals = since_ns / kKeyFrameIntervalMinNs;
  // The one that this key frame ends had one.
  const int64_t quick =
      intervals == 0 ? quick_key_frames_ + 1 : quick_key_frames_ - (intervals - 1);
  quick_key_frames_ = static_cast<int>(std::max<int64_t>(quick, 0));
  last_key_frame_ns_ = now_ns;
}

int64_t Rendition::HeldBackUntilNs(const Frame* frame) const {
  int64_t until_ns = encoder_failures_ > 0 ? encoder_retry_ns_ : kAtOnce;
  const bool resizes = encoder_ != nullptr && frame != nullptr && !EncoderFits(*frame);
  if (resizes) until_ns = std::max(until_ns, resize_min_ns_);
  if (!refused_.has_value() || frame == nullptr) return until_ns;
  const PlaneBuffer& buffer = *frame->buffer;
  const bool other = buffer.serial() > refused_->serial || buffer.layout() != refused_->layout;
  return std::max(until_ns, other ? refused_->retry_min_ns : refused_->retry_ns);
}

std::optional<bool> Rendition::Encode(Frame& frame, bool force_idr, int64_t now_ns) {
  // The encoder reads the pixels now, not when the plane was looked at.
  frame.capture_time_ns = std::max(frame.capture_time_ns, clock_.NowNs());
  EncodeRequest request;
  request.force_idr = force_idr;
  request.refine = RefineNs(&frame) <= now_ns;
  request.cursor = cursor_;
  const absl::StatusOr<EncodeResult> result = encoder_->Encode(frame, request);
  identity_ = encoder_->identity();
  if (!result.ok()) {
    HandleError(result.status(), frame, now_ns);
    return std::nullopt;
  }
  const bool idr_missing = force_idr && (result->unit == nullptr || !result->unit->key_frame);
  if (idr_missing) {
    HandleError(absl::InternalError("no key frame came out although one was asked for"), frame,
                now_ns);
    return std::nullopt;
  }
  if (identity_.hardware) choice_.HardwareCoded(now_ns);
  encoder_failures_ = 0;
  refused_.reset();
  problem_.reset();
  const bool refined = result->unit != nullptr && result->unit->refinement;
  const bool changed =
      result->changed_rows > 0 || (result->unit != nullptr && !force_idr && !refined);
  refine_ns_ = result->refine_ns;
  // Also where a refinement came to nothing, so as not to ask again at once.
  if (changed || (request.refine && !refined)) still_ns_ = now_ns + kStillNs;
  if (!changed) metrics_.Add(Count::kUnchanged);
  if (result->unit == nullptr) return changed;
  pacer_.NoteCoded(now_ns, FrameIntervalNs());
  HandleUnit(result->unit);
  return changed;
}

void Rendition::HandleUnit(std::shared_ptr<const AccessUnit> unit) {
  const AccessUnit& coded = *unit;
  metrics_.Add(Count::kEncoded);
  metrics_.Add(Count::kEncodedBytes, coded.bytes.size());
  ++window_units_;
  window_bytes_ += coded.bytes.size();
  window_quantizers_ += static_cast<uint64_t>(std::max(coded.quantizer, 0));
  last_quantizer_ = coded.quantizer;
  if (coded.key_frame || pixel_path_ != coded.pixel_path) {
    pixel_path_reason_ = coded.pixel_path_reason;
  }
  pixel_path_ = coded.pixel_path;
  MeasureUnit(coded);
  const bool key_frame = coded.key_frame;
  const StreamEventPtr event = MakeEvent(UnitEvent{++sequence_, std::move(unit)}, options_.codec);
  const int64_t now_ns = clock_.NowNs();
  KeepStillUnit(event);
  if (std::get<UnitEvent>(event->body).unit->refinement) metrics_.Add(Count::kRefinements);
  if (key_frame) NoteKeyFrame(now_ns);
  for (Member& member : members_) {
    due_.push_back(member.viewer->OfferUnitQuietly(event, now_ns, /*fresh=*/true));
    member.wants = member.viewer->GetWants();
  }
  for (const Viewer::Notify& notify : due_) {
    if (notify != nullptr) (*notify)();
  }
  due_.clear();
}

void Rendition::MeasureUnit(const AccessUnit& unit) {
  const auto measure = [this](Stage stage, LatencyWindow& window, int64_t duration_ns) {
    window.Add(duration_ns);
    metrics_.AddTime(stage, duration_ns);
  };
  measure(Stage::kFlipToCapture, flip_to_capture_, unit.capture_time_ns - unit.flip_time_ns);
  measure(Stage::kCaptureToConverted, capture_to_converted_,
          unit.converted_time_ns - unit.capture_time_ns);
  measure(Stage::kConvertedToEncoded, converted_to_encoded_,
          unit.encoded_time_ns - unit.converted_time_ns);
  capture_to_encoded_.Add(unit.encoded_time_ns - unit.capture_time_ns);
}

void Rendition::KeepStillUnit(const StreamEventPtr& event) {
  const AccessUnit& unit = *std::get<UnitEvent>(event->body).unit;
  const bool goes_on = unit.refinement && !still_units_.empty();
  if (!goes_on || still_units_.size() >= kStillUnitsMax) still_units_.clear();
  if (unit.key_frame || !still_units_.empty()) still_units_.push_back(event);
}

void Rendition::HandleError(const absl::Status& error, const Frame& frame, int64_t now_ns) {
  metrics_.Add(Count::kEncodeErrors);
  frame_pending_ = true;
  const bool hardware = encoder_ != nullptr && identity_.hardware;
  if (RefusesFrame(error)) {
    const PlaneBuffer& buffer = *frame.buffer;
    if (hardware && choice_.HardwareRefused(error, buffer.layout(), now_ns) ==
                        EncoderChoice::Verdict::kRebuild) {
      DropEncoder();
      return;
    }
    refused_ = {buffer.serial(), buffer.layout(), now_ns + kFrameRetryMinNs,
                now_ns + kFrameRetryNs};
    const std::string gpu_error = hardware ? "" : choice_.SoftwareRefused();
    problem_ = StateOfEncodeError(BothReasons(error, gpu_error));
    // The GPU may have recovered by the next try; software never will.
    if (!gpu_error.empty()) DropEncoder();
    return;
  }
  DropEncoder();
  if (hardware && choice_.HardwareFailed(error, now_ns) == EncoderChoice::Verdict::kRebuild) {
    return;
  }
  ++encoder_failures_;
  encoder_retry_ns_ = now_ns + BackoffNs(encoder_failures_);
  if (encoder_failures_ <= kEncoderFailuresTolerated) return;
  problem_ = StateOfEncodeError(
      absl::Status(error.code(), absl::StrCat("The encoder failed ", encoder_failures_,
                                              " times in a row: ", error.message())));
}

void Rendition::DropEncoder() {
  encoder_.reset();
  still_units_.clear();
  refine_ns_ = kNever;
}

std::string Rendition::DegradedReason() const {
  // The state says it all then.
  if (problem_.has_value()) return "";
  if (!choice_.reason().empty()) return choice_.reason();
  return identity_.degraded_reason;
}

void Rendition::TakeStats(int64_t now_ns, StreamStats& stats) {
  const double seconds =
      static_cast<double>(std::max<int64_t>(now_ns - window_start_ns_, 1)) / kNsPerSecond;
  const auto bitrate_bps = static_cast<int64_t>(static_cast<double>(window_bytes_) * 8 / seconds);
  busy_bps_ = std::max(bitrate_bps, busy_bps_ / 5 * 4);
  stats.frames_per_second = static_cast<double>(window_units_) / seconds;
  stats.bitrate_bps = bitrate_bps;
  stats.flip_to_capture = flip_to_capture_.Take();
  stats.capture_to_encoded = capture_to_encoded_.Take();
  stats.capture_to_converted = capture_to_converted_.Take();
  stats.converted_to_encoded = converted_to_encoded_.Take();
  stats.quantizer = last_quantizer_;
  stats.encoder = encoder_name();
  Pace();
  window_start_ns_ = now_ns;
  window_units_ = window_bytes_ = window_quantizers_ = 0;
}

void Rendition::Pace() {
  if (!narrow_ || window_units_ == 0) return;
  const auto quantizer = static_cast<int>(window_quantizers_ / window_units_);
  if (quantizer >= kPaceQuantizerHigh) {
    const int rate_hz = pace_hz_ == 0 ? frame_rate_hz_ : pace_hz_;
    pace_hz_ = std::max(std::min(rate_hz, frame_rate_hz_) / 2, kPaceMinHz);
  } else if (quantizer <= kPaceQuantizerLow && pace_hz_ != 0) {
    pace_hz_ *= 2;
    if (pace_hz_ >= frame_rate_hz_) pace_hz_ = 0;
  }
}

}  // namespace planecast
