#include "clients/cpp/stream.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "clients/cpp/backoff.h"
#include "clients/cpp/cursor_images.h"
#include "clients/cpp/error_reason.h"
#include "clients/cpp/start_stream.h"

namespace planecast {

void StreamHandler::OnStarted(Stream& /*stream*/, const v1::StreamStarted& /*started*/) {}
void StreamHandler::OnCursorShape(const v1::CursorShape& /*shape*/) {}
void StreamHandler::OnCursorMoved(const v1::CursorMoved& /*moved*/) {}
void StreamHandler::OnState(const v1::DisplayStateChanged& /*state*/) {}
void StreamHandler::OnStats(const v1::StreamStats& /*stats*/) {}
void StreamHandler::OnGoodbye(const v1::Goodbye& /*goodbye*/) {}
void StreamHandler::OnDisconnected(const absl::Status& /*status*/,
                                   std::optional<std::chrono::milliseconds> /*retry_in*/) {}

namespace {

using Milliseconds = std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;
using Call = grpc::ClientReaderWriterInterface<v1::StreamDisplayRequest, v1::StreamDisplayResponse>;

// Requests that wait for the writer; newer ones replace or join older ones.
struct Outbox {
  std::optional<v1::Acknowledgement> acknowledgement;
  std::optional<v1::ViewerLimits> limits;
  bool key_frame = false;

  bool empty() const { return !acknowledgement && !limits && !key_frame; }
};

// What trying again can't mend. Where the server says why, the reason decides, else the code.
bool IsFinal(const absl::Status& status) {
  switch (ReasonOf(status)) {
    case v1::ERROR_REASON_DISPLAY_ATTACHING:
    case v1::ERROR_REASON_DRAINING:
    case v1::ERROR_REASON_TRY_AGAIN:
    case v1::ERROR_REASON_LIMIT_REACHED:
    case v1::ERROR_REASON_TOO_MANY_TRIES:
      return false;
    case v1::ERROR_REASON_DISPLAY_NOT_FOUND:
    case v1::ERROR_REASON_CREDENTIALS_MISSING:
    case v1::ERROR_REASON_TICKET_INVALID:
    case v1::ERROR_REASON_TICKET_ON_PLAIN_TEXT:
    case v1::ERROR_REASON_PERMISSION_MISSING:
      return true;
    default:
      break;
  }
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
      return true;
    default:
      return false;
  }
}

// The server ended this viewer, and means it, whatever else its Goodbye says.
bool IsSentAway(const v1::Goodbye& goodbye) {
  return goodbye.reason() == v1::Goodbye::REASON_EVICTED ||
         goodbye.reason() == v1::Goodbye::REASON_REVOKED;
}

bool IsFinal(const v1::Goodbye& goodbye) {
  return IsSentAway(goodbye) || !goodbye.has_retry_after();
}

Milliseconds RetryAfter(const v1::Goodbye& goodbye) {
  using google::protobuf::util::TimeUtil;
  return Milliseconds(TimeUtil::DurationToMilliseconds(goodbye.retry_after()));
}

absl::Status StatusOf(const v1::Goodbye& goodbye) {
  return IsSentAway(goodbye) ? absl::PermissionDeniedError(goodbye.message())
                             : absl::UnavailableError(goodbye.message());
}

// Two threads: one reads events and calls the handler, the other writes requests, so that neither a
// slow handler nor a slow network blocks whoever makes a request.
class StreamImpl : public Stream {
 public:
  StreamImpl(std::shared_ptr<v1::ViewerService::StubInterface> stub,
             std::shared_ptr<CallMetadata> metadata, std::string name, const StreamOptions& options,
             ExplainStatus explain, StreamHandler& handler)
      : stub_(std::move(stub)),
        metadata_(std::move(metadata)),
        name_(std::move(name)),
        options_(options),
        explain_(std::move(explain)),
        handler_(handler) {
    limits_.set_bitrate_max_bps(options.bitrate_max_bps);
    limits_.set_frame_rate_max_hz(options.frame_rate_max_hz);
    thread_ = std::thread([this] { Run(); });
  }

