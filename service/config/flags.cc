#include "service/config/flags.h"

#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "service/config/config.h"
#include "service/sockets/host_port.h"

namespace planecast {
namespace {

absl::Status UsageError(std::string_view flag, std::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(flag), " ", std::string(problem), "; see planecastd --help"));
}

absl::Status WrongValue(std::string_view flag, std::string_view value, const absl::Status& why) {
  return UsageError(flag, absl::StrCat("'", std::string(value), "': ", why.message()));
}

/// Applies one flag that takes a value. False if there is no such flag.
absl::StatusOr<bool> ApplyValue(std::string_view name, std::string value, Flags& flags) {
  if (name == "--config") {
    flags.config_path = std::move(value);
  } else if (name == "--socket") {
    if (auto status = CheckSocketPath(value); !status.ok()) return WrongValue(name, value, status);
    flags.socket_path = std::move(value);
  } else if (name == "--listen") {
    if (auto address = ParseHostPort(value); !address.ok()) {
      return WrongValue(name, value, address.status());
    }
    flags.listen.push_back(std::move(value));
  } else if (name == "--metrics") {
    if (auto status = CheckMetricsAddress(value); !status.ok()) {
      return WrongValue(name, value, status);
    }
    flags.metrics = std::move(value);
  } else if (name == "--encoder") {
    flags.encoder = std::move(value);
  } else if (name == "--render-node") {
    flags.render_node = std::move(value);
  } else if (name == "--log-level") {
    auto level = ParseLogLevel(value);
    if (!level.ok()) return WrongValue(name, value, level.status());
    flags.log_level = *level;
  } else {
    return false;
  }
  return true;
}

bool TakesValue(std::string_view name) {
  return name == "--config" || name == "--socket" || name == "--listen" || name == "--metrics" ||
         name == "--encoder" || name == "--render-node" || name == "--log-level";
}

/// Applies one flag without a value. False if there is no such flag.
bool ApplySwitch(std::string_view name, Flags& flags) {
  if (name == "--insecure") {
    flags.insecure = true;
  } else if (name == "--help" || name == "-h") {
    flags.help = true;
  } else if (name == "--version") {
    flags.version = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<Flags> ParseFlags(std::span<const char* const> arguments) {
  Flags flags;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (ApplySwitch(argument, flags)) continue;
    const size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    if (!TakesValue(name)) {
      Flags ignored;
      if (ApplySwitch(name, ignored)) return UsageError(name, "takes no value");
      return UsageError(argument, "is no flag of planecastd");
    }
    std::string value;
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    }
    if (value.empty()) return UsageError(name, "needs a value");
    auto applied = ApplyValue(name, std::move(value), flags);
    if (!applied.ok()) return applied.status();
  }
  return flags;
}

std::string FlagsHelp() {
  return R"(planecastd: streams the displays of virtual GPUs

Usage: planecastd [--config FILE] [--socket PATH] [--listen HOST:PORT]... [--insecure]
                  [--metrics HOST:PORT] [--encoder ID] [--render-node PATH] [--log-level LEVEL]

  --config FILE       Textproto of planecast.config.v1.ServerConfig. Default: no file, all defaults.
  --socket PATH       Unix socket of the operators' API; only its owner may connect.
                      Default /run/planecast/planecast.sock.
  --listen HOST:PORT  Serve viewers and operators on this TCP address too. May be repeated. Port 0
                      takes a free one, which is logged. Uses the TLS files of the config's first
                      listener that names some; without any, only a loopback address is accepted.
  --insecure          Plain text on every --listen address and on configured addresses without TLS,
                      also off loopback. Anyone on that network can see and control the displays.
  --metrics HOST:PORT Serve Prometheus metrics as plain HTTP at /metrics on this loopback address.
                      Port 0 takes a free one, which is logged. Default: none.
  --encoder ID        auto (default: the GPU if it can, else software), vaapi, x264 or openh264.
  --render-node PATH  The GPU to encode on, for displays whose vGPU's host is not known.
  --log-level LEVEL   error, warning, info (default) or debug.
  --help, --version   Say this, or the version, and exit.

Examples:
  planecastd --socket /tmp/p.sock --listen 127.0.0.1:7443
  planecastd --config /etc/planecast/planecast.textproto

SIGTERM or SIGINT ends all streams with a goodbye and exits with 0. Exit codes: 0 done, 1 failed,
2 wrong usage.
)";
}

}  // namespace planecast
