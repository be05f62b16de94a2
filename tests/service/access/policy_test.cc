// Who peers without a ticket are.
#include "service/access/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/service/access/access_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::Pattern;
using ::planecast::testing::PeerWithCertificate;
using ::planecast::testing::PeerWithUid;
using ::testing::ElementsAre;

Binding ForUid(uint32_t uid, PermissionSet permissions, const std::string& pattern = "*") {
  return {{uid, "", ""}, {permissions, Pattern(pattern)}};
}

Binding ForSubject(const std::string& subject, PermissionSet permissions) {
  return {{std::nullopt, subject, ""}, {permissions, DisplayPattern::All()}};
}

Binding ForSan(const std::string& name, PermissionSet permissions) {
  return {{std::nullopt, "", name}, {permissions, DisplayPattern::All()}};
}

AccessPolicy PolicyWith(std::vector<Binding> bindings) {
  return AccessPolicy(RoleSet(), std::move(bindings));
}

TEST(PolicyTest, AUidWithoutBindingIsAnOperatorOnTheOperatorsSocketAlone) {
  const AccessPolicy policy = PolicyWith({});
  const Identity there = policy.Identify(PeerWithUid(Door::kOperatorSocket, 1000));
  EXPECT_EQ(there.principal.kind, Principal::Kind::kUid);
  EXPECT_EQ(there.principal.name, "uid:1000");
  EXPECT_TRUE(there.rights.AllowsEverywhere(Permission::kManage));
  for (const Door door : {Door::kViewerSocket, Door::kLoopback, Door::kRemote}) {
    const Identity elsewhere = policy.Identify(PeerWithUid(door, 0));
    EXPECT_EQ(elsewhere.principal.kind, Principal::Kind::kNobody);
    EXPECT_EQ(elsewhere.principal.name, "uid:0");
    EXPECT_TRUE(elsewhere.rights.empty());
  }
}

TEST(PolicyTest, TheOperatorsSocketGivesNothingToWhomItDoesNotKnow) {
  Peer peer;
  peer.door = Door::kOperatorSocket;
  EXPECT_TRUE(PolicyWith({}).Identify(peer).rights.empty());
}

TEST(PolicyTest, ABoundUidHasHisBindingsTogetherAndNoMore) {
  const AccessPolicy policy =
      PolicyWith({ForUid(7, {Permission::kWatch}, "vm-*"), ForUid(8, {Permission::kManage}),
                  ForUid(7, {Permission::kControl}, "vm-1")});
  for (const Door door : {Door::kOperatorSocket, Door::kViewerSocket}) {
    Peer peer = PeerWithUid(door, 7);
    peer.anonymous_role = "operator";
    const Identity identity = policy.Identify(peer);
    EXPECT_EQ(identity.principal.kind, Principal::Kind::kUid);
    EXPECT_EQ(identity.principal.name, "uid:7");
    EXPECT_EQ(identity.rights.On("vm-1"),
              (PermissionSet{Permission::kWatch, Permission::kControl}));
    EXPECT_EQ(identity.rights.On("vm-2"), PermissionSet{Permission::kWatch});
    EXPECT_TRUE(identity.rights.On("desk").empty());
  }
}

TEST(PolicyTest, UidZeroCanBeBound) {
  const AccessPolicy policy = PolicyWith({ForUid(0, {Permission::kList})});
  EXPECT_EQ(policy.Identify(PeerWithUid(Door::kOperatorSocket, 0)).rights.On("a"),
            PermissionSet{Permission::kList});
}

TEST(PolicyTest, ACertificateIsBoundByItsWholeSubject) {
  const AccessPolicy policy = PolicyWith({ForSubject("CN=web1,O=Example", {Permission::kWatch})});
  const Identity known = policy.Identify(PeerWithCertificate("CN=web1,O=Example"));
  EXPECT_EQ(known.principal.kind, Principal::Kind::kCertificate);
  EXPECT_EQ(known.principal.name, "certificate:CN=web1,O=Example");
  EXPECT_TRUE(known.rights.Allows(Permission::kWatch, "desk"));
  for (const char* other : {"CN=web1", "CN=web1,O=Example,C=DE", "CN=Web1,O=Example", ""}) {
    EXPECT_TRUE(policy.Identify(PeerWithCertificate(other)).rights.empty()) << other;
  }
}

