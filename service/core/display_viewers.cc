// What a display's steps do with its viewers.
#include <algorithm>
#include <utility>

#include "service/core/display_loop.h"

namespace planecast {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
/// Least that the encoders take; a viewer that asks for less gets this.
constexpr int64_t kBitrateMinBps = 100'000;

/// The lesser of two limits of which 0 means none.
template <typename T>
T Tighter(T limit, T other) {
  return other == 0 ? limit : std::min(limit, other);
}

}  // namespace

void DisplayLoop::AddViewer(std::shared_ptr<Viewer> viewer) {
  members_.push_back({std::move(viewer), {}, false, counters_});
}

void DisplayLoop::SweepViewers(int64_t now_ns) {
  // Before the viewers are asked, so that one that becomes ready right after wakes the next step.
  signal_->AwaitReady(true);
  for (Member& member : members_) member.wants = member.viewer->GetWants();
  std::erase_if(members_, [](const Member& member) { return member.wants.ended; });
  SetWatched(!members_.empty() && source_ != nullptr, now_ns);
  ApplyLimits(now_ns);
}

void DisplayLoop::ApplyLimits(int64_t now_ns) {
  wanted_rate_ = options_.rate;
  frame_rate_hz_ = options_.frame_rate_max_hz;
  for (const Member& member : members_) {
    const ViewerLimits& limits = member.wants.limits;
    wanted_rate_.bitrate_max_bps = Tighter(wanted_rate_.bitrate_max_bps, limits.bitrate_max_bps);
    frame_rate_hz_ = Tighter(frame_rate_hz_, limits.frame_rate_max_hz);
  }
  wanted_rate_.bitrate_max_bps = std::max(wanted_rate_.bitrate_max_bps, kBitrateMinBps);
  // Nobody waits longer for the next frame than the limits of those who watch now ask for.
  next_frame_ns_ = std::min(next_frame_ns_, now_ns + FrameIntervalNs());
}

int64_t DisplayLoop::FrameIntervalNs() const {
  return kNsPerSecond / std::max(frame_rate_hz_, 1);
}

bool DisplayLoop::AnyViewerReady() const {
  return std::any_of(members_.begin(), members_.end(),
                     [](const Member& member) { return member.wants.ready; });
}

StreamEventPtr DisplayLoop::MakeStarted() const {
  StreamStarted started;
  started.display_id = snapshot_.id;
  if (encoder_ != nullptr) {
    started.description = encoder_->description();
    started.encoder = encoder_name_;
  }
  started.cursor_path = cursor_path();
  if (source_ != nullptr) started.flip_regime = source_->info().flip_regime;
  return MakeEvent(std::move(started), options_.codec);
}

void DisplayLoop::GreetNewViewers() {
  const bool all_greeted =
      std::all_of(members_.begin(), members_.end(), [](const Member& m) { return m.greeted; });
  if (all_greeted) return;
  const StreamEventPtr started = MakeStarted();
  const StreamEventPtr state = MakeEvent(StateChanged{snapshot_.state}, options_.codec);
  StreamEventPtr shape;
  StreamEventPtr moved;
  if (cursor_path() == CursorPath::kSeparate) {
    if (cursor_.image != nullptr) shape = MakeEvent(CursorShape{cursor_.image}, options_.codec);
    moved = MakeEvent(CursorMoved{cursor_.x_px, cursor_.y_px, cursor_.visible}, options_.codec);
  }
  told_cursor_path_ = cursor_path();
  for (Member& member : members_) {
    if (std::exchange(member.greeted, true)) continue;
    member.viewer->OfferStarted(started);
    member.viewer->OfferStateChanged(state);
    if (shape != nullptr) member.viewer->OfferCursorShape(shape);
    if (moved != nullptr) member.viewer->OfferCursorMoved(moved);
    member.wants = member.viewer->GetWants();
  }
}

void DisplayLoop::Broadcast(void (Viewer::*offer)(StreamEventPtr), const StreamEventPtr& event) {
  for (const Member& member : members_) {
    if (member.greeted) (member.viewer.get()->*offer)(event);
  }
}

void DisplayLoop::BroadcastStarted() {
  told_cursor_path_ = cursor_path();
  Broadcast(&Viewer::OfferStarted, MakeStarted());
  for (Member& member : members_) {
    if (member.greeted) member.wants = member.viewer->GetWants();
  }
}

void DisplayLoop::EndViewers(const Goodbye& goodbye) {
  const StreamEventPtr event = MakeEvent(goodbye, options_.codec);
  for (const Member& member : members_) member.viewer->OfferGoodbye(event);
}

void DisplayLoop::Tick(int64_t now_ns) {
  next_tick_ns_ = now_ns + kTickNs;
  const double seconds =
      static_cast<double>(std::max<int64_t>(now_ns - window_start_ns_, 1)) / kNsPerSecond;
  StreamStats stats;
  stats.viewer_count = static_cast<int>(members_.size());
  stats.frames_per_second = static_cast<double>(window_units_) / seconds;
  stats.bitrate_bps = static_cast<int64_t>(static_cast<double>(window_bytes_) * 8 / seconds);
  stats.flip_to_capture = flip_to_capture_.Take();
  stats.capture_to_encoded = capture_to_encoded_.Take();
  stats.quantizer = last_quantizer_;
  window_start_ns_ = now_ns;
  window_units_ = 0;
  window_bytes_ = 0;
  for (const Member& member : members_) {
    if (member.viewer->EndIfStalled(now_ns, options_.codec)) ++counters_.viewers_stalled;
    const DisplayCounters& baseline = member.baseline;
    stats.looks = counters_.looks - baseline.looks;
    stats.unchanged = counters_.unchanged - baseline.unchanged;
    stats.encoded = counters_.encoded - baseline.encoded;
    stats.key_frames = counters_.key_frames - baseline.key_frames;
    stats.encoded_bytes = counters_.encoded_bytes - baseline.encoded_bytes;
    member.viewer->OfferStats(stats);
  }
}

}  // namespace planecast
