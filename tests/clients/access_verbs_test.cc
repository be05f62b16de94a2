// The verbs by which an operator lets people in, looks who is there, and sends them away.
#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/clients/cli_runner.h"
#include "tests/clients/mock_server.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

google::protobuf::Struct ParseJson(const std::string& json) {
  google::protobuf::Struct parsed;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &parsed).ok()) << json;
  return parsed;
}

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

class AccessVerbsTest : public ::testing::Test {
 protected:
  AccessVerbsTest() { server_.AddDisplay(MakeDisplay("desk")); }
  CliResult Run(std::vector<std::string> args) { return RunCli(server_, std::move(args)); }
  std::string Path(const std::string& name) const { return server_.folder() + "/" + name; }

  MockServer server_;
};

TEST_F(AccessVerbsTest, TicketPrintsALineToPaste) {
  const CliResult result = Run({"ticket", "desk"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            absl::StrCat("ticket 8c1f2a3b4c5d6e7f for displays/desk, role viewer, start within 60 "
                         "s:\n  PLANECAST_TICKET=",
                         kMockTicket, " planecast stats desk --server unix:", server_.folder(),
                         "/viewers.sock\n"));
  const auto requests = server_.ticket_requests();
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_THAT(requests[0].displays(), ElementsAre("displays/desk"));
  // The server knows the defaults.
  EXPECT_FALSE(requests[0].has_start_ttl());
  EXPECT_FALSE(requests[0].has_session_max());
  EXPECT_EQ(requests[0].uses(), 0);
  EXPECT_EQ(requests[0].role(), "");
}

TEST_F(AccessVerbsTest, TicketAsksForWhatItIsTold) {
  const CliResult result =
      Run({"ticket", "desk", "displays/door", "--role", "controller", "--ttl", "5m",
           "--session-max", "30d", "--uses", "3", "--certificate-sha256", "AB:CD", "--note",
           "for Alice", "--for", "vmhost", "--for-ca", "my ca.pem"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const v1::CreateTicketRequest request = server_.ticket_requests().at(0);
  EXPECT_THAT(request.displays(), ElementsAre("displays/desk", "displays/door"));
  EXPECT_EQ(request.role(), "controller");
  EXPECT_EQ(request.start_ttl().seconds(), 300);
  EXPECT_EQ(request.session_max().seconds(), 30 * 24 * 3600);
  EXPECT_EQ(request.uses(), 3);
  EXPECT_EQ(request.certificate_sha256(), "AB:CD");
  EXPECT_EQ(request.note(), "for Alice");
  const std::vector<std::string> lines = Lines(result.out);
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_THAT(lines[0], HasSubstr("displays/desk, displays/door, role controller, start within 5 "
                                  "min, 3 viewers:"));
  EXPECT_THAT(lines[1], HasSubstr("stats desk --server vmhost:7443 --tls-ca 'my ca.pem'"));
  EXPECT_THAT(lines[2], HasSubstr("stats door --server vmhost:7443 --tls-ca 'my ca.pem'"));
}

TEST_F(AccessVerbsTest, TicketTellsAProgramAll) {
  const auto json = ParseJson(Run({"ticket", "desk", "-o", "json"}).out);
  EXPECT_EQ(json.fields().at("secret").string_value(), kMockTicket);
  EXPECT_EQ(json.fields().at("ticket").struct_value().fields().at("name").string_value(),
            "tickets/8c1f2a3b4c5d6e7f");
}

TEST_F(AccessVerbsTest, TicketOfAnOperatorByTcpNamesTheAddressHeUses) {
  MockServer tcp(grpc::InsecureServerCredentials());
  const CliResult result = RunCli(tcp, {"ticket", "desk"});
  EXPECT_THAT(result.out, HasSubstr(absl::StrCat(" --server ", tcp.address(), "\n")));
}

TEST_F(AccessVerbsTest, TicketPassesOnWhyTheServerRefused) {
  server_.FailCalls("CreateTicket",
                    MakeError(grpc::StatusCode::PERMISSION_DENIED, "you lack CONTROL on desk",
                              v1::ERROR_REASON_GRANT_EXCEEDS_OWN));
  const CliResult result = Run({"ticket", "desk", "--role", "controller"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(StartsWith("planecast: can't make a ticket for desk: you lack"),
                                HasSubstr("smaller role")));
  EXPECT_THAT(result.out, IsEmpty());
}

TEST_F(AccessVerbsTest, WrongUsageExitsWithTwo) {
  const std::vector<std::vector<std::string>> wrong = {
      {"ticket"},
      {"ticket", "Desk"},
      {"ticket", "desk", "Door"},
      {"ticket", "desk", "--ttl", "60"},
      {"ticket", "desk", "--ttl", "1.5h"},
      {"ticket", "desk", "--session-max", "31d"},
      {"ticket", "desk", "--uses", "0"},
      {"ticket", "desk", "--for", "a/b"},
      {"ticket", "desk", "--for-ca", "ca.pem"},
      {"tickets", "desk"},
      {"tickets", "-o", "names"},
      {"revoke"},
      {"revoke", "tickets/a/b"},
      {"revoke", kMockTicket},
      {"viewers"},
      {"kick", "desk"},
      {"kick", "desk", "displays/other/viewers/1"},
      {"label", "desk"},
      {"label", "desk", "owner"},
      {"label", "desk", "=x"},
      {"attach", "d", "--fake", "ideal", "--label", "owner-"},
      {"snapshot", "desk", "-f", "a.png", "--width", "0"},
      {"list", "--ticket", ""},
      {"list", "--ticket", "secret"},
      {"list", "--ticket", kMockTicket, "--ticket-file", "/dev/null"},
      {"list", "--ticket-file", "/dev/null"},
  };
  for (const auto& args : wrong) {
    const CliResult result = Run(args);
    EXPECT_EQ(result.exit_code, 2) << args.back() << result.err;
    EXPECT_THAT(result.err, AllOf(StartsWith("planecast: "), HasSubstr("--help"))) << args.back();
    EXPECT_THAT(result.err, Not(HasSubstr("abcdef"))) << args.back();
    EXPECT_THAT(result.out, IsEmpty()) << args.back();
  }
}

v1::Ticket MakeTicket(const std::string& id) {
  v1::Ticket ticket;
  ticket.set_name("tickets/" + id);
  ticket.add_displays("displays/desk");
  ticket.set_role("viewer");
  ticket.add_permissions(v1::PERMISSION_LIST);
  ticket.add_permissions(v1::PERMISSION_WATCH);
  ticket.set_issuer("uid:0");
  ticket.set_note("for Alice");
  ticket.mutable_session_max()->set_seconds(12 * 3600);
  ticket.set_uses_left(2);
  return ticket;
}

TEST_F(AccessVerbsTest, TicketsListsAllPages) {
  for (const char* id : {"a1", "b2", "c3"}) server_.AddTicket(MakeTicket(id));
  const CliResult table = Run({"tickets"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  ASSERT_THAT(Lines(table.out), SizeIs(4));
  EXPECT_THAT(Lines(table.out)[3],
              AllOf(StartsWith("c3 "), HasSubstr(" desk "), HasSubstr("for Alice")));
  EXPECT_THAT(table.out, Not(HasSubstr("uid:0")));
  EXPECT_THAT(Run({"tickets", "-o", "wide"}).out,
              AllOf(HasSubstr("uid:0"), HasSubstr("12 h"), HasSubstr("LIST,WATCH")));
  const auto json = ParseJson(Run({"tickets", "-o", "json"}).out);
  EXPECT_EQ(json.fields().at("tickets").list_value().values_size(), 3);
}

TEST_F(AccessVerbsTest, TicketsOfNobodySaysHowToMakeOne) {
  const CliResult result = Run({"tickets"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("'planecast ticket NAME'"));
}

TEST_F(AccessVerbsTest, RevokeTakesAnIdOrAName) {
  for (const char* id : {"a1", "b2", "c3"}) server_.AddTicket(MakeTicket(id));
  EXPECT_EQ(Run({"revoke", "a1"}).exit_code, 0);
  const auto json = ParseJson(Run({"revoke", "tickets/b2", "-o", "json"}).out);
  EXPECT_EQ(json.fields().at("name").string_value(), "tickets/b2");
  EXPECT_THAT(server_.tickets(), ElementsAre("tickets/c3"));
  const CliResult again = Run({"revoke", "a1"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_EQ(again.err,
            "planecast: can't revoke tickets/a1: no such ticket; 'planecast tickets' shows those "
            "that are valid\n");
}

TEST_F(AccessVerbsTest, ViewersShowsWhoLooksOn) {
  EXPECT_THAT(Run({"viewers", "desk"}).err, HasSubstr("nobody streams desk"));
  v1::ViewerInfo viewer;
  viewer.set_name("displays/desk/viewers/3");
  viewer.set_principal("ticket:a1");
  viewer.set_peer("10.0.0.3:5000");
  viewer.set_ticket("tickets/a1");
  viewer.set_sent_bytes(1'400'000);
  viewer.add_permissions(v1::PERMISSION_WATCH);
  server_.AddViewer(viewer);
  const CliResult table = Run({"viewers", "desk"});
  ASSERT_THAT(Lines(table.out), SizeIs(2));
  EXPECT_THAT(Lines(table.out)[1], AllOf(StartsWith("3  "), HasSubstr("ticket:a1"),
                                         HasSubstr("10.0.0.3:5000"), HasSubstr("1.4 MB")));
  EXPECT_THAT(Run({"viewers", "desk", "-o", "wide"}).out, HasSubstr("WATCH"));
  const auto json = ParseJson(Run({"viewers", "desk", "-o", "json"}).out);
  EXPECT_EQ(json.fields().at("viewers").list_value().values_size(), 1);
  for (int i = 0; i < 4; ++i) server_.AddViewer(viewer);
  EXPECT_THAT(Lines(Run({"viewers", "desk"}).out), SizeIs(6));
  const CliResult other = Run({"viewers", "other"});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("'planecast list'"));
}

TEST_F(AccessVerbsTest, KickTakesAnIdOrAName) {
  v1::ViewerInfo viewer;
  viewer.set_name("displays/desk/viewers/3");
  server_.AddViewer(viewer);
  EXPECT_EQ(Run({"kick", "desk", "3", "--message", "maintenance"}).exit_code, 0);
  const CliResult named = Run({"kick", "desk", "displays/desk/viewers/3", "-o", "json"});
  EXPECT_EQ(ParseJson(named.out).fields().at("name").string_value(), "displays/desk/viewers/3");
  const auto requests = server_.end_requests();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_EQ(requests[0].name(), "displays/desk/viewers/3");
  EXPECT_EQ(requests[0].message(), "maintenance");
  EXPECT_EQ(requests[1].name(), "displays/desk/viewers/3");
  const CliResult gone = Run({"kick", "desk", "4"});
  EXPECT_EQ(gone.exit_code, 1);
  EXPECT_THAT(gone.err, HasSubstr("'planecast viewers desk'"));
}

TEST_F(AccessVerbsTest, LabelSetsAndRemoves) {
  EXPECT_EQ(Run({"label", "desk", "owner=alice", "room=1"}).out, "owner=alice,room=1\n");
  EXPECT_EQ(Run({"label", "desk", "room-", "floor=2=b"}).out, "floor=2=b,owner=alice\n");
  EXPECT_THAT(Run({"get", "desk"}).out, HasSubstr("floor=2=b,owner=alice"));
  EXPECT_THAT(Run({"list", "-o", "wide"}).out, HasSubstr("floor=2=b,owner=alice"));
  EXPECT_THAT(Run({"list"}).out, Not(HasSubstr("alice")));
  EXPECT_EQ(Run({"label", "other", "a=b"}).exit_code, 1);
}

TEST_F(AccessVerbsTest, LabelUndoesNobodyElsesChange) {
  int others = 2;
  server_.SetBeforeUpdate([&others](v1::Display& display) {
    if (others-- <= 0) return;
    (*display.mutable_labels())[absl::StrCat("other", others)] = "1";
    display.set_etag(absl::StrCat("etag", others));
  });
  EXPECT_EQ(Run({"label", "desk", "a=b"}).out, "a=b,other0=1,other1=1\n");
}

TEST_F(AccessVerbsTest, AttachTakesLabels) {
  EXPECT_EQ(Run({"attach", "d", "--fake", "ideal", "--label", "a=1", "--label=b=2,3"}).exit_code,
            0);
  const auto labels = server_.attach_requests().at(0).labels();
  EXPECT_EQ(labels.size(), 2U);
  EXPECT_EQ(labels.at("a"), "1");
  EXPECT_EQ(labels.at("b"), "2,3");
}

TEST_F(AccessVerbsTest, SnapshotCanBeScaledDown) {
  v1::GetSnapshotResponse snapshot;
  snapshot.set_image("PNG bytes");
  snapshot.set_width_px(320);
  snapshot.set_height_px(240);
  snapshot.set_plane_width_px(640);
  snapshot.set_plane_height_px(480);
  server_.SetSnapshot(snapshot);
  const CliResult result = Run({"snapshot", "desk", "-f", Path("a.png"), "--width", "320"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("320x240, scaled down from 640x480"));
  EXPECT_EQ(server_.snapshot_requests().at(0).width_max_px(), 320);
}

TEST_F(AccessVerbsTest, HostWarnsOfOpenDoorsWhatIsShortAndAnAuditFileThatIsNotWritten) {
  EXPECT_THAT(Run({"host"}).err, IsEmpty());
  v1::GetHostInfoResponse more;
  more.add_open_doors("127.0.0.1:7443 makes everybody an operator");
  more.set_principal("uid:0");
  more.set_audit_problem("the disk is full");
  more.add_shortages("File descriptors: 900 of at most 1024 are open.");
  server_.SetHostInfo(more);
  const CliResult result = Run({"host"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("\nyou are uid:0\n"));
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("WARNING: open door: 127.0.0.1:7443 makes everybody an operator\n"),
                    HasSubstr("WARNING: short: File descriptors: 900 of at most 1024 are open.\n"),
                    HasSubstr("WARNING: the audit file is not written: the disk is full\n")));
  const CliResult json = Run({"host", "-o", "json"});
  EXPECT_EQ(ParseJson(json.out).fields().at("open_doors").list_value().values_size(), 1);
}

TEST_F(AccessVerbsTest, ATicketComesFromAFlagOrAFile) {
  const std::string file = Path("ticket");
  std::ofstream(file) << "  " << kMockTicket << " \nmore\n";
  chmod(file.c_str(), 0600);
  EXPECT_THAT(Run({"list", "--ticket", kMockTicket}).err, Not(HasSubstr("warning")));
  EXPECT_THAT(Run({"list", "--ticket-file", file}).err, Not(HasSubstr("warning")));
  chmod(file.c_str(), 0644);
  EXPECT_THAT(
      Run({"list", "--ticket-file", file}).err,
      AllOf(HasSubstr("other users can read the ticket in " + file), Not(HasSubstr("abcdef"))));
  const auto calls = server_.calls();
  ASSERT_THAT(calls, SizeIs(3));
  for (const SeenCall& call : calls) {
    EXPECT_EQ(call.authorization, absl::StrCat("Bearer ", kMockTicket));
  }
  const CliResult missing = Run({"list", "--ticket-file", Path("nothing")});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("No such file"));
}

TEST_F(AccessVerbsTest, WhoIsNotLetInLearnsWhatToDo) {
  server_.FailCalls("ListDisplays", MakeError(grpc::StatusCode::UNAUTHENTICATED, "no credentials",
                                              v1::ERROR_REASON_CREDENTIALS_MISSING));
  const CliResult result = Run({"list"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("lets nobody in without a ticket: get one"),
                                HasSubstr("'planecast ticket NAME'"), HasSubstr("--ticket-file")));
}

}  // namespace
}  // namespace planecast
