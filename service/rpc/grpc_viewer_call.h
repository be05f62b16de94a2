// One StreamDisplay or WatchDisplay call.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "planecast/v1/viewer_service.grpc.pb.h"
#include "service/core/registry.h"
#include "service/rpc/grpc_call.h"
#include "service/rpc/grpc_event_codec.h"
#include "service/rpc/viewer_meter.h"
#include "service/telemetry/log.h"

namespace planecast {

/// Both streaming methods carry raw bytes, which all viewers share.
using ViewerServiceBase = v1::ViewerService::WithRawMethod_StreamDisplay<
    v1::ViewerService::WithRawMethod_WatchDisplay<v1::ViewerService::WithAsyncMethod_ReportViewer<
        v1::ViewerService::WithAsyncMethod_ListViewers<
            v1::ViewerService::WithAsyncMethod_EndViewer<v1::ViewerService::Service>>>>>;

/// A client that opens a stream and does not say which display is sent away after this.
inline constexpr int64_t kStartWaitMaxNs = 10'000'000'000;

/// What all streams of a service share. Everything outlives the calls.
struct ViewerCallContext {
  ViewerServiceBase* service = nullptr;
  Registry* registry = nullptr;
  GrpcEventCodec* codec = nullptr;
  const WallClock* wall = nullptr;
  const Logger* log = nullptr;
  /// Tells the service of a stream. Returns the reason to turn it away at once, or OK.
  std::function<absl::Status(class ViewerCall&)> on_opened;
  /// Tells it that the stream has its viewer.
  std::function<void(class ViewerCall&)> on_joined;
  /// Tells it that the stream is gone.
  std::function<void(class ViewerCall&)> on_closed;
  /// The stream of the viewer with this secret id, or null.
  std::function<class ViewerCall*(const std::string& viewer_id)> find;
  /// Numbers viewers, for their public names.
  std::function<uint64_t()> next_number;
};

/// How long a viewer that reports by ReportViewer may save up acknowledgements.
inline constexpr int kReportIntervalMs = 50;
/// Acknowledgements in one message.
inline constexpr int kAcknowledgementsMax = 64;

/// One stream: accepted, joined, written to until the Goodbye or a cancellation.
class ViewerCall : public GrpcCall {
 public:
  ViewerCall(GrpcQueue& queue, uint64_t id, const ViewerCallContext& context);
  ~ViewerCall() override;

  /// Accepted and has not chosen a display.
  bool unstarted() const { return accepted() && viewer_ == nullptr && !end().has_value(); }
  void OnWake() override { Pump(); }
  void Tick(int64_t now_ns) override;

  // --- For the service, on the queue's thread.

  /// Null before the start.
  Viewer* viewer() { return viewer_.get(); }
  const std::string& display_id() const { return display_id_; }
  uint64_t number() const { return number_; }
  const std::string& principal() const { return caller().principal.name; }
  int64_t sent_bytes() const { return sent_bytes_; }
  /// `displays/{display}/viewers/{number}`.
  const std::string& name() const { return started_.viewer_name(); }
  void Describe(const WallClock& wall, v1::ViewerInfo& info) const;
  /// Sends it away with this goodbye; nothing is left of a ticket's session.
  void Evict(const std::string& message);

  // What its viewer tells, by the stream or by ReportViewer. Not before the start.

  /// Before anything is done about a message: RESOURCE_EXHAUSTED if too many come.
  absl::Status NoteMessage(int acknowledgements);
  /// INVALID_ARGUMENT as ValidateViewerLimits. A change may be put off for a second; of several
  /// that are, the last counts.
  absl::Status ChangeLimits(const v1::ViewerLimits& limits);

 protected:
  const ViewerCallContext& context() const { return context_; }
  Shared shared() const override { return Shared::kUnstartedStreams; }

  virtual void StartWrite(const grpc::ByteBuffer& message) = 0;
  /// Reads the first message or takes the request.
  virtual void HandleOpened() = 0;

  /// Becomes a viewer of a display, as a StreamStart or WatchDisplayRequest says.
  template <class Request>
  void Join(const Request& request);

  void HandleAccepted() final;
  void HandleWritten(bool ok) final;
  void HandleEnding() final;
  void HandleDone() final;

 private:
  /// Whether a start with these wishes may go on.
  absl::Status CheckStart(const std::string& display_id, bool cursor_in_picture,
                          const std::string& resumed_viewer_id);
  /// Changes the place of a stream without a start for a viewer's.
  absl::Status TakeViewersPlace(const std::string& resumed_viewer_id);
  void StartSession(SessionHold session);
  /// What StreamStarted says to this viewer alone.
  void DescribeViewer(const JoinedViewer& joined);
  void AuditStart(bool resumed);
  void AuditEndOfStream();
  /// Applies the change of the limits that was put off, if it is time.
  void ApplyLimits();
  /// Writes the viewer's next event, if no write is under way.
  void Pump();

  const ViewerCallContext& context_;
  bool opened_ = false;
  /// What the Goodbye said, once that is the event being written.
  std::optional<std::string> goodbye_;
  static constexpr int64_t kNotRevoked = -1;
  /// When the viewer's right ended: set by whoever ends it, on any thread.
  const std::shared_ptr<std::atomic<int64_t>> revoked_ns_ =
      std::make_shared<std::atomic<int64_t>>(kNotRevoked);
  std::string display_id_;
  std::shared_ptr<Viewer> viewer_;
  v1::StreamStarted started_;
  uint64_t number_ = 0;
  int64_t joined_ns_ = 0;
  int64_t sent_bytes_ = 0;
  ViewerMeter meter_;
  /// A change of the limits that was put off.
  std::optional<ViewerLimits> limits_wanted_;
  /// The write under way.
  int64_t writing_bytes_ = 0;
  /// Last, so that it ends before what its end may call.
  SessionHold session_;
};

/// Make the calls of the two methods.
std::unique_ptr<GrpcCall> MakeStreamCall(GrpcQueue& queue, uint64_t id,
                                         const ViewerCallContext& context);
std::unique_ptr<GrpcCall> MakeWatchCall(GrpcQueue& queue, uint64_t id,
                                        const ViewerCallContext& context);

using Acknowledgements = google::protobuf::RepeatedPtrField<v1::Acknowledgement>;

/// INVALID_ARGUMENT for negative durations, and as Viewer::Acknowledge.
absl::Status Acknowledge(const Acknowledgements& acknowledgements, Viewer& viewer);

}  // namespace planecast
