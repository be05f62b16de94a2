#include "service/rpc/grpc_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "planecast/v1/access.pb.h"
#include "planecast/v1/access_service.pb.h"
#include "planecast/v1/display_service.pb.h"
#include "planecast/v1/host_service.pb.h"
#include "planecast/v1/input_service.pb.h"
#include "planecast/v1/viewer_service.pb.h"
#include "service/core/reason.h"

namespace planecast {
namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kDisplays[] = "planecast.v1.DisplayService.";
constexpr char kViewers[] = "planecast.v1.ViewerService.";

std::vector<const MethodDescriptor*> AllMethods() {
  std::vector<const MethodDescriptor*> methods;
  for (const FileDescriptor* file :
       {v1::GetHostInfoRequest::descriptor()->file(), v1::GetDisplayRequest::descriptor()->file(),
        v1::EndViewerRequest::descriptor()->file(), v1::InputBatch::descriptor()->file(),
        v1::CreateTicketRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        methods.push_back(file->service(i)->method(j));
      }
    }
  }
  return methods;
}

TEST(RuleOfTest, IsWhatTheOptionSays) {
  const MethodRule rule = RuleOf(std::string(kDisplays) + "GetSnapshot");
  EXPECT_EQ(rule.method, "DisplayService.GetSnapshot");
  EXPECT_EQ(rule.scope, MethodScope::kDisplay);
  EXPECT_EQ(rule.permission, Permission::kSnapshot);
  ASSERT_THAT(rule.display_field, SizeIs(1));
  EXPECT_EQ(rule.display_field[0]->full_name(), "planecast.v1.GetSnapshotRequest.name");
  EXPECT_TRUE(rule.only_reads);
  EXPECT_FALSE(rule.viewer_stream);
  EXPECT_EQ(RuleOf("planecast.v1.HostService.GetHostInfo").scope, MethodScope::kAny);
  EXPECT_EQ(RuleOf(std::string(kDisplays) + "AttachDisplay").scope, MethodScope::kHost);
}

TEST(RuleOfTest, DotsLeadIntoMessages) {
  const MethodRule rule = RuleOf(std::string(kDisplays) + "UpdateDisplay");
  ASSERT_THAT(rule.display_field, SizeIs(2));
  EXPECT_EQ(rule.display_field[0]->full_name(), "planecast.v1.UpdateDisplayRequest.display");
  EXPECT_EQ(rule.display_field[1]->full_name(), "planecast.v1.Display.name");
}

TEST(RuleOfTest, WhatNobodyKnowsNeedsAll) {
  for (const char* name : {"", "x", "planecast.v1.DisplayService.", "planecast.v1.Nothing.Do",
                           "planecast.v2.DisplayService.GetDisplay", "grpc.health.v1.Healthy.Check",
                           "grpc.channelz.v1.Channelz.GetServers"}) {
    const MethodRule rule = RuleOf(name);
    EXPECT_EQ(rule.scope, MethodScope::kHost) << name;
    EXPECT_EQ(rule.permission, Permission::kManage) << name;
    EXPECT_FALSE(rule.only_reads) << name;
    EXPECT_FALSE(rule.viewer_stream) << name;
  }
}

TEST(RuleOfTest, HealthIsOpenAndReflectionForWhoeverHasAnyRight) {
  EXPECT_EQ(RuleOf("grpc.health.v1.Health.Check").scope, MethodScope::kOpen);
  EXPECT_EQ(RuleOf("grpc.health.v1.Health.Watch").scope, MethodScope::kOpen);
  const MethodRule rule = RuleOf("grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo");
  EXPECT_EQ(rule.scope, MethodScope::kAny);
  EXPECT_EQ(rule.permission, Permission::kList);
}

TEST(RuleOfTest, EachDisplayFieldLeadsToAName) {
  // Where a field names no display, the method asks for itself.
  const std::set<std::string> later = {"ViewerService.StreamDisplay", "ViewerService.ReportViewer"};
  std::set<std::string> without;
  for (const MethodDescriptor* method : AllMethods()) {
    const MethodRule rule = RuleOf(method->full_name());
    if (rule.scope != MethodScope::kDisplay) {
      EXPECT_THAT(rule.display_field, IsEmpty()) << rule.method;
    } else if (rule.display_field.empty()) {
      without.insert(rule.method);
    } else {
      EXPECT_EQ(rule.display_field.back()->type(), google::protobuf::FieldDescriptor::TYPE_STRING)
          << rule.method;
    }
  }
  EXPECT_EQ(without, later);
}

