#include "service/grpc_viewer_call.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "service/core/display_name.h"
#include "service/proto_convert.h"
#include "service/status.h"

namespace planecast {
namespace {

template <class T>
absl::StatusOr<T> Parse(grpc::ByteBuffer& bytes) {
  T message;
  if (grpc::SerializationTraits<T>::Deserialize(&bytes, &message).ok()) return message;
  return absl::InvalidArgumentError("the message can't be parsed; do both sides use planecast.v1?");
}

/// StreamDisplay.
class StreamCall final : public ViewerCall {
 public:
  StreamCall(uint64_t id, const ViewerCallContext& context)
      : ViewerCall(id, context), stream_(&grpc_context()) {}

  bool bidirectional() const override { return true; }

 protected:
  void StartAccept() override {
    context().service->RequestStreamDisplay(&grpc_context(), &stream_, context().queue,
                                            context().queue, TagOf(Op::kAccepted));
  }
  void StartRead() override { stream_.Read(&request_, TagOf(Op::kRead)); }
  void StartWrite(const grpc::ByteBuffer& message) override {
    stream_.Write(message, TagOf(Op::kWritten));
  }
  void StartFinish(const grpc::Status& status) override {
    stream_.Finish(status, TagOf(Op::kFinished));
  }
  void HandleAccepted() override { Read(); }

  void HandleRead(bool ok) override {
    if (!ok) {
      if (viewer() == nullptr) End(absl::InvalidArgumentError("the first request must be a start"));
      // A client that only listens may well have closed its side.
      return;
    }
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
    switch (request.request_case()) {
      case v1::StreamDisplayRequest::kStart:
        return absl::InvalidArgumentError("start may be sent only once; open another stream");
      case v1::StreamDisplayRequest::kAcknowledgement:
        return Acknowledge(request.acknowledgement());
      case v1::StreamDisplayRequest::kKeyFrame:
        viewer()->RequestKeyFrame();
        return absl::OkStatus();
      case v1::StreamDisplayRequest::kLimits: {
        auto limits = ToLimits(request.limits());
        return limits.ok() ? viewer()->SetLimits(*limits) : limits.status();
      }
      case v1::StreamDisplayRequest::REQUEST_NOT_SET:
        // A newer client may send what this server does not know.
        break;
    }
    return absl::OkStatus();
  }

  absl::Status Acknowledge(const v1::Acknowledgement& acknowledgement) {
    if (auto status = CheckAcknowledgement(acknowledgement); !status.ok()) return status;
    return viewer()->Acknowledge(acknowledgement.sequence(), acknowledgement.present_duration_ns());
  }

  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_;
  grpc::ByteBuffer request_;
};

/// WatchDisplay.
class WatchCall final : public ViewerCall {
 public:
  WatchCall(uint64_t id, const ViewerCallContext& context)
      : ViewerCall(id, context), writer_(&grpc_context()) {}

  bool bidirectional() const override { return false; }

 protected:
  void StartAccept() override {
    context().service->RequestWatchDisplay(&grpc_context(), &request_, &writer_, context().queue,
                                           context().queue, TagOf(Op::kAccepted));
  }
  void StartRead() override {}
  void StartWrite(const grpc::ByteBuffer& message) override {
    writer_.Write(message, TagOf(Op::kWritten));
  }
  void StartFinish(const grpc::Status& status) override {
    writer_.Finish(status, TagOf(Op::kFinished));
  }
  void HandleRead(bool /*ok*/) override {}

