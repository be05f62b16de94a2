// The decisions of a display: when to look, when to encode, whom to tell what.
#pragma once

#include <cstdint>
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
  int64_t last_look_ns() const { return last_look_ns_; }

 private:
  /// A viewer with what it wants in this step.
  struct Member {
    std::shared_ptr<Viewer> viewer;
    Viewer::Wants wants;
    bool greeted = false;
  };
  /// Why a step looks.
  struct LookReasons {
    bool video = false;
    bool request = false;
    bool any() const { return video || request; }
  };

  // Viewers (display_viewers.cc).
  void SweepViewers(int64_t now_ns);
  void ApplyLimits();
  void GreetNewViewers();
  void Broadcast(const StreamEventPtr& event, void (Viewer::*offer)(StreamEventPtr));
  void Tick(int64_t now_ns);
  StreamEventPtr MakeStarted() const;
  void BroadcastStarted();

  // Planes (display_loop.cc).
  LookReasons ReasonsToLook(int64_t now_ns, const PlaneSource::Events& events) const;
  void Look(int64_t now_ns);
  void HandleLook(const PlaneLook& look, int64_t now_ns);
  void CheckCpuPath(int64_t now_ns);
  void HandleCursor(const Cursor& cursor);
  void HandleGone(int64_t now_ns);
  void SetWatched(bool watched, int64_t now_ns);
  void EnterState(StateReport report, int64_t now_ns);
  void ResolveState(int64_t now_ns);
  void ApplyModes(int64_t now_ns);
  void AnswerRefreshes();
  void AnswerPictures(int64_t now_ns);
  absl::StatusOr<Picture> TakePicture(bool exclude_cursor) const;
  absl::Status NoPictureError() const;
  void UpdateSnapshot();
  int64_t NextStepNs(int64_t now_ns) const;

  // Encoding (display_encode.cc).
  void MaybeEncode(bool new_frame, int64_t now_ns);
  bool KeyFrameDue(int64_t now_ns) const;
  int64_t KeyFrameNs() const;
  bool ServeCachedKeyFrame(int64_t now_ns);
  bool PrepareEncoder(int64_t now_ns);
  bool EncodingHeldBack(int64_t now_ns);
  void Encode(bool force_idr, int64_t now_ns);
  void HandleUnit(std::shared_ptr<const AccessUnit> unit, int64_t now_ns);
  void HandleEncodeError(const absl::Status& error, int64_t now_ns);
  void DropEncoder();
  int64_t FrameIntervalNs() const;

  DisplayOptions options_;
  Clock& clock_;
  const std::shared_ptr<WakeSignal> signal_;
  const SnapshotCallback publish_;

  std::unique_ptr<PlaneSource> source_;
  bool watched_ = false;
  bool state_watched_ = false;
  bool closed_ = false;

  std::vector<Member> members_;
  std::vector<SnapshotCallback> refreshes_;
  std::vector<PictureRequest> pictures_;
  std::vector<ModeRequest> modes_;

  /// The plane's side of the state and the encoder's; the latter counts while the plane has a
  /// frame.
  StateReport plane_state_;
  std::optional<StateReport> encode_state_;
  std::optional<Frame> frame_;
  Cursor cursor_;
  StreamEventPtr cursor_shape_event_;
  uint64_t cpu_checked_serial_ = 0;
  int64_t last_look_ns_ = 0;
  int64_t next_idle_look_ns_ = 0;
  int64_t next_transient_look_ns_ = 0;
  int transient_looks_ = 0;

  std::unique_ptr<Encoder> encoder_;
  uint32_t encoder_width_px_ = 0;
  uint32_t encoder_height_px_ = 0;
  RateParams encoder_rate_;
  RateParams wanted_rate_;
  int frame_rate_hz_ = 0;
  int64_t encoder_drop_ns_ = 0;
  int encoder_failures_ = 0;
  int64_t encoder_retry_ns_ = 0;
  /// The buffer that could not be encoded, and when to try it again.
  uint64_t refused_serial_ = 0;
  int64_t refused_until_ns_ = 0;

  uint64_t sequence_ = 0;
  /// The last unit, if it was a key frame: serves who joins a picture that did not change since.
  StreamEventPtr cached_key_frame_;
  int64_t last_key_frame_ns_ = 0;
  int64_t last_encode_ns_ = 0;
  /// A frame was looked at and not encoded, because no viewer was ready or of the frame-rate cap.
  bool frame_pending_ = false;

  int64_t next_tick_ns_ = 0;
  int64_t window_start_ns_ = 0;
  uint64_t window_units_ = 0;
  uint64_t window_bytes_ = 0;
  int last_quantizer_ = 0;
  LatencyWindow flip_to_capture_;
  LatencyWindow capture_to_encoded_;

  DisplaySnapshot snapshot_;
  DisplayCounters counters_;
};

}  // namespace planecast
