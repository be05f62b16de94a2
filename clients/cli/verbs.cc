#include "clients/cli/verbs.h"

#include "absl/strings/str_cat.h"
#include "clients/cli/format.h"
#include "clients/cpp/ticket.h"

namespace planecast::cli {
namespace {

constexpr std::string_view kOutputFlag = "output";

void PrintHelpHint(const Context& context) {
  context.err() << "Try 'planecast " << context.verb.syntax.name << " --help'.\n";
}

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

// Where to look for what was not found.
std::string HintFor(const Context& context, const absl::Status& status) {
  constexpr char kListHint[] = "; 'planecast list' shows what is attached";
  switch (ReasonOf(status)) {
    case v1::ERROR_REASON_DISPLAY_NOT_FOUND:
      return kListHint;
    case v1::ERROR_REASON_VIEWER_NOT_FOUND:
      return absl::StrCat("; 'planecast viewers ", View(DisplayId(context.display())),
                          "' shows who streams it");
    case v1::ERROR_REASON_TICKET_NOT_FOUND:
      return "; 'planecast tickets' shows those that are valid";
    case v1::ERROR_REASON_UNSPECIFIED:
      return absl::IsNotFound(status) && context.verb.syntax.takes_display ? kListHint : "";
    default:
      return "";
  }
}

}  // namespace

const std::vector<const Verb*>& AllVerbs() {
  static const std::vector<const Verb*> verbs = {
      &HostVerb(),    &ListVerb(),      &GetVerb(),      &WatchVerb(),   &AttachVerb(),
      &DetachVerb(),  &LabelVerb(),     &TicketVerb(),   &TicketsVerb(), &RevokeVerb(),
      &ViewersVerb(), &KickVerb(),      &SnapshotVerb(), &RecordVerb(),  &StatsVerb(),
      &ModeVerb(),    &CompletionVerb()};
  return verbs;
}

const std::vector<Flag>& GlobalFlags() {
  static const std::vector<Flag> flags = {
      {.name = "server",
       .value = "ADDR",
       .help = "unix:PATH or HOST:PORT (default: $PLANECAST_SERVER, else the local daemon)"},
      {.name = "output",
       .value = "FORMAT",
       .help = "table (default) or json, with the proto's field names",
       .letter = 'o',
       .choices = "table json"},
      {.name = "timeout",
       .value = "TIME",
       .help = "how long to wait for an answer: 10, 2.5, 500ms (default 10 seconds)"},
      {.name = "ticket",
       .value = "PCT",
       .help = "the ticket that lets you in (default: $PLANECAST_TICKET); the process list shows "
               "this one"},
      {.name = "ticket-file",
       .value = "FILE",
       .help = "a file whose first line is the ticket, which keeps it out of the process list"},
      {.name = "tls", .value = "", .help = "use TLS (default for addresses off this machine)"},
      {.name = "tls-ca",
       .value = "FILE",
       .help = "PEM of the CA that signed the server's certificate (default: the system's)"},
      {.name = "tls-cert", .value = "FILE", .help = "PEM of this client's certificate"},
      {.name = "tls-key", .value = "FILE", .help = "PEM of this client's private key"},
      {.name = "tls-name", .value = "NAME", .help = "the name to expect in the certificate"},
      {.name = "insecure",
       .value = "",
       .help = "plain text off this machine too; anyone on the network can look on and interfere"},
      {.name = "version", .value = "", .help = "print this program's version"},
      {.name = "help", .value = "", .help = "print help", .letter = 'h'},
  };
  return flags;
}

std::vector<Flag> GlobalFlagsOf(const Verb& verb) {
  std::vector<Flag> flags;
  for (Flag flag : GlobalFlags()) {
    if (flag.name == kOutputFlag) {
      if (!verb.takes_output) continue;
      if (verb.prints_names) {
        flag.help = "table (default), wide, json with the proto's field names, or names alone";
        flag.choices = "table wide json names";
      } else if (verb.prints_wide) {
        flag.help = "table (default), wide, or json with the proto's field names";
        flag.choices = "table wide json";
      }
    }
    flags.push_back(flag);
  }
  return flags;
}

int WrongUsage(const Context& context, const absl::Status& status) {
  context.err() << "planecast: " << WithoutTickets(Text(status)) << "\n";
  PrintHelpHint(context);
  return kWrongUsage;
}

int Failed(const Context& context, std::string_view what, const absl::Status& status) {
  context.err() << "planecast: can't " << what << ": " << WithoutTickets(Text(status)) << "\n";
  return kFailed;
}

int CallFailed(const Context& context, std::string_view what, const absl::Status& status) {
  Failed(context, what,
         absl::Status(status.code(), absl::StrCat(status.message(), HintFor(context, status))));
  if (!absl::IsInvalidArgument(status)) return kFailed;
  PrintHelpHint(context);
  return kWrongUsage;
}

std::unique_ptr<Client> Connect(const Context& context, int& exit_code) {
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(context.client_options);
  if (client.ok()) return *std::move(client);
  exit_code = absl::IsInvalidArgument(client.status())
                  ? WrongUsage(context, client.status())
                  : Failed(context, "connect", client.status());
  return nullptr;
}

std::stop_token CatchInterrupt(const Context& context) {
  const auto& catch_interrupt = context.environment.catch_interrupt;
  return catch_interrupt ? catch_interrupt() : std::stop_token();
}

void ExplainNoPicture(const Context& context, const v1::Display& display) {
  if (display.state() == v1::Display::STATE_ACTIVE) return;
  context.err() << DisplayId(display.name()) << " has no picture: "
                << FormatWhy(display.state(), display.state_reason(), display.state_remedy())
                << "\n";
}

}  // namespace planecast::cli
