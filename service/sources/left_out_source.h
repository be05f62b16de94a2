// A configured display whose device is not opened.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "vfio/plane_source.h"

namespace planecast {

/// A source that has no device and never will: a display that a config names, but may not have, is
/// then listed with the reason, and the others are served. Each look is kFailed with `problem`.
std::unique_ptr<PlaneSource> MakeLeftOutSource(absl::Status problem);

/// Why a VMM's device can't come from a config, with the remedy (service/core/reason.h).
absl::Status VmmInConfig();

}  // namespace planecast
