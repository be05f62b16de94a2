// A strict reader of Prometheus's text format.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace planecast::testing {

/// Samples by their name with labels, as written: `name{a="b",c="d"}`.
using Samples = std::map<std::string, double>;

/// Reads a page. An error, with the line, for what no scraper should be given: a sample whose
/// family has no HELP or TYPE before it, a sample twice, a malformed line, a counter without
/// `_total` or below 0, a histogram whose buckets do not rise, or do not end in +Inf with the
/// family's count, or that has no sum.
absl::StatusOr<Samples> ReadMetrics(const std::string& page);

/// Whether somebody listens there; asks the kernel, not him: whoever is ending need not answer.
bool Listens(const std::string& address);

/// Downloads http://ADDRESS/PATH, an IPv4 address; the status line, the headers and the body as
/// they came. Empty if nobody listens.
std::string HttpGet(const std::string& address, const std::string& path);

}  // namespace planecast::testing
