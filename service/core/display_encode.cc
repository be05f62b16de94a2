// What a display's steps do with its encoder.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/core/display_loop.h"

namespace planecast {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kAtOnce = std::numeric_limits<int64_t>::min();

/// The error of a frame that no encoder of this kind will ever take, as opposed to a broken
/// encoder.
bool RefusesFrame(const absl::Status& error) {
  return error.code() == absl::StatusCode::kUnimplemented ||
         error.code() == absl::StatusCode::kFailedPrecondition;
}

int64_t BackoffNs(int failures) {
  const int doublings = std::clamp(failures - 1, 0, 16);
  return std::min(kEncoderRetryMinNs << doublings, kEncoderRetryMaxNs);
}

}  // namespace

bool DisplayLoop::EncoderFits() const {
  const PlaneLayout& layout = frame_->buffer->layout();
  return encoder_width_px_ == layout.width_px && encoder_height_px_ == layout.height_px;
}

bool DisplayLoop::PrepareEncoder(int64_t now_ns) {
  const PlaneLayout& layout = frame_->buffer->layout();
  if (encoder_ != nullptr && EncoderFits()) {
    if (encoder_rate_ != wanted_rate_) encoder_->SetRate(wanted_rate_);
    encoder_rate_ = wanted_rate_;
    return true;
  }
  if (encoder_ != nullptr) resize_min_ns_ = now_ns + kResizeIntervalMinNs;
  DropEncoder();
  EncoderParams params;
  params.width_px = layout.width_px;
  params.height_px = layout.height_px;
  params.frame_rate_hz = options_.frame_rate_max_hz;
  params.threads = options_.encoder_threads;
  params.profile = options_.profile;
  absl::StatusOr<std::unique_ptr<Encoder>> made = options_.make_encoder(params, wanted_rate_);
  if (!made.ok()) {
    HandleEncodeError(made.status(), now_ns);
    return false;
  }
  encoder_ = *std::move(made);
  encoder_name_ = encoder_->identity().id;
  encoder_width_px_ = layout.width_px;
  encoder_height_px_ = layout.height_px;
  encoder_rate_ = wanted_rate_;
  BroadcastStarted();
  return true;
}

void DisplayLoop::MaybeEncode(bool new_frame, int64_t now_ns) {
  ServeStillPicture(now_ns);
  const bool key_frame = KeyFrameNs() <= now_ns;
  if (!key_frame) {
    const bool refines = RefineNs() <= now_ns && AnyViewerReady();
    if (!new_frame && !frame_pending_ && !refines) return;
    if (!AnyViewerReady()) {
      if (new_frame) ++counters_.skipped_no_viewer_ready;
      frame_pending_ = true;
      return;
    }
    if (now_ns < next_frame_ns_) {
      if (new_frame) ++counters_.skipped_frame_rate;
      frame_pending_ = true;
      return;
    }
  }
  frame_pending_ = false;
  Encode(key_frame, now_ns);
}

