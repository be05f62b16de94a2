// planecast-broker as a process.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "planecast/broker/v1/broker.pb.h"
#include "service/broker/flags.h"
#include "service/sockets/fd_packet.h"
#include "service/sockets/unix_socket.h"
#include "service/sources/broker_client.h"
#include "tests/service/temp_dir.h"
#include "vfio/fd.h"

namespace planecast::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// planecast-broker with these arguments; what it prints can be read. `passed` become its fds from
/// 3 on, and with `listens` it is told so as systemd does.
class Broker {
 public:
  explicit Broker(const std::vector<std::string>& arguments, const std::vector<int>& passed = {},
                  bool listens = false) {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    output_ = Fd(KernelSys(), ends[0]);
    const Fd write_end(KernelSys(), ends[1]);
    // All that a child of a process with threads may not do is done before.
    std::vector<std::string> words = {PLANECAST_BROKER};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::string line = listens ? "export LISTEN_PID=$$ LISTEN_FDS=1; exec" : "exec";
    for (const std::string& word : words) absl::StrAppend(&line, " '", word, "'");
    std::vector<Fd> high;
    for (const int fd : passed) {
      high.emplace_back(KernelSys(), fcntl(fd, F_DUPFD_CLOEXEC, 100));
    }
    pid_ = fork();
    if (pid_ != 0) return;
    dup2(write_end.get(), 1);
    dup2(write_end.get(), 2);
    for (size_t i = 0; i < high.size(); ++i) dup2(high[i].get(), static_cast<int>(3 + i));
    execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    _exit(127);
  }
  ~Broker() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  bool AwaitText(const std::string& text) {
    while (printed_.find(text) == std::string::npos) {
      if (!ReadMore()) return false;
    }
    return true;
  }
  int Wait() {
    while (ReadMore()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string Status() const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/status"));
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::string NetworkNamespace() const {
    std::error_code error;
    return std::filesystem::read_symlink(absl::StrCat("/proc/", pid_, "/ns/net"), error);
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

std::string OwnUid() {
  return absl::StrCat(geteuid());
}

TEST(BrokerProgramTest, UsageIsTold) {
  Broker help({"--help"});
  EXPECT_EQ(help.Wait(), 0);
  EXPECT_EQ(help.printed(), BrokerFlagsHelp());
  Broker bogus({"--bogus"});
  EXPECT_EQ(bogus.Wait(), 2);
  EXPECT_THAT(bogus.printed(), HasSubstr("--bogus is no flag"));
  Broker nobody({"--user", "no-such-user-here"});
  EXPECT_EQ(nobody.Wait(), 1);
  EXPECT_THAT(nobody.printed(), HasSubstr("useradd --system no-such-user-here"));
}

TEST(BrokerProgramTest, ServesASocketOfItsOwnAndTakesItAway) {
  const TempDir dir;
  const std::string path = dir.path() + "/b.sock";
  Broker broker({"--user", OwnUid(), "--socket", path});
  ASSERT_TRUE(broker.AwaitText("serves root and uid")) << broker.printed();
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  BrokerClient client(path);
  EXPECT_THAT(client.Problems().group,
              ::testing::Not(HasSubstr("planecast-broker is not running")));
  // A process without devices: the broker sees that by itself.
  const auto start = ProcessStartTimeTicks(getpid());
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(client.Borrow({getpid(), *start}, "").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(client.Borrow({getpid(), *start + 1}, "").status().code(),
            absl::StatusCode::kFailedPrecondition);
  kill(broker.pid(), SIGTERM);
  EXPECT_EQ(broker.Wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(BrokerProgramTest, ServesThePassedSocketAndEndsWithItsLifeline) {
  const TempDir dir;
  const std::string path = dir.path() + "/b.sock";
  auto listener = ListenOnUnix(path, UnixSocketAccess::Owner(), SOCK_SEQPACKET);
  ASSERT_TRUE(listener.ok()) << listener.status();
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  Fd lifeline(KernelSys(), ends[0]);
  Fd held(KernelSys(), ends[1]);
  Broker broker({"--user", OwnUid(), "--lifeline", "4"}, {listener->get(), lifeline.get()}, true);
  ASSERT_TRUE(broker.AwaitText("on the socket that was passed")) << broker.printed();
  BrokerClient client(path);
  EXPECT_EQ(client.OpenGroup(2147483647, "no-such-device").status().code(),
            absl::StatusCode::kNotFound);
  // Of a terminal the daemon gets it too, and ends the broker when it is done.
  kill(broker.pid(), SIGINT);
  EXPECT_THAT(client.Problems().vmm, ::testing::Not(HasSubstr("planecast-broker is not running")));
  held.Reset();
  EXPECT_EQ(broker.Wait(), 0);
  EXPECT_TRUE(std::filesystem::exists(path)) << "somebody else's";
}

TEST(BrokerProgramTest, AnotherFdThanAListenerIsRefused) {
  const Fd null(KernelSys(), open("/dev/null", O_RDWR | O_CLOEXEC));
  Broker broker({"--user", OwnUid()}, {null.get()}, true);
  EXPECT_EQ(broker.Wait(), 1);
  EXPECT_THAT(broker.printed(), HasSubstr("ListenSequentialPacket="));
}

TEST(BrokerProgramTest, ARequestThatIsNoTextIsRefusedInItsOwnWordsAlone) {
  const TempDir dir;
  const std::string path = dir.path() + "/b.sock";
  Broker broker({"--user", OwnUid(), "--socket", path});
  ASSERT_TRUE(broker.AwaitText("serves root and uid")) << broker.printed();
  broker::v1::OpenRequest request;
  request.mutable_group_device()->set_device("device");
  std::string bytes = request.SerializeAsString();
  bytes[bytes.find("device")] = '\xff';
  const Fd peer(KernelSys(), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  ASSERT_EQ(connect(peer.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_TRUE(SetSocketTimeouts(peer, 60'000).ok());
  ASSERT_TRUE(SendPacket(peer, bytes, {}).ok());
  const auto reply = ReceiveBytes(peer, 4096);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(*reply, HasSubstr("is no request"));
  kill(broker.pid(), SIGTERM);
  broker.Wait();
  EXPECT_THAT(broker.printed(), ::testing::Not(HasSubstr("libprotobuf")));
}

TEST(BrokerProgramTest, KeepsOfRootWhatItNeedsAndNothingElse) {
  if (geteuid() != 0) GTEST_SKIP() << "takes root, to have something to drop";
  for (const bool dac_override : {false, true}) {
    const TempDir dir;
    std::vector<std::string> arguments = {"--user", "12345", "--socket", dir.path() + "/b.sock"};
    if (dac_override) arguments.push_back("--dac-override");
    // One that root has where the broker is started by hand.
    constexpr gid_t kGroup = 54321;
    std::vector<gid_t> own_groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
    getgroups(static_cast<int>(own_groups.size()), own_groups.data());
    ASSERT_EQ(setgroups(1, &kGroup), 0);
    Broker broker(arguments);
    ASSERT_EQ(setgroups(own_groups.size(), own_groups.data()), 0);
    ASSERT_TRUE(broker.AwaitText("serves root and uid 12345")) << broker.printed();
    // CAP_DAC_OVERRIDE is 1, CAP_DAC_READ_SEARCH 2, CAP_SYS_PTRACE 19; what this test has of them.
    std::ifstream own("/proc/self/status");
    const std::string own_text{std::istreambuf_iterator<char>(own),
                               std::istreambuf_iterator<char>()};
    const uint64_t has = std::stoull(own_text.substr(own_text.find("CapPrm:") + 7), nullptr, 16);
    const uint64_t kept = has & (uint64_t{1} << 19 | 4 | (dac_override ? 2 : 0));
    std::array<char, 32> hex{};
    std::snprintf(hex.data(), hex.size(), "%016llx", static_cast<unsigned long long>(kept));
    EXPECT_THAT(broker.Status(),
                AllOf(HasSubstr(absl::StrCat("CapPrm:\t", hex.data())),
                      HasSubstr(absl::StrCat("CapEff:\t", hex.data())),
                      HasSubstr("CapInh:\t0000000000000000"),
                      HasSubstr("CapAmb:\t0000000000000000"), HasSubstr("NoNewPrivs:\t1"),
                      HasSubstr("Uid:\t0\t0\t0\t0"), ::testing::Not(HasSubstr("54321"))));
    std::error_code error;
    const bool stays = broker.printed().find("stays in the network namespace") != std::string::npos;
    EXPECT_EQ(
        broker.NetworkNamespace() == std::filesystem::read_symlink("/proc/self/ns/net", error),
        stays)
        << broker.printed();
    struct stat info {};
    ASSERT_EQ(stat((dir.path() + "/b.sock").c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, 12345u);
  }
}

/// A program of another user, started.
class OtherUsersProcess {
 public:
  explicit OtherUsersProcess(uid_t uid) {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd read_end(KernelSys(), ends[0]);
    Fd write_end(KernelSys(), ends[1]);
    pid_ = fork();
    if (pid_ == 0) {
      if (setresuid(uid, uid, uid) == 0) execl("/bin/sleep", "sleep", "600", nullptr);
      _exit(127);
    }
    write_end.Reset();
    // Closed once it is the other program.
    char byte = 0;
    EXPECT_EQ(read(read_end.get(), &byte, 1), 0);
  }
  ~OtherUsersProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  OtherUsersProcess(const OtherUsersProcess&) = delete;
  OtherUsersProcess& operator=(const OtherUsersProcess&) = delete;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

TEST(BrokerProgramTest, WhatItKeepsIsEnoughToLookIntoAnotherUsersVmm) {
  if (geteuid() != 0) GTEST_SKIP() << "takes root";
  const TempDir dir;
  Broker broker({"--user", "12345", "--socket", dir.path() + "/b.sock"});
  ASSERT_TRUE(broker.AwaitText("serves root and uid 12345")) << broker.printed();
  const OtherUsersProcess vmm(12346);
  const auto start = ProcessStartTimeTicks(vmm.pid());
  ASSERT_TRUE(start.ok()) << start.status();
  BrokerClient client(dir.path() + "/b.sock");
  // It saw all fds: PERMISSION_DENIED otherwise.
  const auto opened = client.Borrow({vmm.pid(), *start}, "");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kNotFound) << opened.status();
  EXPECT_EQ(client.Problems().vmm, "");
}

}  // namespace
}  // namespace planecast::testing
