// Many viewers in a process of their own, so that their CPU time is not the daemon's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/bench.h"
#include "tests/bench/child_process.h"

namespace planecast::bench {

/// What all viewers received between Begin and End.
struct FleetCounts {
  uint64_t units = 0;
  uint64_t unit_bytes = 0;
  uint64_t messages = 0;
  uint64_t message_bytes = 0;
  uint64_t cursor_moves = 0;
  /// Units that were dropped for a viewer.
  uint64_t gaps = 0;
};

/// One unit as the first viewer received it; monotonic clock, ns.
struct UnitTimes {
  int64_t capture_ns = 0;
  int64_t encoded_ns = 0;
  int64_t received_ns = 0;
};

/// The program bench_viewers as a child. Each viewer has a connection of its own. Commands and
/// answers are lines on its standard streams; viewers_main.cc names them. Bound to the main thread.
class ViewerFleet {
 public:
  static absl::StatusOr<std::unique_ptr<ViewerFleet>> Start(const Bench& bench);
  /// Use Start.
  explicit ViewerFleet(std::unique_ptr<ChildProcess> process) : process_(std::move(process)) {}

  /// Adds viewers at once and waits for each one's first unit; the time that took, in ns.
  absl::StatusOr<std::vector<double>> Add(const std::string& server, const std::string& display,
                                          int count, bool acknowledge);
  /// Adds plain sockets that read messages of a length and the bytes that it says.
  absl::Status AddSockets(int port, int count, bool acknowledge);

  absl::Status Begin();
  absl::StatusOr<FleetCounts> End();
  /// After End.
  absl::StatusOr<std::vector<UnitTimes>> Times();
  /// Ends all viewers.
  absl::Status Clear();

 private:
  /// The words after "ok".
  absl::StatusOr<std::vector<double>> Ask(const std::string& command);

  std::unique_ptr<ChildProcess> process_;
};

}  // namespace planecast::bench
