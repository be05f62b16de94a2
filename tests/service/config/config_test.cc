#include "service/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "service/config/access_config.h"
#include "tests/service/config/yesterday.h"
#include "tests/service/temp_dir.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TempDir;

std::string Error(const std::string& text, const Flags& flags = {}) {
  auto config = ParseConfig(text, "f", flags);
  if (config.ok()) return "";
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST(ConfigTest, AnEmptyFileGivesTheDocumentedDefaults) {
  auto config = ParseConfig("", "f");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->socket_path(), "/run/planecast/planecast.sock");
  EXPECT_EQ(config->listeners_size(), 0);
  EXPECT_EQ(config->encoder().id(), "auto");
  EXPECT_EQ(config->encoder().profile(), "constrained-baseline");
  EXPECT_EQ(config->encoder().bitrate_max_bps(), 20'000'000);
  EXPECT_EQ(config->encoder().quantizer(), 23);
  EXPECT_EQ(config->encoder().threads(), 1);
  EXPECT_EQ(config->limits().displays_max(), 64);
  EXPECT_EQ(config->limits().viewers_per_display_max(), 256);
}

TEST(ConfigTest, AMistakeInTheSyntaxHasLineAndColumn) {
  EXPECT_THAT(Error("socket_path: \"/a\"\nbogus: 1\n"), StartsWith("f:2:"));
  EXPECT_THAT(Error("encoder { quantizer: \"x\" }"), StartsWith("f:1:22: "));
}

TEST(ConfigTest, AValueOutOfRangeHasPlaceFieldAndRange) {
  EXPECT_EQ(Error("encoder {\n  quantizer: 99\n}"),
            "f:2:3: encoder.quantizer: 99 is out of range; use 10 to 40");
  EXPECT_THAT(Error("encoder { bitrate_max_bps: -1 }"), HasSubstr("100000 to 1000000000"));
  EXPECT_THAT(Error("encoder { threads: 17 }"), HasSubstr("encoder.threads: 17"));
  EXPECT_THAT(Error("limits { displays_max: 1001 }"), HasSubstr("limits.displays_max"));
  EXPECT_THAT(Error("limits { viewers_per_display_max: -5 }"),
              HasSubstr("limits.viewers_per_display_max: -5"));
  EXPECT_THAT(Error("encoder { id: \"vp9\" }"), HasSubstr("auto, vaapi, x264 or openh264"));
  EXPECT_THAT(Error("encoder { profile: \"main\" }"), HasSubstr("constrained-baseline or high"));
}

TEST(ConfigTest, AllMistakesAreListed) {
  const std::string error = Error("encoder { quantizer: 1 threads: 99 }");
  EXPECT_THAT(error, HasSubstr("encoder.quantizer"));
  EXPECT_THAT(error, HasSubstr("\nf:1:24: encoder.threads"));
}

TEST(ConfigTest, DisplaysAreChecked) {
  const std::string fake = " source { fake { profile: \"ideal\" } } }";
  EXPECT_EQ(Error("displays { display_id: \"a-1\"" + fake), "");
  EXPECT_THAT(Error("displays { display_id: \"A\"" + fake), HasSubstr("displays[0].display_id"));
  EXPECT_THAT(
      Error("displays { display_id: \"a\"" + fake + "\ndisplays { display_id: \"a\"" + fake),
      HasSubstr("f:2:12: displays[1].display_id: is used by an earlier display"));
  EXPECT_THAT(Error("displays { display_id: \"a\" }"), HasSubstr("names no device"));
  EXPECT_THAT(Error("displays { display_id: \"a\" source { fake { profile: \"x\" } } }"),
              HasSubstr("fake.profile 'x' is unknown; use one of ideal, gvt"));
  EXPECT_THAT(Error("displays { display_id: \"a\" source { handed_over { token: \"0\" } } }"),
              HasSubstr("can't be configured"));
  // Left out by the daemon, which lists it with the reason; the others are served.
  EXPECT_EQ(Error("displays { display_id: \"a\" source { vmm { pid: 4711 } } }"), "");
  EXPECT_THAT(Error("limits { displays_max: 1 } displays { display_id: \"a\"" + fake +
                    " displays { display_id: \"b\"" + fake),
              HasSubstr("more than limits.displays_max"));
}

