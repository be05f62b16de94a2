// planecast-broker.
#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "service/broker/broker_server.h"
#include "service/broker/flags.h"
#include "service/broker/listener.h"
#include "service/broker/privileges.h"
#include "vfio/device_opener.h"

namespace {

using namespace planecast;  // NOLINT(google-build-using-namespace): nobody includes a main.cc.

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
/// A unit's devices are those that the kernel had when it started.
constexpr char kUnitHint[] =
    "restart planecast-broker, if VFIO was loaded after it had started; or start it with "
    "--dac-override: 'systemctl edit planecast-broker', with an empty ExecStart=, one with that "
    "flag, and CAP_DAC_OVERRIDE in CapabilityBoundingSet=";
/// Who started it by hand has no way to pass the flag on.
constexpr char kChildHint[] =
    "run planecastd and planecast-broker by their units, where the broker can have --dac-override";
constexpr char kByHandHint[] = "start planecast-broker with --dac-override";

const char* DacOverrideHint(const BrokerFlags& flags, bool socket_was_passed) {
  if (flags.dac_override) return "";
  if (flags.lifeline.has_value()) return kChildHint;
  return socket_was_passed ? kUnitHint : kByHandHint;
}

int Fail(int code, const absl::Status& status) {
  std::fprintf(stderr, "planecast-broker: %.*s\n", static_cast<int>(status.message().size()),
               status.message().data());
  return code;
}

/// One write per line, as other threads write too.
void Log(const std::string& text) {
  const std::string line = absl::StrCat(
      std::getenv("JOURNAL_STREAM") != nullptr ? "<6>" : "planecast-broker: ", text, "\n");
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

/// Those that end the broker, as an fd; to be made before any thread is started.
Fd MakeSignalFd(bool has_lifeline) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Of a terminal both get it, and the daemon has its streams to end first.
  if (has_lifeline) sigdelset(&signals, SIGINT);
  return Fd(KernelSys(), signalfd(-1, &signals, SFD_CLOEXEC));
}

/// Until a signal says so, or whoever started the broker is gone.
void AwaitEnd(const Fd& signals, const std::optional<Fd>& lifeline) {
  for (;;) {
    std::array<pollfd, 2> fds = {
        {{signals.get(), POLLIN, 0}, {lifeline.has_value() ? lifeline->get() : -1, POLLIN, 0}}};
    if (poll(fds.data(), fds.size(), -1) < 0 && errno == EINTR) continue;
    if (fds[0].revents != 0) return;
    char byte = 0;
    if (fds[1].revents != 0 && read(lifeline->get(), &byte, 1) <= 0) return;
  }
}

/// The listener, of whatever way, and what its path is; empty if somebody else's.
struct Listening {
  Fd socket;
  Fd lock;
  std::string path;
};

absl::StatusOr<Listening> Listen(const BrokerFlags& flags, uid_t streamer) {
  auto passed = PassedListener();
  if (!passed.ok()) return passed.status();
  if (passed->has_value()) return Listening{**std::move(passed), Fd(), ""};
  auto own = ListenAt(flags.socket_path, streamer);
  if (!own.ok()) return own.status();
  return Listening{std::move(own->socket), std::move(own->lock), flags.socket_path};
}

int Run(const BrokerFlags& flags) {
  const auto streamer = FindUser(flags.user);
  if (!streamer.ok()) return Fail(kExitFailed, streamer.status());
  auto listening = Listen(flags, *streamer);
  if (!listening.ok()) return Fail(kExitFailed, listening.status());
  std::optional<Fd> lifeline;
  if (flags.lifeline.has_value()) {
    if (fcntl(*flags.lifeline, F_SETFD, FD_CLOEXEC) != 0) {
      return Fail(kExitUsage, absl::ErrnoToStatus(errno, "--lifeline names no open fd"));
    }
    lifeline.emplace(KernelSys(), *flags.lifeline);
  }
  const auto notes = DropPrivileges(flags.dac_override);
  if (!notes.ok()) return Fail(kExitFailed, notes.status());
  for (const std::string& note : *notes) Log(note);

  const Fd signals = MakeSignalFd(lifeline.has_value());
  LocalOpener opener(KernelSys(), DacOverrideHint(flags, listening->path.empty()));
  BrokerOptions options;
  options.streamer = *streamer;
  options.log = &Log;
  const auto server = BrokerServer::Start(std::move(listening->socket), opener, options);
  if (!server.ok()) return Fail(kExitFailed, server.status());
  Log(absl::StrCat("serves root and uid ", *streamer,
                   listening->path.empty() ? " on the socket that was passed"
                                           : absl::StrCat(" on ", listening->path)));
  AwaitEnd(signals, lifeline);
  if (!listening->path.empty()) unlink(listening->path.c_str());
  // A driver that hangs would keep its thread, and an end that waits for it would be none.
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  // What a peer sends is refused in our own words, once.
  google::protobuf::SetLogHandler(nullptr);
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return kExitFailed;
  const auto flags =
      planecast::ParseBrokerFlags(std::span(argv, static_cast<size_t>(argc)).subspan(1));
  if (!flags.ok()) return Fail(kExitUsage, flags.status());
  if (flags->help) return std::fputs(planecast::BrokerFlagsHelp().c_str(), stdout) < 0;
  if (flags->version) return std::puts("planecast-broker " PLANECAST_VERSION) < 0;
  return Run(*flags);
}
