// All displays of a daemon, by name.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/core/display.h"
#include "service/core/display_watch.h"

namespace planecast {

/// Finished attach requests whose request_id is remembered.
inline constexpr size_t kRequestIdsRememberedMax = 1024;
/// Watches of the list of displays at a time.
inline constexpr size_t kDisplayWatchesMax = 256;
inline constexpr int kPageSizeDefault = 100;
inline constexpr int kPageSizeMax = 1000;

/// Opens the device of a display, by whatever way the spec says. May block; called without locks by
/// the thread that attaches.
using SourceFactory =
    std::function<absl::StatusOr<std::unique_ptr<PlaneSource>>(const DisplaySpec&)>;

struct RegistryOptions {
  /// For each display.
  DisplayOptions display;
  /// Required.
  SourceFactory open_source;
  int displays_max = 64;
  /// Called with each change of each display, by its thread and without locks held; must not block.
  /// May be null. The last call for a display has kDetaching.
  std::function<void(const DisplaySnapshot&)> on_display;
  /// A display goes from the list, so that what was granted on it must end: called before and
  /// after, so that nothing granted meanwhile is for the next display of that id. May be null.
  std::function<void(const std::string& id, const std::string& uid)> on_removed;
};

struct AttachRequest {
  std::string display_id;
  DisplaySpec spec;
  /// May be empty.
  std::string request_id;
  /// It comes from the daemon's config.
  bool configured = false;
  std::map<std::string, std::string> labels = {};
};

/// Says whether a display may be told of, by its id. Null: all. Called with the registry's lock
/// held.
using DisplayFilter = std::function<bool(std::string_view id)>;

/// What a display's etag is made of.
struct EtagParts {
  std::string uid;
  uint64_t revision = 0;
};

struct DisplayPage {
  std::vector<DisplaySnapshot> displays;
  /// Empty on the last page.
  std::string next_page_token;
};

/// What a scrape is told of a display.
struct DisplayReading {
  /// As the display told it last.
  DisplaySnapshot snapshot;
  /// Null while the device is being opened.
  std::shared_ptr<const DisplayMetrics> metrics;
};

/// A viewer and the display it streams.
struct JoinedViewer {
  std::shared_ptr<Viewer> viewer;
  /// The display's.
  std::string uid;
  std::shared_ptr<Display> display;
};

/// All displays. Thread-safe; no method holds a lock while it blocks. Names are bare ids, without
/// `displays/`.
///
/// Callbacks: as Display says.
class Registry {
 public:
  explicit Registry(RegistryOptions options);
  /// Drains and detaches everything. No other call may be under way.
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  /// Opens a device and serves it; blocks until the first look is done. While the device is being
  /// opened the display is listed as ATTACHING.
  ///
  /// Idempotent by request_id, also for calls under way. INVALID_ARGUMENT for malformed ids or a
  /// request_id used for another request; ALREADY_EXISTS if the id is taken, or was attached by
  /// this very request and detached since; RESOURCE_EXHAUSTED at the limit; UNAVAILABLE when
  /// draining; else what the source factory says.
  absl::StatusOr<DisplaySnapshot> Attach(const AttachRequest& request);

  /// Ends all streams and closes every fd and mapping before it returns. NOT_FOUND; UNAVAILABLE
  /// while it is being attached.
  absl::Status Detach(std::string_view id);

  /// The same, and waits for nothing, as a device may hang: from now on the display is listed as
  /// DETACHING, ends its streams and refuses what is new. Once its device is closed `ended` is
  /// called, by the display's thread or at once, and is to have FinishDetach called by another
  /// thread. Errors as Detach, and RESOURCE_EXHAUSTED if too many wait for that already; `ended` is
  /// not called then.
  absl::Status BeginDetach(std::string_view id, std::function<void(uint64_t generation)> ended);
  /// Takes the display from the list; false if somebody else did, and the id may be another's.
  bool FinishDetach(std::string_view id, uint64_t generation);

  /// Those that are visible, sorted by id. `page_size` 0 means 100; INVALID_ARGUMENT if negative or
  /// for a foreign token.
  absl::StatusOr<DisplayPage> List(int page_size, std::string_view page_token,
                                   const DisplayFilter& visible = nullptr) const;

  /// As the display told it last; nothing if there is none. Waits for nobody.
  std::optional<DisplaySnapshot> Last(std::string_view id) const;

