#include "service/rpc/grpc_health_service.h"

#include <grpcpp/support/async_stream.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/rpc/grpc_unary.h"

namespace planecast {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

std::set<std::string> WithServer(const std::vector<std::string>& services) {
  std::set<std::string> all(services.begin(), services.end());
  all.insert("");
  return all;
}

}  // namespace

/// Writes the state whenever it differs from what was written last.
class GrpcHealthService::WatchCall final : public GrpcCall {
 public:
  WatchCall(GrpcQueue& queue, uint64_t id, GrpcHealthService& service)
      : GrpcCall(queue, id), service_(service), writer_(&grpc_context()) {}
  ~WatchCall() override { service_.watches_.erase(this); }

  void OnWake() override { Pump(); }
  void HandleDrain() override {
    if (accepted()) End(absl::UnavailableError("the server is shutting down"));
  }

 protected:
  void StartAccept() override {
    service_.RequestWatch(&grpc_context(), &request_, &writer_, queue().queue(), queue().queue(),
                          TagOf(Op::kAccepted));
  }
  void StartFinish(const grpc::Status& status) override {
    writer_.Finish(status, TagOf(Op::kFinished));
  }
  Shared shared() const override { return Shared::kHealthWatches; }
  void HandleAccepted() override {
    service_.watches_.insert(this);
    Pump();
  }
  void HandleWritten(bool ok) override {
    if (ok) Pump();
  }

 private:
  void Pump() {
    const auto status = service_.StatusOf(request_.service());
    if (!CanWrite() || status == written_) return;
    written_ = status;
    HealthCheckResponse response;
    response.set_status(status);
    NoteWrite();
    writer_.Write(response, TagOf(Op::kWritten));
  }

  GrpcHealthService& service_;
  HealthCheckRequest request_;
  grpc::ServerAsyncWriter<HealthCheckResponse> writer_;
  HealthCheckResponse::ServingStatus written_ = HealthCheckResponse::UNKNOWN;
};

GrpcHealthService::GrpcHealthService(const std::vector<std::string>& services)
    : services_(WithServer(services)) {}

void GrpcHealthService::AddTo(grpc::ServerBuilder& builder, GrpcQueue& queue) {
  builder.RegisterService(this);
  queue_ = &queue;
  AddUnary(queue, "grpc.health.v1.Health.Check", HandlerThread::kQueue, this,
           &GrpcHealthService::RequestCheck, [this](const auto& exchange) {
             exchange->Finish(Check(exchange->request().service(), exchange->response()));
           });
  queue.Add("grpc.health.v1.Health.Watch", [this](GrpcQueue& q, uint64_t id) {
    return std::make_unique<WatchCall>(q, id, *this);
  });
}

void GrpcHealthService::StopServing() {
  if (queue_ == nullptr) return;
  queue_->Post([this] {
    serving_ = false;
    for (WatchCall* watch : watches_) watch->OnWake();
  });
}

HealthCheckResponse::ServingStatus GrpcHealthService::StatusOf(const std::string& service) const {
  if (!services_.contains(service)) return HealthCheckResponse::SERVICE_UNKNOWN;
  return serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

absl::Status GrpcHealthService::Check(const std::string& service,
                                      HealthCheckResponse& response) const {
  const auto status = StatusOf(service);
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    return absl::NotFoundError(absl::StrCat("there is no service ", service));
  }
  response.set_status(status);
  return absl::OkStatus();
}

}  // namespace planecast
