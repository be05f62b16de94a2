// Serves the daemon's metrics to Prometheus.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "service/core/registry.h"
#include "service/sockets/host_port.h"
#include "service/telemetry/metrics_page.h"
#include "vfio/fd.h"

namespace prometheus {
class Collectable;
class Exposer;
}  // namespace prometheus

namespace planecast {

/// A scraper that is silent for so long loses its connection: there is one thread for all, and
/// nobody who connects and says nothing is to keep it from Prometheus.
inline constexpr int kMetricsRequestTimeoutMs = 1000;

/// Plain HTTP with one page, /metrics, in Prometheus's text format. Has one thread, which reads the
/// registry at each scrape and waits for no display. Thread-safe.
class MetricsServer {
 public:
  /// `address` must have passed CheckMetricsAddress; `localhost` is 127.0.0.1. `registry` must
  /// outlive the server; `read_daemon` is called at each scrape,
  /// by its thread, and may be null. UNAVAILABLE if the address can't be had.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& address, const Registry& registry,
      std::function<DaemonReading()> read_daemon);

  /// Closes the port, after a scrape that is under way.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  /// HOST:PORT, with the port that was chosen.
  const std::string& address() const { return address_; }

  /// Use Start.
  MetricsServer(const HostPort& address, std::shared_ptr<prometheus::Collectable> page,
                std::unique_ptr<prometheus::Exposer> exposer);

 private:
  void WakeListener() const;

  /// Made at start: the daemon may not be allowed to make any later.
  const Fd waker_;
  const HostPort host_port_;
  const std::string address_;
  const std::shared_ptr<prometheus::Collectable> page_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace planecast
