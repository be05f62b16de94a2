#include "service/rpc/grpc_viewer_call.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "service/core/display_name.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/proto_convert.h"

namespace planecast {
namespace {

/// Of a revoked viewer, a write that takes so long is given up.
constexpr int64_t kGoodbyeWaitMaxNs = 500'000'000;
/// Has the form of a viewer's id, and is nobody's.
constexpr std::string_view kNobodysViewerId = "-";

template <class T>
absl::StatusOr<T> Parse(grpc::ByteBuffer& bytes) {
  T message;
  if (grpc::SerializationTraits<T>::Deserialize(&bytes, &message).ok()) return message;
  return absl::InvalidArgumentError("the message can't be parsed; do both sides use planecast.v1?");
}

/// StreamDisplay.
class StreamCall final : public ViewerCall {
 public:
  StreamCall(GrpcQueue& queue, uint64_t id, const ViewerCallContext& context)
      : ViewerCall(queue, id, context), stream_(&grpc_context()) {}

 protected:
  void StartAccept() override {
    context().service->RequestStreamDisplay(&grpc_context(), &stream_, queue().queue(),
                                            queue().queue(), TagOf(Op::kAccepted));
  }
  void StartRead() override { stream_.Read(&request_, TagOf(Op::kRead)); }
  void StartWrite(const grpc::ByteBuffer& message) override {
    stream_.Write(message, TagOf(Op::kWritten));
  }
  void StartFinish(const grpc::Status& status) override {
    stream_.Finish(status, TagOf(Op::kFinished));
  }
  void HandleOpened() override { Read(); }

  void HandleRead(bool ok) override {
    if (!ok) {
      if (viewer() == nullptr) End(absl::InvalidArgumentError("the first request must be a start"));
      // A client that only listens may well have closed its side.
      return;
    }
    viewer_hold().NoteMessage(request_.Length());
    auto request = Parse<v1::StreamDisplayRequest>(request_);
    request_.Clear();
    const absl::Status status = request.ok() ? Handle(*request) : request.status();
    if (!status.ok()) {
      End(status);
      return;
    }
    Read();
  }

 private:
  absl::Status Handle(const v1::StreamDisplayRequest& request) {
    if (viewer() == nullptr) {
      if (!request.has_start()) {
        return absl::InvalidArgumentError("the first request must be a start");
      }
      Join(request.start());
      return absl::OkStatus();
    }
    if (auto status = NoteMessage(request.acknowledgements().acknowledgements_size());
        !status.ok()) {
      return status;
    }
    switch (request.request_case()) {
      case v1::StreamDisplayRequest::kStart:
        return absl::InvalidArgumentError("start may be sent only once; open another stream");
      case v1::StreamDisplayRequest::kAcknowledgements:
        return Acknowledge(request.acknowledgements().acknowledgements(), *viewer());
      case v1::StreamDisplayRequest::kKeyFrame:
        viewer()->RequestKeyFrame();
        return absl::OkStatus();
      case v1::StreamDisplayRequest::kLimits:
        return ChangeLimits(request.limits());
      case v1::StreamDisplayRequest::kInput:
      case v1::StreamDisplayRequest::REQUEST_NOT_SET:
        // A newer client may send what this server does not know.
        break;
    }
    return absl::OkStatus();
  }

  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_;
  grpc::ByteBuffer request_;
};

/// WatchDisplay.
class WatchCall final : public ViewerCall {
 public:
  WatchCall(GrpcQueue& queue, uint64_t id, const ViewerCallContext& context)
      : ViewerCall(queue, id, context), writer_(&grpc_context()) {}

 protected:
  void StartAccept() override {
    context().service->RequestWatchDisplay(&grpc_context(), &request_, &writer_, queue().queue(),
                                           queue().queue(), TagOf(Op::kAccepted));
  }
  void StartWrite(const grpc::ByteBuffer& message) override {
    writer_.Write(message, TagOf(Op::kWritten));
  }
  void StartFinish(const grpc::Status& status) override {
    writer_.Finish(status, TagOf(Op::kFinished));
  }
  size_t request_bytes() const override { return request_.Length(); }
  void HandleOpened() override {
    auto request = Parse<v1::WatchDisplayRequest>(request_);
    request_.Clear();
    if (!request.ok()) {
      End(request.status());
      return;
    }
    Join(*request);
  }

