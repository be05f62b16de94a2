// HostService.
#pragma once

#include <grpcpp/server_builder.h>

#include <functional>
#include <string>
#include <vector>

#include "encoder/encoder.h"
#include "planecast/v1/host_service.grpc.pb.h"
#include "service/process/confinement.h"
#include "service/rpc/grpc_queue.h"
#include "service/sources/host_probe.h"
#include "vfio/device_opener.h"

namespace planecast {

/// Answers what the daemon and its host can do. Thread-safe.
class GrpcHostService final : public v1::HostService::AsyncService {
 public:
  struct Options {
    int displays_max = 0;
    int viewers_per_display_max = 0;
    /// Required; must outlive the service.
    DeviceOpener* opener = nullptr;
    WaysAllowed ways;
    /// What the catalog's probe said at start: a probe encodes, so it is not for a request.
    std::vector<EncoderCapability> encoders;
    std::vector<RenderNode> render_nodes;
    /// Ways in that need no credentials, one sentence each.
    std::vector<std::string> open_doors;
    /// What is short now, one sentence each. Called by a worker at each request; may be null.
    std::function<std::vector<std::string>()> read_shortages = nullptr;
    /// Thread-safe; null: nobody is told.
    std::function<Confinement()> confinement;
  };
  explicit GrpcHostService(Options options) : options_(std::move(options)) {}

  /// The queue must be stopped before the service is destroyed.
  void AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue);

 private:
  void FillInfo(const Caller& caller, v1::GetHostInfoResponse& response) const;

  const Options options_;
  const GrpcGate* gate_ = nullptr;
};

}  // namespace planecast
