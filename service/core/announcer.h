// What the viewers of a display are told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "service/core/display_metrics.h"
#include "service/core/display_state.h"
#include "service/core/rendition.h"
#include "service/core/rendition_set.h"
#include "service/core/stream_event.h"
#include "service/core/viewer.h"
#include "vfio/frame.h"
#include "vfio/plane_source.h"

namespace planecast {

/// How a display is at the moment that viewers are told of it. Borrowed for the call.
struct DisplayNews {
  CursorPath cursor_path = CursorPath::kUnknown;
  /// Absent without a device.
  std::optional<FlipRegime> flip_regime;
  const StateReport& state;
  const Cursor& cursor;
};

/// Tells a display's viewers all but their units, each event made once for all of them. Whoever is
/// not greeted yet is told nothing else.
///
/// Bound to the display's thread. Owned by the display's loop, which knows when there is something
/// to tell.
class Announcer {
 public:
  /// All must outlive it; `codec` may be null.
  Announcer(RenditionSet& renditions, std::string display_id, EventCodec* codec,
            DisplayMetrics& metrics);

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
  /// What has changed of a cursor that travels beside the picture.
  void TellCursor(const Cursor& before, const Cursor& now);
  /// The statistics since the last time; ends viewers that take nothing.
  void TellStats(const DisplayNews& news, int64_t now_ns);
  /// Also to who was not greeted.
  void SayGoodbye(const Goodbye& goodbye);

 private:
  StreamEventPtr MakeStarted(const Rendition& rendition, const DisplayNews& news) const;
  void TellStarted(Member& member, const StreamEventPtr& started, const Rendition& rendition);
  void Broadcast(void (Viewer::*offer)(StreamEventPtr), const StreamEventPtr& event);
  /// The part of a viewer's statistics that is the display's, since the viewer joined.
  void FillCounts(const Member& member, StreamStats& stats) const;

  RenditionSet& renditions_;
  const std::string display_id_;
  EventCodec* const codec_;
  DisplayMetrics& metrics_;
  CursorPath told_cursor_path_ = CursorPath::kUnknown;
};

}  // namespace planecast
