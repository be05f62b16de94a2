#include "service/rpc/grpc_call.h"

#include <utility>

#include "service/core/reason.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/status.h"

namespace planecast {

GrpcCall::GrpcCall(GrpcQueue& queue, uint64_t id) : queue_(queue), id_(id) {
  for (size_t i = 0; i < tags_.size(); ++i) tags_[i].Bind(this, static_cast<Op>(i));
}

void GrpcCall::Begin() {
  // The call's end is reported only if the call was accepted; it is counted then.
  grpc_context_.AsyncNotifyWhenDone(TagOf(Op::kDone));
  ++pending_;
  StartAccept();
}

void GrpcCall::OnEvent(Op op, bool ok) {
  --pending_;
  switch (op) {
    case Op::kAccepted:
      OnAccepted(ok);
      break;
    case Op::kRead:
      if (!finishing_ && !cancelled_) HandleRead(ok);
      break;
    case Op::kWritten:
      OnWritten(ok);
      break;
    case Op::kFinished:
      break;
    case Op::kDone:
      cancelled_ = grpc_context_.IsCancelled();
      HandleDone();
      break;
  }
  if (pending_ == 0) queue_.OnEnded(*this);
}

void GrpcCall::OnAccepted(bool ok) {
  if (!ok) return;  // The server shuts down.
  ++pending_;       // kDone.
  accepted_ = true;
  accepted_ns_ = queue_.clock().NowNs();
  queue_.OnAccepted(*this);
  ConnectionGuard* const guard = queue_.guard();
  if (guard != nullptr && !guard->OnCall(grpc_context_, request_bytes())) {
    return End(absl::ResourceExhaustedError(
        "too many calls came by this connection, or from its address"));
  }
  auto caller = gate().Admit(grpc_context_, *rule_);
  if (!caller.ok()) return End(caller.status());
  caller_ = *std::move(caller);
  auto hold = gate().TakeShare(caller_, *rule_, shared());
  if (!hold.ok()) return End(hold.status());
  hold_ = *std::move(hold);
  if (guard != nullptr && rule_->scope != MethodScope::kOpen) guard->OnAdmitted(grpc_context_);
  admitted_ = rule_->scope != MethodScope::kDisplay;
  HandleAccepted();
}

void GrpcCall::HoldViewer() {
  ConnectionGuard* const guard = queue_.guard();
  if (guard != nullptr) viewer_hold_ = guard->OnViewer(grpc_context_);
}

GrpcGate& GrpcCall::gate() {
  return queue_.gate();
}

absl::Status GrpcCall::AdmitRequest(const google::protobuf::Message& request) {
  if (admitted_) return absl::OkStatus();
  if (rule_->display_field.empty()) {
    return absl::InternalError("the method does not say which display it is about");
  }
  std::vector<std::string> ids;
  auto status = gate().CheckRequest(caller_, *rule_, request, &ids);
  if (!status.ok()) return status;
  if (!ids.empty()) audit_display_ = ids.front();
  admitted_ = true;
  return absl::OkStatus();
}

absl::Status GrpcCall::AdmitDisplay(std::string_view display_id) {
  audit_display_ = std::string(display_id);
  auto status = gate().CheckDisplay(caller_, *rule_, rule_->permission, display_id);
  admitted_ = status.ok();
  return status;
}

void GrpcCall::Read() {
  if (queue_.stopped()) return;
  ++pending_;
  StartRead();
}

bool GrpcCall::CanWrite() const {
  return admitted_ && !queue_.stopped() && !writing_ && !finishing_ && !cancelled_ &&
         !end_.has_value();
}

int64_t GrpcCall::BusyFor(int64_t now_ns) const {
  return writing_ || finishing_ ? now_ns - busy_since_ns_ : 0;
}

void GrpcCall::NoteWrite() {
  writing_ = true;
  busy_since_ns_ = queue_.clock().NowNs();
  ++pending_;
}

void GrpcCall::OnWritten(bool ok) {
  writing_ = false;
  // A write fails only with the call, and kDone tells of that.
  HandleWritten(ok);
  FinishIfIdle();
}

void GrpcCall::End(const absl::Status& status) {
  if (!end_.has_value()) end_ = status;
  HandleEnding();
  FinishIfIdle();
}

void GrpcCall::FinishIfIdle() {
  const bool busy = writing_ || finishing_;
  if (queue_.stopped() || !end_.has_value() || busy || cancelled_) return;
  // A method that forgot to ask the gate must not look like one that works.
  if (end_->ok() && !admitted_) end_ = absl::InternalError("the call was not checked");
  finishing_ = true;
  busy_since_ns_ = queue_.clock().NowNs();
  ++pending_;
  StartFinish(ToGrpc(*end_));
}

void GrpcCall::Tick(int64_t now_ns) {
  // Viewers' streams hear of their ticket's end at once, by their session.
  if (accepted_ && !rule_->viewer_stream && !end_.has_value()) {
    if (auto status = gate().CheckStill(caller_); !status.ok()) End(status);
  }
  const bool busy = writing_ || finishing_;
  if (busy && !cancelled_ && now_ns - busy_since_ns_ > kWriteStuckMaxNs) grpc_context_.TryCancel();
}

}  // namespace planecast
