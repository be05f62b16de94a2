// One WatchDisplays call.
#pragma once

#include <memory>

#include "planecast/v1/display_service.grpc.pb.h"
#include "service/core/registry.h"
#include "service/rpc/grpc_call.h"
#include "service/rpc/wall_clock.h"

namespace planecast {

/// Makes a call that writes a watch's events, one at a time, or ends with the watch's error. The
/// service, the registry and `wall` must outlive it.
std::unique_ptr<GrpcCall> MakeWatchDisplaysCall(GrpcQueue& queue, uint64_t id,
                                                v1::DisplayService::AsyncService& service,
                                                Registry& registry, const WallClock& wall);

}  // namespace planecast
