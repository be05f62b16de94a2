// What a ticket's holder gets: one use is one viewer.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "google/protobuf/util/time_util.h"
#include "service/rpc/door.h"
#include "tests/service/daemon_access_testing.h"

namespace planecast::testing {
namespace {

using google::protobuf::util::TimeUtil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kOk[] = "OK";
constexpr char kInvalid[] = "UNAUTHENTICATED TICKET_INVALID";
constexpr char kWithoutStream[] = "PERMISSION_DENIED TICKET_WITHOUT_STREAM";
constexpr char kMissing[] = "PERMISSION_DENIED PERMISSION_MISSING";
constexpr char kNoViewer[] = "NOT_FOUND VIEWER_NOT_FOUND";
/// Of the right form, and nobody's.
const std::string kUnknown = "pct_" + std::string(43, 'A');

/// Whether somebody may stream a display now: what his stream is told at its end, or OK.
std::string StreamAs(const As& as, const std::string& id, const std::string& resumed = "") {
  ViewerStream stream(as, id, resumed);
  const auto event = stream.Next();
  if (event.has_started()) return kOk;
  return event.has_goodbye() ? event.goodbye().message() : Told(stream.Finish());
}

class DaemonTicketsTest : public DaemonAccessTest {
 protected:
  void SetUp() override { StartWith({"a", "b"}); }
  std::string Secret(const std::string& role = "viewer") const {
    return Ticket(role, "a").secret();
  }
  static grpc::Status Report(const As& as, const std::string& viewer_id) {
    v1::ReportViewerRequest request;
    request.set_viewer_id(viewer_id);
    v1::ReportViewerResponse response;
    return Call(as, &v1::ViewerService::Stub::ReportViewer, request, &response);
  }
  v1::ListTicketsResponse Tickets() const {
    v1::ListTicketsResponse response;
    const auto status = Call(Operator(), &v1::AccessService::Stub::ListTickets,
                             v1::ListTicketsRequest(), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  /// Waits until nothing of a stream is left at the server.
  void AwaitNoViewer(const std::string& id) {
    Await(id, [](const v1::Display& display) { return display.viewer_count() == 0; });
  }
};

TEST_F(DaemonTicketsTest, ItsHolderIsNamedAfterIt) {
  const auto made = Ticket("viewer", "a");
  EXPECT_THAT(made.secret(), ::testing::MatchesRegex("pct_[A-Za-z0-9_-]{43}"));
  const std::string id = made.ticket().name().substr(sizeof("tickets/") - 1);
  EXPECT_EQ(PrincipalOf(Viewer(made.secret())), "ticket:" + id);
  // By each way that keeps a secret.
  EXPECT_EQ(PrincipalOf(OnLoopback(made.secret())), "ticket:" + id);
  EXPECT_EQ(PrincipalOf(OverTls({}, made.secret())), "ticket:" + id);
  // On the operators' socket too he is not the operator.
  As as = Operator();
  as.secret = made.secret();
  EXPECT_EQ(PrincipalOf(as), "ticket:" + id);
  EXPECT_EQ(Told(GetAs(as, "b")), kMissing);
}

TEST_F(DaemonTicketsTest, ReadsBeforeTheStreamUseNothingUp) {
  const std::string secret = Secret();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Told(GetAs(Viewer(secret), "a")), kOk);
  EXPECT_EQ(Tickets().tickets(0).uses_left(), 1);
  EXPECT_EQ(StreamAs(Viewer(secret), "a"), kOk);
}

TEST_F(DaemonTicketsTest, WritesNeedTheStreamAndItsViewerId) {
  const std::string secret = Secret("controller");
  EXPECT_EQ(Told(SetModeAs(Viewer(secret), "a")), kWithoutStream);
  ViewerStream stream(Viewer(secret), "a");
  const std::string viewer_id = stream.started().viewer_id();
  EXPECT_EQ(Told(SetModeAs(Viewer(secret, viewer_id), "a")), kOk);
  EXPECT_EQ(Told(Report(Viewer(secret, viewer_id), viewer_id)), kOk);
  // Without its id nothing of the ticket is left, as for the unknown one.
  EXPECT_EQ(Told(SetModeAs(Viewer(secret), "a")), kInvalid);
  EXPECT_EQ(Told(GetAs(Viewer(secret), "a")), kInvalid);
  EXPECT_EQ(Told(GetAs(Viewer(secret, "another"), "a")), kInvalid);
}

TEST_F(DaemonTicketsTest, AViewerIdAloneIsNothing) {
  ViewerStream stream(Viewer(Secret("controller")), "a");
  const std::string viewer_id = stream.started().viewer_id();
  EXPECT_EQ(Told(SetModeAs(Viewer("", viewer_id), "a")), "UNAUTHENTICATED CREDENTIALS_MISSING");
  // Nor is it with somebody else's ticket.
  EXPECT_EQ(Told(SetModeAs(Viewer(Secret("controller"), viewer_id), "a")), kInvalid);
}

TEST_F(DaemonTicketsTest, ATicketSpeaksForItsOwnViewerAlone) {
  const std::string one = Secret();
  const std::string other = Secret();
  ViewerStream streams[] = {{Viewer(one), "a"}, {Viewer(other), "a"}};
  const std::string own = streams[0].started().viewer_id();
  const std::string others = streams[1].started().viewer_id();
  EXPECT_EQ(Told(Report(Viewer(one, own), own)), kOk);
  EXPECT_EQ(Told(Report(Viewer(one, own), others)), kNoViewer);
  EXPECT_EQ(StreamAs(Viewer(one), "a", others), kInvalid);
}

TEST_F(DaemonTicketsTest, ASecondStreamGetsTheVeryAnswerOfAnUnknownTicket) {
  const std::string secret = Secret();
  ViewerStream first(Viewer(secret), "a");
  first.started();
  ViewerStream second(Viewer(secret), "a");
  ViewerStream unknown(Viewer(kUnknown), "a");
  const grpc::Status told = second.Finish();
  const grpc::Status expected = unknown.Finish();
  EXPECT_EQ(Told(expected), kInvalid);
  EXPECT_EQ(told.error_code(), expected.error_code());
  EXPECT_EQ(told.error_message(), expected.error_message());
  EXPECT_EQ(told.error_details(), expected.error_details());
  // The first goes on.
  EXPECT_EQ(Told(GetAs(Viewer(secret, first.started().viewer_id()), "a")), kOk);
}

TEST_F(DaemonTicketsTest, AUsedTicketHearsTheSameWhateverItAsksFor) {
  const std::string secret = Secret();
  ViewerStream first(Viewer(secret), "a");
  first.started();
  for (const std::string& shown : {secret, kUnknown}) {
    for (const char* id : {"a", "b", "none"}) {
      EXPECT_EQ(StreamAs(Viewer(shown), id), kInvalid) << id;
      EXPECT_EQ(StreamAs(Viewer(shown), id, "another"), kInvalid) << id;
    }
  }
}

TEST_F(DaemonTicketsTest, UsesAreCounted) {
  auto request = TicketRequest("viewer", {"a"});
  request.set_uses(2);
  const std::string secret = Ticket(request).secret();
  ViewerStream streams[] = {{Viewer(secret), "a"}, {Viewer(secret), "a"}};
  EXPECT_NE(streams[0].started().viewer_id(), streams[1].started().viewer_id());
  EXPECT_EQ(Tickets().tickets(0).uses_left(), 0);
  EXPECT_EQ(Tickets().tickets(0).session_count(), 2);
  EXPECT_EQ(StreamAs(Viewer(secret), "a"), kInvalid);
}

TEST_F(DaemonTicketsTest, AStreamThatCameToNothingUsesNothingUp) {
  const std::string secret = Secret();
  auto wrong = ViewerStream::Start("a");
  wrong.mutable_limits()->set_frame_rate_max_hz(-1);
  EXPECT_EQ(Told(ViewerStream(Viewer(secret), wrong).Finish()), "INVALID_ARGUMENT FIELD_INVALID");
  EXPECT_EQ(StreamAs(Viewer(secret), "b"), kMissing);
  EXPECT_EQ(StreamAs(Viewer(secret), "a"), kOk);
}

TEST_F(DaemonTicketsTest, ATicketWorksUntilItsTimeToStartIsOver) {
  auto request = TicketRequest("viewer", {"a"});
  request.mutable_start_ttl()->set_seconds(5);
  const std::string secret = Ticket(request).secret();
  clock_.Jump(4 * kSecond);
  EXPECT_EQ(Told(GetAs(Viewer(secret), "a")), kOk);
  clock_.Jump(1 * kSecond);
  EXPECT_EQ(Told(GetAs(Viewer(secret), "a")), kInvalid);
  EXPECT_EQ(StreamAs(Viewer(secret), "a"), kInvalid);
}

TEST_F(DaemonTicketsTest, AReconnectGoesOnUnderTheSameIdWhileTheGraceLasts) {
  const std::string secret = Secret("controller");
  ViewerStream first(Viewer(secret), "a");
  const std::string viewer_id = first.started().viewer_id();
  first.Cancel();
  AwaitNoViewer("a");
  clock_.Jump(29 * kSecond);
  // Calls still belong to it meanwhile.
  EXPECT_EQ(Told(SetModeAs(Viewer(secret, viewer_id), "a")), kOk);
  ViewerStream second(Viewer(secret), "a", viewer_id);
  EXPECT_EQ(second.started().viewer_id(), viewer_id);
  second.Cancel();
  AwaitNoViewer("a");
  clock_.Jump(30 * kSecond);
  EXPECT_EQ(Told(SetModeAs(Viewer(secret, viewer_id), "a")), kInvalid);
  EXPECT_EQ(StreamAs(Viewer(secret), "a", viewer_id), kInvalid);
}

TEST_F(DaemonTicketsTest, AReconnectTakesTheStreamThatTheServerStillHas) {
  const std::string secret = Secret();
  ViewerStream first(Viewer(secret), "a");
  const std::string viewer_id = first.started().viewer_id();
  ViewerStream second(Viewer(secret), "a", viewer_id);
  EXPECT_EQ(second.started().viewer_id(), viewer_id);
  EXPECT_EQ(first.Goodbye().reason(), v1::Goodbye::REASON_RESUMED);
  EXPECT_EQ(Told(first.Finish()), kOk);
  // The session is the second's: the first one's end took nothing from it.
  EXPECT_EQ(Told(GetAs(Viewer(secret, viewer_id), "a")), kOk);
  EXPECT_EQ(Tickets().tickets(0).session_count(), 1);
}

TEST_F(DaemonTicketsTest, ARevokedTicketEndsAllThatGoesOn) {
  const auto made = Ticket("controller", "a");
  ViewerStream stream(Viewer(made.secret()), "a");
  const As viewer = Viewer(made.secret(), stream.started().viewer_id());
  v1::DisplayService::Stub stub(viewer.channel);
  CallContext context;
  viewer.Sign(context);
  const auto watch = stub.WatchDisplays(&context, v1::WatchDisplaysRequest());
  v1::WatchDisplaysResponse response;
  ASSERT_TRUE(watch->Read(&response));
  ASSERT_EQ(Told(Revoke(Operator(), made.ticket().name())), kOk);
  const auto goodbye = stream.Goodbye();
  EXPECT_EQ(goodbye.reason(), v1::Goodbye::REASON_REVOKED);
  EXPECT_THAT(goodbye.message(), HasSubstr("revoked"));
  EXPECT_FALSE(goodbye.has_retry_after());
  EXPECT_EQ(Told(stream.Finish()), kOk);
  while (watch->Read(&response)) {
  }
  EXPECT_EQ(Told(watch->Finish()), kInvalid);
  EXPECT_EQ(Told(SetModeAs(viewer, "a")), kInvalid);
  EXPECT_EQ(StreamAs(Viewer(made.secret()), "a", viewer.viewer_id), kInvalid);
  EXPECT_EQ(Told(Revoke(Operator(), made.ticket().name())), "NOT_FOUND TICKET_NOT_FOUND");
  EXPECT_EQ(Tickets().tickets_size(), 0);
}

TEST_F(DaemonTicketsTest, ADetachEndsTheTicketsAlsoForTheNextOfThatName) {
  const std::string secret = Secret();
  const std::string both = Ticket(TicketRequest("viewer", {"a", "b"})).secret();
  ViewerStream other(Viewer(both), "b");
  other.started();
  ASSERT_TRUE(Detach("displays/a").ok());
  EXPECT_EQ(other.Goodbye().reason(), v1::Goodbye::REASON_REVOKED);
  AttachFake("a");
  EXPECT_EQ(Told(GetAs(Viewer(secret), "a")), kInvalid);
  EXPECT_EQ(StreamAs(Viewer(secret), "a"), kInvalid);
  EXPECT_EQ(Tickets().tickets_size(), 0);
}

TEST_F(DaemonTicketsTest, AStreamEndsWithItsSessionsTime) {
  auto request = TicketRequest("viewer", {"a"});
  request.mutable_session_max()->set_seconds(1);
  const std::string secret = Ticket(request).secret();
  ViewerStream stream(Viewer(secret), "a");
  const v1::StreamStarted started = stream.started();
  const auto told = started.session_end_time() - started.server_time();
  EXPECT_GT(TimeUtil::DurationToMilliseconds(told), 0);
  EXPECT_LE(TimeUtil::DurationToMilliseconds(told), 1000);
  const auto goodbye = stream.Goodbye();
  EXPECT_EQ(goodbye.reason(), v1::Goodbye::REASON_REVOKED);
  EXPECT_THAT(goodbye.message(), HasSubstr("time is over"));
  EXPECT_EQ(StreamAs(Viewer(secret), "a", started.viewer_id()), kInvalid);
}

TEST_F(DaemonTicketsTest, AStreamIsToldWhatItMay) {
  ViewerStream watching(Viewer(Secret()), "a");
  EXPECT_THAT(watching.started().permissions(),
              ElementsAre(v1::PERMISSION_LIST, v1::PERMISSION_WATCH, v1::PERMISSION_SNAPSHOT));
  EXPECT_EQ(watching.started().viewer_name(), "displays/a/viewers/1");
  EXPECT_EQ(watching.started().display_uid(), Display("a").uid());
  EXPECT_GT(TimeUtil::DurationToMilliseconds(watching.started().report_interval()), 0);
  ViewerStream operators(Operator(), "a");
  EXPECT_EQ(operators.started().permissions_size(), v1::Permission_ARRAYSIZE - 1);
  EXPECT_EQ(operators.started().viewer_name(), "displays/a/viewers/2");
  EXPECT_FALSE(operators.started().has_session_end_time());
}

TEST_F(DaemonTicketsTest, ACursorInThePictureNeedsControlOrRecord) {
  auto start = ViewerStream::Start("a");
  start.set_cursor_in_picture(true);
  EXPECT_EQ(Told(ViewerStream(Viewer(Secret()), start).Finish()), kMissing);
  const As controller = Viewer(Secret("controller"));
  const As recorder = Viewer(Secret("operator"));
  for (const As& as : {controller, recorder, Operator()}) {
    ViewerStream stream(as, start);
    EXPECT_NE(stream.started().viewer_id(), "");
  }
}

TEST_F(DaemonTicketsTest, AnEvictedViewersSessionIsOver) {
  const std::string secret = Secret();
  ViewerStream stream(Viewer(secret), "a");
  const std::string viewer_id = stream.started().viewer_id();
  v1::EndViewerRequest request;
  request.set_name(stream.started().viewer_name());
  request.set_message("Lunch.");
  v1::EndViewerResponse response;
  const auto end = [&] {
    return Told(Call(Operator(), &v1::ViewerService::Stub::EndViewer, request, &response));
  };
  EXPECT_EQ(end(), kOk);
  const auto goodbye = stream.Goodbye();
  EXPECT_EQ(goodbye.reason(), v1::Goodbye::REASON_EVICTED);
  EXPECT_EQ(goodbye.message(), "Lunch.");
  EXPECT_EQ(Told(stream.Finish()), kOk);
  EXPECT_EQ(StreamAs(Viewer(secret), "a", viewer_id), kInvalid);
  EXPECT_EQ(Told(GetAs(Viewer(secret, viewer_id), "a")), kInvalid);
  EXPECT_EQ(end(), kNoViewer);
}

TEST_F(DaemonTicketsTest, AnEvictedOperatorMayComeBack) {
  ViewerStream stream(Operator(), "a");
  v1::EndViewerRequest request;
  request.set_name(stream.started().viewer_name());
  v1::EndViewerResponse response;
  EXPECT_TRUE(Call(Operator(), &v1::ViewerService::Stub::EndViewer, request, &response).ok());
  EXPECT_EQ(stream.Goodbye().reason(), v1::Goodbye::REASON_EVICTED);
  EXPECT_EQ(StreamAs(Operator(), "a", stream.started().viewer_id()), kOk);
}

TEST_F(DaemonTicketsTest, ATicketForACertificateNeedsThatCertificate) {
  const TestCertificate own = MakeLeaf("holder", ca_);
  const auto identity = ReadCertificate(own.certificate);
  ASSERT_TRUE(identity.has_value());
  // As openssl prints it.
  std::string fingerprint;
  for (size_t i = 0; i < identity->sha256.size(); i += 2) {
    fingerprint += (i == 0 ? "" : ":") + absl::AsciiStrToUpper(identity->sha256.substr(i, 2));
  }
  auto request = TicketRequest("viewer", {"a"});
  request.set_certificate_sha256(fingerprint);
  const auto made = Ticket(request);
  EXPECT_EQ(made.ticket().certificate_sha256(), identity->sha256);
  const std::string& secret = made.secret();
  for (const As& as : {Viewer(secret), OnLoopback(secret), OverTls({}, secret),
                       OverTls(MakeLeaf("holder", ca_), secret)}) {
    EXPECT_EQ(Told(GetAs(as, "a")), kInvalid);
    EXPECT_EQ(StreamAs(as, "a"), kInvalid);
  }
  EXPECT_EQ(Told(GetAs(OverTls(own, secret), "a")), kOk);
  EXPECT_EQ(StreamAs(OverTls(own, secret), "a"), kOk);
}

TEST_F(DaemonTicketsTest, TooManyWrongTicketsAreToldSoAndARightOneWorks) {
  const std::string secret = Secret();
  std::string told = kInvalid;
  int tries = 0;
  for (; told == kInvalid && tries < 1000; ++tries) {
    told = Told(GetAs(OnLoopback("pct_" + std::to_string(tries)), "a"));
  }
  EXPECT_EQ(told, "RESOURCE_EXHAUSTED TOO_MANY_TRIES");
  EXPECT_GT(tries, 20);
  EXPECT_EQ(Told(GetAs(OnLoopback(secret), "a")), kOk);
  EXPECT_EQ(StreamAs(OnLoopback(secret), "a"), kOk);
  // Others' tries are their own.
  EXPECT_EQ(Told(GetAs(Viewer(kUnknown), "a")), kInvalid);
  clock_.Jump(60 * kSecond);
  EXPECT_EQ(Told(GetAs(OnLoopback(kUnknown), "a")), kInvalid);
}

/// Addresses of this machine that others may reach it by; empty if it has none.
std::vector<std::string> AddressesOffLoopback() {
  std::vector<std::string> addresses;
  ifaddrs* all = nullptr;
  EXPECT_EQ(getifaddrs(&all), 0);
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    const bool usable = one->ifa_addr != nullptr && one->ifa_addr->sa_family == AF_INET &&
                        (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_LOOPBACK) == 0;
    if (!usable) continue;
    char text[INET_ADDRSTRLEN] = {};
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr, text,
              sizeof(text));
    addresses.emplace_back(text);
  }
  freeifaddrs(all);
  return addresses;
}

using DaemonPlainTextTest = DaemonAccessTest;

TEST_F(DaemonPlainTextTest, ATicketThatOthersMayHaveReadIsRefused) {
  StartWith({"a"},
            "listeners { address: \"0.0.0.0:0\" allow_plain_text_off_loopback: true "
            "anonymous_role: \"viewer\" }");
  const std::string secret = Ticket("controller", "a").secret();
  const std::string port = ":" + std::to_string(daemon_->addresses().at(4).port);
  std::vector<std::string> hosts = AddressesOffLoopback();
  // That it is plain text for others counts, not from where somebody comes.
  hosts.emplace_back("127.0.0.1");
  for (const std::string& host : hosts) {
    As as{grpc::CreateChannel(host + port, grpc::InsecureChannelCredentials())};
    EXPECT_EQ(PrincipalOf(as), "anonymous") << host;
    EXPECT_EQ(Told(SetModeAs(as, "a")), kMissing) << host;
    // A good one and one that nobody knows are told the same.
    for (const std::string& shown : {secret, kUnknown}) {
      as.secret = shown;
      EXPECT_EQ(Told(GetAs(as, "a")), "UNAUTHENTICATED TICKET_ON_PLAIN_TEXT") << host;
      EXPECT_EQ(StreamAs(as, "a"), "UNAUTHENTICATED TICKET_ON_PLAIN_TEXT") << host;
    }
  }
}

TEST_F(DaemonTicketsTest, MalformedCredentialsAreAWrongTicket) {
  const std::string secret = Secret();
  const auto told = [&](const std::vector<std::string>& values) {
    CallContext context;
    for (const std::string& value : values) context.AddMetadata("authorization", value);
    v1::GetHostInfoResponse response;
    return Told(v1::HostService::Stub(Viewer().channel)
                    .GetHostInfo(&context, v1::GetHostInfoRequest(), &response));
  };
  EXPECT_EQ(told({"Bearer " + secret}), kOk);
  EXPECT_EQ(told({"bearer " + secret}), kOk);
  EXPECT_EQ(told({secret}), kInvalid);
  EXPECT_EQ(told({""}), kInvalid);
  EXPECT_EQ(told({"Basic " + secret}), kInvalid);
  EXPECT_EQ(told({"Bearer " + secret + "A"}), kInvalid);
  EXPECT_EQ(told({"Bearer " + secret, "Bearer " + secret}), kInvalid);
}

}  // namespace
}  // namespace planecast::testing
