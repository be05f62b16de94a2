// The audit file tells the story of a display.
#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/service/daemon_access_testing.h"

namespace planecast::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// One line of the file.
class Line {
 public:
  explicit Line(const std::string& json) {
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &fields_).ok()) << json;
  }
  bool Has(const std::string& field) const { return fields_.fields().contains(field); }
  /// Empty without it.
  std::string Text(const std::string& field) const {
    return Has(field) ? fields_.fields().at(field).string_value() : "";
  }
  double Number(const std::string& field) const {
    return Has(field) ? fields_.fields().at(field).number_value() : -1;
  }
  bool success() const { return Has("success") && fields_.fields().at("success").bool_value(); }
  /// Who did what to which display by which ticket, and how it ended.
  std::string Story() const {
    std::string story = Text("principal") + " " + Text("event").substr(sizeof("planecast.") - 1) +
                        " " + Text("display");
    if (Has("ticket")) story += " " + Text("ticket");
    if (!success()) story += " failed";
    if (Text("event") != "planecast.stream.end" && Has("reason")) story += " " + Text("reason");
    return story;
  }

 private:
  google::protobuf::Struct fields_;
};

class DaemonAuditTest : public DaemonAccessTest {
 protected:
  /// Ends the daemon; all lines of its file.
  std::vector<Line> Lines() {
    daemon_.reset();
    std::vector<Line> lines;
    std::ifstream file(AuditPath());
    for (std::string line; std::getline(file, line);) lines.emplace_back(line);
    return lines;
  }
  std::string FileText() const {
    std::ifstream file(AuditPath());
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static std::string SnapshotAs(const As& as) {
    v1::GetSnapshotRequest request;
    request.set_name("displays/a");
    v1::GetSnapshotResponse response;
    return Told(Call(as, &v1::DisplayService::Stub::GetSnapshot, request, &response));
  }
  const std::string operator_ = "uid:" + std::to_string(geteuid());
};

TEST_F(DaemonAuditTest, TheFileTellsTheStory) {
  StartWith({"a"});
  const auto made = Ticket("controller", "a");
  const std::string& secret = made.secret();
  const std::string id = made.ticket().name().substr(sizeof("tickets/") - 1);
  std::string viewer_id;
  {
    ViewerStream stream(Viewer(secret), "a");
    viewer_id = stream.started().viewer_id();
    const As viewer = Viewer(secret, viewer_id);
    EXPECT_EQ(SnapshotAs(viewer), "OK");
    EXPECT_TRUE(SetModeAs(viewer, "a").ok());
    EXPECT_EQ(Told(GetAs(viewer, "b")), "PERMISSION_DENIED PERMISSION_MISSING");
    EXPECT_EQ(Told(GetAs(Viewer("pct_" + std::string(43, 'A')), "a")),
              "UNAUTHENTICATED TICKET_INVALID");
    EXPECT_TRUE(Revoke(Operator(), made.ticket().name()).ok());
    EXPECT_EQ(stream.Goodbye().reason(), v1::Goodbye::REASON_REVOKED);
    EXPECT_TRUE(stream.Finish().ok());
  }
  EXPECT_TRUE(Detach("displays/a").ok());
  std::vector<Line> lines = Lines();

  // The end of a stream is told when the transport is done with it: any time after the revocation.
  const auto is_end = [](const Line& line) { return line.Text("event") == "planecast.stream.end"; };
  const auto end = std::find_if(lines.begin(), lines.end(), is_end);
  ASSERT_NE(end, lines.end());
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(), is_end), 1);
  EXPECT_TRUE(std::any_of(lines.begin(), end, [](const Line& line) {
    return line.Text("event") == "planecast.ticket.revoke";
  }));
  EXPECT_EQ(end->Story(), "ticket:" + id + " stream.end a " + id);
  EXPECT_EQ(end->Text("reason"), "The ticket was revoked.");
  EXPECT_GE(end->Number("duration_s"), 0);
  EXPECT_GT(end->Number("bytes"), 1000) << "a key frame has more";
  lines.erase(end);

  std::vector<std::string> stories;
  for (const Line& line : lines) {
    stories.push_back(line.Story());
    EXPECT_THAT(line.Text("time"), ::testing::EndsWith("Z"));
    EXPECT_NE(line.Text("method"), "") << stories.back();
    EXPECT_NE(line.Text("permission"), "") << stories.back();
    EXPECT_NE(line.Text("peer"), "") << stories.back();
  }
  EXPECT_THAT(
      stories,
      ElementsAre(operator_ + " display.attach a", operator_ + " ticket.create a " + id,
                  "ticket:" + id + " ticket.use a " + id, "ticket:" + id + " stream.start a " + id,
                  "ticket:" + id + " snapshot a " + id, "ticket:" + id + " mode.change a " + id,
                  "ticket:" + id + " refusal b " + id + " failed " + "PERMISSION_MISSING",
                  "ticket refusal  failed TICKET_INVALID", operator_ + " ticket.revoke a " + id,
                  operator_ + " display.detach a"));
  EXPECT_EQ(lines.front().Text("method"), "DisplayService.AttachDisplay");
  EXPECT_EQ(lines.front().Text("permission"), "MANAGE");
  EXPECT_THAT(lines.front().Text("peer"), HasSubstr("unix uid "));
  EXPECT_GE(lines.front().Number("duration_s"), 0);

  struct stat info {};
  ASSERT_EQ(stat(AuditPath().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777 & ~0640U, 0U);
  for (const std::string& text : {FileText(), log_.Text()}) {
    EXPECT_THAT(text, HasSubstr(id));
    EXPECT_THAT(text, Not(HasSubstr("pct_")));
    EXPECT_THAT(text, Not(HasSubstr(viewer_id)));
  }
}

