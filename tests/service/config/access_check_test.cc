#include "service/config/access_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "service/config/config.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

config::v1::ServerConfig Parse(const std::string& text, const Flags& flags = {}) {
  auto config = ParseConfig(text, "f", flags);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *std::move(config) : config::v1::ServerConfig();
}

std::string Error(const std::string& text, const Flags& flags = {}) {
  auto config = ParseConfig(text, "f", flags);
  if (config.ok()) return "";
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

std::string Tls(const std::string& more = "") {
  return " tls { certificate_path: \"c\" private_key_path: \"k\" " + more + " } ";
}

TEST(ViewerSocketTest, ItLiesBesideTheOperatorsByDefault) {
  EXPECT_EQ(Parse("").viewer_socket_path(), "/run/planecast/viewers.sock");
  EXPECT_EQ(Parse("socket_path: \"/tmp/x/p.sock\"").viewer_socket_path(), "/tmp/x/viewers.sock");
  EXPECT_EQ(Parse("socket_path: \"/p.sock\"").viewer_socket_path(), "/viewers.sock");
  EXPECT_EQ(Parse("viewer_socket_path: \"none\"").viewer_socket_path(), "none");
  EXPECT_EQ(Parse("viewer_socket_path: \"/a/v\"").viewer_socket_path(), "/a/v");
}

TEST(ViewerSocketTest, AFlagForTheOperatorsSocketMovesTheDefault) {
  Flags flags;
  flags.socket_path = "/tmp/x/p.sock";
  EXPECT_EQ(Parse("", flags).viewer_socket_path(), "/tmp/x/viewers.sock");
  flags.viewer_socket = "none";
  EXPECT_EQ(Parse("viewer_socket_path: \"/a/v\"", flags).viewer_socket_path(), "none");
}

TEST(ViewerSocketTest, ItIsKnownWhetherSomebodyAskedForIt) {
  EXPECT_TRUE(ViewerSocketIsDefault(Parse("")));
  EXPECT_TRUE(ViewerSocketIsDefault(Parse("socket_path: \"/tmp/x/p.sock\"")));
  EXPECT_FALSE(ViewerSocketIsDefault(Parse("viewer_socket_path: \"/a/v\"")));
  EXPECT_FALSE(ViewerSocketIsDefault(Parse("viewer_socket_path: \"none\"")));
}

TEST(ViewerSocketTest, ADefaultThatCantBeIsNoMistakeOfTheConfigs) {
  for (const std::string& text :
       {"socket_path: \"/" + std::string(106, 'a') + "\"",
        std::string("socket_path: \"/a/viewers.sock\""),
        std::string("hand_over_socket_path: \"/run/planecast/viewers.sock\""),
        "socket_path: \"/" + std::string(100, 'a') + "/s\""}) {
    const auto config = Parse(text);
    EXPECT_TRUE(ViewerSocketIsDefault(config)) << text;
  }
  EXPECT_EQ(Parse("socket_path: \"/a/viewers.sock\"").viewer_socket_path(), "none");
  EXPECT_EQ(Parse("socket_path: \"/" + std::string(100, 'a') + "/s\"").viewer_socket_path(),
            "none");
}

TEST(ViewerSocketTest, PathsAreChecked) {
  EXPECT_THAT(Error("\n viewer_socket_path: \"v\""),
              StartsWith("f:2:2: viewer_socket_path: is neither an absolute path nor none"));
  EXPECT_THAT(Error("viewer_socket_path: \"a/v\""), HasSubstr("must be absolute"));
  EXPECT_THAT(Error("viewer_socket_path: \"/a%\""), HasSubstr("%, ? or #"));
  EXPECT_THAT(Error("socket_path: \"/a\" viewer_socket_path: \"/a\""),
              HasSubstr("viewer_socket_path: must differ from socket_path"));
  EXPECT_THAT(Error("hand_over_socket_path: \"/a\" viewer_socket_path: \"/a\""),
              HasSubstr("viewer_socket_path: must differ from hand_over_socket_path"));
}

TEST(SocketGroupTest, ANameIsWanted) {
  for (const char* name : {"planecast", "_libvirt-qemu", "Group.1", "k8s"}) {
    EXPECT_EQ(Error("socket_group: \"" + std::string(name) + "\""), "");
  }
  for (const char* name :
       {"108", "a b", "-x", "a:b", "/etc", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    EXPECT_THAT(Error("\n socket_group: \"" + std::string(name) + "\""),
                StartsWith("f:2:2: socket_group: is no group's name; use one from"));
  }
  EXPECT_FALSE(CheckGroupName("").ok());
}

TEST(ProcessTest, WhoTheDaemonIsAndItsBrokerHaveDefaultsFlagsAndChecks) {
  const auto plain = ParseConfig("", "test");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->user(), "") << "who was not asked for must be known as such";
  EXPECT_EQ(plain->broker_socket_path(), kDefaultBrokerSocketPath);
  EXPECT_FALSE(plain->disable_system_call_filter());
  Flags flags;
  flags.user = "61234";
  flags.no_seccomp = true;
  const auto config =
      ParseConfig("user: \"planecast\" broker_socket_path: \"none\"", "test", flags);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->user(), "61234");
  EXPECT_EQ(config->broker_socket_path(), "none");
  EXPECT_TRUE(config->disable_system_call_filter());
  EXPECT_FALSE(ParseConfig("user: \"a b\"", "test").ok());
  EXPECT_FALSE(ParseConfig("broker_socket_path: \"broker.sock\"", "test").ok());
}

