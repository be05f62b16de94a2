// One viewer of a display: its bounded queue and what it has told us.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "service/core/cursor_queue.h"
#include "service/core/display_metrics.h"
#include "service/core/latency_window.h"
#include "service/core/link_estimator.h"
#include "service/core/stream_event.h"
#include "service/core/wake_signal.h"
#include "vfio/clock.h"

namespace planecast {

/// Units that may always be sent and not yet acknowledged, for viewers that acknowledge: one to
/// show while the next is on its way.
inline constexpr size_t kUnacknowledgedUnitsMin = 2;
/// The same before the first acknowledgement, when the round trip is not known.
inline constexpr size_t kUnacknowledgedUnitsFirst = 3;
/// More are never on their way. In between, as many as the link brings in its round trip and
/// kQueueBudgetNs.
inline constexpr size_t kUnacknowledgedUnitsMax = 64;
/// Units that may wait behind the write in flight before this viewer no longer asks for new ones.
inline constexpr size_t kReadyUnitsQueuedMax = 1;
/// What a viewer's queue holds at most when others make the display encode on; beyond any of these
/// it is dropped and the viewer waits for a key frame. One unit is always admitted, however large.
inline constexpr size_t kQueueUnitsMax = 32;
inline constexpr size_t kQueueBytesMax = size_t{8} << 20;
inline constexpr int64_t kQueueAgeMaxNs = 250'000'000;
/// State changes kept for a viewer that takes nothing; of more, the oldest go.
inline constexpr size_t kQueueStatesMax = 32;
/// A viewer that has something to take and takes nothing for so long is ended, and so is one whose
/// window is closed and that acknowledges nothing for so long.
inline constexpr int64_t kViewerStallNs = 20'000'000'000;
/// A viewer that overflows again soon after it was brought back waits longer each time, so that one
/// slow viewer doesn't make key frames for all.
inline constexpr int64_t kResyncBackoffMinNs = 500'000'000;
inline constexpr int64_t kResyncBackoffMaxNs = 4'000'000'000;

/// Viewers of a display beyond its limit, for operators' sockets: nobody locks them out.
inline constexpr int kViewersReserved = 8;

/// Images of the cursor take at most this part of what a viewer's link carries, or of the bitrate
/// that it asked for, beside its pictures; and never more than this.
inline constexpr int64_t kCursorRateShare = 4;
inline constexpr int64_t kCursorRateMaxBps = 32'000'000;
inline constexpr int64_t kCursorRateMinBps = 25'000;

/// Largest frame rate that a viewer can ask for.
inline constexpr int kViewerFrameRateMaxHz = 240;

/// What a viewer can take; 0 is no limit.
struct ViewerLimits {
  int64_t bitrate_max_bps = 0;
  int frame_rate_max_hz = 0;
  friend bool operator==(const ViewerLimits&, const ViewerLimits&) = default;
};

/// INVALID_ARGUMENT for negative limits and frame rates above 240.
absl::Status ValidateViewerLimits(const ViewerLimits& limits);

/// What a viewer asks for at its start.
struct ViewerOptions {
  ViewerLimits limits;
  /// It will acknowledge.
  bool acknowledges = false;
  /// The id under which it was known before its connection broke; empty for a new one.
  std::string resumed_id = {};
  /// What is known of its link already.
  LinkEstimator link = {};
  /// It wants the cursor in the picture. All viewers of its display get it there then.
  bool cursor_in_picture = false;
  /// He comes by the operators' socket: kViewersReserved more than the limit may.
  bool by_operator_socket = false;
  /// For images of a cursor beside it.
  CursorAbilities cursor = {};
};

/// What a client says it needed for a unit, from its arrival on, in ns; 0 is unknown. A client's
/// word: any number.
struct ClientTimes {
  int64_t decode_ns = 0;
  int64_t present_ns = 0;
};

/// One viewer: a bounded queue between a display and a transport. Thread-safe.
///
/// The adapter's side: SetNotify once; then Take until it returns null, writing each event and
/// calling OnWritten when the transport took it; after null, wait for the notification. Acks,
/// key-frame requests and limits may come from any thread. Close at the end, always.
///
/// The display's side is called by the display's thread only.
class Viewer {
 public:
  /// What SetNotify was given, to be called once; null if there is nothing to tell.
  using Notify = std::shared_ptr<const std::function<void()>>;

  /// `id` is the secret name of the viewer. `metrics` are the display's; the viewer adds to them.
  /// `clock` must outlive the viewer.
  Viewer(std::string id, const ViewerOptions& options, std::shared_ptr<WakeSignal> display,
         std::shared_ptr<DisplayMetrics> metrics, Clock& clock);