TEST(PolicyTest, ACertificateIsBoundByAnAlternativeName) {
  const AccessPolicy policy = PolicyWith({ForSan("DNS:web1.example", {Permission::kWatch})});
  Peer peer = PeerWithCertificate("");
  peer.certificate->alternative_names = {"IP:10.0.0.1", "DNS:web1.example"};
  const Identity identity = policy.Identify(peer);
  EXPECT_TRUE(identity.rights.Allows(Permission::kWatch, "desk"));
  EXPECT_EQ(identity.principal.name, "certificate:IP:10.0.0.1");
  peer.certificate->alternative_names = {"DNS:web2.example", "URI:web1.example"};
  EXPECT_TRUE(policy.Identify(peer).rights.empty());
}

TEST(PolicyTest, ASubjectIsNoAlternativeName) {
  const AccessPolicy policy = PolicyWith({ForSan("CN=web1", {Permission::kWatch})});
  EXPECT_TRUE(policy.Identify(PeerWithCertificate("CN=web1")).rights.empty());
}

TEST(PolicyTest, ASignedCertificateWithoutBindingHasNoRight) {
  const Identity identity = PolicyWith({}).Identify(PeerWithCertificate("CN=stranger"));
  EXPECT_EQ(identity.principal.kind, Principal::Kind::kNobody);
  EXPECT_EQ(identity.principal.name, "certificate:CN=stranger");
  EXPECT_TRUE(identity.rights.empty());
}

TEST(PolicyTest, ABindingForNobodyFitsNobody) {
  const AccessPolicy policy = PolicyWith({{{}, {PermissionSet::All(), DisplayPattern::All()}}});
  EXPECT_TRUE(policy.Identify(PeerWithCertificate("")).rights.empty());
  EXPECT_TRUE(policy.Identify(Peer()).rights.empty());
}

TEST(PolicyTest, AListenersAnonymousRoleIsForWhoHasNothingElse) {
  const AccessPolicy policy = PolicyWith({ForUid(7, {Permission::kControl})});
  for (Peer peer : {Peer(), PeerWithUid(Door::kViewerSocket, 8), PeerWithCertificate("CN=x")}) {
    peer.anonymous_role = "viewer";
    const Identity identity = policy.Identify(peer);
    EXPECT_EQ(identity.principal.kind, Principal::Kind::kAnonymous);
    EXPECT_EQ(identity.principal.name, "anonymous");
    EXPECT_TRUE(identity.rights.AllowsEverywhere(Permission::kWatch));
    EXPECT_FALSE(identity.rights.AllowsSomewhere(Permission::kControl));
  }
}

TEST(PolicyTest, AnUnknownAnonymousRoleGivesNothing) {
  Peer peer;
  peer.anonymous_role = "no-such";
  EXPECT_TRUE(PolicyWith({}).Identify(peer).rights.empty());
  peer.anonymous_role = "";
  const Identity identity = PolicyWith({}).Identify(peer);
  EXPECT_EQ(identity.principal.kind, Principal::Kind::kNobody);
  EXPECT_EQ(identity.principal.name, "nobody");
}

TEST(PolicyTest, TheOperatorsRoleIsTheConfigs) {
  RoleSet roles;
  ASSERT_TRUE(roles.Set("operator", {Permission::kWatch}).ok());
  const AccessPolicy policy(roles, {});
  EXPECT_FALSE(policy.Identify(PeerWithUid(Door::kOperatorSocket, 0))
                   .rights.AllowsSomewhere(Permission::kManage));
}

TEST(PolicyTest, BoundUidsAreSortedAndEachOnce) {
  EXPECT_THAT(PolicyWith({ForUid(9, {}), ForUid(2, {}), ForSubject("CN=a", {}), ForUid(9, {})})
                  .bound_uids(),
              ElementsAre(2U, 9U));
}

TEST(PolicyTest, TicketsTravelInTheClearOnlyOnThisMachine) {
  Peer peer;
  EXPECT_FALSE(peer.carries_tickets());
  peer.encrypted = true;
  EXPECT_TRUE(peer.carries_tickets());
  for (const Door door : {Door::kOperatorSocket, Door::kViewerSocket, Door::kLoopback}) {
    EXPECT_TRUE(PeerWithUid(door, 1).carries_tickets());
  }
}

}  // namespace
}  // namespace planecast
