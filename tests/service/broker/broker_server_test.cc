#include "service/broker/broker_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "planecast/broker/v1/broker.pb.h"
#include "service/sockets/fd_packet.h"
#include "service/sockets/unix_socket.h"
#include "service/sources/broker_client.h"
#include "tests/service/temp_dir.h"
#include "vfio/clock.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kAnswerMaxMs = 60'000;

/// Opens nothing; calls wait for as long as it is held.
class HeldOpener final : public DeviceOpener {
 public:
  absl::StatusOr<OpenedDevice> OpenGroup(int, std::string_view) override {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    return absl::NotFoundError("nothing here\xff");
  }
  absl::StatusOr<OpenedDevice> OpenCdev(std::string_view path) override {
    return absl::NotFoundError(absl::StrCat("no ", std::string(path)));
  }
  absl::StatusOr<OpenedDevice> Borrow(const VmmProcess&, std::string_view) override {
    return absl::NotFoundError("no VMM");
  }
  OpenerProblems Problems() override { return {}; }

  void Hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void LetGo() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  void AwaitWaiting(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ == count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int waiting_ = 0;
};

class BrokerServerTest : public ::testing::Test {
 protected:
  void Start(BrokerOptions options) {
    auto listener = ListenOnUnix(path_, UnixSocketAccess::Everybody(), SOCK_SEQPACKET);
    ASSERT_TRUE(listener.ok()) << listener.status();
    options.log = [this](const std::string& line) {
      const std::lock_guard lock(log_mutex_);
      log_ += line + "\n";
    };
    auto server = BrokerServer::Start(*std::move(listener), opener_, std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  Fd Connect() const {
    Fd peer(KernelSys(), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path_.begin(), path_.end(), address.sun_path);
    EXPECT_EQ(connect(peer.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_TRUE(SetSocketTimeouts(peer, kAnswerMaxMs).ok());
    return peer;
  }
  /// What a packet is answered with; with code -1 if it was hung up.
  broker::v1::OpenReply Ask(const std::string& bytes, const std::vector<int>& fds = {}) const {
    const Fd peer = Connect();
    SendPacket(peer, bytes, fds).IgnoreError();
    const auto packet = ReceivePacket(peer, 4096);
    broker::v1::OpenReply reply;
    reply.set_code(-1);
    if (packet.ok()) {
      EXPECT_TRUE(reply.ParseFromString(packet->bytes));
    }
    return reply;
  }
  std::string Log() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  TempDir dir_;
  const std::string path_ = dir_.path() + "/b.sock";
  std::mutex log_mutex_;
  std::string log_;
  HeldOpener opener_;
  std::unique_ptr<BrokerServer> server_;
};

TEST_F(BrokerServerTest, RefusesWhatIsNoRequestWithAReason) {
  Start({.streamer = geteuid()});
  EXPECT_EQ(Ask("nonsense").code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Ask(std::string(5000, 'x')).code(),
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  broker::v1::OpenRequest request;
  request.mutable_probe();
  EXPECT_EQ(Ask(request.SerializeAsString()).code(), 0);
  const auto with_fd = Ask(request.SerializeAsString(), {STDERR_FILENO});
  EXPECT_EQ(with_fd.code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(with_fd.message(), HasSubstr("has fds, and none are taken"));
}

TEST_F(BrokerServerTest, WhatItIsAskedIsLoggedAndErrorsAreText) {
  Start({.streamer = geteuid()});
  BrokerClient client(path_);
  const auto opened = client.OpenGroup(7, "some-device");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(opened.status().message(), "nothing here?");
  EXPECT_THAT(Log(), HasSubstr("refused: group 7, device some-device: nothing here?"));
}

TEST_F(BrokerServerTest, APeerThatAsksAgainAndAgainDoesNotFillTheLog) {
  ManualClock clock;
  Start({.streamer = geteuid(), .clock = &clock});
  BrokerClient client(path_);
  for (int i = 0; i < 40; ++i) client.OpenGroup(7, "some-device").status().IgnoreError();
  EXPECT_EQ(std::ranges::count(Log(), '\n'), 10) << Log();
  clock.Advance(1'000'000'000);
  client.OpenGroup(7, "some-device").status().IgnoreError();
  EXPECT_EQ(std::ranges::count(Log(), '\n'), 11) << Log();
  EXPECT_THAT(Log(), HasSubstr("(30 more were left out before)"));
  server_.reset();
}

TEST_F(BrokerServerTest, OtherUsersGetNothing) {
  if (geteuid() != 0) GTEST_SKIP() << "takes root, to be another user";
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
  Start({.streamer = 12345});
  for (const auto& [uid, answered] : {std::pair(12345, true), {12346, false}, {0, true}}) {
    const pid_t child = fork();
    if (child == 0) {
      // Of an effective user the kernel tells.
      if (uid != 0 && setresuid(uid, uid, uid) != 0) _exit(2);
      broker::v1::OpenRequest request;
      request.mutable_probe();
      _exit(Ask(request.SerializeAsString()).code() == 0 ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), answered ? 0 : 1) << uid;
  }
  EXPECT_THAT(Log(), HasSubstr("of uid 12346: only root and uid 12345 may ask"));
}

TEST_F(BrokerServerTest, APeerThatAsksNothingIsHungUpOn) {
  Start({.streamer = geteuid(), .receive_timeout_ms = 20});
  const Fd peer = Connect();
  EXPECT_TRUE(absl::IsUnavailable(ReceivePacket(peer, 4096).status()));
}

TEST_F(BrokerServerTest, ADeviceThatHangsHoldsItsThreadAloneAndTooManyAreRefused) {
  Start({.streamer = geteuid()});
  opener_.Hold();
  std::vector<std::thread> threads;
  std::atomic<int> answered{0};
  for (int i = 0; i < kBrokerRequestsMax - 1; ++i) {
    threads.emplace_back([&] {
      BrokerClient client(path_);
      if (absl::IsNotFound(client.OpenGroup(7, "a").status())) ++answered;
    });
  }
  opener_.AwaitWaiting(kBrokerRequestsMax - 1);
  BrokerClient client(path_);
  EXPECT_EQ(client.OpenCdev("/dev/vfio/devices/vfio3").status().message(),
            "no /dev/vfio/devices/vfio3")
      << "another device is opened meanwhile";
  threads.emplace_back([&] {
    BrokerClient last(path_);
    absl::Status status = last.OpenGroup(7, "a").status();
    // The one before is answered a moment before it has left.
    while (absl::IsResourceExhausted(status)) status = last.OpenGroup(7, "a").status();
    if (absl::IsNotFound(status)) ++answered;
  });
  opener_.AwaitWaiting(kBrokerRequestsMax);
  const auto refused = client.OpenCdev("/dev/vfio/devices/vfio3");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("does a device hang?"));
  opener_.LetGo();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, kBrokerRequestsMax);
}

TEST(BrokerClientTest, ErrorsOfTheWayThereNameTheBrokerAndTheRemedy) {
  const TempDir dir;
  BrokerClient client(dir.path() + "/none.sock");
  const auto opened = client.OpenGroup(7, "a");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(opened.status().message()),
              HasSubstr("systemctl start planecast-broker.socket"));
  EXPECT_THAT(client.Problems().vmm, HasSubstr("planecast-broker is not running"));
}

/// Answers one request with whatever it is told.
class Liar {
 public:
  explicit Liar(const std::string& path)
      : listener_(*ListenOnUnix(path, UnixSocketAccess::Owner(), SOCK_SEQPACKET)) {}
  void Answer(const broker::v1::OpenReply& reply, std::vector<int> fds) {
    if (thread_.joinable()) thread_.join();
    fcntl(listener_.get(), F_SETFL, 0);
    thread_ = std::thread([this, reply, fds = std::move(fds)] {
      const Fd peer(KernelSys(), accept(listener_.get(), nullptr, nullptr));
      ReceivePacket(peer, 4096).status().IgnoreError();
      SendPacket(peer, reply.SerializeAsString(), fds).IgnoreError();
    });
  }
  ~Liar() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  Fd listener_;
  std::thread thread_;
};

TEST(BrokerClientTest, WhatItGetsIsCheckedToBeWhatItIsCalled) {
  const TempDir dir;
  Liar liar(dir.path() + "/l.sock");
  BrokerClient client(dir.path() + "/l.sock");
  const Fd null(KernelSys(), open("/dev/null", O_RDWR | O_CLOEXEC));
  broker::v1::OpenReply reply;
  reply.set_description("a device, on my word");
  liar.Answer(reply, {});
  EXPECT_EQ(client.OpenGroup(7, "a").status().code(), absl::StatusCode::kInternal);
  liar.Answer(reply, {null.get()});
  EXPECT_EQ(client.OpenGroup(7, "a").status().code(), absl::StatusCode::kInternal);
  reply.add_fd_roles(broker::v1::FD_ROLE_DEVICE);
  liar.Answer(reply, {null.get()});
  const auto opened = client.OpenGroup(7, "a");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("none of VFIO"));
}

}  // namespace
}  // namespace planecast::testing