  const std::string& id() const { return id_; }
  bool acknowledges() const { return acknowledges_; }
  bool cursor_in_picture() const { return cursor_in_picture_; }
  /// Its client reads images of the cursor as PNG files.
  bool takes_png() const { return takes_png_; }
  /// What is known of its link. Any thread.
  LinkEstimator link() const;

  // --- The adapter's side.

  /// Sets what is called, by any thread and without locks held, when Take would return an event
  /// after it had returned null (or before its first call). It must not block. A call may be under
  /// way when Close returns, so let it own what it touches. Set once, before the first Take; called
  /// at once if there is something already.
  void SetNotify(std::function<void()> notify);

  /// The next event to write, or null if there is none or the last write is not reported yet. After
  /// a Goodbye it returns null for ever.
  StreamEventPtr Take();

  /// The transport took the event that Take gave last.
  void OnWritten();

  /// What this viewer's units are counted up by against their rendition's own sequences. For the
  /// unit that Take gave last.
  uint64_t sequence_offset() const;

  /// All units up to `sequence`, in this viewer's own count, are presented; `times` are of the last
  /// of them. INVALID_ARGUMENT for a sequence that was not sent. Ignored for a viewer that said it
  /// would not acknowledge.
  absl::Status Acknowledge(uint64_t sequence, const ClientTimes& times = {});

  /// Asks for a key frame, as a decoder does that lost its way: what was sent before need not be
  /// acknowledged any more. Merged with other requests and rate-limited by the display.
  void RequestKeyFrame();

  /// INVALID_ARGUMENT as ValidateViewerLimits.
  absl::Status SetLimits(const ViewerLimits& limits);
  ViewerLimits limits() const;

  /// The viewer is gone: nothing is queued any more and the display forgets it soon. Idempotent.
  void Close();
  bool closed() const;
  /// A Goodbye is queued or taken. The notification comes for it even while a write is in flight,
  /// so that the adapter can give up on a write that a dead peer holds up.
  bool ending() const;
  /// The Goodbye was taken, so the stream can end once it is written.
  bool finished() const;

  // --- The display's side.

  /// Begins the stream, a new size or another way of the cursor: what is queued of before is
  /// dropped, events of a cursor that is no longer separate as well; the next unit must be a key
  /// frame.
  void OfferStarted(StreamEventPtr event);
  void OfferStateChanged(StreamEventPtr event);
  /// Replaces an image that was not sent yet. Returns the bytes that it will take of the link: none
  /// if the client has it.
  size_t OfferCursorShape(StreamEventPtr event);
  void OfferCursorMoved(StreamEventPtr event);
  /// Queues a unit, or drops it if the viewer waits for a key frame. `fresh` is false for a unit
  /// that was coded before the viewer wanted it; then its age says nothing about the transport. A
  /// fresh key frame answers the viewer's request for one.
  void OfferUnit(StreamEventPtr event, int64_t now_ns, bool fresh);
  /// The same, but leaves it to the caller to notify. A unit for many is offered to all of them
  /// first: notified one by one, a transport's thread would wake for the first, take the locks that
  /// the display needs for the others, and wait for each of those anew.
  [[nodiscard]] Notify OfferUnitQuietly(StreamEventPtr event, int64_t now_ns, bool fresh);
  /// What is offered from now on comes of another rendition, whose first unit must be a key frame.
  /// What is queued of the old one is dropped. The viewer sees neither a gap nor a new beginning.
  void ChangeRendition();
  /// Ends the stream: drops queued units; nothing is queued after it. Any thread.
  void OfferGoodbye(StreamEventPtr event);

  /// What the viewer wants of the display now.
  struct Wants {
    /// A unit could be sent soon.
    bool ready = false;
    /// Needs a key frame because it just joined, or lost units, or asked for one.
    bool join_key_frame = false;
    bool resync_key_frame = false;
    bool requested_key_frame = false;
    /// A resync should not be made for this viewer before.
    int64_t resync_not_before_ns = 0;
    /// The last sequence that was queued for it, as its rendition counts; 0 if none.
    uint64_t last_sequence = 0;
    ViewerLimits limits;
    /// What its link carries at most, in bits per second; 0 if it never was too much.
    int64_t link_rate_max_bps = 0;
    /// When its link was congested last, or 0.
    int64_t link_congested_ns = 0;
    /// What images of the cursor may take of its link, in bits per second.
    int64_t cursor_rate_bps = kCursorRateMaxBps;
    /// Closed, or its Goodbye is queued: nothing needs doing for it any more.
    bool ended = false;
  };
  Wants GetWants() const;

