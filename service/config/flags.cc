#include "service/config/flags.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "service/config/access_check.h"
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

// NOLINTNEXTLINE(performance-unnecessary-value-param): the form of ValueFlag::apply
absl::Status SetLogLevel(std::string value, Flags& flags) {
  auto level = ParseLogLevel(value);
  if (level.ok()) flags.log_level = *level;
  return level.status();
}

/// A flag that takes a value.
struct ValueFlag {
  std::string_view name;
  /// INVALID_ARGUMENT, for a person, for a value that is wrong by itself.
  absl::Status (*apply)(std::string value, Flags& flags);
};

/// Takes any value: what is wrong with it shows with the config.
template <std::optional<std::string> Flags::*kMember>
absl::Status Set(std::string value, Flags& flags) {
  flags.*kMember = std::move(value);
  return absl::OkStatus();
}

template <std::optional<std::string> Flags::*kMember, absl::Status (*kCheck)(std::string_view)>
absl::Status SetChecked(std::string value, Flags& flags) {
  if (auto status = kCheck(value); !status.ok()) return status;
  return Set<kMember>(std::move(value), flags);
}

template <std::vector<std::string> Flags::*kMember>
absl::Status Append(std::string value, Flags& flags) {
  (flags.*kMember).push_back(std::move(value));
  return absl::OkStatus();
}

absl::Status AddListen(std::string value, Flags& flags) {
  if (auto address = ParseHostPort(value); !address.ok()) return address.status();
  return Append<&Flags::listen>(std::move(value), flags);
}

constexpr std::array kValueFlags = {
    ValueFlag{"--config", &Set<&Flags::config_path>},
    ValueFlag{"--socket", &SetChecked<&Flags::socket_path, &CheckSocketPath>},
    ValueFlag{"--viewer-socket", &SetChecked<&Flags::viewer_socket, &CheckViewerSocketPath>},
    ValueFlag{"--socket-group", &SetChecked<&Flags::socket_group, &CheckGroupName>},
    ValueFlag{"--user", &SetChecked<&Flags::user, &CheckUser>},
    ValueFlag{"--listen", &AddListen},
    ValueFlag{"--anonymous", &Set<&Flags::anonymous>},
    ValueFlag{"--anonymous-remote", &Set<&Flags::anonymous_remote>},
    ValueFlag{"--metrics", &SetChecked<&Flags::metrics, &CheckMetricsAddress>},
    ValueFlag{"--encoder", &Set<&Flags::encoder>},
    ValueFlag{"--render-node", &Set<&Flags::render_node>},
    ValueFlag{"--log-level", &SetLogLevel},
    ValueFlag{"--make-certificate", &Set<&Flags::make_certificate>},
    ValueFlag{"--host", &Append<&Flags::hosts>},
    ValueFlag{"--client", &Append<&Flags::clients>},
};

/// Null if there is no such flag.
const ValueFlag* FindValueFlag(std::string_view name) {
  const auto* found = std::find_if(kValueFlags.begin(), kValueFlags.end(),
                                   [name](const ValueFlag& flag) { return flag.name == name; });
  return found == kValueFlags.end() ? nullptr : found;
}

/// Applies one flag without a value. False if there is no such flag.
bool ApplySwitch(std::string_view name, Flags& flags) {
  if (name == "--insecure") {
    flags.insecure = true;
  } else if (name == "--allow-fake") {
    flags.allow_fake = true;
  } else if (name == "--no-seccomp") {
    flags.no_seccomp = true;
  } else if (name == "--help" || name == "-h") {
    flags.help = true;
  } else if (name == "--version") {
    flags.version = true;
  } else {
    return false;
  }
  return true;
}

