// One WatchDisplays call.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "planecast/v1/display_service.grpc.pb.h"
#include "service/core/display_watch.h"
#include "service/wall_clock.h"

namespace planecast {

/// Starts to write a watch's events to a call, or ends the call with the watch's error. The reactor
/// owns itself, as gRPC wants it, and closes the watch when the call ends. `wall` must outlive the
/// server.
grpc::ServerWriteReactor<v1::WatchDisplaysResponse>* StartWatch(
    absl::StatusOr<std::shared_ptr<DisplayWatch>> watch, const WallClock& wall);

}  // namespace planecast
