// Logs what becomes of each display.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "service/core/display_state.h"
#include "service/telemetry/log.h"
#include "vfio/clock.h"

namespace planecast {

/// A guest can change its display's state as often as it likes, but not fill the log.
inline constexpr int kStateLinesPerWindow = 10;
inline constexpr int64_t kStateLineWindowNs = 60'000'000'000;

/// Writes a line for each change of a display's state, with the reason, and of what works less well
/// than it could. Thread-safe.
class StateLog {
 public:
  /// Both must outlive this.
  StateLog(const Logger& log, Clock& clock) : log_(log), clock_(clock) {}

  /// The display is like this now.
  void OnDisplay(const DisplaySnapshot& snapshot);

 private:
  struct Entry {
    DisplayState state = DisplayState::kAttaching;
    std::string degraded_reason = {};
    int64_t window_start_ns = 0;
    int lines = 0;
  };

  const Logger& log_;
  Clock& clock_;
  std::mutex mutex_;
  /// By display id; of attached displays only.
  std::map<std::string, Entry> entries_;
};

}  // namespace planecast
