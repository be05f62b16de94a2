// What the viewers of a display are told.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "service/core/cursor_shapes.h"
#include "service/core/display_metrics.h"
#include "service/core/display_state.h"
#include "service/core/rendition.h"
#include "service/core/rendition_set.h"
#include "service/core/stream_event.h"
#include "service/core/viewer.h"
#include "vfio/frame.h"
#include "vfio/plane_source.h"

namespace planecast {

/// Bytes of pixels of images that were not there before, at most, per second. It bounds what naming
/// and compressing them takes of the display's thread.
inline constexpr int64_t kNewCursorBytesPerSecondMax = 4'000'000;
/// A viewer's link may be behind with images by this before the next one waits for it.
inline constexpr int64_t kCursorBurstNs = 200'000'000;

/// How a display is at the moment that viewers are told of it. Borrowed for the call.
struct DisplayNews {
  CursorPath cursor_path = CursorPath::kUnknown;
  /// Absent without a device.
  std::optional<FlipRegime> flip_regime;
  const StateReport& state;
  const Cursor& cursor;
  /// Now.
  int64_t now_ns = 0;
};

/// Tells a display's viewers all but their units, each event made once for all of them. Whoever is
/// not greeted yet is told nothing else.
///
/// Bound to the display's thread. Owned by the display's loop, which knows when there is something
/// to tell.
class Announcer {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  /// All must outlive it; `codec` may be null. The cursor's images are told at most
  /// `cursor_rate_max_hz` times a second, which must be positive.
  Announcer(RenditionSet& renditions, std::string display_id, EventCodec* codec,
            DisplayMetrics& metrics, int cursor_rate_max_hz);

  bool AnyToGreet() const;
  /// Tells new viewers all that there is.
  void Greet(const DisplayNews& news);
  /// Begins the stream of one member.
  void TellStarted(Member& member, const Rendition& rendition, const DisplayNews& news);
  /// Tells the members of a rendition whose encoder is new, where they do not know already.
  void TellNewEncoder(Rendition& rendition, const DisplayNews& news);
  /// Begins all streams anew: the cursor takes another way.
  void BeginAnew(const DisplayNews& news);
  /// What the viewers were told last when a stream began.
  CursorPath told_cursor_path() const { return told_cursor_path_; }

  void TellState(const StateReport& state);
  /// What has changed of a cursor that travels beside the picture. Of images that follow each other
  /// faster than may be told, the last one is, later.
  void TellCursor(const Cursor& before, const Cursor& now, int64_t now_ns);
  /// Tells the image to whom it is due by now. Cheap if it is to nobody.
  void TellImage(int64_t now_ns);
  /// When TellImage has something to do, or kNever.
  int64_t NextImageNs() const { return next_image_ns_; }
  /// The statistics since the last time; ends viewers that take nothing.
  void TellStats(const DisplayNews& news, int64_t now_ns);
  /// Also to who was not greeted.
  void SayGoodbye(const Goodbye& goodbye);

 private:
  /// From now on this is the image to tell.
  void WantImage(const std::shared_ptr<const CursorImage>& image);
  void NameImage(int64_t now_ns);
  void OfferImage(Member& member, int64_t now_ns);
  StreamEventPtr MakeStarted(const Rendition& rendition, const DisplayNews& news) const;
  void TellStarted(Member& member, const StreamEventPtr& started, const Rendition& rendition);
  void Broadcast(void (Viewer::*offer)(StreamEventPtr), const StreamEventPtr& event);
  /// The part of a viewer's statistics that is the display's, since the viewer joined.
  void FillCounts(const Member& member, StreamStats& stats) const;

  RenditionSet& renditions_;
  const std::string display_id_;
  EventCodec* const codec_;
  DisplayMetrics& metrics_;
  const int64_t image_period_ns_;
  CursorShapes cursor_shapes_;
  /// The image to tell, as it was last wanted, and until it has a name.
  std::shared_ptr<const CursorImage> wanted_image_;
  bool image_is_named_ = true;
  /// The image that is told; null before the first.
  std::shared_ptr<NamedCursor> image_;
  /// The next one gets no name before.
  int64_t name_not_before_ns_ = 0;
  int64_t next_image_ns_ = kNever;
  CursorPath told_cursor_path_ = CursorPath::kUnknown;
};

}  // namespace planecast
