// Serves the broker's socket: opens devices for who may ask, and keeps none.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "vfio/clock.h"
#include "vfio/device_opener.h"
#include "vfio/fd.h"

namespace planecast {

/// Requests under way at a time, each on a thread of its own: a device whose driver hangs holds
/// that thread and nothing else. More are refused.
inline constexpr int kBrokerRequestsMax = 16;
/// A peer that connects and asks nothing is hung up on after this.
inline constexpr int kBrokerReceiveTimeoutMs = 2000;

struct BrokerOptions {
  /// Who may ask besides root: the streamer's user.
  uid_t streamer = 0;
  int receive_timeout_ms = kBrokerReceiveTimeoutMs;
  /// Gets lines for the log, from any thread. May be null.
  std::function<void(const std::string&)> log = nullptr;
  /// By which lines that a peer can cause are limited. Must outlive the server.
  Clock* clock = &MonotonicClock();
};

/// Serves planecast.broker.v1. The fds of a reply are closed as soon as it was sent.
class BrokerServer {
 public:
  /// `listener` is a SOCK_SEQPACKET unix socket that listens. `opener` must outlive the server.
  static absl::StatusOr<std::unique_ptr<BrokerServer>> Start(Fd listener, DeviceOpener& opener,
                                                             BrokerOptions options);
  /// Waits for requests under way, for ever if a driver hangs: a program rather exits.
  ~BrokerServer();
  BrokerServer(const BrokerServer&) = delete;
  BrokerServer& operator=(const BrokerServer&) = delete;

  struct State;
  /// For Start alone. `stop` is an eventfd.
  BrokerServer(Fd listener, Fd stop, std::shared_ptr<State> state);

 private:
  void Run();
  void Admit(Fd peer);

  const Fd listener_;
  const Fd stop_;
  const std::shared_ptr<State> state_;
  /// The last whom nothing was given, so that one who tries again and again is one line.
  uid_t refused_last_ = static_cast<uid_t>(-1);
  std::thread thread_;
};

}  // namespace planecast
