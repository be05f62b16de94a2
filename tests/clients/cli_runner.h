// Runs the command-line client in process.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "clients/cli/run_cli.h"
#include "tests/clients/mock_server.h"

namespace planecast {

/// What a run of the program gave.
struct CliResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// Runs `planecast ARGS...`. With `stop`, an interrupt can be requested.
inline CliResult RunCli(const std::vector<std::string>& args, std::stop_source* stop = nullptr,
                        bool in_terminal = false) {
  std::ostringstream out;
  std::ostringstream err;
  cli::Environment environment{.out = out, .err = err};
  environment.out_is_terminal = in_terminal;
  environment.err_is_terminal = in_terminal;
  if (stop != nullptr) environment.catch_interrupt = [stop] { return stop->get_token(); };
  const int exit_code = cli::RunCli(args, environment);
  return {exit_code, out.str(), err.str()};
}

/// The same against a server.
inline CliResult RunCli(const MockServer& server, std::vector<std::string> args,
                        std::stop_source* stop = nullptr, bool in_terminal = false) {
  args.push_back("--server");
  args.push_back(server.address());
  return RunCli(args, stop, in_terminal);
}

}  // namespace planecast