TEST_F(DaemonAuditTest, WhatFailsIsToldWithItsReason) {
  StartWith({"a"});
  v1::AttachDisplayRequest attach;
  attach.set_display_id("vm");
  attach.mutable_source()->mutable_vfio_group()->set_group(12);
  attach.mutable_source()->mutable_vfio_group()->set_device("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001");
  EXPECT_FALSE(Attach(attach).ok());
  EXPECT_FALSE(Detach("displays/none").ok());
  EXPECT_FALSE(GetAs(Viewer(), "a").ok());
  std::vector<std::string> stories;
  for (const Line& line : Lines()) stories.push_back(line.Story());
  EXPECT_THAT(stories, ElementsAre(operator_ + " display.attach a",
                                   operator_ + " display.attach vm failed NOT_FOUND",
                                   operator_ + " display.detach none failed DISPLAY_NOT_FOUND",
                                   // He has no right there, but a name.
                                   operator_ + " refusal  failed CREDENTIALS_MISSING"));
}

TEST_F(DaemonAuditTest, WhatWasDoneIsToldAlsoIfTheClientLeft) {
  std::promise<void> opens;
  std::promise<void> opened;
  parts_.open_source = [&, open = parts_.open_source](const DisplaySpec& spec) {
    opens.set_value();
    opened.get_future().wait();
    return open(spec);
  };
  StartWith({});
  CallContext context;
  std::thread attach([&] {
    v1::AttachDisplayResponse response;
    EXPECT_EQ(displays_->AttachDisplay(&context, FakeRequest("a"), &response).error_code(),
              grpc::StatusCode::CANCELLED);
  });
  opens.get_future().wait();
  context.TryCancel();
  attach.join();
  opened.set_value();
  Await("a",
        [](const v1::Display& display) { return display.state() != v1::Display::STATE_ATTACHING; });
  std::vector<std::string> stories;
  for (const Line& line : Lines()) stories.push_back(line.Story());
  EXPECT_THAT(stories, ElementsAre(operator_ + " display.attach a"));
}

TEST_F(DaemonAuditTest, AnEvictedViewerIsToldOfByBoth) {
  StartWith({"a"});
  const As manager = Manager();
  {
    ViewerStream stream(manager, "a");
    v1::EndViewerRequest request;
    request.set_name(stream.started().viewer_name());
    v1::EndViewerResponse response;
    EXPECT_TRUE(Call(Operator(), &v1::ViewerService::Stub::EndViewer, request, &response).ok());
    EXPECT_TRUE(stream.Finish().ok());
  }
  std::vector<std::string> stories;
  for (const Line& line : Lines()) stories.push_back(line.Story());
  EXPECT_THAT(stories,
              ElementsAre(operator_ + " display.attach a", "certificate:CN=manager stream.start a",
                          operator_ + " viewer.end a", "certificate:CN=manager stream.end a"));
}

TEST_F(DaemonAuditTest, AFileThatCantBeWrittenIsToldToOperatorsAlone) {
  StartWith({"a"});
  const auto problem = [](const As& as) {
    v1::GetHostInfoResponse response;
    EXPECT_TRUE(
        Call(as, &v1::HostService::Stub::GetHostInfo, v1::GetHostInfoRequest(), &response).ok());
    return response.audit_problem();
  };
  EXPECT_EQ(problem(Operator()), "");
  // A folder in the file's place: it can't be opened anew, whoever tries.
  ASSERT_EQ(unlink(AuditPath().c_str()), 0);
  ASSERT_EQ(mkdir(AuditPath().c_str(), 0700), 0);
  clock_.Jump(2 * kSecond);
  // Lines are written by a thread of their own.
  std::string told;
  while (told.empty() && !HasFailure()) {
    EXPECT_TRUE(SetModeAs(Operator(), "a").ok());
    told = problem(Operator());
  }
  EXPECT_THAT(told, HasSubstr(AuditPath()));
  EXPECT_EQ(problem(Manager()), "");
}

}  // namespace
}  // namespace planecast::testing
