// Tickets in the library: when they are sent, with what, and where never.
#include "clients/cpp/ticket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <future>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clients/cpp/client.h"
#include "tests/clients/mock_server.h"
#include "tests/clients/test_certificate.h"

namespace planecast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kBearer = absl::StrCat("Bearer ", kMockTicket);

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

absl::StatusOr<std::unique_ptr<Client>> ConnectWithTicket(const std::string& server,
                                                          const std::string& ticket = kMockTicket) {
  ClientOptions options;
  options.server = server;
  options.ticket = ticket;
  return Client::Connect(options);
}

TEST(CheckTicketTest, KnowsTheFormOfATicketAndNeverRepeatsIt) {
  EXPECT_TRUE(CheckTicket(kMockTicket).ok());
  const std::string ticket = kMockTicket;
  for (const std::string& bad :
       {std::string(), ticket.substr(1), ticket + "x", ticket.substr(0, ticket.size() - 1),
        ticket.substr(0, ticket.size() - 1) + "=", "PCT_" + ticket.substr(4)}) {
    const absl::Status status = CheckTicket(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
    EXPECT_THAT(Message(status), Not(HasSubstr(ticket.substr(5, 10))));
  }
}

TEST(WithoutTicketsTest, LeavesNothingOfATicket) {
  EXPECT_EQ(WithoutTickets(absl::StrCat("--tikcet=", kMockTicket, " and ", kMockTicket)),
            "--tikcet=pct_... and pct_...");
  EXPECT_EQ(WithoutTickets("nothing, pct_ and pct"), "nothing, pct_ and pct");
  EXPECT_EQ(WithoutTickets(""), "");
}

TEST(ClientTicketTest, RefusesPlainTextToAnotherMachine) {
  ClientOptions options;
  options.ticket = kMockTicket;
  options.transport = Transport::kPlainText;
  for (const char* server : {"vmhost:7443", "10.0.0.1:7443", "127.0.0.1.example:7443"}) {
    options.server = server;
    const absl::Status status = Client::Connect(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << server;
    EXPECT_THAT(Message(status), HasSubstr("--tls-ca"));
    EXPECT_THAT(Message(status), Not(HasSubstr("abcdef")));
  }
  options.transport = Transport::kAuto;
  EXPECT_TRUE(Client::Connect(options).ok());
  for (const char* server : {"127.0.0.1:7443", "localhost:7443", "[::1]:7443", "unix:/tmp/x"}) {
    options.server = server;
    EXPECT_TRUE(Client::Connect(options).ok()) << server;
  }
}

TEST(ClientTicketTest, RefusesToFetchATicketInPlainTextFromAnotherMachine) {
  ClientOptions options;
  options.server = "vmhost:7443";
  options.transport = Transport::kPlainText;
  const auto made = (*Client::Connect(options))->CreateTicket({});
  EXPECT_TRUE(absl::IsInvalidArgument(made.status())) << made.status();
}

TEST(ClientTicketTest, RefusesWhatIsNoTicket) {
  EXPECT_TRUE(absl::IsInvalidArgument(ConnectWithTicket("unix:/tmp/x", "secret").status()));
}

TEST(ClientTicketTest, ReadsTheEnvironmentUnlessToldOtherwise) {
  const std::string other = std::string(kMockTicket).replace(4, 3, "xyz");
  MockServer server;
  setenv("PLANECAST_TICKET", other.c_str(), 1);
  EXPECT_TRUE((*ConnectWithTicket(server.address(), ""))->GetHostInfo().ok());
  EXPECT_TRUE((*ConnectWithTicket(server.address()))->GetHostInfo().ok());
  unsetenv("PLANECAST_TICKET");
  EXPECT_TRUE((*ConnectWithTicket(server.address(), ""))->GetHostInfo().ok());
  const auto calls = server.calls();
  ASSERT_EQ(calls.size(), 3U);
  EXPECT_EQ(calls[0].authorization, absl::StrCat("Bearer ", other));
  EXPECT_EQ(calls[1].authorization, kBearer);
  EXPECT_THAT(calls[2].authorization, IsEmpty());
}

TEST(ClientTicketTest, GoesOverTls) {
  const MockServer files;  // For its folder.
  const TestCertificate certificate(files.folder());
  ASSERT_TRUE(certificate.made()) << "the openssl program is needed: apt-get install openssl";
  MockServer server(certificate.MakeCredentials());
  ClientOptions options;
  options.server = server.address();
  options.tls.ca_path = certificate.path();
  options.ticket = kMockTicket;
  EXPECT_TRUE((*Client::Connect(options))->GetHostInfo().ok());
  EXPECT_EQ(server.calls().front().authorization, kBearer);
}

// Tells when the stream has started and when it has ended.
class Waiter : public StreamHandler {
 public:
  void OnStarted(Stream& /*stream*/, const v1::StreamStarted& /*started*/) override {
    started.set_value();
  }
  void OnAccessUnit(Stream& /*stream*/, const v1::AccessUnit& /*unit*/) override {}

  std::promise<void> started;
};

StreamScript ServeViewer(const std::string& viewer_id) {
  return [viewer_id](const v1::StreamStart&, ServerStream& stream) {
    v1::StreamDisplayResponse response = StartedEvent(640, 480);
    response.mutable_event()->mutable_started()->set_viewer_id(viewer_id);
    stream.Write(response);
    ReadToEnd(stream);
    return grpc::Status::OK;
  };
}

std::vector<std::string> ViewerIds(MockServer& server, const std::string& method) {
  std::vector<std::string> ids;
  for (const SeenCall& call : server.calls()) {
    if (call.method == method) ids.push_back(call.viewer_id);
  }
  return ids;
}

TEST(ClientTicketTest, OtherCallsBelongToTheViewerWhileItsStreamRuns) {
  MockServer server;
  server.AddDisplay(MakeDisplay("desk"));
  server.AddStreamScript(ServeViewer("viewer-1"));
  const auto client = *ConnectWithTicket(server.address());
  EXPECT_TRUE(client->GetDisplay("desk").ok());
  {
    Waiter waiter;
    const auto stream = *client->StreamDisplay("desk", {}, waiter);
    waiter.started.get_future().wait();
    EXPECT_TRUE(client->GetDisplay("desk").ok());
    client->WatchDisplays({}, [](const auto&) { return true; }).IgnoreError();
  }
  EXPECT_TRUE(client->GetDisplay("desk").ok());
  EXPECT_THAT(ViewerIds(server, "GetDisplay"), ElementsAre("", "viewer-1", ""));
  EXPECT_THAT(ViewerIds(server, "WatchDisplays"), ElementsAre("viewer-1"));
  EXPECT_THAT(ViewerIds(server, "StreamDisplay"), ElementsAre(""));
  for (const SeenCall& call : server.calls()) EXPECT_EQ(call.authorization, kBearer) << call.method;
}

TEST(ClientTicketTest, OtherCallsBelongToTheNewestOfTheViewersThatAreLeft) {
  MockServer server;
  server.AddDisplay(MakeDisplay("desk"));
  const auto client = *ConnectWithTicket(server.address());
  Waiter first_waiter;
  Waiter second_waiter;
  server.AddStreamScript(ServeViewer("viewer-1"));
  const auto first = *client->StreamDisplay("desk", {}, first_waiter);
  first_waiter.started.get_future().wait();
  server.AddStreamScript(ServeViewer("viewer-2"));
  auto second = *client->StreamDisplay("desk", {}, second_waiter);
  second_waiter.started.get_future().wait();
  EXPECT_TRUE(client->GetDisplay("desk").ok());
  second.reset();
  EXPECT_TRUE(client->GetDisplay("desk").ok());
  EXPECT_THAT(ViewerIds(server, "GetDisplay"), ElementsAre("viewer-2", "viewer-1"));
}

TEST(ClientTicketTest, WithoutATicketNoCallNamesAViewer) {
  MockServer server;
  server.AddDisplay(MakeDisplay("desk"));
  server.AddStreamScript(ServeViewer("viewer-1"));
  const auto client = *ConnectWithTicket(server.address(), "");
  Waiter waiter;
  const auto stream = *client->StreamDisplay("desk", {}, waiter);
  waiter.started.get_future().wait();
  EXPECT_TRUE(client->GetDisplay("desk").ok());
  EXPECT_THAT(ViewerIds(server, "GetDisplay"), ElementsAre(""));
}

}  // namespace
}  // namespace planecast