TEST(RuleOfTest, OnlyViewersStreamsOpenSessionsAndOnlyReadsComeBefore) {
  std::set<std::string> streams;
  std::set<std::string> reads;
  std::map<std::string, AuditEvent> events;
  for (const MethodDescriptor* method : AllMethods()) {
    const MethodRule rule = RuleOf(method->full_name());
    if (rule.viewer_stream) streams.insert(rule.method);
    if (rule.only_reads) reads.insert(rule.method);
    if (rule.event.has_value()) events[rule.method] = *rule.event;
  }
  EXPECT_THAT(streams, ElementsAre("ViewerService.StreamDisplay", "ViewerService.WatchDisplay"));
  EXPECT_THAT(reads, ElementsAre("AccessService.ListTickets", "DisplayService.GetDisplay",
                                 "DisplayService.GetSnapshot", "DisplayService.ListDisplays",
                                 "DisplayService.WatchDisplays", "HostService.GetHostInfo",
                                 "ViewerService.ListViewers"));
  const std::map<std::string, AuditEvent> told = {
      {"DisplayService.AttachDisplay", AuditEvent::kDisplayAttach},
      {"DisplayService.DetachDisplay", AuditEvent::kDisplayDetach},
      {"DisplayService.GetSnapshot", AuditEvent::kSnapshot},
      {"DisplayService.SetDisplayMode", AuditEvent::kModeChange},
      {"DisplayService.UpdateDisplay", AuditEvent::kDisplayUpdate},
      {"ViewerService.EndViewer", AuditEvent::kViewerEnd}};
  EXPECT_EQ(events, told);
}

class GrpcGateTest : public ::testing::Test {
 protected:
  GrpcGateTest() {
    AuditLog::Options options;
    options.log_line = [this](const std::string& json) {
      const std::lock_guard lock(mutex_);
      lines_.push_back(json);
    };
    options.wall_ns = [] { return int64_t{0}; };
    options.monotonic_ns = [] { return MonotonicClock().NowNs(); };
    audit_ = *AuditLog::Open(std::move(options));
    gate_ = std::make_unique<GrpcGate>(
        GrpcGate::Parts{std::make_shared<AccessPolicy>(RoleSet(), std::vector<Binding>()),
                        TicketStore::Make(MonotonicClock()), audit_.get()},
        PeerReader({}, ""));
    caller_.principal = {Principal::Kind::kUid, "uid:7"};
    caller_.peer.address = "unix uid 7";
    caller_.rights.Add({{Permission::kManage}, *DisplayPattern::Parse("a*")});
  }
  /// What the audit log was told; the gate is gone then.
  std::vector<std::string> Lines() {
    gate_ = nullptr;
    return lines_;
  }
  absl::Status Check(const std::string& method, const google::protobuf::Message& request) {
    ids_.clear();
    return gate_->CheckRequest(caller_, RuleOf(method), request, &ids_);
  }

  std::mutex mutex_;
  std::vector<std::string> lines_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<GrpcGate> gate_;
  Caller caller_;
  std::vector<std::string> ids_;
};

TEST_F(GrpcGateTest, EachDisplayThatARequestNamesIsAskedFor) {
  v1::CreateTicketRequest request;
  request.add_displays("displays/a1");
  request.add_displays("displays/a2");
  EXPECT_TRUE(Check("planecast.v1.AccessService.CreateTicket", request).ok());
  EXPECT_THAT(ids_, ElementsAre("a1", "a2"));
  request.add_displays("displays/b");
  const absl::Status status = Check("planecast.v1.AccessService.CreateTicket", request);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(status), "PERMISSION_MISSING");
  EXPECT_THAT(std::string(status.message()), HasSubstr("uid:7 has no right to MANAGE displays/b"));
  const auto lines = Lines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0], HasSubstr("\"event\":\"planecast.refusal\",\"principal\":\"uid:7\""));
  EXPECT_THAT(lines[0], HasSubstr("\"display\":\"b\""));
  EXPECT_THAT(lines[0], HasSubstr("\"reason\":\"PERMISSION_MISSING\""));
}

