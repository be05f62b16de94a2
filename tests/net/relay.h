// A TCP relay that is a bad network: for tests of what viewers behind one get.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "vfio/fd.h"

namespace planecast::testing {

/// What a link does to bytes, the same in both directions.
struct LinkShape {
  /// Bits per second, 0 for no limit.
  int64_t rate_bps = 0;
  /// From one end to the other, beside the time that the rate takes.
  int64_t delay_ns = 0;
  /// Part of the segments that are lost, 0 to 1. A lost segment holds up what comes after it for
  /// the time of a fast retransmission, as TCP does: nothing is missing, but all of it is late.
  double loss = 0;
  /// What waits in front of the rate at most; more stays in the sender's socket.
  size_t queue_bytes = size_t{32} << 10;
};

/// Relays TCP connections to a port of this machine through a link. The same seed loses the same
/// segments of the same traffic. Thread-safe; one thread of its own.
class Relay {
 public:
  /// Listens on a free port of 127.0.0.1.
  static absl::StatusOr<std::unique_ptr<Relay>> Start(int target_port, const LinkShape& shape,
                                                      uint32_t seed = 1);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  int port() const { return port_; }

  /// From now on; what is under way keeps its time.
  void SetShape(const LinkShape& shape);
  /// Nothing moves in either direction for so long, and then all of it, late.
  void Stall(int64_t duration_ns);
  /// Resets all connections, as a router that forgot them does. New ones are taken.
  void Cut();
  /// Bytes that were handed to clients.
  uint64_t delivered_bytes() const;
  /// Connections that were taken since the start.
  uint64_t connections() const;

 private:
  struct Segment {
    std::vector<uint8_t> bytes;
    size_t written = 0;
    int64_t arrival_ns = 0;
  };
  /// One direction of a connection.
  struct Pipe {
    bool to_client = false;
    std::deque<Segment> segments;
    size_t held_bytes = 0;
    /// When the link has sent all that it was given.
    int64_t link_free_ns = 0;
    int64_t last_arrival_ns = 0;
    bool writable_awaited = false;
    bool ended = false;
  };
  struct Connection {
    Fd client;
    Fd server;
    Pipe down;
    Pipe up;
    bool broken = false;
  };

  Relay(Fd listener, Fd wake, int port, int target_port, const LinkShape& shape, uint32_t seed);
  void Run();
  void Accept();
  void Move(Connection& connection, int64_t now_ns);
  void Fill(Pipe& pipe, int from, int64_t now_ns, bool& broken);
  void Drain(Pipe& pipe, int to, int64_t now_ns, bool& broken);
  bool TakesMore(const Pipe& pipe, int64_t now_ns) const;
  int64_t ArrivalNs(Pipe& pipe, size_t bytes, int64_t now_ns);
  int64_t NextNs(const Connection& connection, int64_t now_ns) const;
  void Wake();

  const Fd listener_;
  const Fd wake_;
  const int port_;
  const int target_port_;

  mutable std::mutex mutex_;
  // All below: guarded by mutex_.
  LinkShape shape_;
  std::minstd_rand random_;
  std::list<Connection> connections_;
  int64_t stalled_until_ns_ = 0;
  uint64_t delivered_bytes_ = 0;
  uint64_t taken_ = 0;
  bool stopping_ = false;

  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace planecast::testing
