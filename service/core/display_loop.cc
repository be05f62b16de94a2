#include "service/core/display_loop.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

bool FromFrame(DisplayState state) {
  return state == DisplayState::kUnsupportedFormat || state == DisplayState::kImportFailed;
}

}  // namespace

DisplayLoop::DisplayLoop(DisplaySnapshot identity, std::unique_ptr<PlaneSource> source,
                         DisplayOptions options, std::shared_ptr<WakeSignal> signal,
                         SnapshotCallback publish)
    : options_(std::move(options)),
      clock_(*options_.clock),
      signal_(std::move(signal)),
      publish_(std::move(publish)),
      source_(std::move(source)),
      snapshot_(std::move(identity)),
      renditions_(options_, snapshot_.spec, *metrics_,
                  [this](Member& member, const Rendition& rendition) {
                    announcer_.TellStarted(member, rendition, News());
                  }),
      announcer_(renditions_, snapshot_.id, options_.codec, *metrics_, options_.frame_rate_max_hz) {
  snapshot_.attach_time_ns = clock_.NowNs();
  plane_state_.reason = "The device is being opened and probed.";
  plane_state_.since_ns = snapshot_.attach_time_ns;
  snapshot_.state = plane_state_;
}

void DisplayLoop::SetStateWatched(bool watched) {
  state_watched_ = watched;
}

int64_t DisplayLoop::Step(int64_t now_ns) {
  PlaneSource::Events events;
  if (source_ != nullptr) events = source_->HandleEvents(now_ns);
  requests_.ApplyModes(source_.get(), now_ns);
  SweepViewers(now_ns);
  const bool for_video = VideoLookDue(now_ns, events);
  bool new_frame = false;
  if (source_ != nullptr && (for_video || events.gone || RequestLookDue(now_ns))) {
    // Whatever the look was for, the source tells a flip once only.
    new_frame = Look(now_ns) && watched_;
  } else if (source_ != nullptr && events.cursor_changed) {
    HandleCursor(source_->LookAtCursor(now_ns), now_ns);
  }
  ChooseCursorPath();
  const bool can_encode = watched_ && frame_.has_value();
  if (can_encode) PrepareRenditions(now_ns);
  if (watched_ && announcer_.told_cursor_path() != cursor_path()) announcer_.BeginAnew(News());
  ResolveState(now_ns);
  if (announcer_.AnyToGreet()) announcer_.Greet(News());
  if (TellsCursor()) announcer_.TellImage(now_ns);
  if (can_encode) {
    EncodeRenditions(new_frame, now_ns);
    ResolveState(now_ns);
  }
  if (source_ == nullptr && renditions_.ViewerCount() > 0) HandleGone();
  UpdateSnapshot();
  AnswerRequests(now_ns);
  if (watched_ && now_ns >= next_tick_ns_) {
    next_tick_ns_ = now_ns + kTickNs;
    announcer_.TellStats(News(), now_ns);
  }
  if (!watched_ && now_ns >= encoder_drop_ns_) renditions_.best().DropEncoder();
  // An idle display holds no buffer of the guest's.
  if (!watched_ && !requests_.awaits_picture()) frame_.reset();
  return NextStepNs(now_ns);
}

std::vector<int> DisplayLoop::wait_fds() const {
  return source_ != nullptr ? source_->wait_fds() : std::vector<int>();
}

void DisplayLoop::SweepViewers(int64_t now_ns) {
  // Before the viewers are asked, so that one that becomes ready right after wakes the next step.
  signal_->AwaitReady(true);
  renditions_.Sweep();
  SetWatched(renditions_.ViewerCount() > 0 && source_ != nullptr, now_ns);
  renditions_.Assign(now_ns);
}

