// One StreamDisplay or WatchDisplay call.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "planecast/v1/viewer_service.grpc.pb.h"
#include "service/core/registry.h"
#include "service/grpc_event_codec.h"
#include "service/grpc_waker.h"
#include "service/log.h"

namespace planecast {

/// Both streaming methods are served from a completion queue of ours with raw bytes: measured, that
/// costs half of the callback API. The unary companion needs neither.
using ViewerServiceBase =
    v1::ViewerService::WithRawMethod_StreamDisplay<v1::ViewerService::WithRawMethod_WatchDisplay<
        v1::ViewerService::WithCallbackMethod_ReportViewer<v1::ViewerService::Service>>>;

/// A client that opens a stream and does not say which display is sent away after this.
inline constexpr int64_t kStartWaitMaxNs = 10'000'000'000;
/// A write or an end that the transport does not take for so long cancels the call. Longer than
/// kViewerStallNs, so that the display notices first.
inline constexpr int64_t kWriteStuckMaxNs = 30'000'000'000;

/// What all calls of a service share. Everything outlives the calls.
struct ViewerCallContext {
  ViewerServiceBase* service = nullptr;
  grpc::ServerCompletionQueue* queue = nullptr;
  Registry* registry = nullptr;
  const GrpcEventCodec* codec = nullptr;
  const Logger* log = nullptr;
  Clock* clock = nullptr;
  /// Shared with the viewers' notifications, which may come late.
  std::shared_ptr<GrpcWaker> waker;
  /// Tells the service that a call was accepted, so that it waits for the next one. Returns the
  /// reason to turn the call away at once, or OK.
  std::function<absl::Status(const class ViewerCall&)> on_accepted;
  /// Tells the service that it may delete the call, once it returned to its loop.
  std::function<void(const class ViewerCall&)> on_ended;
  /// The queue was shut down: no operation may be started any more.
  bool stopped = false;
};

/// One call, from waiting for it to its end: accepted, joined, written to until the Goodbye or a
/// cancellation. Bound to the queue's thread.
///
/// At most one read, one write and one finish are under way at a time. The call may be deleted
/// after on_ended and not before: until then gRPC holds pointers into it.
class ViewerCall {
 public:
  ViewerCall(uint64_t id, const ViewerCallContext& context);
  virtual ~ViewerCall();
  ViewerCall(const ViewerCall&) = delete;
  ViewerCall& operator=(const ViewerCall&) = delete;

  uint64_t id() const { return id_; }
  /// Accepted and not joined.
  bool unstarted() const { return accepted_ && viewer_ == nullptr && !finishing_; }
  /// StreamDisplay rather than WatchDisplay.
  virtual bool bidirectional() const = 0;

  /// Waits for a client. Called once, after construction.
  void Begin();
  /// Writes the viewer's next event, if no write is under way.
  void Pump();
  /// Looks for what takes too long.
  void Tick(int64_t now_ns);
  /// Ends the call with this status as soon as no write is under way. The first status counts.
  void End(const absl::Status& status);

 protected:
  enum class Op { kAccepted, kRead, kWritten, kFinished, kDone };

  CqTag* TagOf(Op op) { return &tags_[static_cast<size_t>(op)]; }
  grpc::ServerContext& grpc_context() { return grpc_context_; }
  const ViewerCallContext& context() const { return context_; }
  Viewer* viewer() { return viewer_.get(); }

  virtual void StartAccept() = 0;
  virtual void StartRead() = 0;
  virtual void StartWrite(const grpc::ByteBuffer& message) = 0;
  virtual void StartFinish(const grpc::Status& status) = 0;
  /// After acceptance: read the first message or take the request.
  virtual void HandleAccepted() = 0;
  /// A message came, or (not ok) the client sends no more.
  virtual void HandleRead(bool ok) = 0;

  void Read();
  /// Becomes a viewer of a display, as a StreamStart or WatchDisplayRequest says.
  template <class Request>
  void Join(const Request& request);

 private:
  class Tag final : public CqTag {
   public:
    void Bind(ViewerCall* call, Op op) {
      call_ = call;
      op_ = op;
    }
    void OnEvent(bool ok) override { call_->OnEvent(op_, ok); }

   private:
    ViewerCall* call_ = nullptr;
    Op op_ = Op::kAccepted;
  };

  void OnEvent(Op op, bool ok);
  void OnAccepted(bool ok);
  void OnWritten(bool ok);
  void OnDone();
  void FinishIfIdle();

  const uint64_t id_;
  const ViewerCallContext& context_;
  grpc::ServerContext grpc_context_;
  std::array<Tag, 5> tags_;
  /// Operations that gRPC will still report.
  int pending_ = 0;
  bool accepted_ = false;
  bool writing_ = false;
  bool finishing_ = false;
  /// The event being written is the Goodbye.
  bool last_write_ = false;
  bool cancelled_ = false;
  int64_t accepted_ns_ = 0;
  /// When the write or finish under way began.
  int64_t busy_since_ns_ = 0;
  std::optional<absl::Status> end_;
  std::string display_id_;
  std::shared_ptr<Viewer> viewer_;
};

/// Makes the call objects of the two methods.
std::unique_ptr<ViewerCall> MakeStreamCall(uint64_t id, const ViewerCallContext& context);
std::unique_ptr<ViewerCall> MakeWatchCall(uint64_t id, const ViewerCallContext& context);

/// INVALID_ARGUMENT for an acknowledgement with negative durations.
absl::Status CheckAcknowledgement(const v1::Acknowledgement& acknowledgement);

}  // namespace planecast
