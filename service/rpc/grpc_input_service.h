// InputService: declared, and not built yet.
#pragma once

#include <grpcpp/server_builder.h>

#include "planecast/v1/input_service.grpc.pb.h"
#include "service/rpc/grpc_queue.h"

namespace planecast {

/// Answers UNIMPLEMENTED to whoever may control the display, so that clients can tell a server that
/// has no input from one that refuses it. Thread-safe.
class GrpcInputService final : public v1::InputService::AsyncService {
 public:
  /// The queue must be stopped before the service is destroyed.
  void AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue);
};

}  // namespace planecast
