// The decisions of a display: when to look, when to encode, whom to tell what.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/core/display_options.h"
#include "service/core/display_state.h"
#include "service/core/latency_window.h"
#include "service/core/viewer.h"
#include "service/core/wake_signal.h"
#include "vfio/plane_source.h"

namespace planecast {

/// Key frames for viewers that lost units, or that asked for one, are at least this far apart.
inline constexpr int64_t kKeyFrameIntervalMinNs = 500'000'000;
/// Key frames for viewers that join are at least this far apart: enough to merge a crowd, too short
/// to be seen.
inline constexpr int64_t kJoinKeyFrameIntervalMinNs = 50'000'000;
/// The encoder outlives its last viewer by this.
inline constexpr int64_t kEncoderLingerNs = 5'000'000'000;
/// An encoder that fails is rebuilt after this, doubled each time up to the second.
inline constexpr int64_t kEncoderRetryMinNs = 100'000'000;
inline constexpr int64_t kEncoderRetryMaxNs = 5'000'000'000;
/// An encoder is rebuilt for a new size of the guest's this long after the last time at the least:
/// each begins with a key frame, and a mode change of a guest may go through several sizes.
inline constexpr int64_t kResizeIntervalMinNs = 100'000'000;
/// Failures in a row before the display says ENCODER_FAILED.
inline constexpr int kEncoderFailuresTolerated = 3;
/// A frame that can't be encoded at all is tried again after this, or when the guest shows another.
inline constexpr int64_t kFrameRetryNs = 3'000'000'000;
/// While nobody streams but somebody watches the list: from one look to the next.
inline constexpr int64_t kIdleLookIntervalNs = 2'000'000'000;
/// From one look to the next while a passing error keeps somebody waiting.
inline constexpr int64_t kTransientRetryNs = 50'000'000;
/// Looks in a row with a passing error before a waiting state request is answered anyway.
inline constexpr int kTransientRetriesMax = 20;
/// A state read by a look this long ago is as good as new.
inline constexpr int64_t kStateFreshNs = 1'000'000'000;
/// Between two tries of frames that can't be encoded, however the guest flips.
inline constexpr int64_t kFrameRetryMinNs = 100'000'000;
/// A picture that did not change for so long stands still: it is refined, step by step.
inline constexpr int64_t kStillNs = 80'000'000;
/// Units of a still picture, a key frame and its refinements, that are kept for who joins it.
inline constexpr size_t kStillUnitsMax = 4;
/// Stats, stall checks.
inline constexpr int64_t kTickNs = 1'000'000'000;

/// A picture that somebody waits for.
struct PictureRequest {
  bool exclude_cursor = false;
  int64_t deadline_ns = 0;
  std::function<void(absl::StatusOr<Picture>)> done;
};

/// A mode that somebody asked for.
struct ModeRequest {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  std::function<void(absl::Status)> done;
};

/// Everything a display counts, since it was attached.
struct DisplayCounters {
  uint64_t looks = 0;
  /// Looks whose frame did not differ.
  uint64_t unchanged = 0;
  uint64_t encoded = 0;
  uint64_t key_frames = 0;
  uint64_t encoded_bytes = 0;
  /// Times that a frame was not encoded because no viewer could take it.
  uint64_t skipped_no_viewer_ready = 0;
  /// ... because of the frame-rate cap.
  uint64_t skipped_frame_rate = 0;
  /// Units that showed the same pixels as before, sharper. Part of `encoded`.
  uint64_t refinements = 0;
  uint64_t encode_errors = 0;
  uint64_t viewers_stalled = 0;
};

/// The decisions of one display, without its thread. Never blocks but in the source and encoder.
///
/// Bound to one thread, the display's; in tests the test's. The caller's loop: Step, then poll(2)
/// wait_fds() and the wake signal until the time that Step gave.
class DisplayLoop {
 public:
  using SnapshotCallback = std::function<void(const DisplaySnapshot&)>;

  /// `identity` gives id, spec, configured; the rest of it is overwritten. `publish` is called with
  /// each snapshot that differs from the one before.
  DisplayLoop(DisplaySnapshot identity, std::unique_ptr<PlaneSource> source, DisplayOptions options,
              std::shared_ptr<WakeSignal> signal, SnapshotCallback publish);
  ~DisplayLoop();
  DisplayLoop(const DisplayLoop&) = delete;
  DisplayLoop& operator=(const DisplayLoop&) = delete;

  // --- What others asked for. Taken up by the next Step.
  void AddViewer(std::shared_ptr<Viewer> viewer);
  void AddRefresh(SnapshotCallback done);
  void AddPicture(PictureRequest request);
  void AddMode(ModeRequest request);
  void SetStateWatched(bool watched);
  /// Says goodbye to all viewers.
  void EndViewers(const Goodbye& goodbye);

  /// Does what is due and returns when to call again at the latest (INT64_MAX: only when woken).
  int64_t Step(int64_t now_ns);
  /// Borrowed fds that wake the caller beside the signal. Valid until the next Step.
  std::vector<int> wait_fds() const;

  /// The end: state DETACHING, goodbye to all, waiting requests answered with UNAVAILABLE, encoder
  /// and source destroyed. Only destruction may follow.
  void Close(const Goodbye& goodbye);

  const DisplaySnapshot& snapshot() const { return snapshot_; }
  const DisplayCounters& counters() const { return counters_; }
  /// When the planes were last looked at with an answer, or 0.
  int64_t last_look_ns() const { return last_look_ns_.value_or(0); }

