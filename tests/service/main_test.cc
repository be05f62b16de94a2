// planecastd as a process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "service/config/flags.h"
#include "tests/service/program.h"
#include "tests/service/temp_dir.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

TEST(MainTest, HelpAndVersionAreSaidAndDone) {
  Program help({"--help"});
  EXPECT_EQ(help.Wait(), 0);
  EXPECT_EQ(help.printed(), FlagsHelp());
  Program version({"--version"});
  EXPECT_EQ(version.Wait(), 0);
  EXPECT_EQ(version.printed(), "planecastd " PLANECAST_VERSION "\n");
}

TEST(MainTest, WrongUsageExitsWithTwo) {
  Program program({"--bogus"});
  EXPECT_EQ(program.Wait(), 2);
  EXPECT_THAT(program.printed(), HasSubstr("planecastd: --bogus is no flag"));
}

TEST(MainTest, AWrongConfigExitsWithOneAndItsPlace) {
  const TempDir dir;
  const std::string path = dir.path() + "/c.textproto";
  std::ofstream(path) << "\n  bogus: 1";
  Program program({"--config", path});
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.printed(), HasSubstr(path + ":2:"));
}

TEST(MainTest, PlainTextOffLoopbackExitsWithOne) {
  Program program({"--listen", "0.0.0.0:0"});
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.printed(), HasSubstr("--insecure"));
}

TEST(MainTest, CertificatesAreMadeAndTold) {
  const TempDir dir;
  const std::vector<std::string> arguments = {"--make-certificate", dir.path() + "/tls", "--host",
                                              "localhost"};
  Program first(arguments);
  EXPECT_EQ(first.Wait(), 0);
  EXPECT_THAT(first.printed(), HasSubstr("certificate_path: \"" + dir.path() + "/tls/server.pem"));
  EXPECT_TRUE(std::filesystem::exists(dir.path() + "/tls/ca.pem"));
  Program second(arguments);
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_THAT(second.printed(), HasSubstr("planecastd: " + dir.path() + "/tls/server.pem"));
}

TEST(MainTest, ASignalDrainsAndExitsWithZero) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const TempDir dir;
    Program program(
        AsServingUser(dir, {"--socket", dir.path() + "/s.sock", "--listen", "127.0.0.1:0"}));
    ASSERT_TRUE(program.AwaitText("listening on 127.0.0.1:")) << program.printed();
    program.Signal(signal);
    EXPECT_EQ(program.Wait(), 0);
    EXPECT_THAT(program.printed(), HasSubstr("stopped"));
  }
}

TEST(MainTest, TheLimitOfFileDescriptorsIsRaised) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit lowered = {200, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &lowered), 0);
  const TempDir dir;
  Program program(
      AsServingUser(dir, {"--socket", dir.path() + "/s.sock", "--listen", "127.0.0.1:0"}));
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(program.AwaitText("listening on 127.0.0.1:")) << program.printed();
  // Both limits, soft and hard, of another user's process.
  std::ifstream limits("/proc/" + std::to_string(program.pid()) + "/limits");
  const std::string text((std::istreambuf_iterator<char>(limits)),
                         std::istreambuf_iterator<char>());
  const std::string all = std::to_string(before.rlim_max);
  EXPECT_THAT(text, ::testing::ContainsRegex("Max open files +" + all + " +" + all));
}

TEST(MainTest, ABrokenPipeDoesNotEndIt) {
  const TempDir dir;
  Program program(
      AsServingUser(dir, {"--socket", dir.path() + "/s.sock", "--listen", "127.0.0.1:0"}));
  ASSERT_TRUE(program.AwaitText("listening on 127.0.0.1:")) << program.printed();
  program.Signal(SIGPIPE);
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
}

TEST(MainTest, AClosedStandardStreamIsNotUsedForAnythingElse) {
  const TempDir dir;
  Program program(
      AsServingUser(dir, {"--socket", dir.path() + "/s.sock", "--listen", "127.0.0.1:0"}), false);
  ASSERT_TRUE(program.AwaitText("listening on 127.0.0.1:")) << program.printed();
  EXPECT_EQ(program.FdTarget(0), "/dev/null");
}

}  // namespace
}  // namespace planecast::testing
