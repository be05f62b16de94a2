#include "service/rpc/grpc_viewer_call.h"

#include <grpcpp/support/async_stream.h>

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "service/core/display_name.h"
#include "service/rpc/grpc_queue.h"
#include "service/rpc/proto_convert.h"

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
    return viewer()->Acknowledge(
        acknowledgement.sequence(),
        {acknowledgement.decode_duration_ns(), acknowledgement.present_duration_ns()});
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
                                  " from ", grpc_context().peer()));
  viewer_->SetNotify([waker = queue().waker(), call = this->id()] { waker->Wake(call); });
  Pump();
}

void ViewerCall::Pump() {
  if (!CanWrite() || viewer_ == nullptr) return;
  const StreamEventPtr event = viewer_->Take();
  if (event == nullptr) return;
  last_write_ = std::holds_alternative<Goodbye>(event->body);
  NoteWrite();
  StartWrite(context_.codec->Message(*event, viewer_->id(), viewer_->sequence_offset()));
}

void ViewerCall::HandleWritten(bool ok) {
  if (!ok) return;
  viewer_->OnWritten();
  if (last_write_) End(absl::OkStatus());
  Pump();
}

void ViewerCall::HandleEnding() {
  if (viewer_ != nullptr) viewer_->Close();
}

void ViewerCall::HandleDone() {
  if (viewer_ == nullptr) return;
  viewer_->Close();
  std::string reason = "the client is gone";
  if (end().has_value()) reason = end()->ok() ? "after the goodbye" : std::string(end()->message());
  context_.log->Info(display_id_, absl::StrCat("viewer left: ", reason));
}

void ViewerCall::Tick(int64_t now_ns) {
  if (unstarted() && now_ns - accepted_ns() > kStartWaitMaxNs) {
    End(absl::DeadlineExceededError("no start came; send StreamStart first"));
  }
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

absl::Status CheckAcknowledgement(const v1::Acknowledgement& acknowledgement) {
  if (acknowledgement.decode_duration_ns() >= 0 && acknowledgement.present_duration_ns() >= 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("an acknowledgement's durations must not be negative");
}

}  // namespace planecast
