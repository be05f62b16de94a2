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

/// The metrics of all displays and of the daemon, in base units: docs/metrics.md lists them.
/// Thread-safe; waits for no display.
std::vector<prometheus::MetricFamily> CollectMetrics(const Registry& registry,
                                                     const AuditReading& audit,
                                                     const ConnectionReading& connections);

}  // namespace planecast
