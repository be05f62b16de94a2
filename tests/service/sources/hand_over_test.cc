#include "service/sources/hand_over.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <vector>

#include "tests/service/daemon_testing.h"
#include "tests/service/temp_dir.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

bool Connect(int fd, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

/// One exchange of the protocol; the answer.
std::string HandOver(const std::string& path, const std::string& text,
                     const std::vector<int>& fds) {
  const Fd peer(KernelSys(), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!Connect(peer.get(), path)) return "<no connection>";
  std::string copy = text;
  iovec part{copy.data(), copy.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 16)> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * fds.size());
  }
  EXPECT_GT(sendmsg(peer.get(), &header, MSG_NOSIGNAL), 0);
  std::array<char, 512> answer{};
  const ssize_t size = recv(peer.get(), answer.data(), answer.size(), 0);
  return size > 0 ? std::string(answer.data(), static_cast<size_t>(size)) : "<no answer>";
}

ino_t InodeOf(int fd) {
  struct stat info {};
  EXPECT_EQ(fstat(fd, &info), 0);
  return info.st_ino;
}

class HandOverTest : public ::testing::Test {
 protected:
  HandOverTest()
      : file_(KernelSys(), open((dir_.path() + "/file").c_str(), O_CREAT | O_RDWR, 0600)) {
    auto server = HandOverServer::Start(path_, log_.logger(), clock_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::string Send(const std::vector<int>& fds) { return HandOver(path_, "PLANECAST 1", fds); }

  TempDir dir_;
  std::string path_ = dir_.path() + "/h.sock";
  LogFile log_{dir_.path() + "/log"};
  ManualClock clock_;
  Fd file_;
  std::unique_ptr<HandOverServer> server_;
};

TEST_F(HandOverTest, ATokenGivesTheFdOnce) {
  const std::string answer = Send({file_.get()});
  ASSERT_THAT(answer, MatchesRegex("OK [0-9a-f]{32}"));
  const std::string token = answer.substr(3);
  auto handed_over = server_->Redeem(token);
  ASSERT_TRUE(handed_over.ok()) << handed_over.status();
  EXPECT_EQ(InodeOf(handed_over->device.get()), InodeOf(file_.get()));
  EXPECT_FALSE(handed_over->vmm_pidfd.valid());
  EXPECT_EQ(server_->Redeem(token).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(HandOverTest, APidfdThatCameAlongTellsOfTheVmmsExit) {
  const pid_t vmm = fork();
  ASSERT_GE(vmm, 0);
  if (vmm == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  std::string answer;
  {
    const Fd pidfd(KernelSys(), KernelSys().PidfdOpen(vmm));
    answer = Send({file_.get(), pidfd.get()});
  }
  EXPECT_THAT(answer, StartsWith("OK "));
  auto handed_over = server_->Redeem(answer.substr(3));
  EXPECT_TRUE(handed_over.ok()) << handed_over.status();
  if (handed_over.ok()) {
    EXPECT_EQ(InodeOf(handed_over->device.get()), InodeOf(file_.get()));
    pollfd exit{handed_over->vmm_pidfd.get(), POLLIN, 0};
    EXPECT_EQ(poll(&exit, 1, 0), 0);
    kill(vmm, SIGKILL);
    EXPECT_EQ(poll(&exit, 1, 120'000), 1);
  }
  kill(vmm, SIGKILL);
  EXPECT_EQ(waitpid(vmm, nullptr, 0), vmm);
}

TEST_F(HandOverTest, TokensDiffer) {
  EXPECT_NE(Send({file_.get()}), Send({file_.get()}));
}

TEST_F(HandOverTest, ATokenExpires) {
  const std::string token = Send({file_.get()}).substr(3);
  clock_.Advance(kHandOverLifetimeNs);
  const auto fd = server_->Redeem(token);
  EXPECT_EQ(fd.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(fd.status().message()), HasSubstr("older than 60 seconds"));
}

TEST_F(HandOverTest, WrongPacketsAreRefusedPolitely) {
  EXPECT_THAT(HandOver(path_, "hello", {file_.get()}), StartsWith("ERROR the packet's text"));
  EXPECT_THAT(HandOver(path_, "PLANECAST 12", {file_.get()}), StartsWith("ERROR "));
  EXPECT_THAT(HandOver(path_, std::string(1000, 'x'), {file_.get()}), StartsWith("ERROR "));
  EXPECT_THAT(Send({}), StartsWith("ERROR one fd or two"));
  EXPECT_THAT(Send({file_.get(), file_.get()}), StartsWith("ERROR the second fd must be"));
  EXPECT_THAT(Send({file_.get(), file_.get(), file_.get()}), StartsWith("ERROR one fd or two"));
  EXPECT_THAT(Send(std::vector<int>(16, file_.get())), StartsWith("ERROR one fd or two"));
  EXPECT_THAT(Send({file_.get()}), StartsWith("OK "));
}

TEST_F(HandOverTest, WaitingDevicesAreBounded) {
  for (size_t i = 0; i < kHandOversPendingMax; ++i)
    ASSERT_THAT(Send({file_.get()}), StartsWith("OK "));
  EXPECT_THAT(Send({file_.get()}), StartsWith("ERROR too many devices wait"));
}

TEST_F(HandOverTest, TheSocketIsItsOwnersAloneAndGoesWithTheServer) {
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  server_.reset();
  EXPECT_NE(stat(path_.c_str(), &info), 0);
}

/// Says how often it was asked.
class CountingClock : public Clock {
 public:
  int64_t NowNs() override {
    ++asked;
    return 0;
  }
  std::atomic<int> asked{0};
};

/// No new fd can be had while one of these lives.
class OutOfFds {
 public:
  OutOfFds() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur = 3;  // With 0 even poll(2) would refuse.
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~OutOfFds() { setrlimit(RLIMIT_NOFILE, &before_); }
  OutOfFds(const OutOfFds&) = delete;
  OutOfFds& operator=(const OutOfFds&) = delete;

 private:
  rlimit before_{};
};

TEST_F(HandOverTest, WithoutAFreeFdItWaitsQuietly) {
#ifdef PLANECAST_SANITIZE_ADDRESS
  GTEST_SKIP()
      << "UBSan's check of virtual calls opens a pipe, and reports a bad object without one";
#endif
  CountingClock clock;
  const std::string path = dir_.path() + "/quiet.sock";
  auto server = HandOverServer::Start(path, log_.logger(), clock);
  ASSERT_TRUE(server.ok()) << server.status();
  const Fd peer(KernelSys(), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  std::array<char, 512> answer{};
  {
    const OutOfFds guard;
    ASSERT_TRUE(Connect(peer.get(), path));
    // The time in which a server that spins would ask its clock many thousand times.
    const timeval patience{0, 300'000};
    setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    EXPECT_LT(recv(peer.get(), answer.data(), answer.size(), 0), 0);
    EXPECT_GE(clock.asked, 1);
    EXPECT_LE(clock.asked, 20);
  }
  // The peer is served as soon as there are fds again.
  const timeval forever{};
  setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
  EXPECT_GT(send(peer.get(), "hello", 5, MSG_NOSIGNAL), 0);
  const ssize_t size = recv(peer.get(), answer.data(), answer.size(), 0);
  ASSERT_GT(size, 0);
  EXPECT_THAT(std::string(answer.data(), static_cast<size_t>(size)), StartsWith("ERROR "));
}

using DaemonHandOverTest = DaemonTest;

TEST_F(DaemonHandOverTest, AnFdThatIsNoDeviceIsRefusedAtTheAttach) {
  parts_.open_source = nullptr;
  const std::string path = dir_.path() + "/h.sock";
  Start(" hand_over_socket_path: \"" + path + "\"");
  const Fd file(KernelSys(), open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::string answer = HandOver(path, "PLANECAST 1", {file.get()});
  ASSERT_THAT(answer, StartsWith("OK "));
  v1::AttachDisplayRequest request = FakeRequest("a");
  request.mutable_source()->mutable_handed_over()->set_token(answer.substr(3));
  EXPECT_EQ(Attach(request).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Attach(request).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(DaemonHandOverTest, WithoutASocketATokenIsUnknown) {
  parts_.open_source = nullptr;
  Start();
  v1::AttachDisplayRequest request = FakeRequest("a");
  request.mutable_source()->mutable_handed_over()->set_token(std::string(32, '0'));
  const grpc::Status status = Attach(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("hand_over_socket_path"));
}

}  // namespace
}  // namespace planecast::testing
