#include "service/core/announcer.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace planecast {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

}  // namespace

Announcer::Announcer(RenditionSet& renditions, std::string display_id, EventCodec* codec,
                     DisplayMetrics& metrics, int cursor_rate_max_hz)
    : renditions_(renditions),
      display_id_(std::move(display_id)),
      codec_(codec),
      metrics_(metrics),
      image_period_ns_(kSecondNs / std::max(cursor_rate_max_hz, 1)) {}

StreamEventPtr Announcer::MakeStarted(const Rendition& rendition, const DisplayNews& news) const {
  StreamStarted started;
  started.display_id = display_id_;
  if (rendition.has_encoder()) {
    started.description = *rendition.description();
    started.encoder = rendition.encoder_name();
  }
  started.cursor_path = news.cursor_path;
  started.flip_regime = news.flip_regime;
  return MakeEvent(std::move(started), codec_);
}

void Announcer::TellStarted(Member& member, const StreamEventPtr& started,
                            const Rendition& rendition) {
  member.told.reset();
  if (rendition.has_encoder()) member.told = *rendition.description();
  member.viewer->OfferStarted(started);
  member.wants = member.viewer->GetWants();
}

void Announcer::TellStarted(Member& member, const Rendition& rendition, const DisplayNews& news) {
  TellStarted(member, MakeStarted(rendition, news), rendition);
}

void Announcer::TellNewEncoder(Rendition& rendition, const DisplayNews& news) {
  // Otherwise all are told anew in this step.
  if (told_cursor_path_ != news.cursor_path) return;
  const StreamEventPtr started = MakeStarted(rendition, news);
  for (Member& member : rendition.members()) {
    // Who came from another rendition of the same size goes on with a key frame.
    const bool knows = !rendition.coded() && member.told == *rendition.description();
    if (member.greeted && !knows) TellStarted(member, started, rendition);
  }
}

bool Announcer::AnyToGreet() const {
  return std::any_of(renditions_.begin(), renditions_.end(), [](const auto& rendition) {
    return std::any_of(rendition->members().begin(), rendition->members().end(),
                       [](const Member& member) { return !member.greeted; });
  });
}

void Announcer::Greet(const DisplayNews& news) {
  told_cursor_path_ = news.cursor_path;
  const StreamEventPtr state = MakeEvent(StateChanged{news.state}, codec_);
  StreamEventPtr moved;
  if (news.cursor_path == CursorPath::kSeparate) {
    const Cursor& cursor = news.cursor;
    WantImage(cursor.image);
    NameImage(news.now_ns);
    moved = MakeEvent(CursorMoved{cursor.x_px, cursor.y_px, cursor.visible}, codec_);
  }
  for (const auto& rendition : renditions_) {
    StreamEventPtr started;
    for (Member& member : rendition->members()) {
      if (std::exchange(member.greeted, true)) continue;
      if (started == nullptr) started = MakeStarted(*rendition, news);
      TellStarted(member, started, *rendition);
      member.viewer->OfferStateChanged(state);
      if (moved != nullptr) {
        OfferImage(member, news.now_ns);
        member.viewer->OfferCursorMoved(moved);
      }
      member.wants = member.viewer->GetWants();
    }
  }
}

void Announcer::Broadcast(void (Viewer::*offer)(StreamEventPtr), const StreamEventPtr& event) {
  for (const auto& rendition : renditions_) {
    for (const Member& member : rendition->members()) {
      if (member.greeted) (member.viewer.get()->*offer)(event);
    }
  }
}

void Announcer::BeginAnew(const DisplayNews& news) {
  told_cursor_path_ = news.cursor_path;
  for (const auto& rendition : renditions_) {
    const StreamEventPtr started = MakeStarted(*rendition, news);
    for (Member& member : rendition->members()) {
      if (member.greeted) TellStarted(member, started, *rendition);
    }
  }
  if (told_cursor_path_ != CursorPath::kSeparate) return;
  const Cursor& cursor = news.cursor;
  WantImage(cursor.image);
  NameImage(news.now_ns);
  for (const auto& rendition : renditions_) {
    for (Member& member : rendition->members()) {
      if (member.greeted) OfferImage(member, news.now_ns);
    }
  }
  Broadcast(&Viewer::OfferCursorMoved,
            MakeEvent(CursorMoved{cursor.x_px, cursor.y_px, cursor.visible}, codec_));
}

