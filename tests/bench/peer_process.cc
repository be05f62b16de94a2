#include "tests/bench/peer_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "vfio/fd.h"

extern char** environ;

namespace planecast::bench {
namespace {

constexpr int kPatienceMs = 3000;

}  // namespace

absl::StatusOr<std::unique_ptr<PeerProcess>> PeerProcess::Start(
    const std::vector<std::string>& words) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
    return absl::InternalError("no pipe");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<std::string> copies = words;
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : copies) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  std::FILE* to = fdopen(in[1], "w");
  std::FILE* from = fdopen(out[0], "r");
  if (to == nullptr || from == nullptr) return absl::InternalError("no stream");
  if (error != 0) {
    static_cast<void>(std::fclose(to));
    static_cast<void>(std::fclose(from));
    return absl::UnavailableError(absl::StrCat(words[0], " can't be run; is it installed?"));
  }
  return std::make_unique<PeerProcess>(pid, to, from);
}

PeerProcess::~PeerProcess() {
  static_cast<void>(std::fclose(in_));
  static_cast<void>(std::fclose(out_));
  // An X server removes its lock and socket before it goes.
  kill(pid_, SIGTERM);
  const Fd process(KernelSys(), KernelSys().PidfdOpen(pid_));
  pollfd ended{.fd = process.get(), .events = POLLIN, .revents = 0};
  if (poll(&ended, 1, kPatienceMs) != 1) kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

absl::StatusOr<std::string> PeerProcess::ReadLine() {
  char* line = nullptr;
  size_t size = 0;
  const ssize_t length = getline(&line, &size, out_);
  std::string text(line == nullptr || length < 0 ? "" : line);
  std::free(line);  // NOLINT(cppcoreguidelines-no-malloc): getline's buffer
  if (length < 0) return absl::InternalError("a helper ended early");
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

absl::StatusOr<std::vector<std::string>> PeerProcess::Ask(const std::string& line) {
  if (std::fputs(absl::StrCat(line, "\n").c_str(), in_) < 0 || std::fflush(in_) != 0) {
    return absl::InternalError("a helper ended early");
  }
  auto answer = ReadLine();
  if (!answer.ok()) return answer.status();
  std::vector<std::string> words = absl::StrSplit(*answer, ' ', absl::SkipEmpty());
  // Ours say "ok", QEMU's qtest says "OK".
  if (words.empty() || (words[0] != "ok" && words[0] != "OK")) return absl::InternalError(*answer);
  words.erase(words.begin());
  return words;
}

}  // namespace planecast::bench
