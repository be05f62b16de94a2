// Unary methods on a completion queue of ours.
#pragma once

#include <grpcpp/support/async_unary_call.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "service/rpc/grpc_call.h"
#include "service/rpc/grpc_queue.h"

namespace planecast {

/// An answer of no more is no load, also if the client is slow to take it.
inline constexpr size_t kShortAnswerMaxBytes = 4096;

/// What a handler of a unary method is given: the request, and where the response goes. Shared by
/// the call and whoever answers it, so an answer may come at any time, also after the client left.
template <class Request, class Response>
class UnaryExchange {
 public:
  UnaryExchange(std::shared_ptr<GrpcWaker> waker, uint64_t call)
      : waker_(std::move(waker)), call_(call) {}

  const Request& request() const { return request_; }
  /// Who asks; the gate has let him.
  const Caller& caller() const { return caller_; }
  /// The answerer's until Finish.
  Response& response() { return response_; }
  /// The display that the audit line names, where no field of the request does. By the handler,
  /// before it returns.
  void set_audit_display(std::string id) { audit_display_ = std::move(id); }
  /// What more the audit line says. By the handler, before it finishes.
  void set_audit_detail(std::string detail) { audit_detail_ = std::move(detail); }
  /// Of the client; the end of time if it set none.
  std::chrono::system_clock::time_point deadline() const { return deadline_; }

  /// Takes a place of what all share, until the client has the answer and nobody works on it any
  /// more. By the handler, on the queue's thread. RESOURCE_EXHAUSTED, and the audit log was told.
  absl::Status Hold(Shared what) {
    auto hold = gate_->TakeShare(caller_, *rule_, what);
    if (!hold.ok()) return hold.status();
    own_hold_ = *std::move(hold);
    return absl::OkStatus();
  }
  /// If there is no answer by then, which the queue's thread looks for about once a second, the
  /// call ends with this. By the handler, on the queue's thread.
  void AnswerBy(int64_t deadline_ns, absl::Status late) {
    late_ns_ = deadline_ns;
    late_ = std::move(late);
  }

  /// It has an answer: more work on it is for nothing. Any thread.
  bool answered() {
    const std::lock_guard lock(mutex_);
    return finished_;
  }
  /// Ends the call; the response counts if the status is OK. By any thread. An answer that comes
  /// after AnswerBy's is dropped.
  void Finish(const absl::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (finished_) return;
      finished_ = true;
    }
    // Here and not at the call's end: what was done counts also when the client has left.
    if (on_finish_) on_finish_(status);
    {
      const std::lock_guard lock(mutex_);
      status_ = status;
    }
    waker_->Wake(call_);
  }

 private:
  template <class Service, class Req, class Resp>
  friend class UnaryCall;

  std::optional<absl::Status> status() {
    const std::lock_guard lock(mutex_);
    return status_;
  }
  void ReleaseHolds() {
    call_hold_.Release();
    own_hold_.Release();
  }

  const std::shared_ptr<GrpcWaker> waker_;
  const uint64_t call_;
  Request request_;
  Caller caller_;
  Response response_;
  std::chrono::system_clock::time_point deadline_;
  std::string audit_display_;
  std::string audit_detail_;
  // Of the queue's thread, while it may call Hold.
  GrpcGate* gate_ = nullptr;
  const MethodRule* rule_ = nullptr;
  /// The call's place, which stays taken while somebody works on the answer.
  ShareHold call_hold_;
  /// What the handler took.
  ShareHold own_hold_;
  int64_t late_ns_ = std::numeric_limits<int64_t>::max();
  absl::Status late_;
  /// Null if nobody is to hear of it.
  std::function<void(const absl::Status&)> on_finish_;
  std::mutex mutex_;
  bool finished_ = false;
  std::optional<absl::Status> status_;
};

/// Where a handler runs. It must not wait for a device or a client in either place.
enum class HandlerThread {
  /// The queue's: for what takes a few microseconds.
  kQueue,
  /// A worker of the queue's.
  kWorker
};

/// How a method is served.
template <class Service, class Request, class Response>
struct UnaryMethod {
  using Accept = void (Service::*)(grpc::ServerContext*, Request*,
                                   grpc::ServerAsyncResponseWriter<Response>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*);
  using Exchange = UnaryExchange<Request, Response>;
  using Handler = std::function<void(const std::shared_ptr<Exchange>&)>;
  /// The display that a request is about, where no field of it says so.
  using DisplayOf = std::function<absl::StatusOr<std::string>(const Request&)>;

