// planecastd.
#include <fcntl.h>
#include <grpc/support/log.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "service/certificates/make_certificate.h"
#include "service/config/config.h"
#include "service/config/flags.h"
#include "service/daemon.h"
#include "service/process/confiner.h"
#include "service/process/user.h"
#include "service/sockets/file_limit.h"
#include "service/sources/broker_client.h"
#include "service/telemetry/log.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

int Fail(int code, const absl::Status& status) {
  std::fprintf(stderr, "planecastd: %.*s\n", static_cast<int>(status.message().size()),
               status.message().data());
  return code;
}

int Say(const std::string& text) {
  return std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? kExitFailed : 0;
}

/// The server's key is for whom the daemon becomes. Not root: the files are this user's anyway.
int MakeCertificates(const planecast::Flags& flags) {
  planecast::CertificateWish wish{*flags.make_certificate, flags.hosts, flags.clients};
  std::string advice;
  if (geteuid() == 0 && !flags.hosts.empty()) {
    std::string name = flags.user.value_or("");
    if (flags.config_path.has_value()) {
      const auto config = planecast::LoadConfig(flags);
      if (!config.ok()) return Fail(kExitFailed, config.status());
      name = config->user();
    }
    const auto user = planecast::FindDaemonUser(name.empty() ? planecast::kDefaultUser : name);
    if (user.ok()) wish.server_key_group = user->gid;
    if (!user.ok()) {
      advice = std::string("\nThe daemon can't read server.key yet: ") +
               std::string(user.status().message()) +
               ". Then 'chgrp GROUP server.key; chmod 640 server.key' with his group\n";
    }
  }
  const auto report = planecast::MakeCertificates(wish);
  return report.ok() ? Say(*report + advice) : Fail(kExitFailed, report.status());
}

/// What gRPC itself has to say, mostly handshakes that failed: one line each, like ours. What it
/// says while the daemon starts is said better by Start's error.
void LogOfGrpc(gpr_log_func_args* line) {
  planecast::Logger(planecast::LogLevel::kWarning)
      .Warning("", std::string("grpc: ") + line->message);
}
void NoLogOfGrpc(gpr_log_func_args* /*line*/) {}

/// Puts /dev/null where a standard stream is closed. A file or socket of ours with such a number
/// would be written to by whoever means stderr, and a device's fd 0 could not be told from "none".
///
/// Libraries open fds before main: those close on exec, which inherited ones never do. The program
/// then starts itself again, with the streams open.
bool OpenStandardStreams(char** argv) {
  bool taken = false;
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    const int flags = fcntl(fd, F_GETFD);
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0) continue;
    taken = taken || flags >= 0;
    const int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, fd) < 0) return false;
    if (null != fd) close(null);
  }
  if (!taken) return true;
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error);
  execv(self.c_str(), argv);
  return false;
}

/// Closes what whoever started this had open and did not mean for it: a shell's redirection, a
/// script's file. The daemon's user could not open it, and the broker needs none of it.
bool CloseInheritedFds() {
  std::error_code error;
  std::vector<int> inherited;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end;
       it.increment(error)) {
    const int fd = std::atoi(it->path().filename().c_str());
    const int flags = fcntl(fd, F_GETFD);
    // What this process opened itself closes on exec.
    if (fd > STDERR_FILENO && flags >= 0 && (flags & FD_CLOEXEC) == 0) inherited.push_back(fd);
  }
  for (const int fd : inherited) close(fd);
  return !error;
}

/// Blocks the signals that end the daemon, or tell it that its broker has ended; to be called
/// before any thread is started.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

planecast::Confiner::Options ConfinerOptions(const planecast::config::v1::ServerConfig& config,
                                             const planecast::Flags& flags) {
  planecast::Confiner::Options options;
  options.user = config.user();
  options.socket_path = config.socket_path();
  options.viewer_socket_path = config.viewer_socket_path();
  options.hand_over_socket_path = config.hand_over_socket_path();
  options.audit_file_path = config.audit().file_path();
  options.config_path = flags.config_path.value_or("");
  options.socket_group = config.socket_group();
  options.broker_socket_path = config.broker_socket_path();
  options.filter_system_calls = !config.disable_system_call_filter();
  options.flip_eventfd_draft =
      std::any_of(config.displays().begin(), config.displays().end(), [](const auto& display) {
        return display.source().flip_events() ==
               planecast::v1::DisplaySource::FLIP_EVENTS_EVENTFD_IOCTL;
      });
  return options;
}

/// Until a signal ends the daemon.
void AwaitEnd(const sigset_t& signals, planecast::Confiner& confiner) {
  int signal = 0;
  do {
    sigwait(&signals, &signal);
    if (signal == SIGCHLD) confiner.OnChildSignal();
  } while (signal == SIGCHLD);
}

int Serve(const planecast::config::v1::ServerConfig& config, const planecast::Flags& flags) {
  const sigset_t signals = BlockSignals();
  const planecast::Logger log(flags.log_level);
  if (const auto raised = planecast::RaiseFileLimit(); !raised.ok()) {
    log.Warning("", std::string(raised.message()));
  }
  gpr_set_log_function(&NoLogOfGrpc);
  auto confiner = planecast::Confiner::Make(ConfinerOptions(config, flags), log);
  if (!confiner.ok()) return Fail(kExitFailed, confiner.status());
  std::optional<planecast::BrokerClient> broker;
  planecast::Daemon::Parts parts;
  if (const std::string& path = (*confiner)->broker_socket_path(); !path.empty()) {
    parts.opener = &broker.emplace(path);
  }
  parts.on_bound = [&confiner] { return (*confiner)->OnBound(); };
  parts.on_probed = [&confiner] { return (*confiner)->OnProbed(); };
  parts.confinement = [&confiner] { return (*confiner)->state(); };
  auto daemon = planecast::Daemon::Start(config, log, parts);
  if (!daemon.ok()) return Fail(kExitFailed, daemon.status());
  if (flags.log_level >= planecast::LogLevel::kWarning) gpr_set_log_function(&LogOfGrpc);
  AwaitEnd(signals, **confiner);
  // A second signal ends at once what a first one could not.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*daemon)->Drain();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (!OpenStandardStreams(argv)) return kExitFailed;
  if (!CloseInheritedFds()) {
    return Fail(kExitFailed, absl::UnavailableError("can't list its own fds; mount /proc"));
  }
  // A peer or a log reader that went away is an error of one write, not the daemon's end.
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return kExitFailed;
  // A file that may not grow any more, the audit log's, is an error of one write as well.
  if (std::signal(SIGXFSZ, SIG_IGN) == SIG_ERR) return kExitFailed;
  const auto flags = planecast::ParseFlags(std::span(argv, static_cast<size_t>(argc)).subspan(1));
  if (!flags.ok()) return Fail(kExitUsage, flags.status());
  if (flags->help) return Say(planecast::FlagsHelp());
  if (flags->version) return Say("planecastd " PLANECAST_VERSION "\n");
  if (flags->make_certificate.has_value()) return MakeCertificates(*flags);

  // Told of by SIGCHLD, which whoever started this may have ignored.
  if (std::signal(SIGCHLD, SIG_DFL) == SIG_ERR) return kExitFailed;
  const auto config = planecast::LoadConfig(*flags);
  if (!config.ok()) return Fail(kExitFailed, config.status());
  return Serve(*config, *flags);
}