void Announcer::TellState(const StateReport& state) {
  Broadcast(&Viewer::OfferStateChanged, MakeEvent(StateChanged{state}, codec_));
}

void Announcer::WantImage(const std::shared_ptr<const CursorImage>& image) {
  // Without one, what it looked like is kept.
  if (image == nullptr || image == wanted_image_) return;
  wanted_image_ = image;
  image_is_named_ = false;
  next_image_ns_ = std::min(next_image_ns_, name_not_before_ns_);
}

void Announcer::NameImage(int64_t now_ns) {
  if (image_is_named_ || now_ns < name_not_before_ns_) return;
  bool known = false;
  image_ = cursor_shapes_.Find(wanted_image_, &known);
  image_is_named_ = true;
  const auto pixel_bytes = static_cast<int64_t>(image_->pixel_bytes());
  const int64_t work_ns = known ? 0 : pixel_bytes * kSecondNs / kNewCursorBytesPerSecondMax;
  name_not_before_ns_ = now_ns + std::max(image_period_ns_, work_ns);
}

void Announcer::OfferImage(Member& member, int64_t now_ns) {
  if (image_ == nullptr) return;
  const size_t size_bytes =
      member.viewer->OfferCursorShape(image_->Event(member.viewer->takes_png(), codec_));
  member.cursor_id = image_->id();
  member.cursor_paid_ns = std::max(member.cursor_paid_ns, now_ns) +
                          TransferNs(size_bytes, member.wants.cursor_rate_bps);
}

void Announcer::TellImage(int64_t now_ns) {
  if (now_ns < next_image_ns_) return;
  NameImage(now_ns);
  next_image_ns_ = image_is_named_ ? kNever : name_not_before_ns_;
  if (image_ == nullptr) return;
  for (const auto& rendition : renditions_) {
    for (Member& member : rendition->members()) {
      if (!member.greeted || member.cursor_id == image_->id()) continue;
      const int64_t due_ns = member.cursor_paid_ns - kCursorBurstNs;
      if (now_ns >= due_ns) {
        OfferImage(member, now_ns);
      } else {
        next_image_ns_ = std::min(next_image_ns_, due_ns);
      }
    }
  }
}

void Announcer::TellCursor(const Cursor& before, const Cursor& now, int64_t now_ns) {
  WantImage(now.image);
  TellImage(now_ns);
  const bool moved =
      now.x_px != before.x_px || now.y_px != before.y_px || now.visible != before.visible;
  if (!moved) return;
  Broadcast(&Viewer::OfferCursorMoved,
            MakeEvent(CursorMoved{now.x_px, now.y_px, now.visible}, codec_));
}

void Announcer::SayGoodbye(const Goodbye& goodbye) {
  const StreamEventPtr event = MakeEvent(goodbye, codec_);
  for (const auto& rendition : renditions_) {
    for (const Member& member : rendition->members()) member.viewer->OfferGoodbye(event);
  }
}

void Announcer::TellStats(const DisplayNews& news, int64_t now_ns) {
  StreamStats stats;
  stats.viewer_count = static_cast<int>(renditions_.ViewerCount());
  stats.flip_regime = news.flip_regime;
  for (const auto& rendition : renditions_) {
    rendition->TakeStats(now_ns, stats);
    for (const Member& member : rendition->members()) {
      if (member.viewer->EndIfStalled(now_ns, codec_)) {
        metrics_.Add(Count::kViewersStalled);
      }
      FillCounts(member, stats);
      member.viewer->OfferStats(stats);
    }
  }
}

void Announcer::FillCounts(const Member& member, StreamStats& stats) const {
  const auto since = [&](Count count) { return metrics_.Value(count) - member.baseline[count]; };
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
