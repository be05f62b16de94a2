// planecastd.
#include <fcntl.h>
#include <grpc/support/log.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>

#include "service/certificates/make_certificate.h"
#include "service/config/config.h"
#include "service/config/flags.h"
#include "service/daemon.h"
#include "service/sockets/file_limit.h"
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

int MakeCertificates(const planecast::Flags& flags) {
  const auto report =
      planecast::MakeCertificates({*flags.make_certificate, flags.hosts, flags.clients});
  return report.ok() ? Say(*report) : Fail(kExitFailed, report.status());
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

/// Blocks the signals that end the daemon; to be called before any thread is started.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

}  // namespace

int main(int argc, char** argv) {
  if (!OpenStandardStreams(argv)) return kExitFailed;
  // A peer or a log reader that went away is an error of one write, not the daemon's end.
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return kExitFailed;
  // A file that may not grow any more, the audit log's, is an error of one write as well.
  if (std::signal(SIGXFSZ, SIG_IGN) == SIG_ERR) return kExitFailed;
  const auto flags = planecast::ParseFlags(std::span(argv, static_cast<size_t>(argc)).subspan(1));
  if (!flags.ok()) return Fail(kExitUsage, flags.status());
  if (flags->help) return Say(planecast::FlagsHelp());
  if (flags->version) return Say("planecastd " PLANECAST_VERSION "\n");
  if (flags->make_certificate.has_value()) return MakeCertificates(*flags);

  const auto config = planecast::LoadConfig(*flags);
  if (!config.ok()) return Fail(kExitFailed, config.status());
  const sigset_t signals = BlockEndSignals();
  const planecast::Logger log(flags->log_level);
  if (const auto raised = planecast::RaiseFileLimit(); !raised.ok()) {
    log.Warning("", std::string(raised.message()));
  }
  gpr_set_log_function(&NoLogOfGrpc);
  auto daemon = planecast::Daemon::Start(*config, log);
  if (!daemon.ok()) return Fail(kExitFailed, daemon.status());

  if (flags->log_level >= planecast::LogLevel::kWarning) gpr_set_log_function(&LogOfGrpc);

  int signal = 0;
  sigwait(&signals, &signal);
  // A second signal ends at once what a first one could not.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*daemon)->Drain();
  return 0;
}