  ~StreamImpl() override {
    StreamImpl::RequestStop();
    if (thread_.joinable()) thread_.join();
  }

  void Acknowledge(uint64_t sequence, std::chrono::nanoseconds decode_duration,
                   std::chrono::nanoseconds present_duration) override {
    const std::lock_guard lock(mutex_);
    // What an earlier connection delivered means nothing to this one.
    if (!first_sequence_ || sequence < *first_sequence_ || sequence > last_sequence_) return;
    auto& waiting = outbox_.acknowledgement;
    if (waiting && waiting->sequence() > sequence) return;
    waiting.emplace();
    waiting->set_sequence(sequence);
    waiting->set_decode_duration_ns(decode_duration.count());
    waiting->set_present_duration_ns(present_duration.count());
    changed_.notify_all();
  }

  void RequestKeyFrame() override {
    const std::lock_guard lock(mutex_);
    outbox_.key_frame = true;
    changed_.notify_all();
  }

  void SetLimits(int64_t bitrate_max_bps, int frame_rate_max_hz) override {
    const std::lock_guard lock(mutex_);
    limits_.set_bitrate_max_bps(bitrate_max_bps);
    limits_.set_frame_rate_max_hz(frame_rate_max_hz);
    outbox_.limits = limits_;
    changed_.notify_all();
  }

  void RequestStop() override {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.notify_all();
  }

  void Stop() override {
    RequestStop();
    {
      const std::lock_guard lock(mutex_);
      if (std::this_thread::get_id() == thread_id_) return;
    }
    (void)Wait();
  }

