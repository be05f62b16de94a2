// A watch of the list of displays.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "service/core/display_state.h"

namespace planecast {

/// Everything that was attached when the watch began has been told.
struct WatchBookmark {};

/// A display was detached.
struct DisplayDetached {
  std::string id;
};

/// The server drains; nothing follows.
struct WatchEnd {};

using WatchEvent = std::variant<DisplaySnapshot, WatchBookmark, DisplayDetached, WatchEnd>;

/// What one watcher has yet to be told: the latest state of each display, never an older one, and
/// each detach of a display that it knows. Bounded by the number of displays. Thread-safe.
class DisplayWatch {
 public:
  using Notify = std::shared_ptr<const std::function<void()>>;

  /// Begins with these displays, then the bookmark. `on_close` (may be null) is called once, by the
  /// thread that closes.
  DisplayWatch(const std::vector<DisplaySnapshot>& displays, std::function<void()> on_close);

  /// As Viewer::SetNotify.
  void SetNotify(std::function<void()> notify);
  /// The next event, or nothing. After WatchEnd always nothing.
  std::optional<WatchEvent> Take();
  /// The watcher is gone. Idempotent.
  void Close();
  bool closed() const;

  // --- The registry's side. Each returns what to call without locks held, or null.
  Notify OnDisplay(const DisplaySnapshot& snapshot);
  Notify OnDetached(const std::string& id);
  Notify OnEnd();

 private:
  struct Pending {
    /// The watcher must be told first that an earlier display of this id is gone.
    bool detached = false;
    std::optional<DisplaySnapshot> snapshot;
  };
  Notify DueNotifyLocked();

  const std::function<void()> on_close_;
  mutable std::mutex mutex_;
  Notify notify_;
  bool notify_armed_ = true;
  bool closed_ = false;
  bool ending_ = false;
  bool ended_ = false;
  /// Ids with something pending, oldest first; the empty id stands for the bookmark.
  std::deque<std::string> order_;
  std::map<std::string, Pending> pending_;
  /// Displays that the watcher was told of and not yet that they are gone.
  std::set<std::string> known_;
};

}  // namespace planecast
