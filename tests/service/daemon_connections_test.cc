// How many connections a whole daemon takes, by its config.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "service/sockets/aimless_meter.h"
#include "tests/service/daemon_testing.h"
#include "tests/service/telemetry/metrics_text.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

class DaemonConnectionsTest : public DaemonTest {
 protected:
  /// A client with a connection of its own.
  static std::shared_ptr<grpc::Channel> Channel(const std::string& target) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  }
  static grpc::StatusCode Call(const std::shared_ptr<grpc::Channel>& channel) {
    CallContext context;
    v1::GetHostInfoResponse response;
    return v1::HostService::NewStub(channel)->GetHostInfo(&context, {}, &response).error_code();
  }
  const std::string& tcp() const { return daemon_->addresses().at(1).target; }
};

TEST_F(DaemonConnectionsTest, AnAddressHasAsManyAsTheConfigSaysAndOperatorsSocketsHaveNoShares) {
  Start(
      "metrics_address: \"127.0.0.1:0\" "
      "limits { connections_max: 3 per_address { connections_max: 2 } }");
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < 2; ++i) {
    channels.push_back(Channel(tcp()));
    EXPECT_EQ(Call(channels.back()), grpc::StatusCode::OK);
  }
  EXPECT_EQ(Call(Channel(tcp())), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(log_.Text(), HasSubstr("limits.per_address.connections_max"));
  for (int i = 0; i < 10; ++i) {
    channels.push_back(Channel("unix:" + SocketPath()));
    EXPECT_EQ(Call(channels.back()), grpc::StatusCode::OK);
  }
  const std::string answer = HttpGet(daemon_->metrics_address(), "/metrics");
  auto samples = ReadMetrics(answer.substr(answer.find("\r\n\r\n") + 4));
  ASSERT_TRUE(samples.ok()) << samples.status();
  EXPECT_EQ(samples->at("planecast_connections{kind=\"tcp\"}"), 2);
  EXPECT_EQ(samples->at("planecast_connections{kind=\"unix\"}"), 10);
  EXPECT_GE(samples->at("planecast_connections_refused_total{reason=\"address_share\"}"), 1);
}

TEST_F(DaemonConnectionsTest, WhatAViewerSendsInMessagesIsNotForNothing) {
  Start();
  AttachFake("a");
  const auto stub = v1::ViewerService::NewStub(Channel(tcp()));
  Stream stream(*stub, "a");
  EXPECT_TRUE(stream.Next().has_started());
  // What a newer client may say, more than may come for nothing; a part with each picture, as a
  // viewer may send no quicker.
  v1::StreamDisplayRequest request;
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(
      15'000, std::string(4096, 'x'));
  for (size_t sent = 0; sent < 2 * static_cast<size_t>(kAimlessBurstBytes); sent += 4096) {
    ASSERT_NE(stream.Next().event_case(), v1::StreamEvent::EVENT_NOT_SET) << sent;
    ASSERT_TRUE(stream.Send(request)) << sent;
  }
  EXPECT_NE(stream.Next().event_case(), v1::StreamEvent::EVENT_NOT_SET);
}

}  // namespace
}  // namespace planecast::testing
