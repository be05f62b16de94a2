// DisplayService on gRPC's callback API.
#pragma once

#include "planecast/v1/display_service.grpc.pb.h"
#include "service/core/registry.h"
#include "service/log.h"
#include "service/wall_clock.h"
#include "service/worker_pool.h"

namespace planecast {

/// Translates DisplayService to the registry. No handler blocks: what may block goes to a few
/// worker threads of its own. Thread-safe.
class GrpcDisplayService final : public v1::DisplayService::CallbackService {
 public:
  /// All of them must outlive the service.
  GrpcDisplayService(Registry& registry, const WallClock& wall, const Logger& log);

  grpc::ServerUnaryReactor* ListDisplays(grpc::CallbackServerContext* context,
                                         const v1::ListDisplaysRequest* request,
                                         v1::ListDisplaysResponse* response) override;
  grpc::ServerUnaryReactor* GetDisplay(grpc::CallbackServerContext* context,
                                       const v1::GetDisplayRequest* request,
                                       v1::GetDisplayResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchDisplaysResponse>* WatchDisplays(
      grpc::CallbackServerContext* context, const v1::WatchDisplaysRequest* request) override;
  grpc::ServerUnaryReactor* AttachDisplay(grpc::CallbackServerContext* context,
                                          const v1::AttachDisplayRequest* request,
                                          v1::AttachDisplayResponse* response) override;
  grpc::ServerUnaryReactor* DetachDisplay(grpc::CallbackServerContext* context,
                                          const v1::DetachDisplayRequest* request,
                                          v1::DetachDisplayResponse* response) override;
  grpc::ServerUnaryReactor* SetDisplayMode(grpc::CallbackServerContext* context,
                                           const v1::SetDisplayModeRequest* request,
                                           v1::SetDisplayModeResponse* response) override;
  grpc::ServerUnaryReactor* GetSnapshot(grpc::CallbackServerContext* context,
                                        const v1::GetSnapshotRequest* request,
                                        v1::GetSnapshotResponse* response) override;

 private:
  /// Runs `job` on a worker and finishes `reactor` with its status.
  void FinishFromWorker(grpc::ServerUnaryReactor* reactor, std::function<absl::Status()> job);
  int64_t DeadlineNs(const grpc::CallbackServerContext& context) const;

  Registry& registry_;
  const WallClock& wall_;
  const Logger& log_;
  /// Last, so that its jobs end before what they use.
  WorkerPool workers_;
};

}  // namespace planecast
