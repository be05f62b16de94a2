// The decisions of a display: when to look, when to encode, whom to tell what.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "service/core/announcer.h"
#include "service/core/display_metrics.h"
#include "service/core/display_options.h"
#include "service/core/display_requests.h"
#include "service/core/display_state.h"
#include "service/core/rendition.h"
#include "service/core/rendition_set.h"
#include "service/core/viewer.h"
#include "service/core/wake_signal.h"
#include "vfio/plane_source.h"

namespace planecast {

/// The encoder outlives its last viewer by this.
inline constexpr int64_t kEncoderLingerNs = 5'000'000'000;
/// While nobody streams but somebody watches the list: from one look to the next.
inline constexpr int64_t kIdleLookIntervalNs = 2'000'000'000;
/// From one look to the next while a passing error keeps somebody waiting.
inline constexpr int64_t kTransientRetryNs = 50'000'000;
/// Looks in a row with a passing error before a waiting state request is answered anyway.
inline constexpr int kTransientRetriesMax = 20;
/// A state read by a look this long ago is as good as new.
inline constexpr int64_t kStateFreshNs = 1'000'000'000;
/// Stats, stall checks.
inline constexpr int64_t kTickNs = 1'000'000'000;

/// The decisions of one display, without its thread. Never blocks but in the source and encoder.
///
/// Bound to one thread, the display's; in tests the test's. The caller's loop: Step, then poll(2)
/// wait_fds() and the wake signal until the time that Step gave.
class DisplayLoop {
 public:
  using SnapshotCallback = DisplayRequests::SnapshotCallback;

  /// `identity` gives id, spec, configured; the rest of it is overwritten. `publish` is called with
  /// each snapshot that differs from the one before.
  DisplayLoop(DisplaySnapshot identity, std::unique_ptr<PlaneSource> source, DisplayOptions options,
              std::shared_ptr<WakeSignal> signal, SnapshotCallback publish);
  DisplayLoop(const DisplayLoop&) = delete;
  DisplayLoop& operator=(const DisplayLoop&) = delete;

  // --- What others asked for. Taken up by the next Step.
  void AddViewer(std::shared_ptr<Viewer> viewer) { renditions_.Add(std::move(viewer)); }
  void AddRefresh(SnapshotCallback done) { requests_.AddRefresh(std::move(done)); }
  void AddPicture(PictureRequest request) { requests_.AddPicture(std::move(request)); }
  void AddMode(ModeRequest request) { requests_.AddMode(std::move(request)); }
  void SetStateWatched(bool watched);
  /// Says goodbye to all viewers.
  void EndViewers(const Goodbye& goodbye) { announcer_.SayGoodbye(goodbye); }

  /// Does what is due and returns when to call again at the latest (INT64_MAX: only when woken).
  int64_t Step(int64_t now_ns);
  /// Borrowed fds that wake the caller beside the signal. Valid until the next Step.
  std::vector<int> wait_fds() const;

  /// The end: state DETACHING, goodbye to all, waiting requests answered with UNAVAILABLE, encoder
  /// and source destroyed. Only destruction may follow.
  void Close(const Goodbye& goodbye);

  const DisplaySnapshot& snapshot() const { return snapshot_; }
  /// Never null. May be read by any thread, also after the loop is gone.
  const std::shared_ptr<DisplayMetrics>& metrics() const { return metrics_; }
  /// When the planes were last looked at with an answer, or 0.
  int64_t last_look_ns() const { return last_look_ns_.value_or(0); }

 private:
  void SweepViewers(int64_t now_ns);
  bool VideoLookDue(int64_t now_ns, const PlaneSource::Events& events) const;
  bool RequestLookDue(int64_t now_ns) const;
  bool TransientRetryWanted() const;
  /// True if the look gave a frame.
  bool Look(int64_t now_ns);
  void HandleNoFrame(const PlaneLook& look, int64_t now_ns);
  void HandleGone();
  void HandleCursor(const Cursor& cursor, int64_t now_ns);
  bool TellsCursor() const { return cursor_path() == CursorPath::kSeparate; }
  void CheckCpuPath();
  /// Draws a cursor that is separate into the pictures if any viewer asked for that.
  void ChooseCursorPath();
  void PrepareRenditions(int64_t now_ns);
  void EncodeRenditions(bool new_frame, int64_t now_ns);
  void SetWatched(bool watched, int64_t now_ns);
  void ResolveState(int64_t now_ns);
  void UpdateSnapshot();
  void AnswerRequests(int64_t now_ns);
  /// The guest's cursor is a plane of its own.
  bool cursor_separate() const { return source_ != nullptr && source_->info().cursor_separate; }
  CursorPath cursor_path() const;
  DisplayNews News() const;
  int64_t NextStepNs(int64_t now_ns) const;
  const Frame* frame() const { return frame_.has_value() ? &*frame_ : nullptr; }

  const DisplayOptions options_;
  Clock& clock_;
  const std::shared_ptr<WakeSignal> signal_;
  const SnapshotCallback publish_;
  const std::shared_ptr<DisplayMetrics> metrics_ = std::make_shared<DisplayMetrics>();

  /// Before the frame, which it outlives: the memory may be the source's.
  std::unique_ptr<PlaneSource> source_;
  bool watched_ = false;
  bool state_watched_ = false;
  /// Look in the next step, whatever the pace: somebody just began to watch.
  bool look_wanted_ = true;
  DisplayRequests requests_;

  /// What the plane says, and what the encoder says of a plane that has a frame.
  StateReport plane_state_;
  std::optional<StateReport> encode_state_;
  std::optional<Frame> frame_;
  bool frame_seen_ = false;
  Cursor cursor_;
  /// Some viewer wants the cursor in the picture.
  bool cursor_drawn_ = false;
  uint64_t cpu_checked_serial_ = 0;
  std::optional<int64_t> last_look_ns_;
  /// Looks in a row that ended in a passing error, and when to try again.
  int transient_looks_ = 0;
  int64_t transient_retry_ns_ = 0;

  int64_t encoder_drop_ns_ = 0;
  int64_t next_tick_ns_ = 0;
  DisplaySnapshot snapshot_;
  DisplaySnapshot published_;
  /// Behind what it refers to. Its encoders may hold the frame, so it lets go first.
  RenditionSet renditions_;
  Announcer announcer_;
};

}  // namespace planecast