  absl::Status Wait() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_; });
    return end_status_;
  }

 private:
  // How one connection ended.
  struct Ending {
    absl::Status status;
    std::optional<v1::Goodbye> goodbye;
    bool started = false;
  };

  void Run() {
    {
      const std::lock_guard lock(mutex_);
      thread_id_ = std::this_thread::get_id();
    }
    Backoff backoff(options_.backoff_min, options_.backoff_max);
    absl::Status status;
    while (!IsStopping()) {
      const Ending ending = RunConnection();
      if (IsStopping()) break;
      if (ending.started) backoff.Reset();
      const std::optional<Milliseconds> retry_in = RetryDelay(ending, backoff);
      handler_.OnDisconnected(ending.status, retry_in);
      if (!retry_in) {
        status = ending.status;
        break;
      }
      WaitFor(*retry_in);
    }
    metadata_->RemoveViewer(this);
    const std::lock_guard lock(mutex_);
    end_status_ = stopping_ ? absl::OkStatus() : status;
    ended_ = true;
    changed_.notify_all();
  }

  std::optional<Milliseconds> RetryDelay(const Ending& ending, Backoff& backoff) const {
    if (!options_.reconnect) return std::nullopt;
    if (ending.goodbye) {
      if (IsFinal(*ending.goodbye)) return std::nullopt;
      return std::max(RetryAfter(*ending.goodbye), backoff.Next());
    }
    if (IsFinal(ending.status)) return std::nullopt;
    return backoff.Next();
  }

  bool IsStopping() {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  void WaitFor(Milliseconds duration) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, duration, [this] { return stopping_; });
  }

  Ending RunConnection() {
    Ending ending;
    grpc::ClientContext context;
    if (!OpenConnection(context)) return ending;
    metadata_->AddToStream(context);
    const std::unique_ptr<Call> call = stub_->StreamDisplay(&context);
    std::thread writer([&] { WriteRequests(*call); });
    const absl::Status broken = ReadEvents(*call, ending);
    if (!broken.ok()) context.TryCancel();
    CloseConnection();
    writer.join();
    ending.status = explain_(call->Finish());
    if (!broken.ok()) ending.status = broken;
    // After a Goodbye the connection's own end has nothing to add.
    if (ending.goodbye) {
      ending.status = StatusOf(*ending.goodbye);
    } else if (ending.status.ok()) {
      ending.status = absl::UnavailableError("the server ended the stream");
    }
    return ending;
  }

  // Until the end, or something that no server may send: an error then.
  absl::Status ReadEvents(Call& call, Ending& ending) {
    cursors_ = {};
    v1::StreamDisplayResponse response;
    absl::Status status;
    while (status.ok() && call.Read(&response) && !IsStopping()) {
      status = HandleEvent(response.event(), ending);
    }
    return status;
  }

  // False if the stream is to stop.
  bool OpenConnection(grpc::ClientContext& context) {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    context_ = &context;
    outbox_ = {};
    connection_over_ = false;
    first_sequence_.reset();
    wants_key_frame_ = true;
    asked_for_key_frame_ = false;
    return true;
  }

  void CloseConnection() {
    const std::lock_guard lock(mutex_);
    if (stopping_) context_->TryCancel();
    context_ = nullptr;
    connection_over_ = true;
    first_sequence_.reset();
    changed_.notify_all();
  }

  void WriteRequests(Call& call) {
    if (!WriteStart(call)) return;
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return connection_over_ || !outbox_.empty(); });
      if (connection_over_) return;
      Outbox outbox = std::exchange(outbox_, {});
      lock.unlock();
      const bool written = WriteOutbox(call, outbox);
      lock.lock();
      // The reader learns of a broken connection by itself.
      if (!written) return;
    }
  }

  bool WriteStart(Call& call) {
    v1::StreamDisplayRequest request;
    v1::StreamStart& start = *request.mutable_start();
    start.set_name(name_);
    start.set_acknowledges(options_.acknowledge != AcknowledgeMode::kNever);
    start.set_cursor_in_picture(options_.cursor_in_picture);
    CursorImages::Describe(*start.mutable_capabilities());
    {
      const std::lock_guard lock(mutex_);
      *start.mutable_limits() = limits_;
      start.set_resumed_viewer_id(viewer_id_);
      outbox_.limits.reset();
    }
    return call.Write(request);
  }

  static bool WriteOutbox(Call& call, const Outbox& outbox) {
    v1::StreamDisplayRequest request;
    if (outbox.key_frame) {
      request.mutable_key_frame();
      if (!call.Write(request)) return false;
    }
    if (outbox.limits) {
      *request.mutable_limits() = *outbox.limits;
      if (!call.Write(request)) return false;
    }
    if (!outbox.acknowledgement) return true;
    *request.mutable_acknowledgements()->add_acknowledgements() = *outbox.acknowledgement;
    return call.Write(request);
  }

  absl::Status HandleEvent(const v1::StreamEvent& event, Ending& ending) {
    switch (event.event_case()) {
      case v1::StreamEvent::kStarted:
        ending.started = true;
        cursors_.OnStarted();
        RememberViewer(event.started().viewer_id());
        handler_.OnStarted(*this, event.started());
        break;
      case v1::StreamEvent::kAccessUnit:
        HandleAccessUnit(event.access_unit());
        break;
      case v1::StreamEvent::kCursorShape:
        return HandleCursorShape(event.cursor_shape());
      case v1::StreamEvent::kCursorMoved:
        return HandleCursorMoved(event.cursor_moved());
      case v1::StreamEvent::kStateChanged:
        handler_.OnState(event.state_changed());
        break;
      case v1::StreamEvent::kStats:
        handler_.OnStats(event.stats());
        break;
      case v1::StreamEvent::kGoodbye:
        ending.goodbye = event.goodbye();
        handler_.OnGoodbye(event.goodbye());
        break;
      case v1::StreamEvent::kInputState:
      case v1::StreamEvent::kControlChanged:
        break;  // Nothing sends them yet.
      case v1::StreamEvent::EVENT_NOT_SET:
        break;  // An event of a newer server.
    }
    return absl::OkStatus();
  }

  absl::Status HandleCursorShape(const v1::CursorShape& shape) {
    const auto image = cursors_.OnShape(shape);
    if (image.ok()) handler_.OnCursorShape(**image);
    return image.status();
  }

  absl::Status HandleCursorMoved(const v1::CursorMoved& moved) {
    const auto image = cursors_.OnMoved(moved);
    if (!image.ok()) return image.status();
    // One that the server gave before and only names.
    if (*image != nullptr) handler_.OnCursorShape(**image);
    handler_.OnCursorMoved(moved);
    return absl::OkStatus();
  }

  // So that the next connection goes on as the same viewer, and other calls belong to him.
  void RememberViewer(const std::string& viewer_id) {
    metadata_->SetViewer(this, viewer_id);
    const std::lock_guard lock(mutex_);
    viewer_id_ = viewer_id;
  }

  void HandleAccessUnit(const v1::AccessUnit& unit) {
    const SteadyClock::time_point arrival = SteadyClock::now();
    const bool deliver = Admit(unit);
    if (deliver) handler_.OnAccessUnit(*this, unit);
    // The server counts a unit as in flight until it is acknowledged, dropped or not.
    const bool acknowledge = options_.acknowledge == AcknowledgeMode::kOnReturn ||
                             (options_.acknowledge == AcknowledgeMode::kExplicit && !deliver);
    if (!acknowledge) return;
    const auto duration = SteadyClock::now() - arrival;
    Acknowledge(unit.sequence(), {}, deliver ? duration : SteadyClock::duration::zero());
  }

  // Whether a decoder can use the unit. Asks for a key frame once if not.
  bool Admit(const v1::AccessUnit& unit) {
    const std::lock_guard lock(mutex_);
    if (first_sequence_ && unit.sequence() != last_sequence_ + 1) wants_key_frame_ = true;
    if (!first_sequence_) first_sequence_ = unit.sequence();
    // A sequence that went backwards would make older acknowledgements look valid.
    first_sequence_ = std::min(*first_sequence_, unit.sequence());
    last_sequence_ = unit.sequence();
    if (unit.key_frame()) {
      wants_key_frame_ = false;
      asked_for_key_frame_ = false;
    }
    if (!wants_key_frame_) return true;
    if (!asked_for_key_frame_) {
      asked_for_key_frame_ = true;
      outbox_.key_frame = true;
      changed_.notify_all();
    }
    return false;
  }

  const std::shared_ptr<v1::ViewerService::StubInterface> stub_;
  const std::shared_ptr<CallMetadata> metadata_;
  const std::string name_;
  const StreamOptions options_;
  const ExplainStatus explain_;
  StreamHandler& handler_;
  // The reader's.
  CursorImages cursors_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // All below: guarded by mutex_.
  v1::ViewerLimits limits_;
  std::string viewer_id_;
  Outbox outbox_;
  grpc::ClientContext* context_ = nullptr;  // The running call's, or null.
  bool stopping_ = false;
  bool connection_over_ = true;
  bool ended_ = false;
  absl::Status end_status_;
  std::thread::id thread_id_;
  // Sequences of the running connection.
  std::optional<uint64_t> first_sequence_;
  uint64_t last_sequence_ = 0;
  bool wants_key_frame_ = true;
  bool asked_for_key_frame_ = false;

  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace

std::unique_ptr<Stream> StartStream(std::shared_ptr<v1::ViewerService::StubInterface> stub,
                                    std::shared_ptr<CallMetadata> metadata, std::string name,
                                    const StreamOptions& options, ExplainStatus explain,
                                    StreamHandler& handler) {
  return std::make_unique<StreamImpl>(std::move(stub), std::move(metadata), std::move(name),
                                      options, std::move(explain), handler);
}

}  // namespace planecast