void DisplayLoop::ServeStillPicture(int64_t now_ns) {
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

int64_t DisplayLoop::RefineNs() const {
  if (refine_ns_ == kNever || encoder_ == nullptr || !frame_.has_value()) return kNever;
  return std::max({refine_ns_, still_ns_, next_frame_ns_});
}

int64_t DisplayLoop::KeyFrameNs() const {
  const int64_t last_ns = last_key_frame_ns_.value_or(kAtOnce / 2);
  int64_t due_ns = kNever;
  for (const Member& member : members_) {
    const Viewer::Wants& wants = member.wants;
    if (wants.join_key_frame && wants.ready) {
      due_ns = std::min(due_ns, last_ns + kJoinKeyFrameIntervalMinNs);
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

int64_t DisplayLoop::HeldBackUntilNs() const {
  int64_t until_ns = encoder_failures_ > 0 ? encoder_retry_ns_ : kAtOnce;
  const bool resizes = encoder_ != nullptr && frame_.has_value() && !EncoderFits();
  if (resizes) until_ns = std::max(until_ns, resize_min_ns_);
  if (!refused_.has_value() || !frame_.has_value()) return until_ns;
  const PlaneBuffer& buffer = *frame_->buffer;
  const bool other = buffer.serial() > refused_->serial || buffer.layout() != refused_->layout;
  return std::max(until_ns, other ? refused_->retry_min_ns : refused_->retry_ns);
}

void DisplayLoop::Encode(bool force_idr, int64_t now_ns) {
  // The encoder reads the pixels now, not when the plane was looked at.
  frame_->capture_time_ns = std::max(frame_->capture_time_ns, clock_.NowNs());
  EncodeRequest request;
  request.force_idr = force_idr;
  request.refine = RefineNs() <= now_ns;
  const absl::StatusOr<EncodeResult> result = encoder_->Encode(*frame_, request);
  if (!result.ok()) {
    HandleEncodeError(result.status(), now_ns);
    return;
  }
  const bool idr_missing = force_idr && (result->unit == nullptr || !result->unit->key_frame);
  if (idr_missing) {
    HandleEncodeError(absl::InternalError("no key frame came out although one was asked for"),
                      now_ns);
    return;
  }
  encoder_failures_ = 0;
  refused_.reset();
  encode_state_.reset();
  const bool refined = result->unit != nullptr && result->unit->refinement;
  const bool changed =
      result->changed_rows > 0 || (result->unit != nullptr && !force_idr && !refined);
  refine_ns_ = result->refine_ns;
  // Also where a refinement came to nothing, so as not to ask again at once.
  if (changed || (request.refine && !refined)) still_ns_ = now_ns + kStillNs;
  if (!changed) ++counters_.unchanged;
  source_->ReportContent(changed, now_ns);
  if (result->unit == nullptr) return;
  const int64_t interval_ns = FrameIntervalNs();
  // Half an interval of credit keeps the cap's average in spite of a guest's jitter.
  // Key frames don't wait for the cap, and what they use up of it is not owed for ever.
  next_frame_ns_ = std::clamp(next_frame_ns_, now_ns - interval_ns / 2, now_ns) + interval_ns;
  HandleUnit(result->unit);
}

void DisplayLoop::HandleUnit(std::shared_ptr<const AccessUnit> unit) {
  const AccessUnit& coded = *unit;
  snapshot_.encoder = encoder_name_;
  ++counters_.encoded;
  counters_.encoded_bytes += coded.bytes.size();
  ++window_units_;
  window_bytes_ += coded.bytes.size();
  last_quantizer_ = coded.quantizer;
  flip_to_capture_.Add(coded.capture_time_ns - coded.flip_time_ns);
  capture_to_encoded_.Add(coded.encoded_time_ns - coded.capture_time_ns);
  const bool key_frame = coded.key_frame;
  const StreamEventPtr event = MakeEvent(UnitEvent{++sequence_, std::move(unit)}, options_.codec);
  const int64_t now_ns = clock_.NowNs();
  KeepStillUnit(event);
  if (std::get<UnitEvent>(event->body).unit->refinement) ++counters_.refinements;
  if (key_frame) {
    ++counters_.key_frames;
    last_key_frame_ns_ = now_ns;
  }
  for (Member& member : members_) {
    member.viewer->OfferUnit(event, now_ns, /*fresh=*/true);
    member.wants = member.viewer->GetWants();
  }
}

void DisplayLoop::KeepStillUnit(const StreamEventPtr& event) {
  const AccessUnit& unit = *std::get<UnitEvent>(event->body).unit;
  const bool goes_on = unit.refinement && !still_units_.empty();
  if (!goes_on || still_units_.size() >= kStillUnitsMax) still_units_.clear();
  if (unit.key_frame || !still_units_.empty()) still_units_.push_back(event);
}

void DisplayLoop::HandleEncodeError(const absl::Status& error, int64_t now_ns) {
  ++counters_.encode_errors;
  frame_pending_ = true;
  if (RefusesFrame(error)) {
    const PlaneBuffer& buffer = *frame_->buffer;
    refused_ = {buffer.serial(), buffer.layout(), now_ns + kFrameRetryMinNs,
                now_ns + kFrameRetryNs};
    encode_state_ = StateOfEncodeError(error);
    return;
  }
  DropEncoder();
  ++encoder_failures_;
  encoder_retry_ns_ = now_ns + BackoffNs(encoder_failures_);
  if (encoder_failures_ <= kEncoderFailuresTolerated) return;
  encode_state_ = StateOfEncodeError(
      absl::Status(error.code(), absl::StrCat("The encoder failed ", encoder_failures_,
                                              " times in a row: ", error.message())));
}

void DisplayLoop::DropEncoder() {
  encoder_.reset();
  still_units_.clear();
  refine_ns_ = kNever;
}

}  // namespace planecast