TEST(ConfigTest, PlainTextOffLoopbackMustBeSaidInAsManyWords) {
  EXPECT_EQ(Error("listeners { address: \"127.0.0.1:0\" }"), "");
  EXPECT_EQ(Error("listeners { address: \"[::1]:7443\" }"), "");
  EXPECT_EQ(Error("listeners { address: \"localhost:7443\" }"), "");
  EXPECT_THAT(Error("listeners { address: \"0.0.0.0:7443\" }"),
              HasSubstr("allow_plain_text_off_loopback: true (or --insecure)"));
  EXPECT_THAT(Error("listeners { address: \"[::]:7443\" }"), HasSubstr("plain text is refused"));
  EXPECT_THAT(Error("listeners { address: \"example.org:7443\" }"), HasSubstr("refused"));
  EXPECT_THAT(Error("listeners { address: \"127.example.org:1\" }"), HasSubstr("refused"));
  EXPECT_THAT(Error("listeners { address: \"[::ffff:10.0.0.1]:1\" }"), HasSubstr("refused"));
  EXPECT_EQ(Error("listeners { address: \"0.0.0.0:7443\" allow_plain_text_off_loopback: true }"),
            "");
  EXPECT_EQ(Error("listeners { address: \"0.0.0.0:1\" tls { certificate_path: \"c\" "
                  "private_key_path: \"k\" } }"),
            "");
}

TEST(ConfigTest, TlsNeedsBothFiles) {
  EXPECT_THAT(Error("listeners { address: \"0.0.0.0:1\" tls { certificate_path: \"c\" } }"),
              HasSubstr("listeners[0].tls.private_key_path: is required"));
}

TEST(ConfigTest, MalformedAddressesAreRefused) {
  for (const char* address :
       {"", "127.0.0.1", ":7443", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:7443x", "::1:7443", "[::1:7443", "[zz]:1", "unix:/tmp/x:1", "a b:1"}) {
    EXPECT_THAT(Error("listeners { address: \"" + std::string(address) + "\" }"),
                HasSubstr("listeners[0].address"))
        << address;
  }
}

TEST(ConfigTest, MetricsAreServedOnLoopbackAddressesOnly) {
  for (const char* address : {"127.0.0.1:0", "127.8.9.10:9464", "localhost:9464"}) {
    EXPECT_EQ(Error("metrics_address: \"" + std::string(address) + "\""), "");
  }
  for (const char* address : {"0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "example.org:9464",
                              "localhost.example.org:9464"}) {
    EXPECT_THAT(Error("\n metrics_address: \"" + std::string(address) + "\""),
                AllOf(StartsWith("f:2:2: metrics_address: "), HasSubstr("not a loopback address"),
                      HasSubstr("use 127.0.0.1")));
  }
  EXPECT_THAT(Error("metrics_address: \"[::1]:9464\""),
              AllOf(HasSubstr("IPv6"), HasSubstr("use 127.0.0.1")));
  EXPECT_THAT(Error("metrics_address: \"127.0.0.1\""), HasSubstr("HOST:PORT"));
  EXPECT_THAT(Error("metrics_address: \"127.0.0.1:99999\""), HasSubstr("0 to 65535"));
}

TEST(ConfigTest, TheMetricsFlagOverridesTheFile) {
  Flags flags;
  flags.metrics = "localhost:0";
  const auto config = ParseConfig("metrics_address: \"127.0.0.1:9464\"", "f", flags);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->metrics_address(), "localhost:0");
}

TEST(ConfigTest, SocketPathsAreChecked) {
  EXPECT_THAT(Error("socket_path: \"relative\""), HasSubstr("must be absolute"));
  EXPECT_THAT(Error("socket_path: \"/" + std::string(120, 'a') + "\""), HasSubstr("longer than"));
  for (const char* path : {"/tmp/100%", "/tmp/a?b", "/tmp/a#b"}) {
    EXPECT_THAT(Error("socket_path: \"" + std::string(path) + "\""), HasSubstr("%, ? or #"));
  }
  EXPECT_THAT(Error("socket_path: \"/a\" hand_over_socket_path: \"/a\""), HasSubstr("must differ"));
}

TEST(ConfigTest, FlagsAddToTheFile) {
  Flags flags;
  flags.socket_path = "/tmp/other.sock";
  flags.listen = {"127.0.0.1:0", "[::1]:0"};
  auto config =
      ParseConfig("socket_path: \"/a\" listeners { address: \"127.0.0.1:1\" }", "f", flags);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->socket_path(), "/tmp/other.sock");
  ASSERT_EQ(config->listeners_size(), 3);
  EXPECT_EQ(config->listeners(2).address(), "[::1]:0");
}

TEST(ConfigTest, AListenFlagTakesTheTlsOfTheFile) {
  Flags flags;
  flags.listen = {"0.0.0.0:0"};
  EXPECT_THAT(Error("", flags), HasSubstr("plain text is refused"));
  auto config = ParseConfig(
      "listeners { address: \"0.0.0.0:1\" tls { certificate_path: \"c\" private_key_path: \"k\" } "
      "}",
      "f", flags);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listeners(1).tls().certificate_path(), "c");
}

TEST(ConfigTest, InsecureAllowsPlainTextButKeepsConfiguredTls) {
  Flags flags;
  flags.listen = {"0.0.0.0:0"};
  flags.insecure = true;
  auto config = ParseConfig(
      "listeners { address: \"0.0.0.0:1\" tls { certificate_path: \"c\" private_key_path: \"k\" } }"
      "listeners { address: \"0.0.0.0:2\" }",
      "f", flags);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->listeners(0).has_tls());
  EXPECT_TRUE(config->listeners(1).allow_plain_text_off_loopback());
  EXPECT_FALSE(config->listeners(2).has_tls());
  EXPECT_TRUE(config->listeners(2).allow_plain_text_off_loopback());
}

