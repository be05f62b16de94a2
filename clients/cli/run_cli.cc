#include "clients/cli/run_cli.h"

#include <sys/stat.h>

#include <cerrno>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"
#include "clients/cpp/ticket.h"

namespace planecast::cli {
namespace {

constexpr std::string_view kMoreHelp = "Try 'planecast --help'.\n";

int Complain(const Environment& environment, std::string_view message, std::string_view help) {
  // Someone's typing error may be within a ticket.
  environment.err << "planecast: " << WithoutTickets(message) << "\n" << help;
  return kWrongUsage;
}

std::string VerbHelpHint(const Verb& verb) {
  return absl::StrCat("Try 'planecast ", View(verb.syntax.name), " --help'.\n");
}

const Verb* FindVerb(std::string_view name) {
  for (const Verb* verb : AllVerbs()) {
    if (verb->syntax.name == name) return verb;
  }
  return nullptr;
}

std::string ProgramHelp() {
  std::vector<const Syntax*> syntaxes;
  for (const Verb* verb : AllVerbs()) syntaxes.push_back(&verb->syntax);
  return FormatProgramHelp(syntaxes, GlobalFlags());
}

// The first line of a file, without blanks around it.
absl::StatusOr<std::string> ReadTicketFile(const std::string& path, std::ostream& err) {
  std::ifstream file(path);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("can't read ", path));
  std::string line;
  std::getline(file, line);
  absl::StripAsciiWhitespace(&line);
  if (line.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no ticket in the first line of ", path));
  }
  struct stat about {};
  if (stat(path.c_str(), &about) == 0 && (about.st_mode & (S_IRGRP | S_IROTH)) != 0) {
    err << "planecast: warning: other users can read the ticket in " << path
        << ": chmod 600 keeps it from them\n";
  }
  return line;
}

// Empty: none on the command line.
absl::StatusOr<std::string> ReadTicket(const Args& args, std::ostream& err) {
  if (args.Has("ticket") && args.Has("ticket-file")) {
    return absl::InvalidArgumentError("--ticket and --ticket-file contradict each other");
  }
  if (args.Has("ticket-file")) return ReadTicketFile(args.Get("ticket-file"), err);
  if (args.Has("ticket") && args.Get("ticket").empty()) {
    return absl::InvalidArgumentError("--ticket needs a ticket, as 'planecast ticket' prints it");
  }
  return args.Get("ticket");
}

absl::StatusOr<ClientOptions> ReadClientOptions(const Args& args, std::ostream& err) {
  ClientOptions options;
  options.server = args.Get("server");
  options.tls.ca_path = args.Get("tls-ca");
  options.tls.certificate_path = args.Get("tls-cert");
  options.tls.private_key_path = args.Get("tls-key");
  options.tls.server_name = args.Get("tls-name");
  if (args.Has("server") && options.server.empty()) {
    return absl::InvalidArgumentError(
        "--server needs an address: give unix:PATH, HOST:PORT or [IPV6]:PORT");
  }
  if (args.Has("tls") && args.Has("insecure")) {
    return absl::InvalidArgumentError("--tls and --insecure contradict each other");
  }
  if (args.Has("tls")) options.transport = Transport::kTls;
  if (args.Has("insecure")) options.transport = Transport::kPlainText;
  if (args.Has("timeout")) {
    const absl::StatusOr<int64_t> timeout_ms = ParseDurationMs(args.Get("timeout"));
    if (!timeout_ms.ok()) return timeout_ms.status();
    options.deadline = std::chrono::milliseconds(*timeout_ms);
  }
  const absl::StatusOr<ServerAddress> address = ParseServerAddress(options.server);
  if (!address.ok()) return address.status();
  absl::StatusOr<std::string> ticket = ReadTicket(args, err);
  if (!ticket.ok()) return ticket.status();
  options.ticket = *std::move(ticket);
  return options;
}

absl::StatusOr<Output> ReadOutput(const Args& args, const Verb& verb) {
  if (!verb.takes_output && args.Has("output")) {
    return absl::InvalidArgumentError(
        absl::StrCat("-o is not for '", View(verb.syntax.name), "', which prints one form only"));
  }
  const std::string text = args.Get("output", "table");
  if (text == "table") return Output::kTable;
  if (text == "json") return Output::kJson;
  if (text == "wide" && verb.prints_wide) return Output::kWide;
  if (text == "names" && verb.prints_names) return Output::kNames;
  return absl::InvalidArgumentError(absl::StrCat("-o takes table", verb.prints_wide ? ", wide" : "",
                                                 verb.prints_names ? ", json or names" : " or json",
                                                 ", not '", text, "'"));
}

absl::Status CheckOperands(const Syntax& syntax, const Args& args) {
  const auto count = static_cast<int>(args.operands().size());
  if (count < syntax.operands_min) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", View(syntax.name), "' needs ", View(syntax.synopsis)));
  }
  if (count > syntax.operands_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", args.operands()[static_cast<size_t>(syntax.operands_max)],
                     "' is one argument too many"));
  }
  if (!syntax.takes_display && !syntax.names_display) return absl::OkStatus();
  return ParseDisplayName(args.operands().front()).status();
}

