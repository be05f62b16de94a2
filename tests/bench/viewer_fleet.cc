#include "tests/bench/viewer_fleet.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

extern char** environ;

namespace planecast::bench {

absl::StatusOr<std::unique_ptr<ViewerFleet>> ViewerFleet::Start(const std::string& folder) {
  std::array<int, 2> to{};
  std::array<int, 2> from{};
  if (pipe2(to.data(), O_CLOEXEC) != 0 || pipe2(from.data(), O_CLOEXEC) != 0) {
    return absl::InternalError("no pipe");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  std::string path = absl::StrCat(folder, "/bench_viewers");
  std::array<char*, 2> argv = {path.data(), nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to[0]);
  close(from[1]);
  std::FILE* to_child = fdopen(to[1], "w");
  std::FILE* from_child = fdopen(from[0], "r");
  if (error != 0 || to_child == nullptr || from_child == nullptr) {
    return absl::InternalError(absl::StrCat("can't run ", path));
  }
  return std::make_unique<ViewerFleet>(pid, to_child, from_child);
}

ViewerFleet::ViewerFleet(pid_t pid, std::FILE* to_child, std::FILE* from_child)
    : pid_(pid), to_child_(to_child), from_child_(from_child) {}

ViewerFleet::~ViewerFleet() {
  // The child ends with its input.
  static_cast<void>(std::fclose(to_child_));
  static_cast<void>(std::fclose(from_child_));
  waitpid(pid_, nullptr, 0);
}

absl::StatusOr<std::vector<double>> ViewerFleet::Ask(const std::string& command) {
  if (std::fputs(absl::StrCat(command, "\n").c_str(), to_child_) < 0 ||
      std::fflush(to_child_) != 0) {
    return absl::InternalError("the viewers' process is gone");
  }
  char* line = nullptr;
  size_t size = 0;
  const ssize_t length = getline(&line, &size, from_child_);
  const std::string answer(line == nullptr || length < 0 ? "" : line);
  std::free(line);  // NOLINT(cppcoreguidelines-no-malloc): getline's buffer
  const std::vector<std::string> words =
      absl::StrSplit(answer, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (words.empty() || words[0] != "ok") {
    return absl::InternalError(absl::StrCat("viewers, asked to ", command, ": ", answer));
  }
  std::vector<double> numbers(words.size() - 1);
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!absl::SimpleAtod(words[i + 1], &numbers[i])) return absl::InternalError(answer);
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
