// DisplayService, for orchestrators.
#pragma once

#include <grpcpp/server_builder.h>

#include <chrono>
#include <functional>
#include <memory>

#include "planecast/v1/display_service.grpc.pb.h"
#include "service/core/registry.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/grpc_unary.h"
#include "service/rpc/wall_clock.h"
#include "service/rpc/worker_pool.h"
#include "service/telemetry/log.h"

namespace planecast {

/// A display that does not answer for so long hangs: who asked it something is told so.
inline constexpr int64_t kAnswerMaxNs = 10'000'000'000;

/// Translates DisplayService to the registry. No handler blocks: what may block goes to a few
/// worker threads of its own. Thread-safe.
class GrpcDisplayService final : public v1::DisplayService::AsyncService {
 public:
  /// All of them must outlive the service. Displays may answer after its end: what waits for that
  /// has nothing of the service, and of these three `wall` alone.
  GrpcDisplayService(Registry& registry, const WallClock& wall, const Logger& log);
  ~GrpcDisplayService() override;

  /// The queue must be stopped before the service is destroyed.
  void AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue);

 private:
  template <class Request, class Response>
  using Exchange = std::shared_ptr<UnaryExchange<Request, Response>>;

  void List(const Exchange<v1::ListDisplaysRequest, v1::ListDisplaysResponse>& exchange);
  void Get(const Exchange<v1::GetDisplayRequest, v1::GetDisplayResponse>& exchange);
  void Attach(const Exchange<v1::AttachDisplayRequest, v1::AttachDisplayResponse>& exchange);
  void Update(const Exchange<v1::UpdateDisplayRequest, v1::UpdateDisplayResponse>& exchange);
  void Detach(const Exchange<v1::DetachDisplayRequest, v1::DetachDisplayResponse>& exchange);
  void SetMode(const Exchange<v1::SetDisplayModeRequest, v1::SetDisplayModeResponse>& exchange);
  void Snapshot(const Exchange<v1::GetSnapshotRequest, v1::GetSnapshotResponse>& exchange);

  int64_t NowNs() const { return wall_.monotonic().NowNs(); }
  int64_t DeadlineNs(std::chrono::system_clock::time_point deadline) const;

  Registry& registry_;
  const WallClock& wall_;
  const Logger& log_;
  /// Shared with who waits for a display. Jobs end with the service, and later ones are refused.
  /// Compressing takes a core for a while: with workers of its own it does not keep devices from
  /// being attached and detached.
  const std::shared_ptr<WorkerPool> device_workers_;
  const std::shared_ptr<WorkerPool> snapshot_workers_;
};

}  // namespace planecast