TEST(RolesTest, MistakesHavePlaceAndRemedy) {
  EXPECT_EQ(Error("roles { name: \"a-1\" permissions: PERMISSION_WATCH }"), "");
  EXPECT_THAT(Error("\nroles { name: \"A\" permissions: PERMISSION_WATCH }"),
              StartsWith("f:2:9: roles[0].name: "));
  EXPECT_THAT(Error("roles { permissions: PERMISSION_WATCH }"), StartsWith("f:1:1: roles[0].name"));
  EXPECT_THAT(Error("roles { name: \"a\" permissions: PERMISSION_LIST }\n"
                    "roles { name: \"a\" permissions: PERMISSION_LIST }"),
              StartsWith("f:2:9: roles[1].name: is used by an earlier role"));
  EXPECT_THAT(Error("roles { name: \"a\" }"),
              StartsWith("f:1:1: roles[0].permissions: is empty; name at least one"));
  EXPECT_THAT(Error("roles { name: \"a\" permissions: PERMISSION_UNSPECIFIED }"),
              HasSubstr("roles[0].permissions[0]: is no permission that can be given"));
  EXPECT_THAT(Error("roles { name: \"a\" permissions: 99 }"), HasSubstr("is no permission"));
  EXPECT_THAT(Error("roles { name: \"a\" permissions: [PERMISSION_WATCH, PERMISSION_WATCH] }"),
              HasSubstr("roles[0].permissions[1]: stands there twice"));
}

TEST(RolesTest, ThereIsALimit) {
  std::string text;
  for (int i = 0; i < kRolesMax; ++i) {
    text += "roles { name: \"r" + std::to_string(i) + "\" permissions: PERMISSION_LIST }\n";
  }
  EXPECT_EQ(Error(text), "");
  EXPECT_THAT(Error(text + "roles { name: \"x\" permissions: PERMISSION_LIST }"),
              HasSubstr("roles: 101 are more than 100"));
}

TEST(BindingsTest, MistakesHavePlaceAndRemedy) {
  EXPECT_EQ(Error("bindings { uid: 0 role: \"operator\" displays: \"*\" }"), "");
  EXPECT_THAT(Error("\nbindings { role: \"viewer\" displays: \"*\" }"),
              StartsWith("f:2:1: bindings[0].uid: nobody is named; set one of uid, "));
  EXPECT_THAT(Error("bindings { uid: 1 displays: \"*\" }"),
              StartsWith("f:1:1: bindings[0].role: "));
  EXPECT_THAT(Error("bindings { uid: 1 role: \"admin\" displays: \"*\" }"),
              AllOf(StartsWith("f:1:19: bindings[0].role: "), HasSubstr("viewer")));
  EXPECT_THAT(Error("bindings { uid: 1 role: \"viewer\" }"),
              HasSubstr("bindings[0].displays: is empty; name displays' ids, or \"*\""));
  EXPECT_THAT(Error("bindings { uid: 1 role: \"viewer\" displays: [\"a\", \"displays/a\"] }"),
              HasSubstr("bindings[0].displays[1]: "));
  EXPECT_THAT(Error("bindings { uid: -1 role: \"viewer\" displays: \"*\" }"),
              StartsWith("f:1:17: "));
}

TEST(BindingsTest, ARoleOfTheConfigIsKnownWhereverItStands) {
  EXPECT_EQ(Error("bindings { uid: 1 role: \"kiosk\" displays: \"*\" }"
                  "roles { name: \"kiosk\" permissions: PERMISSION_WATCH }"),
            "");
}

