// The command-line client as a function, so that tests run what ships.
#pragma once

#include <functional>
#include <ostream>
#include <stop_token>
#include <string>
#include <vector>

namespace planecast::cli {

/// What the program gets from its process.
struct Environment {
  /// Results.
  std::ostream& out;
  /// Progress and errors.
  std::ostream& err;
  /// Whether a person looks at `out` in a terminal that understands ANSI control sequences.
  bool out_is_terminal = false;
  /// Whether a person looks at `err` in such a terminal.
  bool err_is_terminal = false;
  /// Called by verbs that run until Ctrl-C: from then on an interrupt makes a stop request instead
  /// of ending the process. Empty: such verbs run until their own end.
  std::function<std::stop_token()> catch_interrupt = {};
};

/// Runs `planecast ARGS...` and returns its exit code: 0 done, 1 failed, 2 wrong usage.
int RunCli(const std::vector<std::string>& args, const Environment& environment);

}  // namespace planecast::cli