  /// Replaces the labels. NOT_FOUND; INVALID_ARGUMENT as ValidateLabels; ABORTED if the display has
  /// changed since `expected`.
  absl::StatusOr<DisplaySnapshot> SetLabels(std::string_view id,
                                            std::map<std::string, std::string> labels,
                                            std::optional<EtagParts> expected);

  /// All displays, sorted by id. Waits for no display's thread and no device.
  std::vector<DisplayReading> ReadDisplays() const;

  /// Calls back with a fresh snapshot, or NOT_FOUND.
  void Get(std::string_view id, std::function<void(absl::StatusOr<DisplaySnapshot>)> done);

  void GetPicture(std::string_view id, bool exclude_cursor, int64_t deadline_ns,
                  Display::PictureCallback done);
  void SetMode(std::string_view id, uint32_t width_px, uint32_t height_px,
               Display::StatusCallback done);

  /// Watches the list. RESOURCE_EXHAUSTED at the limit, UNAVAILABLE when draining. The watch ends
  /// when the caller closes it.
  absl::StatusOr<std::shared_ptr<DisplayWatch>> Watch();

  /// Adds a viewer, under the id that it had before if it resumes; a stream that goes on under that
  /// id ends. NOT_FOUND, RESOURCE_EXHAUSTED, UNAVAILABLE, INVALID_ARGUMENT (limits, malformed id).
  absl::StatusOr<JoinedViewer> AddViewer(std::string_view id, const ViewerOptions& options);

  /// The viewer with this secret id, or null.
  std::shared_ptr<Viewer> FindViewer(std::string_view viewer_id) const;

  /// Says Goodbye DRAINING to all viewers, ends all watches, refuses everything new. Idempotent.
  void Drain(const Goodbye& goodbye);

  int displays_max() const { return options_.displays_max; }
  int viewers_per_display_max() const { return options_.display.viewers_max; }

 private:
  struct Entry {
    /// Tells one display from a later one with the same id.
    uint64_t generation = 0;
    /// Null while the device is being opened.
    std::shared_ptr<Display> display;
    /// The last that the display told, for lists.
    DisplaySnapshot snapshot;
    /// What BeginDetach made of its state: whatever the display tells, until its end.
    std::optional<StateReport> detaching = {};
  };
  /// An attach under way or done, remembered by its request_id.
  struct Remembered {
    AttachRequest request;
    uint64_t generation = 0;
    bool done = false;
    absl::Status status;
  };
  /// Lets a watch find the registry for as long as there is one.
  struct Lifeline {
    std::mutex mutex;
    Registry* registry = nullptr;
  };
  using Notifies = std::vector<DisplayWatch::Notify>;

  /// What became of an earlier attach with this request_id, or nothing if there was none. Waits.
  std::optional<absl::StatusOr<DisplaySnapshot>> AnswerTwin(std::unique_lock<std::mutex>& lock,
                                                            const AttachRequest& request);
  absl::Status CheckRoomLocked(const AttachRequest& request) const;
  absl::StatusOr<DisplaySnapshot> AttachNew(const AttachRequest& request, uint64_t generation);
  absl::Status Install(const AttachRequest& request, uint64_t generation,
                       const std::shared_ptr<Display>& display);
  void FinishRequest(const AttachRequest& request, const absl::Status& status);
  void OnChange(uint64_t generation, DisplaySnapshot snapshot);
  /// False if it is not there.
  bool RemoveEntry(std::string_view id, uint64_t generation);
  /// `uid`, if not null, is set to the display's.
  absl::StatusOr<std::shared_ptr<Display>> FindDisplay(std::string_view id,
                                                       std::string* uid = nullptr) const;
  void OnWatchClosed();

  const RegistryOptions options_;
  const std::shared_ptr<Lifeline> lifeline_;

  mutable std::mutex mutex_;
  std::condition_variable request_done_;
  bool draining_ = false;
  Goodbye drain_goodbye_;
  uint64_t next_generation_ = 1;
  std::map<std::string, Entry, std::less<>> entries_;
  std::map<std::string, std::shared_ptr<Remembered>, std::less<>> requests_;
  /// Ids of attaches that succeeded, oldest first.
  std::deque<std::string> finished_requests_;
  /// The lock of a watch may be taken while the registry's is held, never the other way round.
  std::vector<std::shared_ptr<DisplayWatch>> watches_;
  std::map<std::string, std::weak_ptr<Viewer>, std::less<>> viewers_;
  size_t viewers_prune_size_ = 0;
};

}  // namespace planecast