TEST(BindingsTest, CertificatesAreNamedAsTheyAreCompared) {
  for (const char* subject : {"CN=web1,O=Example", "CN=a", "CN=a\\, b,O=c", "1.2.3.4=#0c01,CN=x",
                              "OU=b+CN=a", "CN=\\ a"}) {
    EXPECT_TRUE(CheckCertificateSubject(subject).ok()) << subject;
  }
  for (const char* subject : {"", "web1", "=x", "/CN=web1/O=Example", "CN = web1, O = Example",
                              "CN=web1, O=Example", "subject=CN=web1", "subject=C = DE, CN = a"}) {
    EXPECT_THAT(std::string(CheckCertificateSubject(subject).message()),
                HasSubstr("-nameopt RFC2253"))
        << subject;
  }
  for (const char* san : {"DNS:web1.example.org", "URI:spiffe://x/y", "email:a@b", "IP:192.0.2.1",
                          "IP:2001:db8::1"}) {
    EXPECT_TRUE(CheckCertificateSan(san).ok()) << san;
  }
  for (const char* san : {"", "web1.example.org", "DNS:", "dns:a", "IP:web1", "IP:1.2.3", "IP:"}) {
    EXPECT_FALSE(CheckCertificateSan(san).ok()) << san;
  }
  EXPECT_THAT(Error("bindings { certificate_san: \"x\" role: \"viewer\" displays: \"*\" }"),
              StartsWith("f:1:12: bindings[0].certificate_san: is no alternative name; use DNS:"));
  EXPECT_THAT(Error("bindings { certificate_subject: \"\" role: \"viewer\" displays: \"*\" }"),
              StartsWith("f:1:12: bindings[0].certificate_subject: is no whole subject"));
}

TEST(BindingsTest, ThereIsALimit) {
  std::string text;
  for (int i = 0; i < kBindingsMax; ++i) {
    text += "bindings { uid: " + std::to_string(i) + " role: \"viewer\" displays: \"*\" }\n";
  }
  EXPECT_EQ(Error(text), "");
  EXPECT_THAT(Error(text + "bindings { }"), HasSubstr("bindings: 1001 are more than 1000"));
}

TEST(AuditTest, AFilesPathIsAbsolute) {
  EXPECT_EQ(Error("audit { file_path: \"/var/log/planecast/audit.jsonl\" }"), "");
  EXPECT_THAT(Error("audit { file_path: \"audit.jsonl\" }"),
              StartsWith("f:1:9: audit.file_path: is no absolute path"));
}

TEST(AnonymousTest, TheRoleMustBeKnown) {
  EXPECT_EQ(Error("listeners { address: \"127.0.0.1:1\" anonymous_role: \"viewer\" }"), "");
  EXPECT_THAT(Error("listeners { address: \"127.0.0.1:1\"\n anonymous_role: \"admin\" }"),
              StartsWith("f:2:2: listeners[0].anonymous_role: "));
}

TEST(AnonymousTest, PlainListenersOffLoopbackHaveOneRole) {
  const auto plain = [](const std::string& port, const std::string& role) {
    return "listeners { address: \"0.0.0.0:" + port + "\" allow_plain_text_off_loopback: true" +
           (role.empty() ? "" : " anonymous_role: \"" + role + "\"") + " }\n";
  };
  EXPECT_EQ(Error(plain("1", "viewer") + plain("2", "viewer")), "");
  EXPECT_THAT(Error(plain("1", "viewer") + plain("2", "controller")),
              AllOf(StartsWith("f:2:"), HasSubstr("listeners[1].anonymous_role: all listeners "
                                                  "without TLS but 127.0.0.1 and ::1 must have "
                                                  "the same, and "
                                                  "listeners[0] has \"viewer\"")));
  EXPECT_THAT(Error(plain("1", "") + plain("2", "viewer")), HasSubstr("listeners[0] has none"));
  EXPECT_THAT(Error(plain("1", "viewer") + plain("2", "")),
              StartsWith("f:2:1: listeners[1].anonymous_role"));
  // gRPC's credentials for loopback don't take this one, so it tells no more than one from afar.
  EXPECT_THAT(
      Error(plain("1", "") + "listeners { address: \"127.0.0.2:2\" anonymous_role: \"operator\" }"),
      StartsWith("f:2:"));
  // Neither loopback nor TLS is meant.
  EXPECT_EQ(Error(plain("1", "viewer") +
                  "listeners { address: \"127.0.0.1:2\" anonymous_role: \"controller\" }"
                  "listeners { address: \"127.0.0.1:3\" }"
                  "listeners { address: \"0.0.0.0:4\" anonymous_role: \"controller\"" +
                  Tls() + "} listeners { address: \"0.0.0.0:5\"" + Tls() + "}"),
            "");
}

