// From a display's spec to its source of frames.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "service/core/display_state.h"
#include "service/sources/hand_over.h"
#include "vfio/clock.h"
#include "vfio/device_opener.h"
#include "vfio/fd_budget.h"
#include "vfio/plane_source.h"

namespace planecast {

/// Makes a SourceFactory (service/core/registry.h) that opens devices: a fake one; one of a group,
/// a cdev or one that a VMM holds, through `opener`; or one that was handed over. `hand_over` and
/// `budget` may be null. All must outlive the factory and its sources. RESOURCE_EXHAUSTED if the
/// budget has no fds left.
std::function<absl::StatusOr<std::unique_ptr<PlaneSource>>(const DisplaySpec&)> MakeSourceFactory(
    DeviceOpener& opener, Clock& clock, HandOverServer* hand_over, FdBudget* budget);

}  // namespace planecast