bool DisplayLoop::VideoLookDue(int64_t now_ns, const PlaneSource::Events& events) const {
  if (!watched_) return false;
  if (events.flipped || (events.cursor_changed && cursor_drawn_)) return true;
  if (look_wanted_ || now_ns >= source_->NextLookNs()) return true;
  return std::any_of(renditions_.begin(), renditions_.end(),
                     [&](const auto& rendition) { return rendition->LookDue(frame(), now_ns); });
}

bool DisplayLoop::RequestLookDue(int64_t now_ns) const {
  if (transient_looks_ > 0) return TransientRetryWanted() && now_ns >= transient_retry_ns_;
  if (!last_look_ns_.has_value() || requests_.awaits_picture()) return true;
  const int64_t age_ns = now_ns - *last_look_ns_;
  if (requests_.awaits_state() && age_ns >= kStateFreshNs) return true;
  return state_watched_ && age_ns >= kIdleLookIntervalNs;
}

bool DisplayLoop::TransientRetryWanted() const {
  if (transient_looks_ == 0) return false;
  return state_watched_ || requests_.awaits_state() || requests_.awaits_picture() ||
         !last_look_ns_.has_value();
}

bool DisplayLoop::Look(int64_t now_ns) {
  look_wanted_ = false;
  metrics_->Add(Count::kLooks);
  PlaneLook look = source_->Look(now_ns);
  if (look.primary == PlaneLook::Primary::kTransient) {
    ++transient_looks_;
    transient_retry_ns_ = now_ns + kTransientRetryNs;
    // The first state of a display must not stay open for ever.
    if (transient_looks_ < kTransientRetriesMax || last_look_ns_.has_value()) return false;
    look.primary = PlaneLook::Primary::kFailed;
    look.problem = absl::UnavailableError(absl::StrCat(
        "The device answered every query so far with an error: ", look.problem.message()));
  } else {
    transient_looks_ = 0;
  }
  last_look_ns_ = now_ns;
  std::optional<StateReport> state = StateOfLook(look);
  if (state.has_value()) plane_state_ = *std::move(state);
  if (!look.frame.has_value()) {
    HandleNoFrame(look, now_ns);
    return false;
  }
  metrics_->Add(Count::kCaptured);
  frame_seen_ = true;
  frame_ = std::move(look.frame);
  snapshot_.primary_plane = {frame_->buffer->layout(), source_->info().plane_kind};
  HandleCursor(look.cursor, now_ns);
  if (!watched_) CheckCpuPath();
  return true;
}

void DisplayLoop::HandleNoFrame(const PlaneLook& look, int64_t now_ns) {
  frame_.reset();
  snapshot_.primary_plane.reset();
  for (const auto& rendition : renditions_) rendition->DropPending();
  if (look.primary == PlaneLook::Primary::kGone) {
    for (const auto& rendition : renditions_) rendition->DropEncoder();
    source_.reset();
    SetWatched(false, 0);
    return;
  }
  if (look.primary != PlaneLook::Primary::kFailed) HandleCursor(look.cursor, now_ns);
}

void DisplayLoop::HandleGone() {
  Goodbye goodbye;
  goodbye.reason = Goodbye::Reason::kDisplayFailed;
  goodbye.message = snapshot_.state.reason;
  EndViewers(goodbye);
}

void DisplayLoop::HandleCursor(const Cursor& cursor, int64_t now_ns) {
  const Cursor before = std::exchange(cursor_, cursor);
  if (TellsCursor()) announcer_.TellCursor(before, cursor_, now_ns);
}

void DisplayLoop::ChooseCursorPath() {
  cursor_drawn_ = renditions_.AnyWantsCursorInPicture();
  const bool draws = cursor_drawn_ && cursor_separate();
  for (const auto& rendition : renditions_) rendition->DrawCursor(draws ? &cursor_ : nullptr);
}

