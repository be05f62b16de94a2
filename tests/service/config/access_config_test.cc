#include "service/config/access_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "service/config/config.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

config::v1::ServerConfig Parse(const std::string& text) {
  auto config = ParseConfig(text, "f");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *std::move(config) : config::v1::ServerConfig();
}

/// The fields between the braces of a TLS listener's tls.
std::string Tls(const std::string& more = "") {
  return " tls { certificate_path: \"c\" private_key_path: \"k\" " + more + " } ";
}

Identity IdentityOf(const std::string& text, const Peer& peer) {
  return MakeAccessPolicy(Parse(text))->Identify(peer);
}

Peer LocalUser(Door door, uint32_t uid) {
  Peer peer;
  peer.door = door;
  peer.uid = uid;
  return peer;
}

Peer WithCertificate(const std::string& subject, const std::string& san = "") {
  Peer peer;
  peer.encrypted = true;
  peer.certificate.emplace();
  peer.certificate->subject = subject;
  if (!san.empty()) peer.certificate->alternative_names = {san};
  return peer;
}

TEST(AccessConfigTest, AnEmptyConfigKnowsOperatorsOnTheirSocketAlone) {
  EXPECT_TRUE(IdentityOf("", LocalUser(Door::kOperatorSocket, 7))
                  .rights.AllowsEverywhere(Permission::kManage));
  EXPECT_TRUE(IdentityOf("", LocalUser(Door::kViewerSocket, 0)).rights.empty());
  EXPECT_TRUE(IdentityOf("", Peer()).rights.empty());
  EXPECT_THAT(MakeAccessPolicy(Parse(""))->bound_uids(), IsEmpty());
}

TEST(AccessConfigTest, ABindingGivesItsRoleOnItsDisplays) {
  const std::string text =
      "bindings { uid: 7 role: \"viewer\" displays: \"vm1\" displays: \"lab-*\" }"
      "bindings { uid: 7 role: \"controller\" displays: \"vm2\" }";
  EXPECT_THAT(MakeAccessPolicy(Parse(text))->bound_uids(), ElementsAre(7));
  const Rights rights = IdentityOf(text, LocalUser(Door::kViewerSocket, 7)).rights;
  EXPECT_TRUE(rights.Allows(Permission::kWatch, "vm1"));
  EXPECT_TRUE(rights.Allows(Permission::kWatch, "lab-9"));
  EXPECT_FALSE(rights.Allows(Permission::kControl, "lab-9"));
  EXPECT_TRUE(rights.Allows(Permission::kControl, "vm2"));
  EXPECT_FALSE(rights.Allows(Permission::kWatch, "vm3"));
  EXPECT_TRUE(IdentityOf(text, LocalUser(Door::kViewerSocket, 8)).rights.empty());
}

TEST(AccessConfigTest, UidZeroCanBeBound) {
  EXPECT_TRUE(IdentityOf("bindings { uid: 0 role: \"viewer\" displays: \"*\" }",
                         LocalUser(Door::kViewerSocket, 0))
                  .rights.AllowsEverywhere(Permission::kWatch));
}

TEST(AccessConfigTest, CertificatesAreBoundBySubjectOrAlternativeName) {
  const std::string text =
      "bindings { certificate_subject: \"CN=web1,O=Example\" role: \"viewer\" displays: \"*\" }"
      "bindings { certificate_san: \"IP:2001:DB8:0::1\" role: \"operator\" displays: \"*\" }";
  EXPECT_TRUE(IdentityOf(text, WithCertificate("CN=web1,O=Example"))
                  .rights.AllowsEverywhere(Permission::kWatch));
  EXPECT_TRUE(IdentityOf(text, WithCertificate("CN=web1")).rights.empty());
  EXPECT_TRUE(IdentityOf(text, WithCertificate("CN=a", "IP:2001:db8::1"))
                  .rights.AllowsEverywhere(Permission::kManage));
}

TEST(AccessConfigTest, RolesAreAddedOrReplaced) {
  const std::string text =
      "roles { name: \"kiosk\" permissions: PERMISSION_WATCH permissions: PERMISSION_CONTROL }"
      "roles { name: \"viewer\" permissions: PERMISSION_LIST }"
      "bindings { uid: 1 role: \"kiosk\" displays: \"*\" }"
      "bindings { uid: 2 role: \"viewer\" displays: \"*\" }";
  const Rights kiosk = IdentityOf(text, LocalUser(Door::kViewerSocket, 1)).rights;
  EXPECT_EQ(kiosk.On("a"),
            PermissionSet({Permission::kList, Permission::kWatch, Permission::kControl}));
  const Rights viewer = IdentityOf(text, LocalUser(Door::kViewerSocket, 2)).rights;
  EXPECT_EQ(viewer.On("a"), PermissionSet({Permission::kList}));
}

TEST(AccessConfigTest, AnAnonymousRoleComesWithThePeer) {
  Peer peer;
  peer.door = Door::kLoopback;
  peer.anonymous_role = "viewer";
  EXPECT_TRUE(IdentityOf("", peer).rights.AllowsEverywhere(Permission::kWatch));
}

TEST(UpgradeWarningsTest, NothingIsLostWithoutTcp) {
  EXPECT_THAT(UpgradeWarnings(Parse("")), IsEmpty());
  EXPECT_THAT(UpgradeWarnings(Parse("socket_path: \"/a/b\" metrics_address: \"127.0.0.1:0\"")),
              IsEmpty());
}