TEST(ConfigTest, AHugeOrDeepFileIsRefused) {
  EXPECT_THAT(Error(std::string(kConfigMaxBytes + 1, '#')), HasSubstr("larger than"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "encoder {";
  EXPECT_NE(Error(deep), "");
}

TEST(ConfigTest, AMissingFileIsNamed) {
  Flags flags;
  flags.config_path = "/nonexistent/planecast.textproto";
  auto config = LoadConfig(flags);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(config.status().message()), StartsWith("/nonexistent/planecast.text"));
}

TEST(ConfigTest, AFileIsReadAndNamedInErrors) {
  const TempDir dir;
  Flags flags;
  flags.config_path = dir.path() + "/c.textproto";
  std::ofstream(*flags.config_path) << "encoder { quantizer: 30 }";
  auto config = LoadConfig(flags);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->encoder().quantizer(), 30);
  std::ofstream(*flags.config_path) << "encoder { quantizer: 300 }";
  EXPECT_THAT(std::string(LoadConfig(flags).status().message()),
              StartsWith(*flags.config_path + ":1:11: "));
}

TEST(ConfigTest, TheShippedExampleIsValid) {
  Flags flags;
  flags.config_path = PLANECAST_EXAMPLE_CONFIG;
  auto config = LoadConfig(flags);
  ASSERT_TRUE(config.ok()) << config.status();
  // Who starts it as it is must not serve anybody but the socket's owner.
  EXPECT_EQ(config->listeners_size(), 0);
  EXPECT_EQ(config->displays_size(), 0);
  EXPECT_TRUE(OpenDoors(*config).empty());
  EXPECT_TRUE(UpgradeWarnings(*config).empty());
}

/// A field in a comment without its '#'; other lines as they are.
std::string Uncommented(const std::string& line) {
  const size_t hash = line.find_first_not_of(' ');
  if (hash == std::string::npos || line[hash] != '#') return line;
  const std::string text = line.substr(hash + 1);
  const size_t name = std::min(text.find_first_not_of(' '), text.size());
  const size_t end =
      std::min(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", name), text.size());
  const std::string after = text.substr(end, 2);
  const bool field = end > name && (after == ": " || after == " {");
  return field || after.starts_with("}") ? text : line;
}

TEST(ConfigTest, WhatTheShippedExampleCommentsOutIsValidToo) {
  std::ifstream file(PLANECAST_EXAMPLE_CONFIG);
  std::string text;
  for (std::string line; std::getline(file, line);) {
    text += Uncommented(line) + "\n";
  }
  auto config = ParseConfig(text, "example");
  ASSERT_TRUE(config.ok()) << config.status() << "\n" << text;
  EXPECT_EQ(config->listeners_size(), 2);
  EXPECT_EQ(config->displays_size(), 2);
  EXPECT_EQ(config->limits().displays_max(), 64);
  EXPECT_FALSE(config->hand_over_socket_path().empty());
  EXPECT_FALSE(config->metrics_address().empty());
  // What is commented out shows its default.
  EXPECT_TRUE(ViewerSocketIsDefault(*config));
  EXPECT_FALSE(config->socket_group().empty());
  EXPECT_EQ(config->roles_size(), 1);
  EXPECT_EQ(config->bindings_size(), 3);
  EXPECT_FALSE(config->audit().file_path().empty());
  EXPECT_EQ(OpenDoors(*config).size(), 1U);
  EXPECT_TRUE(UpgradeWarnings(*config).empty());
}

TEST(ConfigTest, YesterdaysExampleStartsAndIsToldWhatItGivesNoMore) {
  const TempDir dir;
  for (const std::string& text : {testing::YesterdaysConfig(),
                                  testing::YesterdaysConfigIn(dir.path(), testing::MakeCa("ca"))}) {
    const auto config = ParseConfig(text, "yesterday");
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_TRUE(ViewerSocketIsDefault(*config));
    ASSERT_EQ(config->listeners_size(), 2);
    EXPECT_EQ(config->listeners(0).tls().client_certificate(),
              config::v1::TlsConfig::CLIENT_CERTIFICATE_REQUIRED);
    EXPECT_TRUE(OpenDoors(*config).empty());
    EXPECT_THAT(
        UpgradeWarnings(*config),
        ElementsAre(AllOf(HasSubstr("listeners[1]"), HasSubstr("--anonymous operator")),
                    AllOf(HasSubstr("listeners[0]"), HasSubstr("bindings {")),
                    AllOf(HasSubstr("displays[0], demo"), HasSubstr("allow_fake_devices: true"))));
  }
}

}  // namespace
}  // namespace planecast