TEST(AnonymousTest, AFlagGivesTheRoleToLoopbackListenersThatHaveNone) {
  Flags flags;
  flags.listen = {"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"};
  flags.anonymous = "operator";
  const auto config = Parse(
      "listeners { address: \"localhost:1\" anonymous_role: \"viewer\" }"
      "listeners { address: \"127.0.0.1:2\" }"
      "listeners { address: \"0.0.0.0:3\"" +
          Tls() + "}",
      flags);
  ASSERT_EQ(config.listeners_size(), 6);
  EXPECT_EQ(config.listeners(0).anonymous_role(), "viewer");
  EXPECT_EQ(config.listeners(1).anonymous_role(), "operator");
  EXPECT_EQ(config.listeners(2).anonymous_role(), "");
  EXPECT_EQ(config.listeners(3).anonymous_role(), "operator");
  EXPECT_EQ(config.listeners(4).anonymous_role(), "operator");
  EXPECT_EQ(config.listeners(5).anonymous_role(), "");
}

TEST(AnonymousTest, AnotherFlagGivesTheRoleToAllThatHaveNoneThen) {
  Flags flags;
  flags.listen = {"127.0.0.1:0", "0.0.0.0:0"};
  flags.insecure = true;
  flags.anonymous_remote = "viewer";
  auto config = Parse("", flags);
  EXPECT_EQ(config.listeners(0).anonymous_role(), "viewer");
  EXPECT_EQ(config.listeners(1).anonymous_role(), "viewer");
  flags.anonymous = "operator";
  config = Parse("", flags);
  EXPECT_EQ(config.listeners(0).anonymous_role(), "operator");
  EXPECT_EQ(config.listeners(1).anonymous_role(), "viewer");
}

TEST(AnonymousTest, InsecureLetsNobodyIn) {
  Flags flags;
  flags.listen = {"0.0.0.0:0"};
  flags.insecure = true;
  EXPECT_EQ(Parse("", flags).listeners(0).anonymous_role(), "");
}

TEST(AnonymousTest, AFlagThatLetsInNobodyOrAnUnknownRoleIsAMistake) {
  Flags flags;
  flags.anonymous = "operator";
  EXPECT_THAT(Error("", flags), HasSubstr("add e.g. --listen 127.0.0.1:7443"));
  flags.listen = {"0.0.0.0:0"};
  EXPECT_THAT(Error("listeners { address: \"0.0.0.0:3\"" + Tls() + "}", flags),
              HasSubstr("use --anonymous-remote for all addresses"));
  flags.listen = {"127.0.0.1:0"};
  flags.anonymous = "admin";
  EXPECT_THAT(Error("", flags), StartsWith("f: listeners[0].anonymous_role: "));
  Flags remote;
  remote.anonymous_remote = "viewer";
  EXPECT_THAT(Error("", remote), HasSubstr("--anonymous-remote needs a TCP address"));
}

TEST(ClientCertificateTest, ItNeedsACa) {
  const auto listener = [](const std::string& more) {
    return "listeners { address: \"0.0.0.0:1\"" + Tls(more) + "}";
  };
  EXPECT_THAT(Error(listener("client_certificate: CLIENT_CERTIFICATE_OPTIONAL")),
              HasSubstr("listeners[0].tls.client_certificate: needs client_ca_path"));
  EXPECT_THAT(Error(listener("client_ca_path: \"x\" client_certificate: 7")),
              HasSubstr("client_certificate: is unknown; use CLIENT_CERTIFICATE_REQUIRED or"));
  using config::v1::TlsConfig;
  EXPECT_EQ(Parse(listener("")).listeners(0).tls().client_certificate(),
            TlsConfig::CLIENT_CERTIFICATE_UNSPECIFIED);
  EXPECT_EQ(Parse(listener("client_ca_path: \"x\"")).listeners(0).tls().client_certificate(),
            TlsConfig::CLIENT_CERTIFICATE_REQUIRED);
  EXPECT_EQ(Parse(listener("client_ca_path: \"x\" client_certificate: CLIENT_CERTIFICATE_OPTIONAL"))
                .listeners(0)
                .tls()
                .client_certificate(),
            TlsConfig::CLIENT_CERTIFICATE_OPTIONAL);
}

}  // namespace
}  // namespace planecast
