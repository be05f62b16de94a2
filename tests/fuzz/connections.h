// Connections for the fuzz targets of the acceptors' cut: small limits, so that a few steps reach
// them.
#pragma once

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "service/sockets/connection_shares.h"
#include "service/sockets/connection_watch.h"
#include "vfio/fd.h"

namespace planecast::fuzz {

inline constexpr int64_t kSecondNs = 1'000'000'000;
inline constexpr int64_t kHourNs = 3600 * kSecondNs;
inline constexpr int kStepsMax = 300;
inline constexpr ConnectionShares::Limits kShares = {.all_max = 12, .address_max = 4};
/// What comes over loopback is there at once, but where the kernel is busy with others.
inline constexpr int kWaitMs = 1;
inline constexpr int kWaitsMax = 5000;
inline constexpr int kBacklog = 128;

inline WatchLimits SmallLimits() {
  WatchLimits limits;
  limits.bytes_per_s = 1000;
  limits.further_viewer_bytes_per_s = 500;
  limits.burst_bytes = 4000;
  limits.aimless_bytes_per_s = 50;
  limits.aimless_viewer_bytes_per_s = 20;
  limits.aimless_burst_bytes = 2000;
  limits.unknown_bytes_per_s = 100;
  limits.unknown_burst_bytes = 400;
  limits.introduction_bytes = 100;
  limits.all_unknown_bytes_per_s = 200;
  limits.all_unknown_burst_bytes = 1200;
  return limits;
}

inline void Require(bool holds) {
  if (!holds) abort();
}

/// What the fuzzer chooses by.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), end_(data + size) {}
  bool empty() const { return data_ == end_; }
  int Next(int below) { return empty() ? 0 : *data_++ % below; }

 private:
  const uint8_t* data_;
  const uint8_t* end_;
};

/// Two ends of a connection; the server's is what gRPC has.
struct Ends {
  Fd client;
  Fd server;
};

inline Ends UnixEnds() {
  std::array<int, 2> fds = {-1, -1};
  const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  Require(socketpair(AF_UNIX, type, 0, fds.data()) == 0);
  return {Fd(KernelSys(), fds[0]), Fd(KernelSys(), fds[1])};
}

/// Until what was sent, or an end, has come through the kernel.
template <typename Done>
void Await(Done done) {
  for (int i = 0; i < kWaitsMax; ++i) {
    if (done()) return;
    poll(nullptr, 0, kWaitMs);
  }
  abort();
}

/// The kernel counts what came on TCP alone.
inline Ends TcpEnds() {
  static const int listener = [] {
    const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Require(bind(made, reinterpret_cast<sockaddr*>(&any), sizeof(any)) == 0);
    Require(listen(made, kBacklog) == 0);
    return made;
  }();
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  Require(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  Fd client(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Await([&] { return connect(client.get(), reinterpret_cast<sockaddr*>(&address), size) == 0; });
  Fd server(KernelSys(), accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  Require(server.valid());
  // Leaves by a reset, and its port is free again at once: many runs need many.
  const linger reset{1, 0};
  setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  return {std::move(client), std::move(server)};
}

inline void Send(const Fd& socket, int bytes) {
  const std::string some(static_cast<size_t>(bytes), 'x');
  [[maybe_unused]] const ssize_t sent =
      send(socket.get(), some.data(), some.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

inline void ReadAll(const Fd& socket) {
  std::array<char, 16 << 10> nowhere;
  while (recv(socket.get(), nowhere.data(), nowhere.size(), MSG_DONTWAIT) > 0) {
  }
}

/// One side of it is shut: the server shut it down, or the peer has gone.
inline bool HasEnded(const Fd& server) {
  pollfd one{server.get(), POLLRDHUP, 0};
  return poll(&one, 1, 0) == 1 && (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

inline double BytesReceived(const Fd& server) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  Require(getsockopt(server.get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
  return static_cast<double>(info.tcpi_bytes_received);
}

/// The input as steps of a Run, and its end.
template <typename Run>
void Play(const uint8_t* data, size_t size) {
  Input input(data, size);
  Run run;
  for (int step = 0; step < kStepsMax && !input.empty(); ++step) run.Step(input);
  run.End();
}

}  // namespace planecast::fuzz
