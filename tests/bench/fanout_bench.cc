// CPU per delivered access unit, against a loop of epoll and writev that sends the same bytes.
//
// Both send 60 units a second of 20 KB, by a timer. The daemon's side is everything but the device
// and the encoder, which replays one unit: the display's thread, the event codec, the queues, gRPC.
// (A fake device would add a thread and a dozen system calls that stand for one ioctl.) Once nobody
// acknowledges, as in the loop; once every viewer acknowledges each unit, and so does every reader
// of the loop, with 8 bytes.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "encoder/encoder.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_host.h"
#include "tests/bench/viewer_fleet.h"
#include "vfio/fd.h"
#include "vfio/plane_source.h"

namespace planecast::bench {
namespace {

constexpr size_t kUnitBytes = 20'000;
constexpr int kFrameRateHz = 60;
constexpr uint32_t kSidePx = 160;
/// DRM_FORMAT_XRGB8888.
constexpr uint32_t kXrgb8888 = 0x34325258;
constexpr int64_t kFrameNs = 1'000'000'000 / kFrameRateHz;
constexpr int kViewersOfTarget = 32;
constexpr double kCpuOfLoopMax = 3;

/// Gives the same unit for every frame.
class ReplayEncoder : public Encoder {
 public:
  explicit ReplayEncoder(Clock& clock) : clock_(clock), bytes_(kUnitBytes, 0x55) {
    description_ = {.codec = "avc1.42C01F",
                    .profile = "constrained-baseline",
                    .coded_width_px = kSidePx,
                    .coded_height_px = kSidePx,
                    .visible_width_px = kSidePx,
                    .visible_height_px = kSidePx};
    identity_.id = "replay";
  }

  absl::StatusOr<EncodeResult> Encode(const Frame& frame, const EncodeRequest& request) override {
    auto unit = std::make_shared<AccessUnit>();
    unit->bytes = bytes_;
    unit->key_frame = request.force_idr;
    unit->flip_time_ns = frame.flip_time_ns;
    unit->capture_time_ns = frame.capture_time_ns;
    unit->converted_time_ns = unit->encoded_time_ns = clock_.NowNs();
    EncodeResult result;
    result.unit = std::move(unit);
    result.changed_rows = 1;
    return result;
  }
  void SetRate(const RateParams& /*rate*/) override {}
  const StreamDescription& description() const override { return description_; }
  const EncoderIdentity& identity() const override { return identity_; }

 private:
  Clock& clock_;
  const std::vector<uint8_t> bytes_;
  StreamDescription description_;
  EncoderIdentity identity_;
};

/// Wakes its owner sixty times a second; the first wake comes after one interval.
class Ticker {
 public:
  Ticker() : fd_(KernelSys(), timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    const itimerspec every{.it_interval = {.tv_sec = 0, .tv_nsec = kFrameNs},
                           .it_value = {.tv_sec = 0, .tv_nsec = kFrameNs}};
    timerfd_settime(fd_.get(), 0, &every, nullptr);
  }
  int fd() const { return fd_.get(); }
  /// True if it was due.
  bool Take() {
    uint64_t ticks = 0;
    return read(fd_.get(), &ticks, sizeof(ticks)) == sizeof(ticks);
  }

 private:
  Fd fd_;
};

class NoMemory : public PlaneMemory {
 public:
  int dmabuf_fd() const override { return -1; }
  absl::StatusOr<std::span<const uint8_t>> BeginCpuRead() override {
    return std::span<const uint8_t>();
  }
  void EndCpuRead() override {}
};

/// A guest that flips by a timer and has no pixels.
class TickingSource : public PlaneSource {
 public:
  TickingSource() {
    info_.flip_regime = FlipRegime::kIrq;
    const PlaneLayout layout{.fourcc = kXrgb8888, .width_px = kSidePx, .height_px = kSidePx};
    buffer_ = std::make_shared<const PlaneBuffer>(1, layout, std::make_unique<NoMemory>());
  }
  const PlaneSourceInfo& info() const override { return info_; }
  std::vector<int> wait_fds() const override { return {ticker_.fd()}; }
  Events HandleEvents(int64_t /*now_ns*/) override { return {.flipped = ticker_.Take()}; }
  int64_t NextLookNs() const override { return std::numeric_limits<int64_t>::max(); }
  int64_t NextTimedWorkNs() const override { return std::numeric_limits<int64_t>::max(); }
  PlaneLook Look(int64_t now_ns) override {
    PlaneLook look;
    look.primary = PlaneLook::Primary::kFrame;
    look.frame = Frame{.buffer = buffer_, .flip_time_ns = now_ns, .capture_time_ns = now_ns};
    return look;
  }
  Cursor LookAtCursor(int64_t /*now_ns*/) override { return {}; }
  void ReportContent(bool /*changed*/, int64_t /*now_ns*/) override {}
  void SetWatched(bool /*watched*/, int64_t /*now_ns*/) override {}
  absl::Status SetMode(uint32_t, uint32_t, int64_t) override {
    return absl::UnimplementedError("it has one size");
  }

