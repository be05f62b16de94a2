// DisplayService on gRPC's callback API.
#pragma once

#include <atomic>

#include "planecast/v1/display_service.grpc.pb.h"
#include "service/core/registry.h"
#include "service/log.h"
#include "service/wall_clock.h"
#include "service/worker_pool.h"

namespace planecast {

/// Snapshots under way at a time, from the wait for the picture to the end of its compression. Each
/// holds a whole picture.
inline constexpr int kSnapshotsMax = 8;

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
  /// Runs `job` on a worker of `pool` and finishes `reactor` with its status.
  static void FinishFromWorker(WorkerPool& pool, grpc::ServerUnaryReactor* reactor,
                               std::function<absl::Status()> job);
  /// Counts as a snapshot under way until the last copy is gone; null if there are too many.
  std::shared_ptr<const void> StartSnapshot();
  int64_t DeadlineNs(const grpc::CallbackServerContext& context) const;

  Registry& registry_;
  const WallClock& wall_;
  const Logger& log_;
  std::atomic<int> snapshots_{0};
  /// Last, so that their jobs end before what they use. Compressing takes a core for a while: with
  /// workers of its own it does not keep devices from being attached and detached.
  WorkerPool device_workers_;
  WorkerPool snapshot_workers_;
};

}  // namespace planecast
