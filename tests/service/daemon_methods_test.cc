// Who may call what: every method for every kind of caller.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "planecast/v1/access.pb.h"
#include "tests/service/daemon_access_testing.h"

namespace planecast::testing {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

// What callers are told.
constexpr char kYes[] = "OK";
/// Nobody is let in without credentials.
constexpr char kWho[] = "UNAUTHENTICATED CREDENTIALS_MISSING";
/// The ticket is no good.
constexpr char kBad[] = "UNAUTHENTICATED TICKET_INVALID";
constexpr char kNo[] = "PERMISSION_DENIED PERMISSION_MISSING";
/// With a ticket it needs a running stream.
constexpr char kLater[] = "PERMISSION_DENIED TICKET_WITHOUT_STREAM";
/// Let in, and then there is nothing.
constexpr char kUnbuilt[] = "UNIMPLEMENTED NOT_BUILT";
/// Let in, and then not among what is his.
constexpr char kNone[] = "NOT_FOUND TICKET_NOT_FOUND";

enum Kind {
  /// No certificate, no bound uid, no ticket.
  kNobody,
  /// A ticket with the role viewer for `a`, before its stream.
  kViewer,
  /// The same while its stream runs.
  kWatching,
  /// A ticket with the role controller for `a`, while its stream runs.
  kController,
  /// A certificate that is bound to MANAGE, WATCH and SNAPSHOT on `a*`.
  kManager,
  /// The operators' socket.
  kOperator,
  /// A ticket with the role operator for `a` that expired.
  kExpired,
  /// A ticket with the role operator for `b`, while its stream runs. He asks for `a`.
  kForeign,
  kKinds
};
constexpr std::array<const char*, kKinds> kNames = {"nobody",  "viewer",   "watching", "controller",
                                                    "manager", "operator", "expired",  "foreign"};

struct Row {
  const char* method;
  /// About `a`. $viewer is the secret id of the caller's stream of `a`, or else of an operator's;
  /// $number is of the latter's name; $ticket is a ticket for `a`.
  const char* request;
  std::array<const char*, kKinds> told;
};
void PrintTo(const Row& row, std::ostream* out) {
  *out << row.method;
}

constexpr char kName[] = R"(name: "displays/a")";
constexpr char kAttach[] = R"(display_id: "c" source { fake { profile: "ideal" } })";
constexpr char kUpdate[] = R"(display { name: "displays/a" } update_mask { paths: "labels" })";
constexpr char kMode[] = R"(name: "displays/a" width_px: 800 height_px: 600)";
constexpr char kStart[] = R"(start { name: "displays/a" })";
constexpr char kReport[] = R"(viewer_id: "$viewer")";
constexpr char kParent[] = R"(parent: "displays/a")";
constexpr char kEnd[] = R"(name: "displays/a/viewers/$number")";
constexpr char kCreate[] = R"(displays: "displays/a")";
constexpr char kRevoke[] = R"(name: "$ticket")";

// clang-format off
constexpr Row kRows[] = {
    //                                             nobody viewer  watching controller manager  operator  expired foreign
    {"HostService.GetHostInfo",         "",       {kWho, kYes,    kYes,    kYes,      kYes,    kYes,     kBad,   kYes}},
    {"HostService.ReloadConfig",        "",       {kWho, kLater,  kNo,     kNo,       kNo,     kUnbuilt, kBad,   kNo}},

    {"DisplayService.ListDisplays",     "",       {kWho, kYes,    kYes,    kYes,      kYes,    kYes,     kBad,   kYes}},
    {"DisplayService.WatchDisplays",    "",       {kWho, kYes,    kYes,    kYes,      kYes,    kYes,     kBad,   kYes}},
    {"DisplayService.GetDisplay",       kName,    {kWho, kYes,    kYes,    kYes,      kYes,    kYes,     kBad,   kNo}},
    {"DisplayService.GetSnapshot",      kName,    {kWho, kYes,    kYes,    kYes,      kYes,    kYes,     kBad,   kNo}},
    {"DisplayService.SetDisplayMode",   kMode,    {kWho, kLater,  kNo,     kYes,      kNo,     kYes,     kBad,   kNo}},
    {"DisplayService.UpdateDisplay",    kUpdate,  {kWho, kLater,  kNo,     kNo,       kYes,    kYes,     kBad,   kNo}},
    {"DisplayService.DetachDisplay",    kName,    {kWho, kLater,  kNo,     kNo,       kYes,    kYes,     kBad,   kNo}},
    {"DisplayService.AttachDisplay",    kAttach,  {kWho, kLater,  kNo,     kNo,       kNo,     kYes,     kBad,   kNo}},

    {"ViewerService.StreamDisplay",     kStart,   {kWho, kYes,    kYes,    kYes,      kYes,    kYes,     kBad,   kNo}},
    {"ViewerService.WatchDisplay",      kName,    {kWho, kYes,    kYes,    kYes,      kYes,    kYes,     kBad,   kNo}},
    {"ViewerService.ReportViewer",      kReport,  {kWho, kLater,  kYes,    kYes,      kYes,    kYes,     kBad,   kNo}},
    {"ViewerService.ListViewers",       kParent,  {kWho, kNo,     kNo,     kNo,       kYes,    kYes,     kBad,   kNo}},
    {"ViewerService.EndViewer",         kEnd,     {kWho, kLater,  kNo,     kNo,       kYes,    kYes,     kBad,   kNo}},

    {"AccessService.CreateTicket",      kCreate,  {kWho, kLater,  kNo,     kNo,       kYes,    kYes,     kBad,   kNo}},
    {"AccessService.ListTickets",       "",       {kWho, kNo,     kNo,     kNo,       kYes,    kYes,     kBad,   kYes}},
    {"AccessService.RevokeTicket",      kRevoke,  {kWho, kLater,  kNo,     kNo,       kYes,    kYes,     kBad,   kNone}},

    {"InputService.SendInput",          kName,    {kWho, kLater,  kNo,     kUnbuilt,  kNo,     kUnbuilt, kBad,   kNo}},
    {"InputService.AcquireControl",     kName,    {kWho, kLater,  kNo,     kUnbuilt,  kNo,     kUnbuilt, kBad,   kNo}},
    {"InputService.ReleaseControl",     kName,    {kWho, kLater,  kNo,     kUnbuilt,  kNo,     kUnbuilt, kBad,   kNo}},
    {"InputService.RequestControl",     kName,    {kWho, kLater,  kNo,     kUnbuilt,  kNo,     kUnbuilt, kBad,   kNo}},
    {"InputService.StealControl",       kName,    {kWho, kLater,  kNo,     kNo,       kUnbuilt, kUnbuilt, kBad,  kNo}},
};
// clang-format on

/// Services that need no right of ours, and who may use them: health everybody, reflection whoever
/// has any right. Tried below.
const std::set<std::string> kOtherServices = {"grpc.health.v1.Health",
                                              "grpc.reflection.v1alpha.ServerReflection"};

/// All methods of the package, by what its proto files say.
std::vector<const MethodDescriptor*> AllMethods() {
  std::vector<const MethodDescriptor*> methods;
  const std::string folder = "planecast/v1/";
  const auto root = std::filesystem::path(PLANECAST_EXAMPLE_CONFIG).parent_path().parent_path();
  for (const auto& file : std::filesystem::directory_iterator(root / "proto" / folder)) {
    const std::string name = folder + file.path().filename().string();
    const FileDescriptor* known = DescriptorPool::generated_pool()->FindFileByName(name);
    EXPECT_NE(known, nullptr) << name;
    for (int i = 0; known != nullptr && i < known->service_count(); ++i) {
      for (int j = 0; j < known->service(i)->method_count(); ++j) {
        methods.push_back(known->service(i)->method(j));
      }
    }
  }
  return methods;
}

std::string NameOf(const MethodDescriptor& method) {
  return absl::StrCat(method.service()->name(), ".", method.name());
}

/// A call of any method, whatever it streams; OK at the first answer.
grpc::Status CallAny(const As& as, const MethodDescriptor& method, const Message& request) {
  CallContext context;
  as.Sign(context);
  grpc::CompletionQueue queue;
  const auto done = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  grpc::GenericStub stub(as.channel);
  const auto call = stub.PrepareCall(
      &context, absl::StrCat("/", method.service()->full_name(), "/", method.name()), &queue);
  call->StartCall(nullptr);
  done();
  const grpc::Slice bytes(request.SerializeAsString());
  call->WriteLast(grpc::ByteBuffer(&bytes, 1), {}, nullptr);
  done();
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  const bool answered = done();
  const bool goes_on = answered && method.server_streaming();
  if (goes_on) context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  done();
  queue.Shutdown();
  while (done()) {
  }
  return goes_on ? grpc::Status::OK : status;
}

class DaemonMethodsTest : public DaemonAccessTest, public ::testing::WithParamInterface<Row> {
 protected:
  /// What a call may need is there again, whatever the call before did.
  void Renew() {
    for (const char* id : {"a", "b"}) {
      if (!GetAs(Operator(), id).ok()) AttachFake(id);
    }
    if (GetAs(Operator(), "c").ok()) {
      ASSERT_TRUE(Detach("displays/c").ok());
    }
    own_.reset();
    operators_.emplace(Operator(), "a");
    viewer_id_ = operators_->started().viewer_id();
    const std::string name = operators_->started().viewer_name();
    number_ = name.substr(name.rfind('/') + 1);
    ticket_ = Ticket("viewer", "a").ticket().name();
  }
  /// By a ticket with the role for the display, while its stream runs; for one more stream.
  As Streaming(const std::string& role, const std::string& id) {
    auto request = TicketRequest(role, {id});
    request.set_uses(2);
    const std::string secret = Ticket(request).secret();
    own_.emplace(Viewer(secret), id);
    if (id == "a") viewer_id_ = own_->started().viewer_id();
    return Viewer(secret, own_->started().viewer_id());
  }
  std::string Expired() {
    auto request = TicketRequest("operator", {"a"});
    request.mutable_start_ttl()->set_seconds(1);
    const std::string secret = Ticket(request).secret();
    clock_.Jump(2 * kSecond);
    return secret;
  }
  As Caller(Kind kind) {
    switch (kind) {
      case kNobody:
        return Viewer();
      case kViewer:
        return Viewer(Ticket("viewer", "a").secret());
      case kWatching:
        return Streaming("viewer", "a");
      case kController:
        return Streaming("controller", "a");
      case kManager:
        return Manager();
      case kOperator:
        return Operator();
      case kExpired:
        return Viewer(Expired());
      default:
        return Streaming("operator", "b");
    }
  }
  std::string Ask(const As& as) {
    const auto* method =
        DescriptorPool::generated_pool()->FindMethodByName(absl::StrCat("planecast.v1.", method_));
    const std::unique_ptr<Message> request(google::protobuf::MessageFactory::generated_factory()
                                               ->GetPrototype(method->input_type())
                                               ->New());
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrReplaceAll(GetParam().request,
                            {{"$viewer", viewer_id_}, {"$number", number_}, {"$ticket", ticket_}}),
        request.get()));
    return Told(CallAny(as, *method, *request));
  }

  const std::string method_ = GetParam().method;
  std::optional<ViewerStream> operators_;
  std::optional<ViewerStream> own_;
  std::string viewer_id_;
  std::string number_;
  std::string ticket_;
};