 private:
  /// A viewer with what it wants in this step.
  struct Member {
    std::shared_ptr<Viewer> viewer;
    Viewer::Wants wants;
    bool greeted = false;
    /// The display's counters when the viewer joined.
    DisplayCounters baseline;
  };

  // What the steps do with viewers: display_viewers.cc.
  void SweepViewers(int64_t now_ns);
  void ApplyLimits(int64_t now_ns);
  int64_t FrameIntervalNs() const;
  void GreetNewViewers();
  void Broadcast(void (Viewer::*offer)(StreamEventPtr), const StreamEventPtr& event);
  StreamEventPtr MakeStarted() const;
  void BroadcastStarted();
  void Tick(int64_t now_ns);
  bool AnyViewerReady() const;

  // With planes: display_loop.cc.
  bool VideoLookDue(int64_t now_ns, const PlaneSource::Events& events) const;
  bool RequestLookDue(int64_t now_ns) const;
  bool TransientRetryWanted() const;
  /// True if the look gave a frame.
  bool Look(int64_t now_ns);
  void HandleNoFrame(const PlaneLook& look);
  void HandleGone();
  void HandleCursor(const Cursor& cursor);
  void CheckCpuPath();
  void SetWatched(bool watched, int64_t now_ns);
  void ResolveState(int64_t now_ns);
  void UpdateSnapshot();
  CursorPath cursor_path() const;
  int64_t NextStepNs(int64_t now_ns) const;

  // With requests: display_requests.cc.
  void ApplyModes(int64_t now_ns);
  void AnswerRefreshes();
  void AnswerPicture(int64_t now_ns);
  absl::StatusOr<Picture> TakePicture(bool exclude_cursor) const;
  absl::Status NoPictureError() const;
  void RefuseRequests();

  // With the encoder: display_encode.cc.
  bool PrepareEncoder(int64_t now_ns);
  void MaybeEncode(bool new_frame, int64_t now_ns);
  void ServeStillPicture(int64_t now_ns);
  /// When a still picture is to be refined, or INT64_MAX.
  int64_t RefineNs() const;
  /// When a key frame that a viewer wants may be made, or INT64_MAX if none is wanted.
  int64_t KeyFrameNs() const;
  bool EncoderFits() const;
  /// Until when no frame may be tried, after errors or a change of size; INT64_MIN if at once.
  int64_t HeldBackUntilNs() const;
  void Encode(bool force_idr, int64_t now_ns);
  void HandleUnit(std::shared_ptr<const AccessUnit> unit);
  void KeepStillUnit(const StreamEventPtr& event);
  void HandleEncodeError(const absl::Status& error, int64_t now_ns);
  void DropEncoder();

  const DisplayOptions options_;
  Clock& clock_;
  const std::shared_ptr<WakeSignal> signal_;
  const SnapshotCallback publish_;

  std::unique_ptr<PlaneSource> source_;
  bool watched_ = false;
  bool state_watched_ = false;
  /// Look in the next step, whatever the pace: somebody just began to watch.
  bool look_wanted_ = true;

  std::vector<Member> members_;
  std::vector<SnapshotCallback> refreshes_;
  std::deque<PictureRequest> pictures_;
  std::vector<ModeRequest> modes_;

  /// What the plane says, and what the encoder says of a plane that has a frame.
  StateReport plane_state_;
  std::optional<StateReport> encode_state_;
  std::optional<Frame> frame_;
  bool frame_seen_ = false;
  Cursor cursor_;
  uint64_t cpu_checked_serial_ = 0;
  std::optional<int64_t> last_look_ns_;
  /// Looks in a row that ended in a passing error, and when to try again.
  int transient_looks_ = 0;
  int64_t transient_retry_ns_ = 0;

  std::unique_ptr<Encoder> encoder_;
  std::string encoder_name_;
  uint32_t encoder_width_px_ = 0;
  uint32_t encoder_height_px_ = 0;
  /// No rebuild for another size before.
  int64_t resize_min_ns_ = 0;
  RateParams encoder_rate_;
  RateParams wanted_rate_;
  int frame_rate_hz_ = 0;
  int64_t encoder_drop_ns_ = 0;
  int encoder_failures_ = 0;
  int64_t encoder_retry_ns_ = 0;
  /// The newest frame that could not be encoded, and when to try again.
  struct Refused {
    uint64_t serial = 0;
    PlaneLayout layout;
    int64_t retry_min_ns = 0;
    int64_t retry_ns = 0;
  };
  std::optional<Refused> refused_;
  /// What the viewers were told last in a StreamStarted.
  CursorPath told_cursor_path_ = CursorPath::kUnknown;

  uint64_t sequence_ = 0;
  /// The last key frame and its refinements, if no other unit followed: serves who joins a picture
  /// that did not change since.
  std::vector<StreamEventPtr> still_units_;
  /// The picture counts as still from then on, if nothing changes.
  int64_t still_ns_ = 0;
  /// As EncodeResult::refine_ns.
  int64_t refine_ns_ = INT64_MAX;
  std::optional<int64_t> last_key_frame_ns_;
  int64_t next_frame_ns_ = 0;
  /// A frame was looked at and not encoded: no viewer was ready, the frame-rate cap, an error.
  bool frame_pending_ = false;

  int64_t next_tick_ns_ = 0;
  int64_t window_start_ns_ = 0;
  uint64_t window_units_ = 0;
  uint64_t window_bytes_ = 0;
  int last_quantizer_ = 0;
  LatencyWindow flip_to_capture_;
  LatencyWindow capture_to_encoded_;

  DisplaySnapshot snapshot_;
  DisplaySnapshot published_;
  DisplayCounters counters_;
};

}  // namespace planecast
