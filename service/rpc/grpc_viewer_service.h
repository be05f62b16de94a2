// ViewerService: the streams.
#pragma once

#include <grpcpp/server_builder.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "service/core/registry.h"
#include "service/rpc/grpc_event_codec.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/grpc_viewer_call.h"
#include "service/telemetry/log.h"

namespace planecast {

/// Serves ViewerService on a queue, whose thread has all its streams.
class GrpcViewerService final : public ViewerServiceBase {
 public:
  /// All of them must outlive the service.
  GrpcViewerService(Registry& registry, GrpcEventCodec& codec, const WallClock& wall,
                    const Logger& log);

  /// The queue must be stopped before the service is destroyed.
  void AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue);
  /// Turns away streams that have not chosen a display. Thread-safe.
  void BeginDrain();
  /// After BeginDrain, before the server's shutdown: waits until no stream is open any more, and a
  /// moment longer, or for `deadline`. A stream that comes meanwhile is refused with the reason;
  /// once the server shuts down gRPC would only cancel it. Returns at once if no stream was open.
  void AwaitStreamsEnd(std::chrono::system_clock::time_point deadline);

 private:
  absl::Status OnOpened(ViewerCall& call);
  void OnClosed(ViewerCall& call);
  void CountStreams();
  /// The stream of the viewer with this secret id, or null.
  ViewerCall* FindCall(const std::string& viewer_id) const;
  absl::Status Report(const v1::ReportViewerRequest& request, const Caller& caller) const;
  absl::Status List(const v1::ListViewersRequest& request, v1::ListViewersResponse& response) const;
  /// `who` is set to whom it was done, for the audit log.
  absl::Status EndOne(const v1::EndViewerRequest& request, std::string* who) const;

  Registry& registry_;
  const WallClock& wall_;
  ViewerCallContext context_;
  GrpcQueue* queue_ = nullptr;

  // The queue's thread's own.
  std::set<ViewerCall*> streams_;
  std::unordered_map<std::string, ViewerCall*> by_viewer_id_;
  uint64_t next_number_ = 1;
  bool draining_ = false;

  std::mutex open_mutex_;
  std::condition_variable open_changed_;
  size_t open_streams_ = 0;
};

}  // namespace planecast
