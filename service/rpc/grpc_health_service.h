// grpc.health.v1.Health.
//
// gRPC brings one along, on its callback API; see GrpcQueue for what that costs every stream.
#pragma once

#include <grpcpp/server_builder.h>

#include <set>
#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "service/rpc/grpc_queue.h"

namespace planecast {

/// Says SERVING for the server and each of its services, until it drains.
class GrpcHealthService final : public grpc::health::v1::Health::AsyncService {
 public:
  /// `services` are full names; the server itself is added.
  explicit GrpcHealthService(const std::vector<std::string>& services);

  /// The queue must be stopped before the service is destroyed.
  void AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue);
  /// Says NOT_SERVING from now on. Thread-safe.
  void StopServing();

 private:
  class WatchCall;

  /// SERVICE_UNKNOWN for a service that there is not.
  grpc::health::v1::HealthCheckResponse::ServingStatus StatusOf(const std::string& service) const;
  absl::Status Check(const std::string& service,
                     grpc::health::v1::HealthCheckResponse& response) const;

  const std::set<std::string> services_;
  GrpcQueue* queue_ = nullptr;
  // The queue's thread's own.
  bool serving_ = true;
  std::set<WatchCall*> watches_;
};

}  // namespace planecast