 private:
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_;
  grpc::ByteBuffer request_;
};

}  // namespace

ViewerCall::ViewerCall(GrpcQueue& queue, uint64_t id, const ViewerCallContext& context)
    : GrpcCall(queue, id), context_(context) {}

ViewerCall::~ViewerCall() {
  if (viewer_ != nullptr) viewer_->Close();
  if (opened_) context_.on_closed(*this);
}

void ViewerCall::HandleAccepted() {
  opened_ = true;
  if (auto status = context_.on_opened(*this); !status.ok()) {
    End(status);
    return;
  }
  HandleOpened();
}

absl::Status ViewerCall::CheckStart(const std::string& display_id, bool cursor_in_picture,
                                    const std::string& resumed_viewer_id) {
  // First, so that a used ticket hears the same as an unknown one.
  if (auto status = gate().CheckStart(caller(), rule(), resumed_viewer_id); !status.ok()) {
    return status;
  }
  if (auto status = AdmitDisplay(display_id); !status.ok()) return status;
  const ViewerCall* before = resumed_viewer_id.empty() ? nullptr : context_.find(resumed_viewer_id);
  if (before != nullptr && (before->display_id() != display_id ||
                            before->caller().principal.name != caller().principal.name)) {
    return absl::InvalidArgumentError(
        "resumed_viewer_id is another viewer's: use your own, on the same display, or none");
  }
  if (!cursor_in_picture || caller().rights.Allows(Permission::kControl, display_id)) {
    return absl::OkStatus();
  }
  // It changes everybody's picture.
  return gate().CheckDisplay(caller(), rule(), Permission::kRecord, display_id);
}

template <class Request>
void ViewerCall::Join(const Request& request) {
  auto id = DisplayIdFromName(request.name());
  if (!id.ok()) return End(id.status());
  if (auto status = CheckStart(*id, request.cursor_in_picture(), request.resumed_viewer_id());
      !status.ok()) {
    return End(status);
  }
  auto limits = ToLimits(request.limits(), {});
  if (!limits.ok()) return End(limits.status());
  auto cursor = ToCursorAbilities(request.capabilities());
  if (!cursor.ok()) return End(cursor.status());
  ViewerOptions options;
  options.limits = *limits;
  options.by_operator_socket = caller().peer.door == Door::kOperatorSocket;
  options.acknowledges = request.acknowledges();
  options.resumed_id = request.resumed_viewer_id();
  options.cursor_in_picture = request.cursor_in_picture();
  options.cursor = *cursor;
  const auto display = context_.registry->Last(*id);
  auto session = gate().BeginStream(caller(), rule(), options.resumed_id,
                                    {*id, display.has_value() ? display->uid : std::string()});
  if (!session.ok()) return End(session.status());
  if (auto status = TakeViewersPlace(options.resumed_id); !status.ok()) {
    session->Abandon();
    return End(status);
  }
  auto joined = context_.registry->AddViewer(*id, options);
  absl::Status status = joined.status();
  if (status.ok() && *session && joined->uid != display->uid) {
    // Detached and attached meanwhile: what the ticket was for is gone.
    joined->viewer->Close();
    status = gate().CheckStart(caller(), rule(), std::string(kNobodysViewerId));
  }
  if (!status.ok()) {
    session->Abandon();
    return End(status);
  }
  viewer_ = joined->viewer;
  display_id_ = *std::move(id);
  HoldViewer();
  StartSession(*std::move(session));
  DescribeViewer(*joined);
  context_.on_joined(*this);
  if (session_ && options.resumed_id.empty()) gate().TellUse(caller(), rule(), display_id_);
  AuditStart(!options.resumed_id.empty());
  viewer_->SetNotify([waker = queue().waker(), call = this->id()] { waker->Wake(call); });
  Pump();
}

absl::Status ViewerCall::TakeViewersPlace(const std::string& resumed_viewer_id) {
  // A stream that goes on has the place of the one before, which may not have noticed its end.
  ViewerCall* before = resumed_viewer_id.empty() ? nullptr : context_.find(resumed_viewer_id);
  auto place = gate().TakeShare(caller(), rule(), Shared::kViewers,
                                before == nullptr ? nullptr : &before->hold());
  if (!place.ok()) return place.status();
  hold() = *std::move(place);
  return absl::OkStatus();
}

void ViewerCall::StartSession(SessionHold session) {
  session_ = std::move(session);
  if (!session_) return;
  // The session may end when this is gone, and on any thread.
  session_.Start(viewer_->id(), [revoked_ns = revoked_ns_, clock = &queue().clock(),
                                 viewer = std::weak_ptr<Viewer>(viewer_),
                                 codec = context_.codec](const std::string& why) {
    *revoked_ns = clock->NowNs();
    if (const auto alive = viewer.lock()) {
      alive->OfferGoodbye(MakeEvent(Goodbye{Goodbye::Reason::kRevoked, why, -1}, codec));
    }
  });
}

void ViewerCall::DescribeViewer(const JoinedViewer& joined) {
  number_ = context_.next_number();
  joined_ns_ = queue().clock().NowNs();
  started_.set_viewer_id(joined.viewer->id());
  started_.set_viewer_name(absl::StrCat(DisplayNameFromId(display_id_), "/viewers/", number_));
  started_.set_display_uid(context_.registry->Last(display_id_).value_or(DisplaySnapshot()).uid);
  *started_.mutable_report_interval() =
      google::protobuf::util::TimeUtil::MillisecondsToDuration(kReportIntervalMs);
  const PermissionSet permissions = caller().rights.On(display_id_);
  for (int i = 1; i <= kPermissionLast; ++i) {
    if (permissions.Has(static_cast<Permission>(i))) {
      started_.add_permissions(static_cast<v1::Permission>(i));
    }
  }
  if (session_) *started_.mutable_session_end_time() = context_.wall->At(session_.ends_ns());
}

void ViewerCall::Describe(const WallClock& wall, v1::ViewerInfo& info) const {
  info.set_name(name());
  info.set_principal(caller().principal.name);
  info.set_peer(caller().peer.address);
  *info.mutable_start_time() = wall.At(joined_ns_);
  info.mutable_permissions()->CopyFrom(started_.permissions());
  if (caller().ticket.has_value()) info.set_ticket("tickets/" + caller().ticket->ticket_id);
  info.set_acknowledges(viewer_->acknowledges());
  info.set_sent_bytes(sent_bytes_);
}

void ViewerCall::Evict(const std::string& message) {
  // First, as the first goodbye counts.
  viewer_->OfferGoodbye(MakeEvent(Goodbye{Goodbye::Reason::kEvicted, message, -1}, context_.codec));
  session_.EndForGood();
}

absl::Status ViewerCall::NoteMessage(int acknowledgements) {
  if (acknowledgements > kAcknowledgementsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", kAcknowledgementsMax, " acknowledgements in one message"));
  }
  return meter_.Note(acknowledgements, queue().clock().NowNs());
}

absl::Status ViewerCall::ChangeLimits(const v1::ViewerLimits& limits) {
  const ViewerLimits before = limits_wanted_.value_or(viewer_->limits());
  auto wanted = ToLimits(limits, before);
  if (!wanted.ok()) return wanted.status();
  if (*wanted == before) return absl::OkStatus();
  limits_wanted_ = *wanted;
  ApplyLimits();
  return absl::OkStatus();
}

void ViewerCall::ApplyLimits() {
  if (!limits_wanted_.has_value() || !meter_.TakeLimitsChange(queue().clock().NowNs())) return;
  // They were checked when they came.
  viewer_->SetLimits(*std::exchange(limits_wanted_, std::nullopt)).IgnoreError();
}

void ViewerCall::AuditStart(bool resumed) {
  context_.log->Info(display_id_,
                     absl::StrCat("viewer ", number_, resumed ? " resumed" : " joined", " from ",
                                  caller().peer.address, " as ", caller().principal.name));
  AuditEntry entry = GrpcGate::EntryFor(caller(), rule(), AuditEvent::kStreamStart);
  entry.display = display_id_;
  gate().Audit(std::move(entry));
}

void ViewerCall::AuditEndOfStream() {
  std::string reason = "the client is gone";
  if (goodbye_.has_value()) {
    reason = *goodbye_;
  } else if (end().has_value()) {
    reason = std::string(end()->message());
  }
  // What an operator wrote to the viewer is for the audit log, which knows what not to tell.
  context_.log->Info(display_id_,
                     absl::StrCat("viewer ", number_,
                                  " left: ", goodbye_.has_value() ? "after the goodbye" : reason));
  AuditEntry entry = GrpcGate::EntryFor(caller(), rule(), AuditEvent::kStreamEnd);
  entry.display = display_id_;
  entry.reason = std::move(reason);
  entry.duration_ns = queue().clock().NowNs() - joined_ns_;
  entry.bytes = sent_bytes_;
  gate().Audit(std::move(entry));
}

void ViewerCall::Pump() {
  if (!CanWrite() || viewer_ == nullptr) return;
  const StreamEventPtr event = viewer_->Take();
  if (event == nullptr) return;
  if (const auto* goodbye = std::get_if<Goodbye>(&event->body)) goodbye_ = goodbye->message;
  NoteWrite();
  const grpc::ByteBuffer message =
      context_.codec->Message(*event, started_, viewer_->sequence_offset());
  writing_bytes_ = static_cast<int64_t>(message.Length());
  StartWrite(message);
}

void ViewerCall::HandleWritten(bool ok) {
  if (!ok) return;
  sent_bytes_ += writing_bytes_;
  viewer_->OnWritten();
  if (goodbye_.has_value()) End(absl::OkStatus());
  Pump();
}

void ViewerCall::HandleEnding() {
  if (viewer_ != nullptr) viewer_->Close();
}

void ViewerCall::HandleDone() {
  if (viewer_ == nullptr) return;
  viewer_->Close();
  AuditEndOfStream();
}

void ViewerCall::Tick(int64_t now_ns) {
  if (unstarted() && now_ns - accepted_ns() > kStartWaitMaxNs) {
    End(absl::DeadlineExceededError("no start came; send StreamStart first"));
  }
  if (viewer_ != nullptr) ApplyLimits();
  if (viewer_ != nullptr && !viewer_->ending()) {
    if (auto status = gate().CheckStill(caller()); !status.ok()) {
      if (*revoked_ns_ == kNotRevoked) *revoked_ns_ = now_ns;
      viewer_->OfferGoodbye(MakeEvent(
          Goodbye{Goodbye::Reason::kRevoked, std::string(status.message()), -1}, context_.codec));
    }
  }
  // Who takes nothing does not keep what his right brought him by not hearing of its end.
  const int64_t revoked_ns = *revoked_ns_;
  const bool taking_long = std::min(BusyFor(now_ns), now_ns - revoked_ns) > kGoodbyeWaitMaxNs;
  if (revoked_ns != kNotRevoked && taking_long) grpc_context().TryCancel();
  GrpcCall::Tick(now_ns);
}

std::unique_ptr<GrpcCall> MakeStreamCall(GrpcQueue& queue, uint64_t id,
                                         const ViewerCallContext& context) {
  return std::make_unique<StreamCall>(queue, id, context);
}

std::unique_ptr<GrpcCall> MakeWatchCall(GrpcQueue& queue, uint64_t id,
                                        const ViewerCallContext& context) {
  return std::make_unique<WatchCall>(queue, id, context);
}

absl::Status Acknowledge(const Acknowledgements& acknowledgements, Viewer& viewer) {
  for (const v1::Acknowledgement& one : acknowledgements) {
    if (one.decode_duration_ns() < 0 || one.present_duration_ns() < 0) {
      return absl::InvalidArgumentError("an acknowledgement's durations must not be negative");
    }
    auto status =
        viewer.Acknowledge(one.sequence(), {one.decode_duration_ns(), one.present_duration_ns()});
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace planecast
