// One call on a completion queue of ours.
#pragma once

#include <grpcpp/server_context.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "service/rpc/connection_guard.h"
#include "service/rpc/grpc_gate.h"
#include "service/rpc/grpc_waker.h"

namespace planecast {

class GrpcQueue;
class GrpcGate;

/// A write or an end that the transport does not take for so long cancels the call. Longer than
/// kViewerStallNs, so that a display notices first.
inline constexpr int64_t kWriteStuckMaxNs = 30'000'000'000;

/// One call, from waiting for a client to its end. Bound to the queue's thread.
///
/// At most one read, one write and one finish are under way at a time. The queue deletes a call
/// when gRPC has reported all of them: until then gRPC holds pointers into it.
class GrpcCall {
 public:
  GrpcCall(GrpcQueue& queue, uint64_t id);
  virtual ~GrpcCall() = default;
  GrpcCall(const GrpcCall&) = delete;
  GrpcCall& operator=(const GrpcCall&) = delete;

  uint64_t id() const { return id_; }

  /// Waits for a client. Called once, after construction.
  void Begin();
  /// Somebody called GrpcQueue::Wake with this call's id.
  virtual void OnWake() {}
  /// The server shuts down: a call that would go on for ever ends.
  virtual void HandleDrain() {}
  /// About once a second: looks for what takes too long.
  virtual void Tick(int64_t now_ns);
  /// Ends the call with this status as soon as no write is under way. The first status counts.
  void End(const absl::Status& status);
  /// What its method needs; the queue sets it before Begin.
  void SetRule(const MethodRule* rule) { rule_ = rule; }

 protected:
  enum class Op { kAccepted, kRead, kWritten, kFinished, kDone };

  CqTag* TagOf(Op op) { return &tags_[static_cast<size_t>(op)]; }
  grpc::ServerContext& grpc_context() { return grpc_context_; }
  GrpcQueue& queue() { return queue_; }
  bool accepted() const { return accepted_; }
  int64_t accepted_ns() const { return accepted_ns_; }
  /// From HandleAccepted on.
  const Caller& caller() const { return caller_; }
  const MethodRule& rule() const { return *rule_; }
  GrpcGate& gate();
  /// What a call of this kind takes a place of when it is accepted.
  virtual Shared shared() const { return Shared::kCalls; }
  /// Of the request that came with the call, if the kind of call has one.
  virtual size_t request_bytes() const { return 0; }
  /// That place, until the call's end. For calls that change it for another, or give it away.
  ShareHold& hold() { return hold_; }
  /// It has become a viewer's stream: its connection may send more, until the call's end.
  void HoldViewer();
  /// Of a viewer's stream over TCP; what it reads is to be noted there.
  const ConnectionGuard::ViewerHold& viewer_hold() const { return viewer_hold_; }

  /// Whether the call may go on with this request, or on this display. A call whose method needs a
  /// right on a display writes nothing and can't end well before one of these said OK.
  absl::Status AdmitRequest(const google::protobuf::Message& request);
  absl::Status AdmitDisplay(std::string_view display_id);
  /// The display that it was admitted on, for the audit log; empty without one.
  const std::string& audit_display() const { return audit_display_; }
  const std::optional<absl::Status>& end() const { return end_; }

  // What a kind of call is: each starts the operation with the tag of its name.
  virtual void StartAccept() = 0;
  virtual void StartRead() {}
  virtual void StartFinish(const grpc::Status& status) = 0;

  /// A client is there, and a request if the kind of call has one.
  virtual void HandleAccepted() = 0;
  /// A message came, or (not ok) the client sends no more.
  virtual void HandleRead(bool /*ok*/) {}
  /// The transport took the message, or (not ok) never will.
  virtual void HandleWritten(bool /*ok*/) {}
  /// The call gets a status now: there is nothing more to write.
  virtual void HandleEnding() {}
  /// The call is over; nothing may be started any more if it was cancelled.
  virtual void HandleDone() {}

  void Read();
  /// A message may be written now.
  bool CanWrite() const;
  /// How long the write or finish under way takes already; 0 without one.
  int64_t BusyFor(int64_t now_ns) const;
  /// To be called right before a write is started.
  void NoteWrite();

 private:
  class Tag final : public CqTag {
   public:
    void Bind(GrpcCall* call, Op op) {
      call_ = call;
      op_ = op;
    }
    void OnEvent(bool ok) override { call_->OnEvent(op_, ok); }

   private:
    GrpcCall* call_ = nullptr;
    Op op_ = Op::kAccepted;
  };

  void OnEvent(Op op, bool ok);
  void OnAccepted(bool ok);
  void OnWritten(bool ok);
  void FinishIfIdle();

  GrpcQueue& queue_;
  const uint64_t id_;
  grpc::ServerContext grpc_context_;
  std::array<Tag, 5> tags_;
  const MethodRule* rule_ = nullptr;
  Caller caller_;
  ShareHold hold_;
  ConnectionGuard::ViewerHold viewer_hold_;
  /// The gate has said yes to all that the rule needs.
  bool admitted_ = false;
  std::string audit_display_;
  /// Operations that gRPC will still report.
  int pending_ = 0;
  bool accepted_ = false;
  bool writing_ = false;
  bool finishing_ = false;
  bool cancelled_ = false;
  int64_t accepted_ns_ = 0;
  /// When the write or finish under way began.
  int64_t busy_since_ns_ = 0;
  std::optional<absl::Status> end_;
};

}  // namespace planecast