TEST_P(DaemonMethodsTest, TellsEachCallerWhatTheTableSays) {
  StartWith({"a", "b"});
  for (int kind = 0; kind < kKinds; ++kind) {
    Renew();
    const As as = Caller(static_cast<Kind>(kind));
    EXPECT_EQ(Ask(as), GetParam().told.at(static_cast<size_t>(kind)))
        << kNames.at(static_cast<size_t>(kind));
  }
  Renew();
  EXPECT_EQ(Ask(OnLoopback()), kWho) << "nobody, on loopback";
  EXPECT_EQ(Ask(OverTls()), kWho) << "nobody, over TLS";
  EXPECT_EQ(Ask(OverTls(MakeLeaf("stranger", ca_))), kNo) << "a certificate without a binding";
  // Whoever shows a ticket is its holder and nobody else.
  As with_ticket = Operator();
  with_ticket.secret = Expired();
  EXPECT_EQ(Ask(with_ticket), kBad) << "an operator who shows an expired ticket";
  with_ticket.secret = "pct_";
  EXPECT_EQ(Ask(with_ticket), kBad) << "an operator who shows no ticket at all";
}

INSTANTIATE_TEST_SUITE_P(AllMethods, DaemonMethodsTest, ::testing::ValuesIn(kRows),
                         [](const auto& row) {
                           return absl::StrReplaceAll(row.param.method, {{".", "_"}});
                         });

