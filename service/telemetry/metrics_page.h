// What a scrape says: the displays' numbers as Prometheus metrics.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "service/core/registry.h"

namespace planecast {

/// The metrics of all displays and of the daemon, in base units: docs/metrics.md lists them.
/// Thread-safe; waits for no display.
std::vector<prometheus::MetricFamily> CollectMetrics(const Registry& registry);

}  // namespace planecast