int RunVerb(const Verb& verb, const Args& args, const Environment& environment) {
  const auto complain = [&](const absl::Status& status) {
    return Complain(environment, std::string(status.message()), VerbHelpHint(verb));
  };
  if (const absl::Status status = CheckOperands(verb.syntax, args); !status.ok()) {
    return complain(status);
  }
  const absl::StatusOr<Output> output = ReadOutput(args, verb);
  if (!output.ok()) return complain(output.status());
  const absl::StatusOr<ClientOptions> options = ReadClientOptions(args, environment.err);
  if (absl::IsInvalidArgument(options.status())) return complain(options.status());
  if (!options.ok()) {
    environment.err << "planecast: " << options.status().message() << "\n";
    return kFailed;
  }
  return verb.run(Context{verb, args, environment, *options, *output});
}

}  // namespace

int RunCli(const std::vector<std::string>& args, const Environment& environment) {
  Args parsed;
  size_t position = 0;
  absl::Status status =
      ArgsParser(GlobalFlags()).Parse(args, position, /*stop_at_operand=*/true, parsed);
  if (!status.ok()) return Complain(environment, std::string(status.message()), kMoreHelp);
  if (parsed.Has("version")) {
    environment.out << "planecast " << PLANECAST_VERSION << "\n";
    return kDone;
  }
  const bool wants_help = parsed.Has("help");
  std::string name = position < args.size() ? args[position++] : "";
  const bool is_help_verb = name == "help";
  if (is_help_verb) name = position < args.size() ? args[position++] : "";
  if (name.empty()) {
    if (wants_help || is_help_verb) {
      environment.out << ProgramHelp();
      return kDone;
    }
    environment.err << ProgramHelp();
    return kWrongUsage;
  }
  const Verb* verb = FindVerb(name);
  if (verb == nullptr) {
    return Complain(environment, absl::StrCat("there is no verb '", name, "'"), kMoreHelp);
  }
  if (!is_help_verb) {
    std::vector<Flag> flags = verb->syntax.flags;
    const std::vector<Flag> global_flags = GlobalFlagsOf(*verb);
    flags.insert(flags.end(), global_flags.begin(), global_flags.end());
    status = ArgsParser(std::move(flags)).Parse(args, position, /*stop_at_operand=*/false, parsed);
    if (!status.ok()) {
      return Complain(environment, std::string(status.message()), VerbHelpHint(*verb));
    }
  }
  if (is_help_verb || parsed.Has("help")) {
    environment.out << FormatVerbHelp(verb->syntax, GlobalFlagsOf(*verb));
    return kDone;
  }
  return RunVerb(*verb, parsed, environment);
}

}  // namespace planecast::cli
