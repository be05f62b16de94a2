#include "clients/cpp/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/clients/mock_server.h"
#include "tests/clients/test_certificate.h"

namespace planecast {
namespace {

using ::testing::HasSubstr;

/// For what works: only a failure takes as long.
constexpr std::chrono::seconds kPatience{120};

std::unique_ptr<Client> ConnectTo(const std::string& address, const TlsOptions& tls = {}) {
  ClientOptions options;
  options.server = address;
  options.tls = tls;
  options.deadline = kPatience;
  return *Client::Connect(options);
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST(ClientTest, ListsAllPages) {
  MockServer server;
  for (const char* id : {"a", "b", "c", "d", "e"}) server.AddDisplay(MakeDisplay(id));
  const auto displays = ConnectTo(server.address())->ListDisplays();
  ASSERT_TRUE(displays.ok());
  ASSERT_EQ(displays->size(), 5U);
  EXPECT_EQ(displays->back().name(), "displays/e");
  EXPECT_EQ(server.list_calls(), 3);
}

TEST(ClientTest, GetsADisplayByIdOrName) {
  MockServer server;
  server.AddDisplay(MakeDisplay("desk"));
  const auto client = ConnectTo(server.address());
  EXPECT_EQ(client->GetDisplay("desk")->name(), "displays/desk");
  EXPECT_EQ(client->GetDisplay("displays/desk")->name(), "displays/desk");
  EXPECT_TRUE(absl::IsNotFound(client->GetDisplay("other").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(client->GetDisplay("No").status()));
}

TEST(ClientTest, SaysWhatToDoWhereThereIsNoServer) {
  const auto client = ConnectTo("unix:/nonexistent/socket");
  const absl::Status status = client->GetHostInfo().status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(Message(status), HasSubstr("no server at unix:/nonexistent/socket"));
  EXPECT_THAT(Message(status), HasSubstr("PLANECAST_SERVER or --server"));
}

TEST(ClientTest, TriesAnAttachOnceMoreUnderTheSameRequestId) {
  MockServer server;
  server.FailCalls("AttachDisplay", {grpc::StatusCode::UNAVAILABLE, "lost"});
  v1::DisplaySource source;
  source.mutable_fake()->set_profile("ideal");
  const auto display = ConnectTo(server.address())->AttachDisplay("desk", source);
  EXPECT_TRUE(absl::IsUnavailable(display.status()));
  const auto requests = server.attach_requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].request_id().size(), 36U);
  EXPECT_EQ(requests[0].request_id(), requests[1].request_id());
}

TEST(ClientTest, DoesNotRepeatAnAttachAtAServerThatDrains) {
  MockServer server;
  server.FailCalls("AttachDisplay",
                   MakeError(grpc::StatusCode::UNAVAILABLE, "later", v1::ERROR_REASON_DRAINING));
  const auto display = ConnectTo(server.address())->AttachDisplay("desk", {});
  EXPECT_EQ(ReasonOf(display.status()), v1::ERROR_REASON_DRAINING);
  EXPECT_EQ(server.attach_requests().size(), 1U);
}

TEST(ClientTest, DoesNotRepeatAnAttachThatTheServerRefused) {
  MockServer server;
  server.FailCalls("AttachDisplay", {grpc::StatusCode::ALREADY_EXISTS, "taken"});
  const auto display = ConnectTo(server.address())->AttachDisplay("desk", {});
  EXPECT_TRUE(absl::IsAlreadyExists(display.status()));
  EXPECT_EQ(server.attach_requests().size(), 1U);
}

TEST(ClientTest, WatchesUntilTheCallbackHasEnough) {
  MockServer server;
  server.SetWatchScript([](grpc::ServerContext&, auto& writer) {
    v1::WatchDisplaysResponse event;
    *event.mutable_display() = MakeDisplay("desk");
    writer.Write(event);
    event.mutable_bookmark();
    writer.Write(event);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "drains");
  });
  const auto client = ConnectTo(server.address());
  int events = 0;
  const absl::Status enough =
      client->WatchDisplays({}, [&](const v1::WatchDisplaysResponse& event) {
        ++events;
        return !event.has_bookmark();
      });
  EXPECT_TRUE(enough.ok()) << enough;
  EXPECT_EQ(events, 2);
  const absl::Status ended =
      client->WatchDisplays({}, [](const v1::WatchDisplaysResponse&) { return true; });
  EXPECT_EQ(Message(ended), "drains");
}

TEST(ClientTest, AStopRequestEndsAWatchThatIsSilent) {
  MockServer server;
  server.SetWatchScript([](grpc::ServerContext& context, auto& writer) {
    v1::WatchDisplaysResponse event;
    event.mutable_bookmark();
    writer.Write(event);
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  });
  std::stop_source stop;
  const absl::Status status =
      ConnectTo(server.address())->WatchDisplays(stop.get_token(), [&](const auto&) {
        stop.request_stop();
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ClientTest, RefusesTlsOptionsThatContradictEachOther) {
  ClientOptions options;
  options.server = "unix:/tmp/x";
  options.tls.ca_path = "ca.pem";
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Connect(options).status()));
  options.server = "vmhost";
  options.transport = Transport::kPlainText;
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Connect(options).status()));
  options.transport = Transport::kTls;
  options.tls = {.certificate_path = "client.pem"};
  EXPECT_THAT(Message(Client::Connect(options).status()), HasSubstr("--tls-key"));
  options.tls = {.ca_path = "/nonexistent/ca.pem"};
  EXPECT_THAT(Message(Client::Connect(options).status()), HasSubstr("/nonexistent/ca.pem"));
}

