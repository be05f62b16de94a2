#include "service/rpc/grpc_queue.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "grpc/health/v1/health.grpc.pb.h"
#include "service/rpc/grpc_unary.h"
#include "tests/service/rpc/test_gate.h"

namespace planecast {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using Exchange = std::shared_ptr<UnaryExchange<HealthCheckRequest, HealthCheckResponse>>;

/// A server with one unary method, whose handler is the test's.
class GrpcQueueTest : public ::testing::Test {
 protected:
  void Start(HandlerThread thread, std::function<void(const Exchange&)> handler) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    queue_.AddTo(builder);
    AddUnary(queue_, "grpc.health.v1.Health.Check", thread, &service_,
             &Health::AsyncService::RequestCheck, std::move(handler));
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    queue_.Serve();
    stub_ = Health::NewStub(server_->InProcessChannel({}));
  }
  void Stop() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    queue_.Stop();
  }
  void TearDown() override { Stop(); }

  grpc::Status Check(const std::string& service, HealthCheckResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(120));
    HealthCheckRequest request;
    request.set_service(service);
    return stub_->Check(&context, request, response);
  }

  Health::AsyncService service_;
  testing::TestGate gate_;
  GrpcQueue queue_{MonotonicClock(), gate_.gate()};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Health::Stub> stub_;
};

class GrpcQueueThreadTest : public GrpcQueueTest,
                            public ::testing::WithParamInterface<HandlerThread> {};

TEST_P(GrpcQueueThreadTest, AHandlerRunsWhereItWasPut) {
  std::promise<std::thread::id> ran;
  Start(GetParam(), [&ran](const Exchange& exchange) {
    ran.set_value(std::this_thread::get_id());
    exchange->response().set_status(HealthCheckResponse::NOT_SERVING);
    exchange->Finish(absl::OkStatus());
  });
  std::promise<std::thread::id> queues;
  queue_.Post([&queues] { queues.set_value(std::this_thread::get_id()); });
  HealthCheckResponse response;
  EXPECT_TRUE(Check("a", &response).ok());
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  const bool same = ran.get_future().get() == queues.get_future().get();
  EXPECT_EQ(same, GetParam() == HandlerThread::kQueue);
}

INSTANTIATE_TEST_SUITE_P(, GrpcQueueThreadTest,
                         ::testing::Values(HandlerThread::kQueue, HandlerThread::kWorker),
                         [](const auto& param_info) {
                           return param_info.param == HandlerThread::kQueue ? "Queue" : "Worker";
                         });

TEST_F(GrpcQueueTest, AnErrorReachesTheClientWithItsCodeAndText) {
  Start(HandlerThread::kWorker, [](const Exchange& exchange) {
    exchange->Finish(absl::NotFoundError("no " + exchange->request().service()));
  });
  HealthCheckResponse response;
  const grpc::Status status = Check("x", &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no x");
}

TEST_F(GrpcQueueTest, OneCallThatWaitsHoldsUpNoOther) {
  std::promise<Exchange> slow;
  Start(HandlerThread::kQueue, [&slow](const Exchange& exchange) {
    if (exchange->request().service() == "slow") return slow.set_value(exchange);
    exchange->Finish(absl::OkStatus());
  });
  auto waiting = std::async(std::launch::async, [this] {
    HealthCheckResponse response;
    return Check("slow", &response);
  });
  const Exchange exchange = slow.get_future().get();
  HealthCheckResponse response;
  EXPECT_TRUE(Check("fast", &response).ok());
  exchange->Finish(absl::OkStatus());
  EXPECT_TRUE(waiting.get().ok());
}

TEST_F(GrpcQueueTest, AnAnswerMayComeWhenTheClientIsGoneAndEvenTheServer) {
  std::promise<Exchange> first;
  Start(HandlerThread::kQueue, [&first](const Exchange& exchange) { first.set_value(exchange); });
  grpc::ClientContext context;
  auto waiting = std::async(std::launch::async, [&] {
    HealthCheckResponse response;
    return stub_->Check(&context, HealthCheckRequest(), &response).error_code();
  });
  const Exchange exchange = first.get_future().get();
  context.TryCancel();
  EXPECT_EQ(waiting.get(), grpc::StatusCode::CANCELLED);
  exchange->response().set_status(HealthCheckResponse::SERVING);
  Stop();
  exchange->Finish(absl::OkStatus());
}

TEST_F(GrpcQueueTest, StoppedBeforeItServesItLeavesNothingBehind) {
  grpc::ServerBuilder builder;
  queue_.AddTo(builder);
  queue_.Stop();
  queue_.Stop();
}

}  // namespace
}  // namespace planecast
