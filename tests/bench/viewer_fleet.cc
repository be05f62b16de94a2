#include "tests/bench/viewer_fleet.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace planecast::bench {

absl::StatusOr<std::unique_ptr<ViewerFleet>> ViewerFleet::Start(const Bench& bench) {
  auto process =
      ChildProcess::Start(bench, Manners::kEndsWithInput, {bench.folder() + "/bench_viewers"});
  if (!process.ok()) return process.status();
  return std::make_unique<ViewerFleet>(*std::move(process));
}

absl::StatusOr<std::vector<double>> ViewerFleet::Ask(const std::string& command) {
  const auto words = process_->Ask(command);
  if (!words.ok()) return words.status();
  std::vector<double> numbers(words->size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!absl::SimpleAtod((*words)[i], &numbers[i])) return absl::InternalError((*words)[i]);
  }
  return numbers;
}

absl::StatusOr<std::vector<double>> ViewerFleet::Add(const std::string& server,
                                                     const std::string& display, int count,
                                                     bool acknowledge) {
  return Ask(absl::StrCat("add ", server, " ", display, " ", count, " ", acknowledge ? 1 : 0));
}

absl::Status ViewerFleet::AddSockets(int port, int count, bool acknowledge) {
  return Ask(absl::StrCat("sockets ", port, " ", count, " ", acknowledge ? 1 : 0)).status();
}

absl::Status ViewerFleet::Begin() {
  return Ask("begin").status();
}

absl::StatusOr<FleetCounts> ViewerFleet::End() {
  auto numbers = Ask("end");
  if (!numbers.ok()) return numbers.status();
  if (numbers->size() != 6) return absl::InternalError("the viewers counted something else");
  const auto at = [&](size_t i) { return static_cast<uint64_t>((*numbers)[i]); };
  return FleetCounts{.units = at(0),
                     .unit_bytes = at(1),
                     .messages = at(2),
                     .message_bytes = at(3),
                     .cursor_moves = at(4),
                     .gaps = at(5)};
}

absl::StatusOr<std::vector<UnitTimes>> ViewerFleet::Times() {
  auto numbers = Ask("times");
  if (!numbers.ok()) return numbers.status();
  std::vector<UnitTimes> times;
  for (size_t i = 0; i + 2 < numbers->size(); i += 3) {
    times.push_back({.capture_ns = static_cast<int64_t>((*numbers)[i]),
                     .encoded_ns = static_cast<int64_t>((*numbers)[i + 1]),
                     .received_ns = static_cast<int64_t>((*numbers)[i + 2])});
  }
  return times;
}

absl::Status ViewerFleet::Clear() {
  return Ask("clear").status();
}

}  // namespace planecast::bench
