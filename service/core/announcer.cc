// What a display's steps do with its viewers.
#include <algorithm>
#include <utility>

#include "service/core/display_loop.h"

namespace planecast {

StreamEventPtr DisplayLoop::MakeStarted(const Rendition& rendition) const {
  StreamStarted started;
  started.display_id = snapshot_.id;
  if (rendition.has_encoder()) {
    started.description = *rendition.description();
    started.encoder = rendition.encoder_name();
  }
  started.cursor_path = cursor_path();
  if (source_ != nullptr) started.flip_regime = source_->info().flip_regime;
  return MakeEvent(std::move(started), options_.codec);
}

void DisplayLoop::TellStarted(Member& member, const StreamEventPtr& started,
                              const Rendition& rendition) {
  member.told.reset();
  if (rendition.has_encoder()) member.told = *rendition.description();
  member.viewer->OfferStarted(started);
  member.wants = member.viewer->GetWants();
}

void DisplayLoop::TellNewEncoder(Rendition& rendition) {
  // Otherwise all are told anew in this step.
  if (told_cursor_path_ != cursor_path()) return;
  const StreamEventPtr started = MakeStarted(rendition);
  for (Member& member : rendition.members()) {
    // Who came from another rendition of the same size goes on with a key frame.
    const bool knows = !rendition.coded() && member.told == *rendition.description();
    if (member.greeted && !knows) TellStarted(member, started, rendition);
  }
}

void DisplayLoop::GreetNewViewers() {
  StreamEventPtr state;
  StreamEventPtr shape;
  StreamEventPtr moved;
  for (const auto& rendition : renditions_) {
    StreamEventPtr started;
    for (Member& member : rendition->members()) {
      if (std::exchange(member.greeted, true)) continue;
      if (state == nullptr) {
        told_cursor_path_ = cursor_path();
        state = MakeEvent(StateChanged{snapshot_.state}, options_.codec);
        if (cursor_path() == CursorPath::kSeparate) {
          if (cursor_.image != nullptr) {
            shape = MakeEvent(CursorShape{cursor_.image}, options_.codec);
          }
          moved =
              MakeEvent(CursorMoved{cursor_.x_px, cursor_.y_px, cursor_.visible}, options_.codec);
        }
      }
      if (started == nullptr) started = MakeStarted(*rendition);
      TellStarted(member, started, *rendition);
      member.viewer->OfferStateChanged(state);
      if (shape != nullptr) member.viewer->OfferCursorShape(shape);
      if (moved != nullptr) member.viewer->OfferCursorMoved(moved);
      member.wants = member.viewer->GetWants();
    }
  }
}

void DisplayLoop::Broadcast(void (Viewer::*offer)(StreamEventPtr), const StreamEventPtr& event) {
  for (const auto& rendition : renditions_) {
    for (const Member& member : rendition->members()) {
      if (member.greeted) (member.viewer.get()->*offer)(event);
    }
  }
}

void DisplayLoop::BroadcastStarted() {
  told_cursor_path_ = cursor_path();
  for (const auto& rendition : renditions_) {
    const StreamEventPtr started = MakeStarted(*rendition);
    for (Member& member : rendition->members()) {
      if (member.greeted) TellStarted(member, started, *rendition);
    }
  }
  if (told_cursor_path_ != CursorPath::kSeparate) return;
  if (cursor_.image != nullptr) {
    Broadcast(&Viewer::OfferCursorShape, MakeEvent(CursorShape{cursor_.image}, options_.codec));
  }
  Broadcast(&Viewer::OfferCursorMoved,
            MakeEvent(CursorMoved{cursor_.x_px, cursor_.y_px, cursor_.visible}, options_.codec));
}

void DisplayLoop::EndViewers(const Goodbye& goodbye) {
  const StreamEventPtr event = MakeEvent(goodbye, options_.codec);
  for (const auto& rendition : renditions_) {
    for (const Member& member : rendition->members()) member.viewer->OfferGoodbye(event);
  }
}

void DisplayLoop::Tick(int64_t now_ns) {
  next_tick_ns_ = now_ns + kTickNs;
  StreamStats stats;
  stats.viewer_count = static_cast<int>(renditions_.ViewerCount());
  if (source_ != nullptr) stats.flip_regime = source_->info().flip_regime;
  for (const auto& rendition : renditions_) {
    rendition->TakeStats(now_ns, stats);
    for (const Member& member : rendition->members()) {
      if (member.viewer->EndIfStalled(now_ns, options_.codec)) {
        metrics_->Add(Count::kViewersStalled);
      }
      FillCounts(member, stats);
      member.viewer->OfferStats(stats);
    }
  }
}

void DisplayLoop::FillCounts(const Member& member, StreamStats& stats) const {
  const auto since = [&](Count count) { return metrics_->Value(count) - member.baseline[count]; };
  stats.looks = since(Count::kLooks);
  stats.unchanged = since(Count::kUnchanged);
  stats.encoded = since(Count::kEncoded);
  stats.key_frames = since(Count::kKeyFrames);
  stats.encoded_bytes = since(Count::kEncodedBytes);
  stats.skipped_no_viewer_ready = since(Count::kSkippedNoViewerReady);
  stats.skipped_frame_rate = since(Count::kSkippedFrameRate);
  stats.refinements = since(Count::kRefinements);
  stats.encode_errors = since(Count::kEncodeErrors);
}

}  // namespace planecast
