// The config of the time before there were rights, for tests that a new daemon starts with it.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "tests/service/rpc/test_certificates.h"

namespace planecast::testing {

/// yesterday.textproto as it is.
inline std::string YesterdaysConfig() {
  std::ifstream file(PLANECAST_YESTERDAYS_CONFIG);
  EXPECT_TRUE(file.good());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The same for a daemon of a test: sockets and TLS files lie in `folder`, where the latter are
/// made, and ports are free ones. The server's certificate is for 127.0.0.1; `ca` signed it and
/// signs clients'.
inline std::string YesterdaysConfigIn(const std::string& folder, const TestCertificate& ca) {
  const TestCertificate server = MakeLeaf("server", ca);
  std::ofstream(folder + "/server.pem") << server.certificate;
  std::ofstream(folder + "/server.key") << server.key;
  std::ofstream(folder + "/clients-ca.pem") << ca.certificate;
  std::string text = YesterdaysConfig();
  const std::vector<std::pair<std::string, std::string>> replaced = {
      {"/run/planecast/", folder + "/"},
      {"/etc/planecast/", folder + "/"},
      {"0.0.0.0:7443", "127.0.0.1:0"},
      {"127.0.0.1:7443", "127.0.0.1:0"},
      {"127.0.0.1:9464", "127.0.0.1:0"}};
  for (const auto& [from, to] : replaced) {
    EXPECT_NE(text.find(from), std::string::npos) << from;
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

}  // namespace planecast::testing
