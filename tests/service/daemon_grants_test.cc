// What is given and told to whom: tickets, lists, viewers, labels and pictures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "google/protobuf/util/time_util.h"
#include "tests/service/daemon_access_testing.h"

namespace planecast::testing {
namespace {

using google::protobuf::util::TimeUtil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr char kOk[] = "OK";
constexpr char kInvalidTicket[] = "UNAUTHENTICATED TICKET_INVALID";
constexpr char kInvalidField[] = "INVALID_ARGUMENT FIELD_INVALID";
constexpr char kMissing[] = "PERMISSION_DENIED PERMISSION_MISSING";
constexpr char kExceeds[] = "PERMISSION_DENIED GRANT_EXCEEDS_OWN";

class DaemonGrantsTest : public DaemonAccessTest {
 protected:
  static std::string Make(const As& as, const std::string& role,
                          const std::vector<std::string>& ids) {
    v1::CreateTicketResponse made;
    return Told(TryTicket(as, TicketRequest(role, ids), &made));
  }
  static std::vector<std::string> ListedTickets(const As& as) {
    v1::ListTicketsResponse response;
    const auto status =
        Call(as, &v1::AccessService::Stub::ListTickets, v1::ListTicketsRequest(), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> names;
    for (const v1::Ticket& ticket : response.tickets()) names.push_back(ticket.name());
    return names;
  }
  static v1::ListDisplaysResponse List(const As& as, int page_size = 0,
                                       const std::string& page_token = "") {
    v1::ListDisplaysRequest request;
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    v1::ListDisplaysResponse response;
    const auto status = Call(as, &v1::DisplayService::Stub::ListDisplays, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  static grpc::Status Update(const As& as, const v1::Display& display, v1::Display* changed) {
    v1::UpdateDisplayRequest request;
    *request.mutable_display() = display;
    request.mutable_update_mask()->add_paths("labels");
    v1::UpdateDisplayResponse response;
    const auto status = Call(as, &v1::DisplayService::Stub::UpdateDisplay, request, &response);
    *changed = response.display();
    return status;
  }
  static grpc::Status Snapshot(const As& as, v1::GetSnapshotRequest request,
                               v1::GetSnapshotResponse* response) {
    request.set_name("displays/a");
    return Call(as, &v1::DisplayService::Stub::GetSnapshot, request, response);
  }
};

TEST_F(DaemonGrantsTest, NobodyGivesMoreThanHeHas) {
  StartWith({"a", "a2", "b"});
  const As manager = Manager();
  EXPECT_EQ(Make(manager, "viewer", {"a"}), kOk);
  EXPECT_EQ(Make(manager, "manager", {"a", "a2"}), kOk);
  EXPECT_EQ(Make(manager, "controller", {"a"}), kExceeds);
  EXPECT_EQ(Make(manager, "operator", {"a"}), kExceeds);
  EXPECT_EQ(Make(manager, "viewer", {"b"}), kMissing);
  EXPECT_EQ(Make(manager, "viewer", {"a", "b"}), kMissing);
  // Whether there is such a display or not.
  EXPECT_EQ(Make(manager, "viewer", {"none"}), kMissing);
  EXPECT_EQ(Make(manager, "viewer", {"a-none"}), "NOT_FOUND DISPLAY_NOT_FOUND");
  const std::string secret = Ticket("controller", "a").secret();
  ViewerStream stream(Viewer(secret), "a");
  const As controller = Viewer(secret, stream.started().viewer_id());
  EXPECT_EQ(Make(controller, "viewer", {"a"}), kMissing);
}

TEST_F(DaemonGrantsTest, WhatATicketsHolderGivesDoesNotOutliveHisSession) {
  StartWith({"a"});
  auto request = TicketRequest("operator", {"a"});
  request.mutable_session_max()->set_seconds(10);
  const std::string secret = Ticket(request).secret();
  ViewerStream makers(Viewer(secret), "a");
  const As maker = Viewer(secret, makers.started().viewer_id());
  request = TicketRequest("viewer", {"a"});
  request.mutable_start_ttl()->set_seconds(3600);
  request.set_uses(2);
  v1::CreateTicketResponse made;
  const auto status = TryTicket(maker, request, &made);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(made.ticket().issuer(), PrincipalOf(maker));
  EXPECT_LE(made.ticket().start_expire_time(), makers.started().session_end_time());
  EXPECT_LE(TimeUtil::DurationToSeconds(made.ticket().session_max()), 10);
  ViewerStream given(Viewer(made.secret()), "a");
  EXPECT_LE(TimeUtil::TimestampToMilliseconds(given.started().session_end_time()),
            TimeUtil::TimestampToMilliseconds(makers.started().session_end_time()) + 1);
  clock_.Jump(10 * kSecond);
  EXPECT_EQ(given.Goodbye().reason(), v1::Goodbye::REASON_REVOKED);
  EXPECT_EQ(makers.Goodbye().reason(), v1::Goodbye::REASON_REVOKED);
  EXPECT_EQ(Told(GetAs(Viewer(made.secret()), "a")), kInvalidTicket);
  EXPECT_THAT(ListedTickets(Operator()), ElementsAre());
}

TEST_F(DaemonGrantsTest, WhatAHolderGaveEndsWithHisTicketAndWithHim) {
  StartWith({"a"});
  for (const bool evict : {false, true}) {
    auto request = TicketRequest("operator", {"a"});
    request.set_uses(2);
    const auto makers_ticket = Ticket(request);
    const std::string& secret = makers_ticket.secret();
    ViewerStream makers(Viewer(secret), "a");
    const As maker = Viewer(secret, makers.started().viewer_id());
    v1::CreateTicketResponse made;
    ASSERT_EQ(Told(TryTicket(maker, TicketRequest("viewer", {"a"}), &made)), kOk);
    ViewerStream given(Viewer(made.secret()), "a");
    given.started();
    if (evict) {
      v1::EndViewerRequest end;
      end.set_name(makers.started().viewer_name());
      v1::EndViewerResponse ended;
      EXPECT_TRUE(Call(Operator(), &v1::ViewerService::Stub::EndViewer, end, &ended).ok());
    } else {
      EXPECT_TRUE(Revoke(Operator(), makers_ticket.ticket().name()).ok());
    }
    EXPECT_EQ(given.Goodbye().reason(), v1::Goodbye::REASON_REVOKED) << evict;
    EXPECT_EQ(Told(GetAs(Viewer(made.secret(), given.started().viewer_id()), "a")), kInvalidTicket)
        << evict;
  }
}

TEST_F(DaemonGrantsTest, ADisplayThatIsBeingAttachedHasNoTickets) {
  std::promise<void> come;
  parts_.open_source = [open = parts_.open_source,
                        came = come.get_future().share()](const DisplaySpec& spec) {
    came.wait();
    return open(spec);
  };
  StartWith({});
  std::thread attach([this] { AttachFake("a"); });
  Await("a",
        [](const v1::Display& display) { return display.state() == v1::Display::STATE_ATTACHING; });
  EXPECT_EQ(Make(Operator(), "viewer", {"a"}), "UNAVAILABLE DISPLAY_ATTACHING");
  come.set_value();
  attach.join();
  EXPECT_EQ(Make(Operator(), "viewer", {"a"}), kOk);
}

TEST_F(DaemonGrantsTest, MalformedWishesAreRefused) {
  StartWith({"a"});
  const auto told = [this](void (*change)(v1::CreateTicketRequest&)) {
    v1::CreateTicketRequest request = TicketRequest("viewer", {"a"});
    change(request);
    v1::CreateTicketResponse made;
    return Told(TryTicket(Operator(), request, &made));
  };
  using Request = v1::CreateTicketRequest;
  EXPECT_EQ(told([](Request& r) { r.clear_role(); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.set_role("none"); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.clear_displays(); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.add_displays("displays/*"); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.add_displays("a"); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.add_displays("displays/none"); }),
            "NOT_FOUND DISPLAY_NOT_FOUND");
  EXPECT_EQ(told([](Request& r) {
              for (int i = 0; i < 16; ++i) r.add_displays("displays/a");
            }),
            kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.mutable_start_ttl()->set_nanos(999'999'999); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.mutable_start_ttl()->set_seconds(1); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.mutable_start_ttl()->set_seconds(24 * 3600); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.mutable_start_ttl()->set_seconds(24 * 3600 + 1); }),
            kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.mutable_session_max()->set_seconds(-1); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.mutable_session_max()->set_seconds(30 * 24 * 3600); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.mutable_session_max()->set_seconds(int64_t{1} << 62); }),
            kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.set_uses(-1); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.set_uses(1000); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.set_uses(1001); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.set_certificate_sha256("ab"); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.set_certificate_sha256(std::string(64, 'g')); }),
            kInvalidField);
  // Colons are left out of a fingerprint: nothing must be left that means "any certificate".
  EXPECT_EQ(told([](Request& r) { r.set_certificate_sha256(":::"); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.set_certificate_sha256(std::string(64, 'F')); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.set_note(std::string(200, 'x')); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.set_note(std::string(201, 'x')); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.set_note("a\nb"); }), kInvalidField);
}

