// One attached display: a thread that looks, encodes and tells its viewers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/core/display_loop.h"
#include "service/core/display_metrics.h"
#include "service/core/display_options.h"
#include "service/core/display_state.h"
#include "service/core/viewer.h"
#include "service/core/wake_signal.h"
#include "vfio/plane_source.h"

namespace planecast {

/// Pictures that one display's callers may wait for or hold, and modes that may wait for its
/// thread; more are refused.
inline constexpr size_t kRequestsPendingMax = 16;
/// Callers of one display that may wait for a fresh state, or for its end. More are told the last
/// known state, or are refused: a device that hangs must not gather them.
inline constexpr size_t kWaitersMax = 64;

/// Who a display is.
struct DisplayIdentity {
  std::string id;
  DisplaySpec spec;
  bool configured = false;
};

/// One attached display, with a thread of its own. Thread-safe.
///
/// Callbacks are called exactly once, without locks held, by the display's thread or by the
/// caller's own; they must not block and must not call Stop.
class Display {
 public:
  using SnapshotCallback = std::function<void(const DisplaySnapshot&)>;
  using PictureCallback = std::function<void(absl::StatusOr<Picture>)>;
  using StatusCallback = std::function<void(absl::Status)>;

  /// Starts the thread, whose first step looks at the planes. `on_change` (may be null) is called
  /// by the display's thread with each change of the snapshot; the last call has kDetaching.
  Display(DisplayIdentity identity, std::unique_ptr<PlaneSource> source, DisplayOptions options,
          SnapshotCallback on_change);
  /// Stops with kDetached if Stop was not called.
  ~Display();
  Display(const Display&) = delete;
  Display& operator=(const Display&) = delete;

  const std::string& id() const { return identity_.id; }
  const DisplaySpec& spec() const { return identity_.spec; }

  /// As it was last seen.
  DisplaySnapshot Snapshot() const;

  /// Never null. Thread-safe to read, also after the display is gone.
  std::shared_ptr<const DisplayMetrics> metrics() const { return metrics_; }

  /// Calls back with a snapshot that is at most about a second old, after a look if need be; with
  /// the last one if too many wait.
  void Refresh(SnapshotCallback done);

  /// Adds a viewer. RESOURCE_EXHAUSTED at the limit, UNAVAILABLE when the display is stopping.
  /// `viewer_id` must be unique.
  absl::StatusOr<std::shared_ptr<Viewer>> AddViewer(std::string viewer_id,
                                                    const ViewerOptions& options);

  /// Reads the current picture. FAILED_PRECONDITION if there is none, with the reason and the
  /// remedy; DEADLINE_EXCEEDED if the device gave only passing errors until `deadline_ns`
  /// (monotonic); RESOURCE_EXHAUSTED if too many wait, or are held by who got them, already;
  /// UNAVAILABLE when stopping. Works without viewers.
  void GetPicture(bool exclude_cursor, int64_t deadline_ns, PictureCallback done);

  /// Offers the guest a mode. Errors as PlaneSource::SetMode, and as GetPicture when stopping.
  void SetMode(uint32_t width_px, uint32_t height_px, StatusCallback done);

  /// Somebody watches the list of displays: the state is kept fresh even without viewers.
  void SetStateWatched(bool watched);

  /// Says goodbye to all viewers but keeps running: no new viewers from now on.
  void Drain(const Goodbye& goodbye);

  /// Begins what Stop does, and waits for nothing: `ended` is called once the device is closed, by
  /// the display's thread, which has nothing else to do then, or at once. Stop is still to be
  /// called, and returns at once then. RESOURCE_EXHAUSTED if too many wait already.
  absl::Status BeginStop(const Goodbye& goodbye, std::function<void()> ended);

  /// Says goodbye to all viewers, answers what waits with UNAVAILABLE, closes every fd and mapping
  /// of the device, and joins the thread. Idempotent; a second caller waits for the first.
  void Stop(const Goodbye& goodbye);

 private:
  struct Inbox {
    std::vector<std::shared_ptr<Viewer>> viewers;
    std::vector<SnapshotCallback> refreshes;
    std::vector<PictureRequest> pictures;
    std::vector<ModeRequest> modes;
    bool state_watched = false;
    std::optional<Goodbye> goodbye;
  };

  void Run();
  /// The thread's last step.
  void TellEnded();
  /// Moves what others asked for to the loop; false if the display is to stop.
  bool TakeInbox();
  void WaitForWork(int64_t wake_ns);
  void Publish(const DisplaySnapshot& snapshot);
  absl::Status RequestErrorLocked(size_t pending) const;

  const DisplayIdentity identity_;
  Clock& clock_;
  const int viewers_max_;
  const std::shared_ptr<WakeSignal> signal_;
  const SnapshotCallback on_change_;

  mutable std::mutex mutex_;
  Inbox inbox_;
  DisplaySnapshot snapshot_;
  int64_t last_look_ns_ = 0;
  /// Shared with the slots of pictures, which may outlive the display.
  const std::shared_ptr<std::atomic<size_t>> pictures_pending_ =
      std::make_shared<std::atomic<size_t>>(0);
  bool accepting_ = true;
  bool stopping_ = false;
  /// The device is closed.
  bool ended_ = false;
  std::vector<std::function<void()>> end_waiters_;
  /// Constant once stopping_.
  Goodbye stop_goodbye_;
  std::vector<std::weak_ptr<Viewer>> viewers_;

  /// The loop's.
  std::shared_ptr<DisplayMetrics> metrics_;
  /// Touched by the thread only, once it runs.
  std::unique_ptr<DisplayLoop> loop_;
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace planecast