  /// Ends the stream with STALLED if the viewer takes nothing; returns true if it did so now.
  bool EndIfStalled(int64_t now_ns, EventCodec* codec);
  /// Completes `display_stats` with this viewer's numbers and queues it.
  void OfferStats(StreamStats display_stats);

 private:
  enum class Sync { kJoining, kLost, kStreaming };
  struct Sent {
    uint64_t sequence = 0;
    int64_t encoded_time_ns = 0;
    /// False if the time is not to be measured.
    bool measured = false;
    /// Of the unit. The mark has those of the cursor's images before it too.
    size_t size_bytes = 0;
    LinkEstimator::Mark mark;
  };
  struct Queued {
    StreamEventPtr event;
    int64_t queued_ns = 0;
    bool fresh = false;
    uint64_t sequence_offset = 0;
  };

  /// So much may be on its way to a viewer that acknowledges, and one more.
  bool FitsLinkLocked(size_t units, size_t size_bytes) const;
  bool WindowOpenLocked() const;
  int64_t CursorRateLocked() const;
  void ForgetUnacknowledgedLocked();
  bool ReadyLocked() const;
  bool TakeableLocked() const;
  bool OwesProgressLocked() const;
  bool AcceptsLocked() const { return !closed_ && goodbye_ == nullptr && !finished_; }
  StreamEventPtr PopLocked();
  StreamEventPtr PopOrderedLocked();
  void CountDroppedLocked(DropReason reason, uint64_t count);
  void DropUnitsLocked(DropReason reason);
  void LoseUnitsLocked(DropReason reason, int64_t now_ns);
  /// Why one more unit is too much, if it is.
  std::optional<DropReason> OverflowLocked(size_t size_bytes, int64_t now_ns) const;
  void MeasureLocked(Stage stage, LatencyWindow& window, int64_t duration_ns);
  /// The unit that was in flight is written.
  void HandleWrittenLocked(const Sent& sent, int64_t now_ns);
  /// The acknowledgement of this very unit came.
  void MeasureClientLocked(const Sent& sent, const ClientTimes& times, int64_t now_ns);
  void NotePendingLocked(int64_t now_ns);
  /// The notification to call after unlocking, or null.
  Notify DueNotifyLocked();

  const std::string id_;
  const bool acknowledges_;
  const bool cursor_in_picture_;
  const bool takes_png_;
  const std::shared_ptr<WakeSignal> display_;
  const std::shared_ptr<DisplayMetrics> metrics_;
  Clock& clock_;

  mutable std::mutex mutex_;
  Notify notify_;
  /// Take returned null since the last notification.
  bool notify_armed_ = true;
  bool write_in_flight_ = false;
  bool closed_ = false;
  bool finished_ = false;
  Sync sync_ = Sync::kJoining;
  bool key_frame_requested_ = false;
  ViewerLimits limits_;

  /// Started, states and units in order; the others have a slot each because the latest wins.
  std::deque<Queued> ordered_;
  size_t queued_units_ = 0;
  size_t queued_bytes_ = 0;
  CursorQueue cursor_;
  StreamEventPtr stats_;
  StreamEventPtr goodbye_;

  std::deque<Sent> unacknowledged_;
  size_t unacknowledged_bytes_ = 0;
  std::optional<Sent> unit_in_flight_;
  LinkEstimator link_;
  /// As the rendition counts, and what this viewer's count is ahead of that; wraps.
  uint64_t last_queued_sequence_ = 0;
  uint64_t sequence_offset_ = 0;
  /// The offset is to be chosen anew, with the next unit.
  bool rendition_changed_ = false;
  /// As this viewer counts.
  uint64_t last_offered_sequence_ = 0;
  uint64_t last_sent_sequence_ = 0;
  uint64_t taken_offset_ = 0;
  /// When the viewer last took, wrote or acknowledged something, or had nothing to do.
  int64_t progress_ns_ = 0;
  /// When the viewer last acknowledged a unit, or owed no acknowledgement. Apart from the above
  /// because it takes stats although its window is closed.
  int64_t acknowledged_ns_ = 0;
  int64_t resync_not_before_ns_ = 0;
  int64_t resync_backoff_ns_ = 0;
  int64_t last_lost_ns_ = 0;

  DropCounts dropped_;
  uint64_t resyncs_ = 0;
  LatencyWindow encoded_to_written_;
  LatencyWindow encoded_to_sent_;
  LatencyWindow sent_to_written_;
  LatencyWindow encoded_to_acknowledged_;
  LatencyWindow network_round_trip_;
  LatencyWindow received_to_decoded_;
  LatencyWindow received_to_presented_;
};

}  // namespace planecast