TEST_F(GrpcGateTest, ANameThatBeginsWithADisplaysIsAboutIt) {
  v1::EndViewerRequest request;
  request.set_name("displays/a1/viewers/5");
  EXPECT_TRUE(Check(std::string(kViewers) + "EndViewer", request).ok());
  EXPECT_THAT(ids_, ElementsAre("a1"));
  request.set_name("displays/b/viewers/5");
  EXPECT_EQ(Check(std::string(kViewers) + "EndViewer", request).code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(GrpcGateTest, AFieldOfAMessageInARequestIsFound) {
  v1::UpdateDisplayRequest request;
  request.mutable_display()->set_name("displays/a1");
  EXPECT_TRUE(Check(std::string(kDisplays) + "UpdateDisplay", request).ok());
  request.mutable_display()->set_name("displays/b");
  EXPECT_EQ(Check(std::string(kDisplays) + "UpdateDisplay", request).code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(GrpcGateTest, MalformedNamesAreNoDisplays) {
  for (const char* name :
       {"", "a", "a1", "displays", "displays/", "displays/*", "displays/A", "tickets/a1",
        "displays//a1", "/displays/a1", "viewers/a1/displays/a1"}) {
    v1::DetachDisplayRequest request;
    request.set_name(name);
    EXPECT_EQ(Check(absl::StrCat(kDisplays, "DetachDisplay"), request).code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(GrpcGateTest, WhoHasNoTicketIsNeverOutOfTime) {
  EXPECT_TRUE(gate_->CheckStill(caller_).ok());
  const auto begun = gate_->BeginStream(caller_, RuleOf(std::string(kViewers) + "StreamDisplay"),
                                        "", {"a1", "uid"});
  ASSERT_TRUE(begun.ok());
  EXPECT_FALSE(static_cast<bool>(*begun));
}

TEST_F(GrpcGateTest, ACertificateIsGoodUntilItsLastSecondOnALivingConnectionToo) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t now_s = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  caller_.principal = {Principal::Kind::kCertificate, "certificate:CN=a"};
  caller_.peer.certificate.emplace().not_after_s = now_s + 3600;
  EXPECT_TRUE(gate_->CheckStill(caller_).ok());
  const int64_t left_ns = *gate_->EndOf(caller_) - MonotonicClock().NowNs();
  EXPECT_GT(left_ns, 0);
  EXPECT_LE(left_ns, int64_t{3600} * 1'000'000'000);
  caller_.peer.certificate->not_after_s = now_s - 1;
  EXPECT_EQ(gate_->CheckStill(caller_).code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(gate_->CheckStill(caller_)), "CREDENTIALS_MISSING");
  // A ticket's holder is judged by his ticket, whatever he showed beside it.
  caller_.principal = {Principal::Kind::kTicket, "ticket:1"};
  EXPECT_TRUE(gate_->CheckStill(caller_).ok());
}

TEST_F(GrpcGateTest, ATicketThatEndedIsToldLikeAnUnknownOne) {
  TicketSpec spec;
  spec.displays = {{"a1", "uid"}};
  spec.permissions = {Permission::kWatch};
  const auto made = gate_->tickets().Create(spec);
  ASSERT_TRUE(made.ok());
  caller_.secret = made->secret;
  caller_.peer.door = Door::kLoopback;
  const auto checked = gate_->tickets().CheckStream(made->secret, caller_.peer);
  caller_.ticket = std::get<TicketCall>(checked);
  EXPECT_TRUE(gate_->CheckStill(caller_).ok());
  const MethodRule rule = RuleOf(std::string(kViewers) + "StreamDisplay");
  // For another display of that name it is no good.
  EXPECT_EQ(ReasonOf(gate_->BeginStream(caller_, rule, "", {"a1", "other"}).status()),
            "TICKET_INVALID");
  EXPECT_TRUE(gate_->BeginStream(caller_, rule, "", {"a1", "uid"}).ok());
  gate_->tickets().Revoke(made->info.id);
  EXPECT_EQ(ReasonOf(gate_->CheckStill(caller_)), "TICKET_INVALID");
  EXPECT_EQ(ReasonOf(gate_->BeginStream(caller_, rule, "", {"a1", "uid"}).status()),
            "TICKET_INVALID");
  for (const std::string& line : Lines()) EXPECT_THAT(line, Not(HasSubstr("pct_")));
}

}  // namespace
}  // namespace planecast
