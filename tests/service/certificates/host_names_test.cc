#include "service/certificates/host_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace planecast {
namespace {

using ::testing::HasSubstr;

TEST(HostNamesTest, AddressesHaveOneForm) {
  const std::pair<const char*, const char*> cases[] = {{"192.0.2.1", "192.0.2.1"},
                                                       {"2001:DB8:0:0::1", "2001:db8::1"},
                                                       {"[::1]", "::1"},
                                                       {"::", "::"}};
  for (const auto& [text, want] : cases) {
    const auto host = ParseHostName(text);
    ASSERT_TRUE(host.ok()) << host.status();
    EXPECT_TRUE(host->is_address);
    EXPECT_EQ(host->text, want);
  }
}

TEST(HostNamesTest, DnsNamesAreInLowerCase) {
  const std::pair<const char*, const char*> cases[] = {
      {"VMhost.Example.org", "vmhost.example.org"},
      {"localhost", "localhost"},
      {"*.example.org", "*.example.org"},
      {"xn--bcher-kva.example", "xn--bcher-kva.example"},
      {"vm_host-1", "vm_host-1"},
      {"3com.example", "3com.example"}};
  for (const auto& [text, want] : cases) {
    const auto host = ParseHostName(text);
    ASSERT_TRUE(host.ok()) << host.status();
    EXPECT_FALSE(host->is_address);
    EXPECT_EQ(host->text, want);
  }
}

TEST(HostNamesTest, AnythingElseIsRefused) {
  for (const std::string& text : {std::string(),
                                  std::string("a b"),
                                  std::string("a,DNS:b"),
                                  std::string("host:7443"),
                                  std::string("[192.0.2.1]"),
                                  std::string("[host]"),
                                  std::string("192.0.2"),
                                  std::string("192.0.2.256"),
                                  std::string("-a"),
                                  std::string("a-.b"),
                                  std::string("a..b"),
                                  std::string("a."),
                                  std::string(".a"),
                                  std::string("a.*.b"),
                                  std::string("*"),
                                  std::string("*."),
                                  std::string("b\xc3\xbc"),
                                  std::string("a\nb"),
                                  std::string("a\0b", 3),
                                  std::string(64, 'a'),
                                  std::string("[]"),
                                  std::string("https://a")}) {
    const auto host = ParseHostName(text);
    EXPECT_EQ(host.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(host.status().message()), HasSubstr("without a port"));
  }
  std::string longest = "a";
  while (longest.size() < 253) longest += ".a";
  EXPECT_TRUE(ParseHostName(longest).ok());
  EXPECT_FALSE(ParseHostName(longest + ".a").ok());
}

TEST(HostNamesTest, AClientsNameIsSafeInAFilesNameAndInASubject) {
  for (const char* name : {"web1", "A_b-c.d", "1"}) EXPECT_TRUE(CheckClientName(name).ok()) << name;
  for (const std::string& name :
       {std::string(), std::string("../x"), std::string("a/b"), std::string(".a"),
        std::string("-a"), std::string("a b"), std::string("a,O=b"), std::string("a+b"),
        std::string("b\xc3\xbc"), std::string("a\0b", 3), std::string(64, 'a')}) {
    EXPECT_FALSE(CheckClientName(name).ok()) << name;
  }
}

}  // namespace
}  // namespace planecast
