#include "tests/bench/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "vfio/fd.h"

extern char** environ;

namespace planecast::bench {
namespace {

/// Who is somebody else's is not worth a longer wait; ours has viewers to say goodbye to.
constexpr int kForeignPatienceMs = 3000;
constexpr int kPatienceMs = 20'000;

bool EndsWithin(const Fd& process, int patience_ms) {
  pollfd ended{.fd = process.get(), .events = POLLIN, .revents = 0};
  return poll(&ended, 1, patience_ms) == 1;
}

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("killed by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)),
                        ")");
  }
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const Bench& bench, Manners manners, const std::vector<std::string>& words) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
    return absl::InternalError("no pipe");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  if (manners == Manners::kForeign) {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  // The bench ignores it, which a child would inherit.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &broken_pipe);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> copies = words;
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : copies) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  std::FILE* to = fdopen(in[1], "w");
  std::FILE* from = fdopen(out[0], "r");
  if (to == nullptr || from == nullptr) return absl::InternalError("no stream");
  if (error != 0) {
    static_cast<void>(std::fclose(to));
    static_cast<void>(std::fclose(from));
    const std::string what = absl::StrCat(words[0], " can't be run");
    if (manners != Manners::kForeign) return absl::InternalError(what);
    return absl::UnavailableError(absl::StrCat(what, "; is it installed?"));
  }
  return std::make_unique<ChildProcess>(
      bench, manners, std::filesystem::path(words[0]).filename().string(), pid, to, from);
}

ChildProcess::ChildProcess(const Bench& bench, Manners manners, std::string name, pid_t pid,
                           std::FILE* in, std::FILE* out)
    : bench_(bench), manners_(manners), name_(std::move(name)), pid_(pid), in_(in), out_(out) {}

ChildProcess::~ChildProcess() {
  const bool foreign = manners_ == Manners::kForeign;
  const Fd process(KernelSys(), KernelSys().PidfdOpen(pid_));
  const bool early = EndsWithin(process, 0);
  static_cast<void>(std::fclose(in_));
  // An X server removes its lock and socket before it goes.
  if (manners_ != Manners::kEndsWithInput) kill(pid_, SIGTERM);
  const bool late = !EndsWithin(process, foreign ? kForeignPatienceMs : kPatienceMs);
  if (late) kill(pid_, SIGKILL);
  static_cast<void>(std::fclose(out_));
  int status = 0;
  waitpid(pid_, &status, 0);
  if (early) {
    bench_.OnBadEnd(!foreign, absl::StrCat(name_, " ended early: ", HowItEnded(status)));
  } else if (late && !foreign) {
    bench_.OnBadEnd(true, absl::StrCat(name_, " did not end when it was asked to"));
  } else if (status != 0 && !foreign) {
    bench_.OnBadEnd(true, absl::StrCat(name_, " ended badly: ", HowItEnded(status)));
  }
}

absl::StatusOr<std::string> ChildProcess::ReadLine() {
  char* line = nullptr;
  size_t size = 0;
  const ssize_t length = getline(&line, &size, out_);
  std::string text(line == nullptr || length < 0 ? "" : line);
  std::free(line);  // NOLINT(cppcoreguidelines-no-malloc): getline's buffer
  if (length < 0) return absl::InternalError(absl::StrCat(name_, " answers no more"));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

absl::StatusOr<std::vector<std::string>> ChildProcess::Ask(const std::string& line) {
  if (std::fputs(absl::StrCat(line, "\n").c_str(), in_) < 0 || std::fflush(in_) != 0) {
    return absl::InternalError(absl::StrCat(name_, " listens no more"));
  }
  auto answer = ReadLine();
  if (!answer.ok()) return answer.status();
  std::vector<std::string> words = absl::StrSplit(*answer, ' ', absl::SkipEmpty());
  // Ours say "ok", QEMU's qtest says "OK".
  if (words.empty() || (words[0] != "ok" && words[0] != "OK")) {
    return absl::InternalError(absl::StrCat(name_, ", asked to ", line, ": ", *answer));
  }
  words.erase(words.begin());
  return words;
}

}  // namespace planecast::bench