TEST(UpgradeWarningsTest, EachListenerThatServedEverybodyIsTold) {
  const auto warnings = UpgradeWarnings(
      Parse("listeners { address: \"127.0.0.1:1\" }"
            "listeners { address: \"0.0.0.0:2\" allow_plain_text_off_loopback: true }"
            "listeners { address: \"0.0.0.0:3\"" +
            Tls() + "}"));
  const std::string line = "anonymous_role: \"operator\"";
  EXPECT_THAT(
      warnings,
      ElementsAre(
          AllOf(HasSubstr("listeners[0], 127.0.0.1:1 (plain text): until now every local user"),
                HasSubstr("planecast ticket"), HasSubstr(line), HasSubstr("--anonymous operator")),
          AllOf(HasSubstr("listeners[1], 0.0.0.0:2 (plain text): until now everyone"),
                HasSubstr("tickets are refused"), Not(HasSubstr("planecast ticket")),
                HasSubstr(line), HasSubstr("--anonymous-remote operator")),
          AllOf(HasSubstr("listeners[2], 0.0.0.0:3 (TLS): until now everyone"),
                HasSubstr("planecast ticket"), HasSubstr(line))));
}

TEST(UpgradeWarningsTest, CertificatesWithoutABindingAreToldOfOnce) {
  const std::string ca = Tls("client_ca_path: \"ca\"");
  const std::string text =
      "listeners { address: \"0.0.0.0:1\"" + ca + "} listeners { address: \"0.0.0.0:2\"" + ca + "}";
  EXPECT_THAT(
      UpgradeWarnings(Parse(text)),
      ElementsAre(AllOf(HasSubstr("listeners[0], 0.0.0.0:1 (TLS); listeners[1], 0.0.0.0:2 (TLS)"),
                        HasSubstr("bindings { certificate_subject: \"CN=web1,O=Example\" role: "
                                  "\"operator\" displays: \"*\" }"),
                        HasSubstr("anonymous_role: \"operator\""))));
  // A uid's binding gives no certificate a right.
  EXPECT_EQ(
      UpgradeWarnings(Parse(text + "bindings { uid: 1 role: \"viewer\" displays: \"*\" }")).size(),
      1U);
  EXPECT_THAT(
      UpgradeWarnings(
          Parse(text + "bindings { certificate_san: \"DNS:a\" role: \"viewer\" displays: \"*\" }")),
      IsEmpty());
}

TEST(UpgradeWarningsTest, TheLinesThatAreAdvisedAreValidAndEndTheWarnings) {
  EXPECT_THAT(
      UpgradeWarnings(Parse("listeners { address: \"127.0.0.1:1\" anonymous_role: \"operator\" }"
                            "listeners { address: \"0.0.0.0:2\" anonymous_role: \"operator\"" +
                            Tls("client_ca_path: \"ca\"") + "}")),
      IsEmpty());
  EXPECT_THAT(UpgradeWarnings(Parse("bindings { certificate_subject: \"CN=web1,O=Example\" role: "
                                    "\"operator\" displays: \"*\" }"
                                    "listeners { address: \"0.0.0.0:2\"" +
                                    Tls("client_ca_path: \"ca\"") + "}")),
              IsEmpty());
  EXPECT_THAT(UpgradeWarnings(Parse("listeners { address: \"127.0.0.1:1\" }"
                                    "bindings { uid: 1 role: \"viewer\" displays: \"*\" }")),
              IsEmpty());
}

TEST(OpenDoorsTest, NobodyIsLetInSilently) {
  EXPECT_THAT(OpenDoors(Parse("listeners { address: \"127.0.0.1:1\" }")), IsEmpty());
  EXPECT_THAT(
      OpenDoors(
          Parse("listeners { address: \"127.0.0.1:1\" anonymous_role: \"viewer\" }"
                "listeners { address: \"0.0.0.0:2\" allow_plain_text_off_loopback: true "
                "anonymous_role: \"only-list\" }"
                "listeners { address: \"127.0.0.1:3\" }"
                "listeners { address: \"0.0.0.0:4\" anonymous_role: \"operator\"" +
                Tls() + "} listeners { address: \"0.0.0.0:5\" anonymous_role: \"operator\"" +
                Tls("client_ca_path: \"ca\"") +
                "} listeners { address: \"0.0.0.0:6\" anonymous_role: \"operator\"" +
                Tls("client_ca_path: \"ca\" client_certificate: CLIENT_CERTIFICATE_OPTIONAL") +
                "} roles { name: \"only-list\" permissions: PERMISSION_LIST }")),
      ElementsAre(
          AllOf(HasSubstr("listeners[0], 127.0.0.1:1 (plain text): every local user is viewer"),
                HasSubstr("WATCH"), Not(HasSubstr("MANAGE")), Not(HasSubstr("network"))),
          AllOf(HasSubstr("listeners[1], 0.0.0.0:2 (plain text): everyone who can connect is "
                          "only-list without further credentials: LIST on all displays"),
                HasSubstr("the network between")),
          AllOf(HasSubstr("listeners[3], 0.0.0.0:4 (TLS): everyone who can connect"),
                HasSubstr("MANAGE"), Not(HasSubstr("network"))),
          HasSubstr("listeners[4], 0.0.0.0:5 (TLS): everyone with a certificate of its client CA"),
          HasSubstr("listeners[5], 0.0.0.0:6 (TLS): everyone who can connect")));
}

}  // namespace
}  // namespace planecast
