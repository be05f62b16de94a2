// The verbs, and what they share. A verb is a Syntax and a function; a new one is added to
// AllVerbs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clients/cli/args.h"
#include "clients/cli/run_cli.h"
#include "clients/cpp/client.h"

namespace planecast::cli {

/// Exit codes; a contract.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

/// How to print data.
enum class Output { kTable, kWide, kJson, kNames };

struct Verb;

/// What a running verb works with.
struct Context {
  const Verb& verb;
  const Args& args;
  const Environment& environment;
  const ClientOptions& client_options;
  Output output = Output::kTable;

  std::ostream& out() const { return environment.out; }
  std::ostream& err() const { return environment.err; }
  /// The first operand.
  const std::string& display() const { return args.operands().front(); }
};

/// A verb of the command line.
struct Verb {
  Syntax syntax;
  /// Returns an exit code.
  int (*run)(const Context& context);
  /// `-o names` makes sense.
  bool prints_names = false;
  /// `-o wide` makes sense: a table with more columns.
  bool prints_wide = false;
  /// Takes -o: all verbs but those whose output has a form of its own.
  bool takes_output = true;
};

const Verb& HostVerb();
const Verb& ListVerb();
const Verb& GetVerb();
const Verb& WatchVerb();
const Verb& AttachVerb();
const Verb& DetachVerb();
const Verb& LabelVerb();
const Verb& TicketVerb();
const Verb& TicketsVerb();
const Verb& RevokeVerb();
const Verb& ViewersVerb();
const Verb& KickVerb();
const Verb& SnapshotVerb();
const Verb& RecordVerb();
const Verb& StatsVerb();
const Verb& ModeVerb();
const Verb& CompletionVerb();

/// The fake devices and their scenes that FakeDevice of the proto names, separated by blanks.
inline constexpr std::string_view kFakeProfiles = "ideal gvt mbochs mdpy nvidia";
inline constexpr std::string_view kFakeScenes = "desktop video static modeset blank tearing";

/// All verbs, in the order of help.
const std::vector<const Verb*>& AllVerbs();

/// Flags that every verb takes, but see GlobalFlagsOf.
const std::vector<Flag>& GlobalFlags();

/// Those of GlobalFlags that this verb takes, with the help that is true of it.
std::vector<Flag> GlobalFlagsOf(const Verb& verb);

/// Prints what is wrong with the command line and where help is; returns kWrongUsage.
int WrongUsage(const Context& context, const absl::Status& status);

/// Prints `planecast: can't WHAT: why`; returns kFailed.
int Failed(const Context& context, std::string_view what, const absl::Status& status);

/// Failed for what the server answered: what it calls INVALID_ARGUMENT is wrong usage, as if it had
/// been noticed before the call. Where no such display is attached, it points at 'list'.
int CallFailed(const Context& context, std::string_view what, const absl::Status& status);

/// Connects; on failure prints why and sets `exit_code`.
std::unique_ptr<Client> Connect(const Context& context, int& exit_code);

/// The token of an interrupt, see Environment.
std::stop_token CatchInterrupt(const Context& context);

/// If the display has no picture, prints its state, why, and what to do.
void ExplainNoPicture(const Context& context, const v1::Display& display);

/// Prints displays: a table, a wide one, JSON, or names.
void PrintDisplays(const Context& context, const std::vector<v1::Display>& displays);

/// Prints one display, all of it.
void PrintDisplay(const Context& context, const v1::Display& display);

}  // namespace planecast::cli