  void HandleAccepted() override {
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

ViewerCall::ViewerCall(uint64_t id, const ViewerCallContext& context) : id_(id), context_(context) {
  for (size_t i = 0; i < tags_.size(); ++i) tags_[i].Bind(this, static_cast<Op>(i));
}

ViewerCall::~ViewerCall() {
  if (viewer_ != nullptr) viewer_->Close();
}

void ViewerCall::Begin() {
  // The call's end is reported only if the call was accepted; it is counted then.
  grpc_context_.AsyncNotifyWhenDone(TagOf(Op::kDone));
  ++pending_;
  StartAccept();
}

void ViewerCall::OnEvent(Op op, bool ok) {
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
      OnDone();
      break;
  }
  if (pending_ == 0) context_.on_ended(*this);
}

void ViewerCall::OnAccepted(bool ok) {
  if (!ok) return;  // The server shuts down.
  ++pending_;       // kDone.
  accepted_ = true;
  accepted_ns_ = context_.clock->NowNs();
  if (auto status = context_.on_accepted(*this); !status.ok()) {
    End(status);
    return;
  }
  HandleAccepted();
}

void ViewerCall::Read() {
  if (context_.stopped) return;
  ++pending_;
  StartRead();
}

template <class Request>
void ViewerCall::Join(const Request& request) {
  auto id = DisplayIdFromName(request.name());
  if (!id.ok()) return End(id.status());
  auto limits = ToLimits(request.limits());
  if (!limits.ok()) return End(limits.status());
  ViewerOptions options;
  options.limits = *limits;
  options.acknowledges = request.acknowledges();
  options.resumed_id = request.resumed_viewer_id();
  options.cursor_in_picture = request.cursor_in_picture();
  auto joined = context_.registry->AddViewer(*id, options);
  if (!joined.ok()) return End(joined.status());
  viewer_ = joined->viewer;
  display_id_ = *std::move(id);
  context_.log->Info(display_id_,
                     absl::StrCat("viewer ", options.resumed_id.empty() ? "joined" : "resumed",
                                  " from ", grpc_context_.peer()));
  viewer_->SetNotify([waker = context_.waker, call = id_] { waker->Wake(call); });
  Pump();
}

void ViewerCall::Pump() {
  if (context_.stopped || writing_ || finishing_ || cancelled_ || end_.has_value()) return;
  if (viewer_ == nullptr) return;
  const StreamEventPtr event = viewer_->Take();
  if (event == nullptr) return;
  last_write_ = std::holds_alternative<Goodbye>(event->body);
  writing_ = true;
  busy_since_ns_ = context_.clock->NowNs();
  ++pending_;
  StartWrite(context_.codec->Message(*event, viewer_->id(), viewer_->sequence_offset()));
}

void ViewerCall::OnWritten(bool ok) {
  writing_ = false;
  if (ok) viewer_->OnWritten();
  // A write fails only with the call, and kDone tells of that.
  if (ok && last_write_) End(absl::OkStatus());
  FinishIfIdle();
  if (ok) Pump();
}

void ViewerCall::End(const absl::Status& status) {
  if (!end_.has_value()) end_ = status;
  if (viewer_ != nullptr) viewer_->Close();
  FinishIfIdle();
}

void ViewerCall::FinishIfIdle() {
  if (context_.stopped || !end_.has_value() || writing_ || finishing_ || cancelled_) return;
  finishing_ = true;
  busy_since_ns_ = context_.clock->NowNs();
  ++pending_;
  StartFinish(ToGrpc(*end_));
}

void ViewerCall::OnDone() {
  cancelled_ = grpc_context_.IsCancelled();
  if (viewer_ == nullptr) return;
  viewer_->Close();
  std::string reason = "the client is gone";
  if (end_.has_value()) reason = end_->ok() ? "after the goodbye" : std::string(end_->message());
  context_.log->Info(display_id_, absl::StrCat("viewer left: ", reason));
}

void ViewerCall::Tick(int64_t now_ns) {
  if (unstarted() && now_ns - accepted_ns_ > kStartWaitMaxNs) {
    End(absl::DeadlineExceededError("no start came; send StreamStart first"));
  }
  const bool busy = writing_ || finishing_;
  if (busy && !cancelled_ && now_ns - busy_since_ns_ > kWriteStuckMaxNs) grpc_context_.TryCancel();
}

std::unique_ptr<ViewerCall> MakeStreamCall(uint64_t id, const ViewerCallContext& context) {
  return std::make_unique<StreamCall>(id, context);
}

std::unique_ptr<ViewerCall> MakeWatchCall(uint64_t id, const ViewerCallContext& context) {
  return std::make_unique<WatchCall>(id, context);
}

absl::Status CheckAcknowledgement(const v1::Acknowledgement& acknowledgement) {
  if (acknowledgement.decode_duration_ns() >= 0 && acknowledgement.present_duration_ns() >= 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("an acknowledgement's durations must not be negative");
}

}  // namespace planecast
