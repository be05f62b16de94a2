#include "clients/cpp/address.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace planecast {
namespace {

TEST(ParseServerAddressTest, TakesAPathAsAUnixSocket) {
  const auto address = ParseServerAddress("/tmp/a.sock");
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->target, "unix:/tmp/a.sock");
  EXPECT_TRUE(address->is_unix);
  EXPECT_TRUE(address->is_local);
}

TEST(ParseServerAddressTest, AddsTheViewersPortWhereNoneIsGiven) {
  EXPECT_EQ(ParseServerAddress("vmhost")->target, "vmhost:7443");
  EXPECT_EQ(ParseServerAddress("[::1]")->target, "[::1]:7443");
  EXPECT_EQ(ParseServerAddress("vmhost:80")->target, "vmhost:80");
}

TEST(ParseServerAddressTest, KnowsWhichAddressesStayOnThisMachine) {
  EXPECT_TRUE(ParseServerAddress("127.0.0.1:1")->is_local);
  EXPECT_TRUE(ParseServerAddress("localhost:1")->is_local);
  EXPECT_TRUE(ParseServerAddress("[::1]:1")->is_local);
  EXPECT_FALSE(ParseServerAddress("10.0.0.1:1")->is_local);
  EXPECT_FALSE(ParseServerAddress("localhost.example.com:1")->is_local);
}

TEST(ParseServerAddressTest, RefusesWhatIsNoAddressAndNamesTheForms) {
  for (const char* text :
       {"unix:", "host:", "host:0", "host:65536", "host:x", ":80", "::1", "a/b"}) {
    const auto address = ParseServerAddress(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_NE(address.status().message().find("unix:PATH"), absl::string_view::npos);
  }
}

TEST(ParseServerAddressTest, FallsBackToTheEnvironmentAndThenTheLocalSocket) {
  setenv("PLANECAST_SERVER", "elsewhere:1234", 1);
  EXPECT_EQ(ParseServerAddress("")->target, "elsewhere:1234");
  EXPECT_EQ(ParseServerAddress("here:1")->target, "here:1");
  unsetenv("PLANECAST_SERVER");
  EXPECT_EQ(ParseServerAddress("")->target, kDefaultServer);
}

TEST(ParseDisplayNameTest, TakesIdsAndResourceNames) {
  EXPECT_EQ(*ParseDisplayName("desk-1"), "displays/desk-1");
  EXPECT_EQ(*ParseDisplayName("displays/desk-1"), "displays/desk-1");
}

TEST(ParseDisplayNameTest, RefusesOtherNames) {
  for (const std::string& text :
       {std::string(), std::string("Desk"), std::string("a b"), std::string("displays/"),
        std::string("displays/a/b"), std::string(64, 'a')}) {
    EXPECT_FALSE(ParseDisplayName(text).ok()) << text;
  }
  EXPECT_TRUE(ParseDisplayName(std::string(63, 'a')).ok());
}

TEST(ParseServerAddressTest, ANameThatOnlyBeginsLikeLoopbackIsNotLocal) {
  EXPECT_TRUE(ParseServerAddress("127.0.0.2:7443")->is_local);
  EXPECT_FALSE(ParseServerAddress("127.0.0.1.example:7443")->is_local);
  EXPECT_FALSE(ParseServerAddress("127.example")->is_local);
}

TEST(ParseTicketNameTest, TakesAnIdOrAName) {
  EXPECT_EQ(*ParseTicketName("8c1f"), "tickets/8c1f");
  EXPECT_EQ(*ParseTicketName("tickets/8c1f"), "tickets/8c1f");
  for (const char* bad : {"", "tickets/", "a/b", "pct_abc", "tickets/tickets/a"}) {
    EXPECT_FALSE(ParseTicketName(bad).ok()) << bad;
  }
}

TEST(ParseViewerNameTest, TakesAnIdOrANameOfThatDisplay) {
  EXPECT_EQ(*ParseViewerName("desk", "3"), "displays/desk/viewers/3");
  EXPECT_EQ(*ParseViewerName("displays/desk", "displays/desk/viewers/3"),
            "displays/desk/viewers/3");
  for (const char* bad : {"", "displays/other/viewers/3", "viewers/3", "displays/desk/viewers/"}) {
    EXPECT_FALSE(ParseViewerName("desk", bad).ok()) << bad;
  }
  EXPECT_FALSE(ParseViewerName("Desk", "3").ok());
}

}  // namespace
}  // namespace planecast
