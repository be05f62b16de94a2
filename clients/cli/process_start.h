// When a process of this machine started.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace planecast::cli {

/// Field 22 of /proc/`pid`/stat, in clock ticks since boot: with its id it names a process for
/// good. NOT_FOUND if there is no such process to be seen.
absl::StatusOr<int64_t> ProcessStartTicks(int64_t pid);

}  // namespace planecast::cli