TEST_F(DaemonGrantsTest, TicketsAreListedForWhoManagesAllTheirDisplays) {
  StartWith({"a", "b"});
  auto request = TicketRequest("viewer", {"a"});
  request.set_note("for Ann");
  request.set_uses(3);
  const auto a = Ticket(request);
  const std::string b = Ticket("controller", "b").ticket().name();
  const std::string both = Ticket(TicketRequest("viewer", {"a", "b"})).ticket().name();
  EXPECT_THAT(ListedTickets(Operator()), ElementsAre(a.ticket().name(), b, both));
  EXPECT_THAT(ListedTickets(Manager()), ElementsAre(a.ticket().name()));
  EXPECT_EQ(Told(Revoke(Manager(), b)), "NOT_FOUND TICKET_NOT_FOUND");
  EXPECT_EQ(Told(Revoke(Manager(), both)), "NOT_FOUND TICKET_NOT_FOUND");
  EXPECT_EQ(Told(Revoke(Manager(), "tickets/")), "NOT_FOUND TICKET_NOT_FOUND");
  EXPECT_EQ(Told(Revoke(Manager(), "a")), kInvalidField);
  EXPECT_EQ(Told(Revoke(Manager(), a.ticket().name())), kOk);
  EXPECT_THAT(ListedTickets(Operator()), ElementsAre(b, both));
  EXPECT_EQ(a.ticket().note(), "for Ann");
  EXPECT_EQ(a.ticket().role(), "viewer");
  EXPECT_EQ(a.ticket().issuer(), PrincipalOf(Operator()));
  EXPECT_EQ(a.ticket().uses_left(), 3);
  EXPECT_THAT(a.ticket().displays(), ElementsAre("displays/a"));
  EXPECT_EQ(TimeUtil::DurationToSeconds(a.ticket().start_expire_time() - a.ticket().create_time()),
            60);
  EXPECT_EQ(TimeUtil::DurationToSeconds(a.ticket().session_max()), 12 * 3600);
}

