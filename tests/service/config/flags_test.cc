#include "service/config/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace planecast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<Flags> Parse(const std::vector<const char*>& arguments) {
  return ParseFlags(arguments);
}

TEST(FlagsTest, NothingSaidMeansNothingSet) {
  auto flags = Parse({});
  ASSERT_TRUE(flags.ok());
  EXPECT_FALSE(flags->config_path.has_value());
  EXPECT_FALSE(flags->socket_path.has_value());
  EXPECT_TRUE(flags->listen.empty());
  EXPECT_FALSE(flags->insecure || flags->allow_fake || flags->help || flags->version);
  EXPECT_EQ(flags->log_level, LogLevel::kInfo);
}

TEST(FlagsTest, ValuesStandBehindABlankOrAnEqualsSign) {
  auto flags = Parse({"--config",
                      "c",
                      "--socket=/s",
                      "--listen",
                      "[::1]:1",
                      "--listen=h:2",
                      "--insecure",
                      "--metrics=localhost:0",
                      "--log-level",
                      "debug",
                      "--anonymous",
                      "viewer",
                      "--anonymous-remote=kiosk",
                      "--viewer-socket",
                      "none",
                      "--socket-group=planecast",
                      "--user",
                      "998:77",
                      "--no-seccomp",
                      "--allow-fake"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->config_path, "c");
  EXPECT_EQ(flags->socket_path, "/s");
  EXPECT_THAT(flags->listen, ElementsAre("[::1]:1", "h:2"));
  EXPECT_EQ(flags->metrics, "localhost:0");
  EXPECT_EQ(flags->anonymous, "viewer");
  EXPECT_EQ(flags->anonymous_remote, "kiosk");
  EXPECT_EQ(flags->viewer_socket, "none");
  EXPECT_EQ(flags->socket_group, "planecast");
  EXPECT_EQ(flags->user, "998:77");
  EXPECT_TRUE(flags->no_seccomp);
  EXPECT_TRUE(flags->insecure);
  EXPECT_TRUE(flags->allow_fake);
  EXPECT_EQ(flags->log_level, LogLevel::kDebug);
}

TEST(FlagsTest, CertificatesAreMadeForHostsAndClients) {
  auto flags = Parse({"--make-certificate=d", "--host", "a", "--host=192.0.2.1", "--client", "c"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->make_certificate, "d");
  EXPECT_THAT(flags->hosts, ElementsAre("a", "192.0.2.1"));
  EXPECT_THAT(flags->clients, ElementsAre("c"));
}

TEST(FlagsTest, WrongUsageIsNamed) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> cases = {
      {{"--bogus"}, "--bogus is no flag"},
      {{"serve"}, "serve is no flag"},
      {{"--socket"}, "--socket needs a value"},
      {{"--socket="}, "--socket needs a value"},
      {{"--insecure=yes"}, "--insecure takes no value"},
      {{"--no-seccomp=yes"}, "--no-seccomp takes no value"},
      {{"--user", "a b"}, "--user 'a b': is no user"},
      {{"--user", "12:x"}, "--user '12:x': is no user"},
      {{"--user", "root:0"}, "--user 'root:0': is no user"},
      {{"--log-level", "loud"}, "--log-level 'loud': no such log level; use error, warning, info"},
      {{"--listen", "foo"}, "--listen 'foo': an address is HOST:PORT"},
      {{"--listen", "127.0.0.1:99999"}, "the port must be 0 to 65535"},
      {{"--metrics"}, "--metrics needs a value"},
      {{"--metrics", "9464"}, "--metrics '9464': an address is HOST:PORT"},
      {{"--metrics", "0.0.0.0:9464"}, "0.0.0.0 is not a loopback address"},
      {{"--metrics", "127.0.0.1:65536"}, "the port must be 0 to 65535"},
      {{"--socket", "relative"}, "--socket 'relative': a socket's path must be absolute"},
      {{"--viewer-socket", "x"}, "--viewer-socket 'x': is neither an absolute path nor none"},
      {{"--socket-group", "100"}, "--socket-group '100': is no group's name"},
      {{"--anonymous"}, "--anonymous needs a value"},
      {{"--make-certificate", "d"}, "--make-certificate needs --host"},
      {{"--host", "h"}, "--host says whom --make-certificate DIR makes one for"},
      {{"--client", "c"}, "--client says whom --make-certificate DIR makes one for"},
      {{"--listen=a:1", ""}, " is no flag"},
  };
  for (const auto& [arguments, want] : cases) {
    auto flags = Parse(arguments);
    EXPECT_EQ(flags.status().code(), absl::StatusCode::kInvalidArgument) << want;
    EXPECT_THAT(std::string(flags.status().message()), HasSubstr(want));
  }
}

TEST(FlagsTest, HelpNamesEveryFlag) {
  for (const char* flag :
       {"--config", "--socket", "--user", "--no-seccomp", "--listen", "--metrics", "--insecure",
        "--allow-fake", "--log-level", "--help", "--version", "--viewer-socket", "--socket-group",
        "--anonymous ", "--anonymous-remote", "--encoder", "--render-node"}) {
    EXPECT_THAT(FlagsHelp(), HasSubstr(flag));
  }
  EXPECT_TRUE(Parse({"-h"})->help);
  EXPECT_TRUE(Parse({"--help"})->help);
  EXPECT_TRUE(Parse({"--version"})->version);
}

}  // namespace
}  // namespace planecast