 private:
  PlaneSourceInfo info_;
  std::shared_ptr<const PlaneBuffer> buffer_;
  Ticker ticker_;
};

/// CPU per delivered unit, in us.
absl::StatusOr<double> MeasureDaemon(const Bench& bench, int viewers, bool acknowledge) {
  auto host = BenchHost::Start([](const EncoderParams&, const RateParams&) {
    return std::make_unique<ReplayEncoder>(MonotonicClock());
  });
  if (!host.ok()) return host.status();
  absl::Status attached = (*host)->Attach("d", [] { return std::make_unique<TickingSource>(); });
  if (!attached.ok()) return attached;
  auto fleet = ViewerFleet::Start(bench);
  if (!fleet.ok()) return fleet.status();
  auto joined = (*fleet)->Add((*host)->server(), "d", viewers, acknowledge);
  if (!joined.ok()) return joined.status();
  WaitUntilNs(MonotonicClock().NowNs() + bench.effort().Duration(0.2));
  if (absl::Status status = (*fleet)->Begin(); !status.ok()) return status;
  const int64_t cpu_ns = (*host)->cpu_ns();
  WaitUntilNs(MonotonicClock().NowNs() + bench.effort().Duration(1));
  const int64_t spent_ns = (*host)->cpu_ns() - cpu_ns;
  auto counts = (*fleet)->End();
  if (!counts.ok()) return counts.status();
  if (counts->units == 0) return absl::InternalError("no unit was delivered");
  fleet->reset();
  host->reset();
  return static_cast<double>(spent_ns) / 1e3 / static_cast<double>(counts->units);
}

/// Sends to all sockets in each sixtieth of a second, without ever blocking on one.
class SocketLoop {
 public:
  SocketLoop() : payload_(kUnitBytes, 0x55) {}

  absl::Status Listen() {
    listener_ = Fd(KernelSys(), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener_.get(), any, size) != 0 || listen(listener_.get(), 256) != 0 ||
        getsockname(listener_.get(), any, &size) != 0) {
      return absl::InternalError("can't listen");
    }
    port_ = ntohs(address.sin_port);
    return absl::OkStatus();
  }
  int port() const { return port_; }

  void Accept(int count) {
    epoll_ = Fd(KernelSys(), epoll_create1(EPOLL_CLOEXEC));
    for (int i = 0; i < count; ++i) {
      auto peer = std::make_unique<Peer>();
      peer->fd =
          Fd(KernelSys(), accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      const int on = 1;
      setsockopt(peer->fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      epoll_event event{.events = EPOLLIN, .data = {.ptr = peer.get()}};
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, peer->fd.get(), &event);
      peers_.push_back(std::move(peer));
    }
  }

  /// Returns the CPU time of the thread that it ran on, in ns.
  int64_t Run(int64_t duration_ns) {
    Ticker ticker;
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ticker.fd(), &event);
    const int64_t cpu_ns = ThreadCpuNs();
    const int64_t end_ns = MonotonicClock().NowNs() + duration_ns;
    std::array<epoll_event, 64> events{};
    while (MonotonicClock().NowNs() < end_ns) {
      const int count = epoll_wait(epoll_.get(), events.data(), events.size(), 100);
      for (int i = 0; i < count; ++i) OnEvent(events[i], ticker);
    }
    return ThreadCpuNs() - cpu_ns;
  }

 private:
  struct Peer {
    Fd fd;
    /// Of the message under way; all of it if none is.
    size_t sent = sizeof(uint32_t) + kUnitBytes;
    /// For room in the socket.
    bool waits = false;
  };