TEST_F(DaemonGrantsTest, ListsOfTicketsHavePages) {
  StartWith({"a", "b"});
  std::vector<std::string> made;
  for (int i = 0; i < 5; ++i) {
    made.push_back(Ticket("viewer", "a").ticket().name());
    Ticket("viewer", "b");
  }
  std::vector<std::string> listed;
  v1::ListTicketsRequest request;
  request.set_page_size(2);
  int pages = 0;
  do {
    v1::ListTicketsResponse response;
    ASSERT_TRUE(Call(Manager(), &v1::AccessService::Stub::ListTickets, request, &response).ok());
    for (const v1::Ticket& ticket : response.tickets()) listed.push_back(ticket.name());
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(listed, made);
  EXPECT_EQ(pages, 3);
  v1::ListTicketsResponse response;
  request.set_page_token("displays-after:a");
  EXPECT_EQ(Told(Call(Manager(), &v1::AccessService::Stub::ListTickets, request, &response)),
            kInvalidField);
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_EQ(Told(Call(Manager(), &v1::AccessService::Stub::ListTickets, request, &response)),
            kInvalidField);
}

TEST_F(DaemonGrantsTest, AListHasOnlyWhatTheCallerMayKnowOf) {
  StartWith({"a", "a-hidden", "b-hidden", "c"});
  const As viewer = Viewer(Ticket(TicketRequest("viewer", {"a", "c"})).secret());
  EXPECT_EQ(List(Operator()).displays_size(), 4);
  const auto all = List(viewer);
  ASSERT_EQ(all.displays_size(), 2);
  EXPECT_EQ(all.displays(0).name(), "displays/a");
  EXPECT_EQ(all.displays(1).name(), "displays/c");
  EXPECT_EQ(all.next_page_token(), "");
  const auto first = List(viewer, 1);
  ASSERT_EQ(first.displays_size(), 1);
  EXPECT_NE(first.next_page_token(), "");
  EXPECT_THAT(first.next_page_token(), Not(HasSubstr("hidden")));
  const auto second = List(viewer, 1, first.next_page_token());
  ASSERT_EQ(second.displays_size(), 1);
  EXPECT_EQ(second.displays(0).name(), "displays/c");
  EXPECT_EQ(second.next_page_token(), "");
  EXPECT_EQ(List(Manager()).displays_size(), 2);
}

TEST_F(DaemonGrantsTest, WhatIsHiddenIsRefusedInTheSameWordsAsWhatIsNotThere) {
  StartWith({"a", "hidden"});
  const As viewer = Viewer(Ticket("viewer", "a").secret());
  const auto hidden = GetAs(viewer, "hidden");
  const auto absent = GetAs(viewer, "absent");
  EXPECT_EQ(Told(hidden), kMissing);
  EXPECT_EQ(Told(absent), kMissing);
  std::string words = hidden.error_message();
  ASSERT_NE(words.find("hidden"), std::string::npos);
  words.replace(words.find("hidden"), 6, "absent");
  EXPECT_EQ(words, absent.error_message());
}

TEST_F(DaemonGrantsTest, AWatchTellsOnlyWhatTheCallerMayKnowOf) {
  StartWith({"a", "a2", "b"});
  const As manager = Manager();
  v1::DisplayService::Stub stub(manager.channel);
  CallContext context;
  const auto watch = stub.WatchDisplays(&context, v1::WatchDisplaysRequest());
  std::set<std::string> names;
  v1::WatchDisplaysResponse response;
  while (watch->Read(&response) && !response.has_bookmark())
    names.insert(response.display().name());
  EXPECT_THAT(names, UnorderedElementsAre("displays/a", "displays/a2"));
  AttachFake("c");
  ASSERT_TRUE(Detach("displays/b").ok());
  ASSERT_TRUE(Detach("displays/a2").ok());
  while (watch->Read(&response) && !response.has_detached()) {
    EXPECT_THAT(response.display().name(), ::testing::StartsWith("displays/a"));
  }
  EXPECT_EQ(response.detached().name(), "displays/a2");
  context.TryCancel();
  while (watch->Read(&response)) {
  }
  watch->Finish();
}

TEST_F(DaemonGrantsTest, AWatchByATicketDoesNotSeeTheNextDisplayOfThatName) {
  StartWith({"a"});
  const As holder = Viewer(Ticket("viewer", "a").secret());
  v1::DisplayService::Stub stub(holder.channel);
  CallContext context;
  holder.Sign(context);
  const auto watch = stub.WatchDisplays(&context, v1::WatchDisplaysRequest());
  v1::WatchDisplaysResponse response;
  while (watch->Read(&response) && !response.has_bookmark()) {
  }
  ASSERT_TRUE(Detach("displays/a").ok());
  AttachFake("a");
  const std::string next = Display("a").uid();
  while (watch->Read(&response)) EXPECT_NE(response.display().uid(), next);
  EXPECT_EQ(Told(watch->Finish()), kInvalidTicket);
}

TEST_F(DaemonGrantsTest, ViewersAreListedWithoutTheirSecrets) {
  StartWith({"a", "b"});
  const auto made = Ticket("viewer", "a");
  auto start = ViewerStream::Start("a");
  start.set_acknowledges(true);
  ViewerStream first(Viewer(made.secret()), start);
  first.started();
  ViewerStream second(Operator(), "a");
  second.started();
  ViewerStream elsewhere(Operator(), "b");
  elsewhere.started();
  v1::ListViewersRequest request;
  request.set_parent("displays/a");
  v1::ListViewersResponse response;
  ASSERT_TRUE(Call(Manager(), &v1::ViewerService::Stub::ListViewers, request, &response).ok());
  ASSERT_EQ(response.viewers_size(), 2);
  const v1::ViewerInfo& by_ticket = response.viewers(0);
  EXPECT_EQ(by_ticket.name(), first.started().viewer_name());
  EXPECT_EQ("tickets/" + by_ticket.principal().substr(sizeof("ticket:") - 1), made.ticket().name());
  EXPECT_EQ(by_ticket.ticket(), made.ticket().name());
  EXPECT_THAT(by_ticket.peer(), ::testing::StartsWith("unix"));
  EXPECT_TRUE(by_ticket.acknowledges());
  EXPECT_GT(by_ticket.sent_bytes(), 0);
  EXPECT_THAT(by_ticket.permissions(),
              ElementsAre(v1::PERMISSION_LIST, v1::PERMISSION_WATCH, v1::PERMISSION_SNAPSHOT));
  EXPECT_TRUE(by_ticket.has_start_time());
  EXPECT_EQ(response.viewers(1).principal(), PrincipalOf(Operator()));
  EXPECT_EQ(response.viewers(1).ticket(), "");
  EXPECT_FALSE(response.viewers(1).acknowledges());
  const std::string all = response.SerializeAsString();
  EXPECT_THAT(all, Not(HasSubstr(first.started().viewer_id())));
  EXPECT_THAT(all, Not(HasSubstr(second.started().viewer_id())));
  request.set_page_size(1);
  ASSERT_TRUE(Call(Manager(), &v1::ViewerService::Stub::ListViewers, request, &response).ok());
  ASSERT_EQ(response.viewers_size(), 1);
  EXPECT_EQ(response.viewers(0).name(), first.started().viewer_name());
  request.set_page_token(response.next_page_token());
  ASSERT_TRUE(Call(Manager(), &v1::ViewerService::Stub::ListViewers, request, &response).ok());
  ASSERT_EQ(response.viewers_size(), 1);
  EXPECT_EQ(response.viewers(0).name(), second.started().viewer_name());
  EXPECT_EQ(response.next_page_token(), "");
  request.set_page_token("x");
  EXPECT_EQ(Told(Call(Manager(), &v1::ViewerService::Stub::ListViewers, request, &response)),
            kInvalidField);
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_EQ(Told(Call(Manager(), &v1::ViewerService::Stub::ListViewers, request, &response)),
            kInvalidField);
  request.clear_page_size();
  request.set_parent("displays/a-none");
  EXPECT_EQ(Told(Call(Manager(), &v1::ViewerService::Stub::ListViewers, request, &response)),
            "NOT_FOUND DISPLAY_NOT_FOUND");
}

TEST_F(DaemonGrantsTest, EndViewerChecksItsRequest) {
  StartWith({"a"});
  ViewerStream stream(Operator(), "a");
  const std::string name = stream.started().viewer_name();
  const auto told = [this](const std::string& viewer, const std::string& message) {
    v1::EndViewerRequest request;
    request.set_name(viewer);
    request.set_message(message);
    v1::EndViewerResponse response;
    return Told(Call(Operator(), &v1::ViewerService::Stub::EndViewer, request, &response));
  };
  for (const std::string& malformed : {std::string("displays/a"), std::string("displays/a/viewers"),
                                       std::string("displays/a/viewers/x"), name + "/x"}) {
    EXPECT_EQ(told(malformed, ""), kInvalidField) << malformed;
  }
  EXPECT_EQ(told("displays/a/viewers/999", ""), "NOT_FOUND VIEWER_NOT_FOUND");
  EXPECT_EQ(told(name, std::string(201, 'x')), kInvalidField);
  EXPECT_EQ(told(name, std::string(200, 'x')), kOk);
}

TEST_F(DaemonGrantsTest, LabelsChangeWithTheEtagThatWasRead) {
  StartWith({"a"});
  v1::Display wanted;
  wanted.set_name("displays/a");
  wanted.set_etag(Display("a").etag());
  (*wanted.mutable_labels())["owner"] = "ann";
  v1::Display changed;
  EXPECT_EQ(Told(Update(Manager(), wanted, &changed)), kOk);
  EXPECT_EQ(changed.labels().at("owner"), "ann");
  EXPECT_NE(changed.etag(), wanted.etag());
  EXPECT_EQ(Display("a").labels().at("owner"), "ann");
  EXPECT_EQ(Display("a").etag(), changed.etag());
  // The old one is old.
  (*wanted.mutable_labels())["owner"] = "bob";
  EXPECT_EQ(Told(Update(Manager(), wanted, &changed)), "ABORTED ETAG_MISMATCH");
  EXPECT_EQ(Display("a").labels().at("owner"), "ann");
  wanted.set_etag("garbage");
  EXPECT_EQ(Told(Update(Manager(), wanted, &changed)), kInvalidField);
  wanted.clear_etag();
  EXPECT_EQ(Told(Update(Manager(), wanted, &changed)), kOk);
  EXPECT_EQ(Display("a").labels().at("owner"), "bob");
  (*wanted.mutable_labels())["No Key"] = "x";
  EXPECT_EQ(Told(Update(Manager(), wanted, &changed)), kInvalidField);
  // Another display of the same name is another.
  const std::string old = Display("a").etag();
  ASSERT_TRUE(Detach("displays/a").ok());
  AttachFake("a");
  wanted.clear_labels();
  wanted.set_etag(old);
  EXPECT_EQ(Told(Update(Manager(), wanted, &changed)), "ABORTED ETAG_MISMATCH");
}

TEST_F(DaemonGrantsTest, OnlyLabelsChange) {
  StartWith({"a"});
  const auto told = [this](const std::vector<std::string>& paths) {
    v1::UpdateDisplayRequest request;
    request.mutable_display()->set_name("displays/a");
    for (const std::string& path : paths) request.mutable_update_mask()->add_paths(path);
    v1::UpdateDisplayResponse response;
    return Told(Call(Operator(), &v1::DisplayService::Stub::UpdateDisplay, request, &response));
  };
  EXPECT_EQ(told({"labels"}), kOk);
  EXPECT_EQ(told({}), kInvalidField);
  EXPECT_EQ(told({"source"}), kInvalidField);
  EXPECT_EQ(told({"labels", "name"}), kInvalidField);
  EXPECT_EQ(told({"*"}), kInvalidField);
}

TEST_F(DaemonGrantsTest, ASnapshotIsAsSmallAsIsAskedFor) {
  Script("ideal")->look = LookWithFrame(MakeBuffer(3840, 2160));
  StartWith({"a"});
  const As viewer = Viewer(Ticket("viewer", "a").secret());
  v1::GetSnapshotRequest request;
  v1::GetSnapshotResponse response;
  ASSERT_EQ(Told(Snapshot(viewer, request, &response)), kOk);
  EXPECT_EQ(response.width_px(), 3840);
  EXPECT_EQ(response.plane_width_px(), 3840);
  EXPECT_EQ(response.format(), v1::GetSnapshotRequest::FORMAT_PNG);
  const size_t whole = response.image().size();
  ASSERT_GT(whole, 16384U) << "this test needs a larger picture";
  request.set_size_max_bytes(16384);
  ASSERT_EQ(Told(Snapshot(viewer, request, &response)), kOk);
  EXPECT_LT(response.width_px(), 3840);
  EXPECT_EQ(response.plane_width_px(), 3840);
  EXPECT_EQ(response.plane_height_px(), 2160);
  EXPECT_LE(response.image().size(), 16384U);
  request.clear_size_max_bytes();
  request.set_width_max_px(640);
  ASSERT_EQ(Told(Snapshot(viewer, request, &response)), kOk);
  EXPECT_LE(response.width_px(), 640);
  EXPECT_NEAR(response.height_px(), response.width_px() * 9 / 16, 1);
  // Never up.
  request.set_width_max_px(8000);
  ASSERT_EQ(Told(Snapshot(viewer, request, &response)), kOk);
  EXPECT_EQ(response.width_px(), 3840);
}

TEST_F(DaemonGrantsTest, MalformedWishesForASnapshotAreRefused) {
  StartWith({"a"});
  v1::GetSnapshotResponse response;
  const auto told = [&](void (*change)(v1::GetSnapshotRequest&)) {
    v1::GetSnapshotRequest request;
    change(request);
    return Told(Snapshot(Operator(), request, &response));
  };
  using Request = v1::GetSnapshotRequest;
  EXPECT_EQ(told([](Request& r) { r.set_width_max_px(-1); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.mutable_age_max()->set_seconds(-1); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.mutable_age_max()->set_seconds(1); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.set_size_max_bytes(16383); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.set_size_max_bytes(16384); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.set_size_max_bytes(64 << 20); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.set_size_max_bytes((64 << 20) + 1); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.set_size_max_bytes(-1); }), kInvalidField);
  EXPECT_EQ(told([](Request& r) { r.set_format(Request::FORMAT_PNG); }), kOk);
  EXPECT_EQ(told([](Request& r) { r.set_format(Request::FORMAT_JPEG); }), kInvalidField);
  {
    const auto script = Script("ideal");
    const std::lock_guard<std::mutex> lock(script->mutex);
    script->look = LookWithout(PlaneLook::Primary::kBlanked);
  }
  EXPECT_EQ(told([](Request&) {}), "FAILED_PRECONDITION NO_PICTURE");
}

}  // namespace
}  // namespace planecast::testing
