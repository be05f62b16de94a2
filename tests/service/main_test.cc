// planecastd as a process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "service/config/flags.h"
#include "tests/service/temp_dir.h"
#include "vfio/fd.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

/// planecastd with these arguments; what it prints on stdout and stderr can be read.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments, bool stdin_open = true) {
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
    EXPECT_EQ(posix_spawn(&pid_, PLANECASTD, &actions, &attributes, argv.data(), environ), 0);
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
  pid_t pid() const { return pid_; }
  /// What one of its fds is.
  std::string FdTarget(int fd) const {
    std::error_code error;
    return std::filesystem::read_symlink(
        "/proc/" + std::to_string(pid_) + "/fd/" + std::to_string(fd), error);
  }
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

TEST(MainTest, HelpAndVersionAreSaidAndDone) {
  Program help({"--help"});
  EXPECT_EQ(help.Wait(), 0);
  EXPECT_EQ(help.printed(), FlagsHelp());
  Program version({"--version"});
  EXPECT_EQ(version.Wait(), 0);
  EXPECT_EQ(version.printed(), "planecastd " PLANECAST_VERSION "\n");
}

TEST(MainTest, WrongUsageExitsWithTwo) {
  Program program({"--bogus"});
  EXPECT_EQ(program.Wait(), 2);
  EXPECT_THAT(program.printed(), HasSubstr("planecastd: --bogus is no flag"));
}

TEST(MainTest, AWrongConfigExitsWithOneAndItsPlace) {
  const TempDir dir;
  const std::string path = dir.path() + "/c.textproto";
  std::ofstream(path) << "\n  bogus: 1";
  Program program({"--config", path});
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.printed(), HasSubstr(path + ":2:"));
}

TEST(MainTest, PlainTextOffLoopbackExitsWithOne) {
  Program program({"--listen", "0.0.0.0:0"});
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.printed(), HasSubstr("--insecure"));
}

TEST(MainTest, CertificatesAreMadeAndTold) {
  const TempDir dir;
  const std::vector<std::string> arguments = {"--make-certificate", dir.path() + "/tls", "--host",
                                              "localhost"};
  Program first(arguments);
  EXPECT_EQ(first.Wait(), 0);
  EXPECT_THAT(first.printed(), HasSubstr("certificate_path: \"" + dir.path() + "/tls/server.pem"));
  EXPECT_TRUE(std::filesystem::exists(dir.path() + "/tls/ca.pem"));
  Program second(arguments);
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_THAT(second.printed(), HasSubstr("planecastd: " + dir.path() + "/tls/server.pem"));
}

TEST(MainTest, ASignalDrainsAndExitsWithZero) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const TempDir dir;
    Program program({"--socket", dir.path() + "/s.sock", "--listen", "127.0.0.1:0"});
    ASSERT_TRUE(program.AwaitText("listening on 127.0.0.1:")) << program.printed();
    program.Signal(signal);
    EXPECT_EQ(program.Wait(), 0);
    EXPECT_THAT(program.printed(), HasSubstr("stopped"));
  }
}

TEST(MainTest, TheLimitOfFileDescriptorsIsRaised) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit lowered = {200, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &lowered), 0);
  const TempDir dir;
  Program program({"--socket", dir.path() + "/s.sock", "--listen", "127.0.0.1:0"});
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(program.AwaitText("listening on 127.0.0.1:")) << program.printed();
  rlimit raised = {};
  ASSERT_EQ(prlimit(program.pid(), RLIMIT_NOFILE, nullptr, &raised), 0);
  EXPECT_EQ(raised.rlim_cur, before.rlim_max);
}

TEST(MainTest, ABrokenPipeDoesNotEndIt) {
  const TempDir dir;
  Program program({"--socket", dir.path() + "/s.sock", "--listen", "127.0.0.1:0"});
  ASSERT_TRUE(program.AwaitText("listening on 127.0.0.1:")) << program.printed();
  program.Signal(SIGPIPE);
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
}

TEST(MainTest, AClosedStandardStreamIsNotUsedForAnythingElse) {
  const TempDir dir;
  Program program({"--socket", dir.path() + "/s.sock", "--listen", "127.0.0.1:0"}, false);
  ASSERT_TRUE(program.AwaitText("listening on 127.0.0.1:")) << program.printed();
  EXPECT_EQ(program.FdTarget(0), "/dev/null");
}

}  // namespace
}  // namespace planecast::testing