void DisplayLoop::PrepareRenditions(int64_t now_ns) {
  for (const auto& rendition : renditions_) {
    // A further encoder is made when it is needed, not while its viewers catch up.
    const bool further = rendition.get() != &renditions_.best();
    if (further && !rendition->has_encoder() && !rendition->AnyViewerReady()) continue;
    const Rendition::Readiness readiness = rendition->Prepare(*frame_, now_ns);
    if (readiness == Rendition::Readiness::kNewEncoder) {
      announcer_.TellNewEncoder(*rendition, News());
    }
  }
  if (renditions_.best().problem().has_value()) encode_state_ = renditions_.best().problem();
}

void DisplayLoop::EncodeRenditions(bool new_frame, int64_t now_ns) {
  bool encoded = false;
  bool changed = false;
  for (const auto& rendition : renditions_) {
    const std::optional<bool> result = rendition->MaybeEncode(*frame_, new_frame, now_ns);
    if (!result.has_value()) continue;
    encoded = true;
    changed = changed || *result;
    if (rendition.get() != &renditions_.best()) continue;
    encode_state_.reset();
    if (!rendition->coded()) continue;
    snapshot_.encoder = rendition->encoder_name();
    snapshot_.encoder_hardware = rendition->encoder().hardware;
    snapshot_.encoder_detail = rendition->encoder().detail;
    snapshot_.pixel_path = rendition->pixel_path();
    snapshot_.pixel_path_reason = rendition->pixel_path_reason();
  }
  if (encoded) source_->ReportContent(changed, now_ns);
  if (renditions_.best().problem().has_value()) encode_state_ = renditions_.best().problem();
}

void DisplayLoop::CheckCpuPath() {
  if (!options_.encoder_reads_by_cpu || frame_->buffer->serial() == cpu_checked_serial_) return;
  const PlaneBuffer& buffer = *frame_->buffer;
  cpu_checked_serial_ = buffer.serial();
  const PlaneLayout& layout = buffer.layout();
  // Memory out of reach comes first, as in the encoder: another format would not help.
  absl::Status problem = buffer.ReadCpu().status();
  if (problem.ok() && !CpuFormatSupported(layout.fourcc, layout.modifier)) {
    problem = absl::UnimplementedError(
        absl::StrCat("The plane's format ", FourccName(layout.fourcc), " with modifier 0x",
                     absl::Hex(layout.modifier), " can't be read by the CPU."));
  }
  if (!problem.ok()) {
    encode_state_ = StateOfEncodeError(problem);
  } else if (encode_state_.has_value() && FromFrame(encode_state_->state)) {
    encode_state_.reset();
  }
}

void DisplayLoop::SetWatched(bool watched, int64_t now_ns) {
  if (watched == watched_) return;
  watched_ = watched;
  if (source_ != nullptr) source_->SetWatched(watched, now_ns);
  if (watched) {
    look_wanted_ = true;
    next_tick_ns_ = now_ns + kTickNs;
    for (const auto& rendition : renditions_) rendition->Begin(now_ns);
    return;
  }
  for (const auto& rendition : renditions_) rendition->Rest();
  encoder_drop_ns_ = now_ns + kEncoderLingerNs;
  if (encode_state_.has_value() && !FromFrame(encode_state_->state)) encode_state_.reset();
}

void DisplayLoop::ResolveState(int64_t now_ns) {
  const bool plane_ok = plane_state_.state == DisplayState::kActive;
  StateReport report = plane_ok && encode_state_.has_value() ? *encode_state_ : plane_state_;
  StateReport& current = snapshot_.state;
  report.since_ns = report.state == current.state ? current.since_ns : now_ns;
  if (report == current) return;
  current = std::move(report);
  // Before any viewer hears of it, so that whoever asks on hearing it is told the same.
  UpdateSnapshot();
  announcer_.TellState(current);
}

CursorPath DisplayLoop::cursor_path() const {
  if (cursor_separate()) return cursor_drawn_ ? CursorPath::kInPicture : CursorPath::kSeparate;
  if (source_ == nullptr) return snapshot_.cursor_path;
  return frame_seen_ ? CursorPath::kInPicture : CursorPath::kUnknown;
}