TEST(ClientTest, TakesSnapshotsBeyondGrpcsDefaultLimit) {
  MockServer server;
  v1::GetSnapshotResponse snapshot;
  snapshot.set_image(std::string(5 << 20, 'x'));
  server.SetSnapshot(snapshot);
  ClientOptions options;
  options.server = server.address();
  // A client and a sync server of gRPC 1.51 in one process now and then wait ten seconds for each
  // other in a message that fills the socket; seen with any flow-control settings.
  options.deadline = kPatience;
  const auto received = (*Client::Connect(options))->GetSnapshot("desk");
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(received->image().size(), snapshot.image().size());
  EXPECT_EQ(server.snapshot_requests().front().size_max_bytes(), 64 << 20);
}

class ClientTlsTest : public ::testing::Test {
 protected:
  ClientTlsTest() {
    if (made_) server_ = std::make_unique<MockServer>(pair_.MakeCredentials());
  }

  MockServer files_;  // For its folder.
  const TestCertificate pair_{files_.folder()};
  const bool made_ = pair_.made();
  const std::string certificate_ = pair_.path();
  std::unique_ptr<MockServer> server_;
};

TEST_F(ClientTlsTest, ConnectsWhereTheCaIsNamed) {
  ASSERT_TRUE(made_) << "the openssl program is needed: apt-get install openssl";
  EXPECT_TRUE(ConnectTo(server_->address(), {.ca_path = certificate_})->GetHostInfo().ok());
  EXPECT_TRUE(
      ConnectTo(server_->address(), {.ca_path = certificate_, .server_name = "desk.example"})
          ->GetHostInfo()
          .ok());
}

TEST_F(ClientTlsTest, RefusesAnUnknownCertificateAndSaysWhichFlagHelps) {
  ASSERT_TRUE(made_) << "the openssl program is needed: apt-get install openssl";
  ClientOptions options;
  options.server = server_->address();
  options.transport = Transport::kTls;
  const absl::Status status = (*Client::Connect(options))->GetHostInfo().status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(Message(status), HasSubstr("--tls-ca"));
}

TEST_F(ClientTlsTest, TellsAPlainTextClientOfATlsServer) {
  ASSERT_TRUE(made_) << "the openssl program is needed: apt-get install openssl";
  const absl::Status status = ConnectTo(server_->address())->GetHostInfo().status();
  EXPECT_THAT(Message(status), HasSubstr("--tls-ca"));
}

TEST(ClientTest, TellsATlsClientOfAPlainTextServer) {
  MockServer server(grpc::InsecureServerCredentials());
  ClientOptions options;
  options.server = server.address();
  options.transport = Transport::kTls;
  const absl::Status status = (*Client::Connect(options))->GetHostInfo().status();
  EXPECT_THAT(Message(status), HasSubstr("plain text"));
}

}  // namespace
}  // namespace planecast