TEST(DaemonMethodsTableTest, HasEachMethodOnce) {
  std::multiset<std::string> methods;
  for (const MethodDescriptor* method : AllMethods()) methods.insert(NameOf(*method));
  std::multiset<std::string> rows;
  for (const Row& row : kRows) rows.insert(row.method);
  EXPECT_EQ(rows, methods);
}

TEST(DaemonMethodsTableTest, EachMethodSaysWhatItNeeds) {
  for (const MethodDescriptor* method : AllMethods()) {
    ASSERT_TRUE(method->options().HasExtension(v1::access)) << NameOf(*method);
    const v1::MethodAccess& access = method->options().GetExtension(v1::access);
    EXPECT_NE(access.permission(), v1::PERMISSION_UNSPECIFIED) << NameOf(*method);
    EXPECT_NE(access.scope(), v1::ACCESS_SCOPE_UNSPECIFIED) << NameOf(*method);
  }
}

class DaemonOtherServicesTest : public DaemonAccessTest {
 protected:
  static std::string Health(const As& as) {
    grpc::health::v1::HealthCheckResponse response;
    return Told(Call(as, &grpc::health::v1::Health::Stub::Check,
                     grpc::health::v1::HealthCheckRequest(), &response));
  }
  /// The services; or what the caller is told instead.
  static std::set<std::string> Reflection(const As& as) {
    grpc::reflection::v1alpha::ServerReflection::Stub stub(as.channel);
    CallContext context;
    as.Sign(context);
    const auto call = stub.ServerReflectionInfo(&context);
    grpc::reflection::v1alpha::ServerReflectionRequest request;
    request.set_list_services("*");
    call->Write(request);
    grpc::reflection::v1alpha::ServerReflectionResponse response;
    if (!call->Read(&response)) return {Told(call->Finish())};
    context.TryCancel();
    std::set<std::string> names;
    for (const auto& service : response.list_services_response().service()) {
      names.insert(service.name());
    }
    return names;
  }
};

TEST_F(DaemonOtherServicesTest, HealthIsForAllAndReflectionForWhoeverHasAnyRight) {
  StartWith({"a"});
  std::set<std::string> services = kOtherServices;
  for (const MethodDescriptor* method : AllMethods()) {
    services.insert(method->service()->full_name());
  }
  const As holder = Viewer(Ticket("viewer", "a").secret());
  for (const As& as : {Operator(), Manager(), holder}) {
    EXPECT_EQ(Health(as), kYes);
    // What is served is what stands in the table, and the exceptions.
    EXPECT_EQ(Reflection(as), services);
  }
  for (const As& as : {Viewer(), OnLoopback(), OverTls()}) {
    EXPECT_EQ(Health(as), kYes);
    EXPECT_EQ(Reflection(as), std::set<std::string>{kWho});
  }
  EXPECT_EQ(Health(Viewer("pct_")), kYes);
  EXPECT_EQ(Reflection(Viewer("pct_")), std::set<std::string>{kBad});
}

}  // namespace
}  // namespace planecast::testing
