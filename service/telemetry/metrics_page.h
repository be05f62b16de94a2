// What a scrape says: the displays' numbers as Prometheus metrics.
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <vector>

#include "service/core/registry.h"
#include "service/sockets/connection_shares.h"

namespace planecast {

/// What a scrape is told of the audit log.
struct AuditReading {
  /// Entries that did not reach the file.
  uint64_t lost = 0;
  /// Refusals that got no line of their own.
  uint64_t suppressed = 0;
};

/// What a scrape is told of the process's file descriptors.
struct FdReading {
  size_t open = 0;
  size_t limit = 0;
  /// Claimed by displays, and what they may claim.
  size_t claimed = 0;
  size_t claimed_max = 0;
};

/// What a scrape is told of the daemon beside its displays.
struct DaemonReading {
  AuditReading audit;
  FdReading fds;
  ConnectionReading connections;
};

/// The metrics of all displays and of the daemon, in base units: docs/metrics.md lists them.
/// Thread-safe; waits for no display.
std::vector<prometheus::MetricFamily> CollectMetrics(const Registry& registry,
                                                     const DaemonReading& daemon);

}  // namespace planecast
