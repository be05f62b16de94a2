#include "tests/net/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "vfio/clock.h"

namespace planecast::testing {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kNsPerSecond = 1'000'000'000;
/// What an Ethernet frame carries of TCP.
constexpr size_t kSegmentBytes = 1448;
/// Small, so that bytes wait at the sender, where its TCP knows of them, as on a real link.
constexpr int kReceiveBufferBytes = 8 << 10;
/// What a direction holds at most, in the queue and under way.
constexpr size_t kHeldBytesMax = size_t{4} << 20;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Fd MakeSocket() {
  Fd fd(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof(kReceiveBufferBytes));
  return fd;
}

void SetNoDelay(const Fd& fd) {
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void ResetAtClose(const Fd& fd) {
  const linger at_once = {1, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

bool WouldBlock() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOTCONN;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Relay>> Relay::Start(int target_port, const LinkShape& shape,
                                                    uint32_t seed) {
  Fd listener = MakeSocket();
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener.get(), 64) != 0 ||
      getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return absl::ErrnoToStatus(errno, "the relay can't listen");
  }
  Fd wake(KernelSys(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return absl::ErrnoToStatus(errno, "the relay has no eventfd");
  return std::unique_ptr<Relay>(new Relay(std::move(listener), std::move(wake),
                                          ntohs(address.sin_port), target_port, shape, seed));
}

Relay::Relay(Fd listener, Fd wake, int port, int target_port, const LinkShape& shape, uint32_t seed)
    : listener_(std::move(listener)),
      wake_(std::move(wake)),
      port_(port),
      target_port_(target_port),
      shape_(shape),
      random_(seed),
      thread_([this] { Run(); }) {}

Relay::~Relay() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
}

void Relay::SetShape(const LinkShape& shape) {
  const std::lock_guard<std::mutex> lock(mutex_);
  shape_ = shape;
  Wake();
}

void Relay::Stall(int64_t duration_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  stalled_until_ns_ = MonotonicClock().NowNs() + duration_ns;
  Wake();
}

void Relay::Cut() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Connection& connection : connections_) connection.broken = true;
  Wake();
}

uint64_t Relay::delivered_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return delivered_bytes_;
}

uint64_t Relay::connections() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return taken_;
}

void Relay::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
}

void Relay::Run() {
  while (true) {
    std::vector<pollfd> fds = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    int64_t next_ns = kNever;
    const int64_t now_ns = MonotonicClock().NowNs();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
      Accept();
      const bool stalled = now_ns < stalled_until_ns_;
      for (Connection& connection : connections_) {
        if (!stalled) Move(connection, now_ns);
      }
      connections_.remove_if([](const Connection& connection) {
        if (!connection.broken) return false;
        ResetAtClose(connection.client);
        ResetAtClose(connection.server);
        return true;
      });
      if (stalled) next_ns = stalled_until_ns_;
      for (const Connection& connection : connections_) {
        if (stalled) break;
        const auto events = [&](const Pipe& in, const Pipe& out) {
          const bool reads = !in.ended && TakesMore(in, now_ns);
          return static_cast<short>((reads ? POLLIN : 0) | (out.writable_awaited ? POLLOUT : 0));
        };
        fds.push_back({connection.client.get(), events(connection.up, connection.down), 0});
        fds.push_back({connection.server.get(), events(connection.down, connection.up), 0});
        next_ns = std::min(next_ns, NextNs(connection, now_ns));
      }
    }
    const int64_t wait_ns =
        next_ns == kNever ? kNsPerSecond : std::clamp<int64_t>(next_ns - now_ns, 0, kNsPerSecond);
    const timespec timeout = {wait_ns / kNsPerSecond, wait_ns % kNsPerSecond};
    ppoll(fds.data(), fds.size(), &timeout, nullptr);
    uint64_t count = 0;
    (void)!read(wake_.get(), &count, sizeof(count));
  }
}

void Relay::Accept() {
  while (true) {
    Fd client(KernelSys(),
              accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.valid()) return;
    Fd server = MakeSocket();
    const sockaddr_in address = Loopback(target_port_);
    const int connected =
        connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    if (connected != 0 && errno != EINPROGRESS) continue;
    SetNoDelay(client);
    SetNoDelay(server);
    ++taken_;
    Connection& connection = connections_.emplace_back();
    connection.client = std::move(client);
    connection.server = std::move(server);
    connection.down.to_client = true;
  }
}