DisplayNews DisplayLoop::News() const {
  std::optional<FlipRegime> flip_regime;
  if (source_ != nullptr) flip_regime = source_->info().flip_regime;
  return {cursor_path(), flip_regime, snapshot_.state, cursor_, clock_.NowNs()};
}

void DisplayLoop::UpdateSnapshot() {
  snapshot_.cursor_path = cursor_path();
  snapshot_.viewer_count = static_cast<int>(renditions_.ViewerCount());
  if (source_ != nullptr) {
    const PlaneSourceInfo& info = source_->info();
    snapshot_.flip_regime = info.flip_regime;
    snapshot_.mode_settable = info.mode_settable;
    snapshot_.device_description = info.description;
    const std::string encoder = renditions_.best().DegradedReason();
    snapshot_.degraded_reason = info.degraded_reason;
    if (!encoder.empty()) {
      absl::StrAppend(&snapshot_.degraded_reason, info.degraded_reason.empty() ? "" : " ", encoder);
    }
  } else {
    snapshot_.mode_settable = false;
  }
  if (snapshot_ == published_) return;
  published_ = snapshot_;
  if (publish_) publish_(snapshot_);
}

void DisplayLoop::AnswerRequests(int64_t now_ns) {
  const bool retrying = source_ != nullptr && transient_looks_ > 0;
  if (!retrying || transient_looks_ >= kTransientRetriesMax) requests_.AnswerRefreshes(snapshot_);
  if (!requests_.awaits_picture()) return;
  if (retrying) {
    requests_.ExpirePicture(now_ns);
  } else {
    requests_.AnswerPicture(frame(), cursor_separate() ? &cursor_ : nullptr, snapshot_);
  }
}

int64_t DisplayLoop::NextStepNs(int64_t now_ns) const {
  // Ended viewers are swept, and more pictures taken, in a step of their own.
  if (source_ == nullptr) {
    return renditions_.ViewerCount() == 0 && !requests_.awaits_picture() ? kNever : now_ns;
  }
  int64_t next_ns = source_->NextTimedWorkNs();
  if (TransientRetryWanted()) {
    next_ns = std::min(next_ns, transient_retry_ns_);
  } else if (requests_.awaits_picture()) {
    return now_ns;
  }
  if (!watched_) {
    signal_->AwaitReady(false);
    if (renditions_.best().has_encoder()) next_ns = std::min(next_ns, encoder_drop_ns_);
    if (state_watched_ && last_look_ns_.has_value()) {
      next_ns = std::min(next_ns, *last_look_ns_ + kIdleLookIntervalNs);
    }
    return next_ns;
  }
  next_ns = std::min({next_ns, source_->NextLookNs(), next_tick_ns_});
  if (TellsCursor()) next_ns = std::min(next_ns, announcer_.NextImageNs());
  if (look_wanted_) return now_ns;
  bool awaits_ready = false;
  for (const auto& rendition : renditions_) {
    awaits_ready = awaits_ready || rendition->AwaitsReady(frame(), now_ns);
    next_ns = std::min(next_ns, rendition->NextNs(frame()));
  }
  signal_->AwaitReady(awaits_ready);
  return next_ns;
}

void DisplayLoop::Close(const Goodbye& goodbye) {
  const int64_t now_ns = clock_.NowNs();
  plane_state_ = StateReport();
  plane_state_.state = DisplayState::kDetaching;
  plane_state_.reason = "The display is being detached.";
  encode_state_.reset();
  if (announcer_.AnyToGreet()) announcer_.Greet(News());
  ResolveState(now_ns);
  EndViewers(goodbye);
  for (const auto& rendition : renditions_) {
    rendition->DropEncoder();
    rendition->members().clear();
  }
  frame_.reset();
  source_.reset();
  watched_ = false;
  UpdateSnapshot();
  requests_.Refuse(snapshot_);
}

}  // namespace planecast
