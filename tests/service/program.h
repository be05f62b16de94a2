// planecastd as a process of its own.
#pragma once

#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/service/temp_dir.h"
#include "vfio/fd.h"

namespace planecast::testing {

/// A uid that is nobody's.
inline uid_t FreeUid() {
  uid_t uid = 61000;
  while (getpwuid(uid) != nullptr) ++uid;
  return uid;
}

/// `arguments` of a planecastd whose sockets are in `dir`: root gives it a user of its own, who
/// then has the folder.
inline std::vector<std::string> AsServingUser(const TempDir& dir,
                                              std::vector<std::string> arguments) {
  if (geteuid() != 0) return arguments;
  const uid_t uid = FreeUid();
  EXPECT_EQ(chown(dir.path().c_str(), uid, uid), 0);
  arguments.insert(arguments.begin(), {"--user", std::to_string(uid)});
  return arguments;
}

/// planecastd with these arguments, or another program that is told them; what it prints on stdout
/// and stderr can be read.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments, bool stdin_open = true,
                   const std::string& path = PLANECASTD) {
    std::array<int, 2> fds{};
    EXPECT_EQ(pipe(fds.data()), 0);
    output_ = Fd(KernelSys(), fds[0]);
    Fd write_end(KernelSys(), fds[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, write_end.get(), 1);
    posix_spawn_file_actions_adddup2(&actions, write_end.get(), 2);
    posix_spawn_file_actions_addclose(&actions, output_.get());
    if (!stdin_open) posix_spawn_file_actions_addclose(&actions, 0);
    // What this process ignores the program must not inherit.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    std::string name = "planecastd";
    std::vector<char*> argv = {name.data()};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, path.c_str(), &actions, &attributes, argv.data(), environ), 0);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Program() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Reads until `text` was printed; false if the program ended before.
  bool AwaitText(const std::string& text) {
    while (printed_.find(text) == std::string::npos) {
      if (!ReadMore()) return false;
    }
    return true;
  }
  void Signal(int signal) const { kill(pid_, signal); }
  /// Reads to the end; the exit code, or -1 after a signal.
  int Wait() {
    while (ReadMore()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// What one of its fds is.
  std::string FdTarget(int fd) const {
    std::error_code error;
    return std::filesystem::read_symlink(
        "/proc/" + std::to_string(pid_) + "/fd/" + std::to_string(fd), error);
  }
  pid_t pid() const { return pid_; }
  const std::string& printed() const { return printed_; }

 private:
  bool ReadMore() {
    std::array<char, 4096> buffer{};
    const ssize_t size = read(output_.get(), buffer.data(), buffer.size());
    if (size <= 0) return false;
    printed_.append(buffer.data(), static_cast<size_t>(size));
    return true;
  }

  Fd output_;
  pid_t pid_ = -1;
  std::string printed_;
};

}  // namespace planecast::testing
