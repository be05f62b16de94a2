#include "service/broker/flags.h"

#include <pwd.h>

#include <cerrno>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

/// An entry of passwd that needs more is none.
constexpr size_t kUserEntryMaxBytes = 1 << 20;

}  // namespace

absl::StatusOr<BrokerFlags> ParseBrokerFlags(std::span<char*> arguments) {
  BrokerFlags flags;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string flag = arguments[i];
    if (flag == "--help" || flag == "-h") {
      flags.help = true;
    } else if (flag == "--version") {
      flags.version = true;
    } else if (flag == "--dac-override") {
      flags.dac_override = true;
    } else if (flag == "--user" || flag == "--socket" || flag == "--lifeline") {
      if (++i == arguments.size()) {
        return absl::InvalidArgumentError(absl::StrCat(flag, " needs a value"));
      }
      const std::string value = arguments[i];
      if (flag == "--user") flags.user = value;
      if (flag == "--socket") flags.socket_path = value;
      if (flag != "--lifeline") continue;
      int fd = -1;
      if (!absl::SimpleAtoi(value, &fd) || fd < 0) {
        return absl::InvalidArgumentError("--lifeline takes the number of an fd");
      }
      flags.lifeline = fd;
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, " is no flag; see planecast-broker --help"));
    }
  }
  return flags;
}

std::string BrokerFlagsHelp() {
  return absl::StrCat(
      R"(planecast-broker: opens VFIO devices for planecastd, which has no privileges.

Usage: planecast-broker [--user NAME|UID] [--socket PATH] [--dac-override]

It listens on the socket that systemd or planecastd passes to it (LISTEN_FDS), else on
--socket. It keeps two capabilities, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, leaves the
network, and keeps nothing open that it gave away.

  --user NAME|UID   who may ask besides root: the user that planecastd runs as (default )",
      kStreamerUser, R"()
  --socket PATH     where to listen if no socket is passed (default
                    )",
      kBrokerSocketPath, R"()
  --dac-override    keep CAP_DAC_OVERRIDE too, to open VFIO nodes that were given to another
                    user, as libvirt does while a VM runs
  --lifeline FD     end when this fd reads to its end; planecastd passes it
  --help, --version
)");
}

absl::StatusOr<uid_t> FindUser(const std::string& user) {
  uint32_t number = 0;
  // The last number means "no user" to the kernel.
  if (absl::SimpleAtoi(user, &number) && number != static_cast<uid_t>(-1)) return number;
  std::vector<char> buffer(4096);
  passwd entry{};
  passwd* found = nullptr;
  int error = 0;
  while ((error = getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found)) ==
             ERANGE &&
         buffer.size() < kUserEntryMaxBytes) {
    buffer.resize(buffer.size() * 2);
  }
  if (found != nullptr) return found->pw_uid;
  if (error != 0 && error != ENOENT) {
    return absl::ErrnoToStatus(error, absl::StrCat("can't look up the user ", user));
  }
  return absl::NotFoundError(absl::StrCat("there is no user ", user,
                                          "; make one with 'useradd --system ", user,
                                          "', or name another with --user NAME|UID"));
}

}  // namespace planecast