  Service* service = nullptr;
  Accept accept = nullptr;
  HandlerThread thread = HandlerThread::kWorker;
  /// Sees to it that Finish is called, sooner or later.
  Handler handler;
  /// Null unless the method's rule needs it.
  DisplayOf display_of;
};

/// One call of a unary method.
template <class Service, class Request, class Response>
class UnaryCall final : public GrpcCall {
 public:
  using Method = UnaryMethod<Service, Request, Response>;

  UnaryCall(GrpcQueue& queue, uint64_t id, std::shared_ptr<const Method> method)
      : GrpcCall(queue, id),
        method_(std::move(method)),
        exchange_(std::make_shared<typename Method::Exchange>(queue.waker(), id)),
        writer_(&grpc_context()) {}

  void OnWake() override {
    auto status = exchange_->status();
    if (!status.has_value()) return;
    // A short answer is as good as sent. A long one takes memory until the client has taken it.
    const bool lingers = status->ok() && exchange_->response_.ByteSizeLong() > kShortAnswerMaxBytes;
    if (!lingers) exchange_->ReleaseHolds();
    End(*status);
  }
  void Tick(int64_t now_ns) override {
    if (accepted() && now_ns >= exchange_->late_ns_) exchange_->Finish(exchange_->late_);
    GrpcCall::Tick(now_ns);
  }

 protected:
  void StartAccept() override {
    (method_->service->*method_->accept)(&grpc_context(), &exchange_->request_, &writer_,
                                         queue().queue(), queue().queue(), TagOf(Op::kAccepted));
  }

  void StartFinish(const grpc::Status& status) override {
    if (status.ok()) {
      writer_.Finish(exchange_->response_, status, TagOf(Op::kFinished));
    } else {
      writer_.FinishWithError(status, TagOf(Op::kFinished));
    }
  }

  size_t request_bytes() const override { return exchange_->request_.ByteSizeLong(); }

  void HandleAccepted() override {
    exchange_->deadline_ = grpc_context().deadline();
    if (auto status = Admit(); !status.ok()) return End(status);
    exchange_->caller_ = caller();
    exchange_->audit_display_ = audit_display();
    exchange_->gate_ = &gate();
    exchange_->rule_ = &rule();
    exchange_->call_hold_ = std::move(hold());
    if (rule().event.has_value()) AuditWhenFinished();
    if (method_->thread == HandlerThread::kQueue) {
      method_->handler(exchange_);
      // Most have answered by now; the wake-up comes to nothing then.
      OnWake();
      return;
    }
    const bool taken = queue().workers().Submit(
        [method = method_, exchange = exchange_] { method->handler(exchange); });
    if (!taken) End(absl::ResourceExhaustedError("too many calls are waiting; try again soon"));
  }

 private:
  void AuditWhenFinished() {
    exchange_->on_finish_ =
        [exchange = exchange_.get(), gate = &gate(), start_ns = accepted_ns(),
         entry = GrpcGate::EntryFor(caller(), rule(), *rule().event)](const absl::Status& status) {
          AuditEntry told = entry;
          told.display = exchange->audit_display_;
          told.detail = exchange->audit_detail_;
          gate->AuditOutcome(std::move(told), status, start_ns);
        };
  }

  absl::Status Admit() {
    if (method_->display_of == nullptr) return AdmitRequest(exchange_->request_);
    auto id = method_->display_of(exchange_->request_);
    return id.ok() ? AdmitDisplay(*id) : id.status();
  }

  const std::shared_ptr<const Method> method_;
  const std::shared_ptr<typename Method::Exchange> exchange_;
  grpc::ServerAsyncResponseWriter<Response> writer_;
};

/// Serves a method of `service` on `queue`; both outlive the queue's Stop. E.g.
///   AddUnary(queue, "planecast.v1.DisplayService.GetDisplay", HandlerThread::kWorker, &service,
///            &Async::RequestGetDisplay, handler);
template <class Service, class Base, class Request, class Response, class Handler>
void AddUnary(GrpcQueue& queue, std::string_view name, HandlerThread thread, Service* service,
              void (Base::*accept)(grpc::ServerContext*, Request*,
                                   grpc::ServerAsyncResponseWriter<Response>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
              Handler handler,
              typename UnaryMethod<Base, Request, Response>::DisplayOf display_of = nullptr) {
  using Method = UnaryMethod<Base, Request, Response>;
  auto method = std::make_shared<Method>();
  method->service = service;
  method->accept = accept;
  method->thread = thread;
  method->handler = std::move(handler);
  method->display_of = std::move(display_of);
  queue.Add(name, [method](GrpcQueue& q, uint64_t id) {
    return std::make_unique<UnaryCall<Base, Request, Response>>(q, id, method);
  });
}

}  // namespace planecast