/// Flags that make sense only together.
absl::Status CheckTogether(const Flags& flags) {
  const bool nobody = flags.hosts.empty() && flags.clients.empty();
  if (flags.make_certificate.has_value() && nobody) {
    return UsageError("--make-certificate",
                      "needs --host with a name or address that clients connect to, or --client");
  }
  if (!flags.make_certificate.has_value() && !nobody) {
    return UsageError(flags.hosts.empty() ? "--client" : "--host",
                      "says whom --make-certificate DIR makes one for, and that is missing");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Flags> ParseFlags(std::span<const char* const> arguments) {
  Flags flags;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (ApplySwitch(argument, flags)) continue;
    const size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    const ValueFlag* flag = FindValueFlag(name);
    if (flag == nullptr) {
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
    if (auto status = flag->apply(value, flags); !status.ok()) {
      return WrongValue(name, value, status);
    }
  }
  if (auto status = CheckTogether(flags); !status.ok()) return status;
  return flags;
}

std::string FlagsHelp() {
  return R"(planecastd: streams the displays of virtual GPUs

Usage: planecastd [--config FILE] [--socket PATH] [--socket-group GROUP] [--viewer-socket PATH]
                  [--listen HOST:PORT]... [--anonymous ROLE] [--anonymous-remote ROLE]
                  [--insecure] [--metrics HOST:PORT] [--encoder ID] [--render-node PATH]
                  [--user NAME|UID[:GID]] [--no-seccomp] [--allow-fake] [--log-level LEVEL]
       planecastd --make-certificate DIR --host NAME... [--client NAME]...

  --config FILE       Textproto of planecast.config.v1.ServerConfig. Default: no file, all defaults.
  --socket PATH       Unix socket of the operators' API; only its owner may connect.
                      Default /run/planecast/planecast.sock.
  --socket-group GROUP  Members of this group may connect to the operators' socket too.
  --viewer-socket PATH  Unix socket for viewers, which every local user may connect to; nobody has
                      a right there without a ticket or a binding. `none` for none. Default
                      viewers.sock beside the operators' socket.
  --listen HOST:PORT  Serve this TCP address too. May be repeated. Port 0 takes a free one, which is
                      logged. Nobody is served there without a ticket or a certificate that a
                      binding names, not even on loopback addresses; --anonymous changes that. Uses
                      the TLS files of the config's first listener that names some; without any,
                      only a loopback address is accepted.
  --anonymous ROLE    Whoever comes by a loopback address has this role on all displays: viewer,
                      controller, operator or one of the config's. For addresses of --listen and of
                      the config that have no anonymous_role. Every local user can come by those.
  --anonymous-remote ROLE  The same for all addresses that have none, off loopback too: everyone who
                      can connect has that role.
  --insecure          Plain text on every --listen address and on configured addresses without TLS,
                      also off loopback. Anyone on the network between can see what others see, and
                      tickets are refused there. Says nothing of who may come in.
  --metrics HOST:PORT Serve Prometheus metrics as plain HTTP at /metrics on this loopback address.
                      Port 0 takes a free one, which is logged. Default: none.
  --encoder ID        auto (default: the GPU if it can, else software), vaapi, x264 or openh264.
  --render-node PATH  The GPU to encode on, for displays whose vGPU's host is not known.
  --allow-fake        Displays may be fake devices, which take a core each: for demos and tests.
  --user NAME|UID[:GID]  Who the daemon becomes when root starts it; numbers need not be in
                      /etc/passwd. Default planecast. A planecast-broker keeps root's privileges and
                      opens devices. `root` keeps them here, where the network is read.
  --no-seccomp        The daemon may make every system call. For debugging.
  --log-level LEVEL   error, warning, info (default) or debug.
  --make-certificate DIR  Make files for TLS in DIR, say how to use them, and exit: server.pem and
                      server.key for the hosts, client-NAME.pem and .key for each client, signed by
                      the CA ca.pem and ca.key, which is made if DIR has none. Never writes over a
                      file. server.key is for the daemon's user: --user's, or the config's.
  --host NAME         DNS name or IP address by which clients reach the server. May be repeated.
  --client NAME       A client's certificate, for bindings. May be repeated.
  --help, --version   Say this, or the version, and exit.

Examples:
  planecastd --socket /tmp/p.sock --listen 127.0.0.1:7443 --anonymous viewer
  planecastd --config /etc/planecast/planecast.textproto
  planecastd --make-certificate /etc/planecast --host vmhost.example.org --host 192.0.2.1

SIGTERM or SIGINT ends all streams with a goodbye and exits with 0. Exit codes: 0 done, 1 failed,
2 wrong usage.
)";
}

}  // namespace planecast
