// ViewerService: the thread that writes all streams.
#pragma once

#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "service/core/registry.h"
#include "service/grpc_event_codec.h"
#include "service/grpc_viewer_call.h"
#include "service/log.h"
#include "vfio/clock.h"

namespace planecast {

/// Streams that have been opened and have not chosen a display, at a time.
inline constexpr int kUnstartedStreamsMax = 256;

/// Serves ViewerService. One thread owns the completion queue and all stream calls.
///
/// In this order: AddTo, BuildAndStart of the builder, Serve; at the end BeginDrain, the server's
/// Shutdown, Stop.
class GrpcViewerService final : public ViewerServiceBase {
 public:
  /// All of them must outlive the service.
  GrpcViewerService(Registry& registry, const GrpcEventCodec& codec, const Logger& log,
                    Clock& clock);
  ~GrpcViewerService() override;

  void AddTo(grpc::ServerBuilder& builder);
  void Serve();
  /// Turns away streams that have not chosen a display. Thread-safe.
  void BeginDrain();
  /// After BeginDrain, before the server's shutdown: waits until no stream is open any more, and a
  /// moment longer, or for `deadline`. A stream that comes meanwhile is refused with the reason;
  /// once the server shuts down gRPC would only cancel it. Returns at once if no stream was open.
  void AwaitStreamsEnd(std::chrono::system_clock::time_point deadline);
  /// After the server's shutdown: ends the thread. Idempotent.
  void Stop();

  grpc::ServerUnaryReactor* ReportViewer(grpc::CallbackServerContext* context,
                                         const v1::ReportViewerRequest* request,
                                         v1::ReportViewerResponse* response) override;

 private:
  class WakeTag final : public CqTag {
   public:
    explicit WakeTag(GrpcViewerService* service) : service_(service) {}
    void OnEvent(bool /*ok*/) override { service_->OnWake(); }

   private:
    GrpcViewerService* service_;
  };
  using MakeCall = std::unique_ptr<ViewerCall> (*)(uint64_t, const ViewerCallContext&);

  void Run();
  void OnWake();
  void Await(MakeCall make_call);
  absl::Status OnAccepted(const ViewerCall& call);
  void Tick(int64_t now_ns);
  void CountStreams();

  Registry& registry_;
  const Logger& log_;
  Clock& clock_;
  WakeTag wake_tag_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  ViewerCallContext context_;
  std::atomic<bool> draining_{false};
  std::atomic<bool> stop_requested_{false};

  std::mutex streams_mutex_;
  std::condition_variable streams_changed_;
  size_t open_streams_ = 0;

  // The thread's own.
  std::unordered_map<uint64_t, std::unique_ptr<ViewerCall>> calls_;
  std::vector<uint64_t> ended_calls_;
  uint64_t next_call_id_ = 1;

  std::thread thread_;
};

}  // namespace planecast
