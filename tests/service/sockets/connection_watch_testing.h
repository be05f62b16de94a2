// Connections, and a watch over them that has no thread and a clock of the test's.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "service/sockets/connection_watch.h"
#include "vfio/fd.h"

namespace planecast::testing {

inline constexpr int64_t kSecondNs = 1'000'000'000;
inline constexpr int kBurst = 4000;
inline constexpr int kRate = 1000;
inline constexpr int kUnknownBurst = 400;
inline constexpr int kUnknownRate = 100;
inline constexpr int kIntroduction = 100;

/// Two ends of a connection.
struct Ends {
  Fd client;
  Fd server;
};

inline Ends UnixPair() {
  std::array<int, 2> fds = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()), 0);
  return {Fd(KernelSys(), fds[0]), Fd(KernelSys(), fds[1])};
}

inline Ends TcpPair() {
  const Fd listener(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(listener.get(), 1), 0);
  EXPECT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  Fd client(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  Fd server(KernelSys(), accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  EXPECT_TRUE(server.valid());
  fcntl(client.get(), F_SETFL, O_NONBLOCK);
  return {std::move(client), std::move(server)};
}

inline void Send(const Fd& socket, size_t size) {
  const std::string bytes(size, 'x');
  EXPECT_EQ(send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(size));
}

/// Until the kernel has brought so many bytes that nobody has read yet, or the connection's end.
inline void AwaitBytes(const Fd& socket, int size) {
  const auto set_least = [&](int least) {
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVLOWAT, &least, sizeof(least));
  };
  set_least(size);
  pollfd one{socket.get(), POLLIN, 0};
  EXPECT_EQ(poll(&one, 1, 120'000), 1);
  set_least(1);
}

inline size_t Read(const Fd& socket, size_t size) {
  std::string bytes(size, '\0');
  const ssize_t got = recv(socket.get(), bytes.data(), bytes.size(), 0);
  return got < 0 ? 0 : static_cast<size_t>(got);
}

/// The peer has closed it: there is an end, or a reset, and not only nothing yet.
inline bool HasEnded(const Fd& socket) {
  AwaitBytes(socket, 1);
  char byte = 0;
  const ssize_t got = recv(socket.get(), &byte, 1, 0);
  return got == 0 || (got < 0 && errno != EAGAIN);
}

inline bool IsOpen(const Fd& socket) {
  char byte = 0;
  return recv(socket.get(), &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

class ConnectionWatchTest : public ::testing::Test {
 protected:
  ConnectionWatchTest() {
    ConnectionWatch::Options& options = options_;
    options.clock = &clock_;
    options.limits.bytes_per_s = kRate;
    options.limits.further_viewer_bytes_per_s = kRate;
    options.limits.burst_bytes = kBurst;
    options.limits.unknown_bytes_per_s = kUnknownRate;
    options.limits.unknown_burst_bytes = kUnknownBurst;
    options.limits.introduction_bytes = kIntroduction;
    options.limits.all_unknown_bytes_per_s = kUnknownRate;
    options.limits.all_unknown_burst_bytes = 3 * kUnknownBurst;
    options.turn = [this] { return turn_; };
    options.on_end = [this](const WatchedConnection& who, std::optional<ConnectionRefusal> why) {
      ended_.emplace_back(who.name, why);
    };
    Make();
  }

  void Make() {
    auto watch = ConnectionWatch::Make(options_);
    EXPECT_TRUE(watch.ok()) << watch.status();
    watch_ = *std::move(watch);
  }

  static WatchedConnection Tcp(const std::string& name, const std::string& address = "a",
                               bool awaits_call = false) {
    return {WatchedConnection::Kind::kTcp, name, address, awaits_call};
  }
  static WatchedConnection Unix(const std::string& name) {
    return {WatchedConnection::Kind::kUnix, name, name, false};
  }
  /// The next look comes, `after_ns` later.
  void Look(int64_t after_ns = WatchLimits().look_interval_ns) {
    // The first byte is heard of before.
    watch_->Turn(0);
    clock_.Advance(after_ns);
    watch_->Turn(0);
  }
  /// One that somebody known is on.
  void Watch(const Ends& ends, const WatchedConnection& who) {
    WatchUnknown(ends, who);
    watch_->NoteKnown(who.name);
  }
  void WatchUnknown(const Ends& ends, const WatchedConnection& who) {
    const auto status = watch_->Watch(ends.server.get(), who);
    ASSERT_TRUE(status.ok()) << status;
  }
  using Ended = std::vector<std::pair<std::string, std::optional<ConnectionRefusal>>>;

  ConnectionWatch::Options options_;
  ManualClock clock_;
  uint64_t turn_ = 1;
  Ended ended_;
  std::unique_ptr<ConnectionWatch> watch_;
};

}  // namespace planecast::testing
