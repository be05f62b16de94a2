// The relay itself: what the other tests of this folder stand on.
#include "tests/net/relay.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "vfio/clock.h"

namespace planecast::testing {
namespace {

constexpr int64_t kMs = 1'000'000;

/// Accepts one connection and sends back what comes.
class EchoServer {
 public:
  EchoServer() : listener_(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    EXPECT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~EchoServer() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  int port() const { return port_; }

 private:
  void Run() const {
    const Fd peer(KernelSys(), accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::array<char, 4096> buffer;
    while (peer.valid()) {
      const ssize_t count = recv(peer.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) return;
      if (send(peer.get(), buffer.data(), static_cast<size_t>(count), MSG_NOSIGNAL) != count)
        return;
    }
  }

  Fd listener_;
  int port_ = 0;
  std::thread thread_;
};

Fd Connect(int port) {
  Fd fd(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

/// Sends so many bytes and waits for them to come back; how long that took, or -1.
int64_t RoundTripNs(const Fd& fd, size_t size_bytes) {
  const int64_t begin_ns = MonotonicClock().NowNs();
  const std::vector<char> sent(size_bytes, 'x');
  if (send(fd.get(), sent.data(), sent.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(sent.size())) {
    return -1;
  }
  std::vector<char> received(size_bytes);
  size_t done = 0;
  while (done < size_bytes) {
    const ssize_t count = recv(fd.get(), received.data() + done, size_bytes - done, 0);
    if (count <= 0) return -1;
    done += static_cast<size_t>(count);
  }
  EXPECT_EQ(received, sent);
  return MonotonicClock().NowNs() - begin_ns;
}

TEST(Relay, DelaysEachDirection) {
  const EchoServer echo;
  const auto relay = Relay::Start(echo.port(), {.delay_ns = 20 * kMs});
  ASSERT_TRUE(relay.ok()) << relay.status();
  const Fd fd = Connect((*relay)->port());
  const int64_t took_ns = RoundTripNs(fd, 100);
  EXPECT_GE(took_ns, 40 * kMs);
  EXPECT_LT(took_ns, 400 * kMs);
}

TEST(Relay, KeepsTheRate) {
  const EchoServer echo;
  const auto relay = Relay::Start(echo.port(), {.rate_bps = 2'000'000});
  ASSERT_TRUE(relay.ok()) << relay.status();
  const Fd fd = Connect((*relay)->port());
  // 50 kB are 200 ms at that rate; both directions overlap.
  const int64_t took_ns = RoundTripNs(fd, 50'000);
  EXPECT_GE(took_ns, 200 * kMs);
  EXPECT_LT(took_ns, 600 * kMs);
}

TEST(Relay, HoldsUpWhatFollowsALostSegmentAndLosesTheSameAgain) {
  int64_t took_ns[2] = {};
  for (int64_t& took : took_ns) {
    const EchoServer echo;
    const auto relay = Relay::Start(echo.port(), {.delay_ns = 30 * kMs, .loss = 1}, 7);
    ASSERT_TRUE(relay.ok()) << relay.status();
    took = RoundTripNs(Connect((*relay)->port()), 100);
  }
  // Each way three times the delay.
  for (const int64_t took : took_ns) EXPECT_GE(took, 180 * kMs);
}

TEST(Relay, StallsAndGoesOn) {
  const EchoServer echo;
  const auto relay = Relay::Start(echo.port(), {});
  ASSERT_TRUE(relay.ok()) << relay.status();
  const Fd fd = Connect((*relay)->port());
  ASSERT_GE(RoundTripNs(fd, 100), 0);
  (*relay)->Stall(150 * kMs);
  EXPECT_GE(RoundTripNs(fd, 100), 140 * kMs);
  EXPECT_EQ((*relay)->delivered_bytes(), 200u);
}

TEST(Relay, CutsAndTakesNewConnections) {
  const EchoServer first;
  const auto relay = Relay::Start(first.port(), {});
  ASSERT_TRUE(relay.ok()) << relay.status();
  const Fd fd = Connect((*relay)->port());
  ASSERT_GE(RoundTripNs(fd, 100), 0);
  (*relay)->Cut();
  char byte = 0;
  EXPECT_EQ(recv(fd.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
  // The echo server takes one connection only: the relay's second one ends by itself, not by reset.
  const Fd again = Connect((*relay)->port());
  EXPECT_EQ(send(again.get(), &byte, 1, MSG_NOSIGNAL), 1);
}

}  // namespace
}  // namespace planecast::testing