  void OnEvent(const epoll_event& event, Ticker& ticker) {
    std::array<char, 4096> buffer{};
    if (event.data.ptr == nullptr) {
      if (!ticker.Take()) return;
      for (const auto& peer : peers_) StartMessage(*peer);
      return;
    }
    auto& peer = *static_cast<Peer*>(event.data.ptr);
    if ((event.events & EPOLLOUT) != 0) Write(peer);
    if ((event.events & EPOLLIN) == 0) return;
    if (recv(peer.fd.get(), buffer.data(), buffer.size(), 0) == 0) {
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, peer.fd.get(), nullptr);
    }
  }

  void StartMessage(Peer& peer) {
    // Who is behind misses one.
    if (peer.sent < sizeof(length_) + kUnitBytes) return;
    peer.sent = 0;
    Write(peer);
  }

  void Write(Peer& peer) {
    std::array<iovec, 2> parts = {{{&length_, sizeof(length_)}, {payload_.data(), kUnitBytes}}};
    iovec* part = parts.data();
    if (peer.sent >= sizeof(length_)) {
      part = &parts[1];
      part->iov_base = payload_.data() + (peer.sent - sizeof(length_));
      part->iov_len = kUnitBytes - (peer.sent - sizeof(length_));
    }
    const ssize_t size = writev(peer.fd.get(), part, part == parts.data() ? 2 : 1);
    if (size > 0) peer.sent += static_cast<size_t>(size);
    const bool behind = peer.sent < sizeof(length_) + kUnitBytes;
    if (behind == peer.waits) return;
    peer.waits = behind;
    epoll_event event{.events = EPOLLIN | (behind ? EPOLLOUT : 0U), .data = {.ptr = &peer}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, peer.fd.get(), &event);
  }

  uint32_t length_ = kUnitBytes;
  std::vector<char> payload_;
  Fd listener_;
  Fd epoll_;
  int port_ = 0;
  std::vector<std::unique_ptr<Peer>> peers_;
};

absl::StatusOr<double> MeasureLoop(const Bench& bench, int viewers, bool acknowledge) {
  auto fleet = ViewerFleet::Start(bench);
  if (!fleet.ok()) return fleet.status();
  SocketLoop loop;
  if (absl::Status status = loop.Listen(); !status.ok()) return status;
  if (absl::Status status = (*fleet)->AddSockets(loop.port(), viewers, acknowledge); !status.ok()) {
    return status;
  }
  loop.Accept(viewers);
  loop.Run(bench.effort().Duration(0.2));
  if (absl::Status status = (*fleet)->Begin(); !status.ok()) return status;
  const int64_t spent_ns = loop.Run(bench.effort().Duration(1));
  auto counts = (*fleet)->End();
  if (!counts.ok()) return counts.status();
  if (counts->units == 0) return absl::InternalError("no message was delivered");
  return static_cast<double>(spent_ns) / 1e3 / static_cast<double>(counts->units);
}

absl::Status Measure(Bench& bench, int viewers, bool acknowledge) {
  std::vector<double> daemon_us;
  std::vector<double> loop_us;
  std::vector<double> ratio;
  for (int round = 0; round < bench.effort().rounds; ++round) {
    const auto daemon = MeasureDaemon(bench, viewers, acknowledge);
    if (!daemon.ok()) return daemon.status();
    const auto loop = MeasureLoop(bench, viewers, acknowledge);
    if (!loop.ok()) return loop.status();
    daemon_us.push_back(*daemon);
    loop_us.push_back(*loop);
    ratio.push_back(*daemon / *loop);
  }
  bench.Report("cpu_per_unit", daemon_us, "us");
  bench.Report("loop_cpu_per_unit", loop_us, "us");
  const bool has_target = viewers >= kViewersOfTarget;
  bench.Report("cpu_of_loop", ratio, "ratio",
               has_target ? std::optional(AtMost(kCpuOfLoopMax)) : std::nullopt);
  return absl::OkStatus();
}

}  // namespace
}  // namespace planecast::bench

int main(int argc, char** argv) {
  using planecast::bench::Bench;
  Bench bench(argc, argv);
  for (const bool acknowledge : {false, true}) {
    for (const int viewers : {1, 10, 32, 100}) {
      bench.Case(absl::StrCat("fanout.", acknowledge ? "acknowledged." : "plain.", viewers),
                 [=](Bench& b) { return planecast::bench::Measure(b, viewers, acknowledge); });
    }
  }
  return bench.Run();
}
