// The daemon as a library: what main.cc and whole-daemon tests start.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "planecast/config/v1/server_config.pb.h"
#include "service/core/registry.h"
#include "service/process/confinement.h"
#include "service/rpc/listen.h"
#include "service/telemetry/log.h"
#include "vfio/clock.h"
#include "vfio/device_opener.h"
#include "vfio/fd_budget.h"

namespace planecast {

/// A running daemon. Thread-safe.
class Daemon {
 public:
  /// What a test may replace; the defaults are what ships.
  struct Parts {
    /// Must outlive the daemon.
    Clock* clock = &MonotonicClock();
    /// Opens devices; null means as source_factory.h does, through `opener`.
    SourceFactory open_source;
    /// Opens VFIO devices; null means this process itself. Must outlive the daemon.
    DeviceOpener* opener = nullptr;
    /// Makes encoders; null means as the config says.
    EncoderFactory make_encoder;
    /// Shares file descriptors among displays. Must outlive the daemon; null means RLIMIT_NOFILE's.
    FdBudget* fds = nullptr;
    /// Called once all that needs privileges is open, before any thread and before anything of a
    /// peer is read. An error ends the start. Null: nothing to do, as the next.
    std::function<absl::Status()> on_bound;
    /// Called once encoders are probed and whatever makes sockets has made them, before the first
    /// display is attached and the first connection taken.
    std::function<absl::Status()> on_probed;
    /// What this process may do, for operators; thread-safe. Null: nobody is told.
    std::function<Confinement()> confinement;
  };

  /// Binds every address, reads certificates, tries encoders, attaches what is configured and
  /// serves. `config` must come from
  /// ParseConfig; `log` must outlive the daemon. When this returns, clients can connect, and each
  /// address was logged as `listening on HOST:PORT` or `listening on unix:PATH`.
  ///
  /// Errors are for a person: what could not be done and what to change. Only one daemon of a
  /// process may be inside Start at a time.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const config::v1::ServerConfig& config,
                                                       const Logger& log, const Parts& parts);
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const config::v1::ServerConfig& config,
                                                       const Logger& log);

  /// Drains, if nobody did.
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// What is served, with the ports that were chosen: the unix socket first, then the listeners in
  /// the config's order.
  const std::vector<BoundAddress>& addresses() const;

  /// HOST:PORT where metrics are served, with the port that was chosen; empty if they are not.
  const std::string& metrics_address() const;

  /// Ends the service: health says NOT_SERVING, streams end with Goodbye, new calls are refused,
  /// calls that do not end by themselves are cancelled after kDrainMaxSeconds. Blocks until all is
  /// closed. Idempotent; a second caller waits for the first.
  void Drain();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;

 public:
  /// For Start alone: nobody else can name an Impl.
  explicit Daemon(std::unique_ptr<Impl> impl);
};

/// How long a client may take to hear the Goodbye.
inline constexpr int kDrainMaxSeconds = 5;

}  // namespace planecast