void Relay::Move(Connection& connection, int64_t now_ns) {
  Fill(connection.down, connection.server.get(), now_ns, connection.broken);
  Fill(connection.up, connection.client.get(), now_ns, connection.broken);
  Drain(connection.down, connection.client.get(), now_ns, connection.broken);
  Drain(connection.up, connection.server.get(), now_ns, connection.broken);
}

bool Relay::TakesMore(const Pipe& pipe, int64_t now_ns) const {
  if (pipe.held_bytes >= kHeldBytesMax) return false;
  if (shape_.rate_bps == 0) return true;
  const double waiting_s =
      static_cast<double>(std::max<int64_t>(pipe.link_free_ns - now_ns, 0)) / kNsPerSecond;
  return waiting_s * static_cast<double>(shape_.rate_bps) / 8 <
         static_cast<double>(shape_.queue_bytes);
}

int64_t Relay::ArrivalNs(Pipe& pipe, size_t bytes, int64_t now_ns) {
  pipe.link_free_ns = std::max(pipe.link_free_ns, now_ns);
  if (shape_.rate_bps > 0) {
    pipe.link_free_ns += static_cast<int64_t>(bytes) * 8 * kNsPerSecond / shape_.rate_bps;
  }
  int64_t arrival_ns = pipe.link_free_ns + shape_.delay_ns;
  std::uniform_real_distribution<double> chance(0, 1);
  // The other end notices by what comes after it, says so, and the segment comes again.
  if (shape_.loss > 0 && chance(random_) < shape_.loss) arrival_ns += 2 * shape_.delay_ns;
  pipe.last_arrival_ns = std::max(pipe.last_arrival_ns, arrival_ns);
  return pipe.last_arrival_ns;
}

void Relay::Fill(Pipe& pipe, int from, int64_t now_ns, bool& broken) {
  while (!pipe.ended && TakesMore(pipe, now_ns)) {
    std::array<uint8_t, kSegmentBytes> buffer;
    const ssize_t count = recv(from, buffer.data(), buffer.size(), 0);
    if (count < 0) {
      if (!WouldBlock()) broken = true;
      return;
    }
    if (count == 0) pipe.ended = true;
    Segment segment;
    segment.bytes.assign(buffer.begin(), buffer.begin() + count);
    segment.arrival_ns = ArrivalNs(pipe, segment.bytes.size(), now_ns);
    pipe.held_bytes += segment.bytes.size();
    pipe.segments.push_back(std::move(segment));
  }
}

void Relay::Drain(Pipe& pipe, int to, int64_t now_ns, bool& broken) {
  pipe.writable_awaited = false;
  while (!pipe.segments.empty() && pipe.segments.front().arrival_ns <= now_ns) {
    Segment& segment = pipe.segments.front();
    if (segment.bytes.empty()) shutdown(to, SHUT_WR);
    while (segment.written < segment.bytes.size()) {
      const ssize_t count = send(to, segment.bytes.data() + segment.written,
                                 segment.bytes.size() - segment.written, MSG_NOSIGNAL);
      if (count < 0) {
        if (WouldBlock()) {
          pipe.writable_awaited = true;
        } else {
          broken = true;
        }
        return;
      }
      segment.written += static_cast<size_t>(count);
      if (pipe.to_client) delivered_bytes_ += static_cast<uint64_t>(count);
    }
    pipe.held_bytes -= segment.bytes.size();
    pipe.segments.pop_front();
  }
}

int64_t Relay::NextNs(const Connection& connection, int64_t now_ns) const {
  int64_t next_ns = kNever;
  for (const Pipe* pipe : {&connection.down, &connection.up}) {
    if (!pipe->segments.empty() && !pipe->writable_awaited) {
      next_ns = std::min(next_ns, pipe->segments.front().arrival_ns);
    }
    // When the queue has room again.
    if (!pipe->ended && !TakesMore(*pipe, now_ns)) next_ns = std::min(next_ns, now_ns + 1'000'000);
  }
  return next_ns;
}

}  // namespace planecast::testing
