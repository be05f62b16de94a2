// The config file: any text gives a config within limits or an error that says where.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/strings/match.h"
#include "service/config/access_config.h"
#include "service/config/config.h"
#include "service/sockets/host_port.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace planecast;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = ParseConfig(text, "fuzz.textproto");
  if (!config.ok()) {
    if (config.status().message().empty()) abort();
    return 0;
  }
  if (config->limits().displays_max() < 1 || config->limits().displays_max() > 1000) abort();
  if (config->encoder().quantizer() < 10 || config->encoder().quantizer() > 40) abort();
  if (config->encoder().bitrate_max_bps() < 100'000) abort();
  if (config->socket_path().empty() || config->viewer_socket_path().empty()) abort();
  if (config->viewer_socket_path() == config->socket_path()) abort();
  if (MakeAccessPolicy(*config)->bound_uids().size() > 1000) abort();
  for (const std::string& line : UpgradeWarnings(*config)) {
    if (line.empty()) abort();
  }
  for (const std::string& line : OpenDoors(*config)) {
    if (line.empty()) abort();
  }
  ParseHostPort(text).IgnoreError();
  return 0;
}
