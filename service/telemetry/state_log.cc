#include "service/telemetry/state_log.h"

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

LogLevel LevelOf(DisplayState state) {
  switch (state) {
    case DisplayState::kUnsupportedFormat:
    case DisplayState::kImportFailed:
    case DisplayState::kEncoderFailed:
    case DisplayState::kDeviceError:
    case DisplayState::kDeviceGone:
      return LogLevel::kWarning;
    default:
      return LogLevel::kInfo;
  }
}

}  // namespace

void StateLog::OnDisplay(const DisplaySnapshot& snapshot) {
  const StateReport& report = snapshot.state;
  const int64_t now_ns = clock_.NowNs();
  int lines = 0;
  bool state_changed = false;
  bool degraded = false;
  {
    const std::lock_guard lock(mutex_);
    if (report.state == DisplayState::kDetaching) {
      entries_.erase(snapshot.id);
      return;
    }
    Entry& entry = entries_[snapshot.id];
    state_changed = entry.state != report.state;
    degraded = entry.degraded_reason != snapshot.degraded_reason;
    if (!state_changed && !degraded) return;
    entry.state = report.state;
    entry.degraded_reason = snapshot.degraded_reason;
    if (now_ns - entry.window_start_ns >= kStateLineWindowNs) {
      entry.window_start_ns = now_ns;
      entry.lines = 0;
    }
    lines = ++entry.lines;
  }
  if (lines > kStateLinesPerWindow + 1) return;
  if (lines > kStateLinesPerWindow) {
    log_.Warning(snapshot.id, "changes its state too often; no more of it for a minute");
    return;
  }
  if (degraded && !snapshot.degraded_reason.empty()) {
    log_.Warning(snapshot.id, snapshot.degraded_reason);
  } else if (degraded) {
    log_.Info(snapshot.id, "works as well as it can again");
  }
  if (!state_changed) return;
  const std::string name(DisplayStateName(report.state));
  log_.Log(LevelOf(report.state), snapshot.id,
           report.reason.empty() ? name : absl::StrCat(name, ": ", report.reason));
}

}  // namespace planecast
