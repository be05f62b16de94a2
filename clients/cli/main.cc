// The command-line client; everything happens in RunCli.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "clients/cli/run_cli.h"

namespace {

// Shells report a process that SIGINT ended with this exit code.
constexpr int kInterrupted = 128 + SIGINT;

bool IsTerminal(int fd) {
  const char* terminal = std::getenv("TERM");
  return isatty(fd) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace

int main(int argc, char** argv) {
  // What gRPC would log, our errors say better.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);

  // All threads inherit the mask, so that one thread, which waits for them, gets the signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  std::stop_source interrupt;
  std::atomic<bool> catch_interrupt = false;
  std::thread([signals, interrupt, &catch_interrupt]() mutable {
    int signal = 0;
    while (sigwait(&signals, &signal) == 0) {
      // The second one is from someone who will not wait.
      if (!catch_interrupt || interrupt.stop_requested()) _exit(kInterrupted);
      interrupt.request_stop();
    }
  }).detach();

  const planecast::cli::Environment environment = {
      .out = std::cout,
      .err = std::cerr,
      .out_is_terminal = IsTerminal(STDOUT_FILENO),
      .err_is_terminal = IsTerminal(STDERR_FILENO),
      .catch_interrupt =
          [&] {
            catch_interrupt = true;
            return interrupt.get_token();
          },
  };
  const int exit_code = planecast::cli::RunCli({argv + 1, argv + argc}, environment);
  std::cout.flush();
  // The waiting thread must not see this frame go.
  std::_Exit(exit_code);
}
