// `planecast ticket`, `tickets` and `revoke`: who may come in, and for how long.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int kDisplaysMax = 16;
constexpr int kUsesMax = 1000;
constexpr std::string_view kViewersSocket = "viewers.sock";

std::string IdOf(const std::string& name) {
  return name.substr(name.rfind('/') + 1);
}

std::string DisplayIds(const v1::Ticket& ticket) {
  return absl::StrJoin(ticket.displays(), ",", [](std::string* out, const std::string& name) {
    absl::StrAppend(out, View(DisplayId(name)));
  });
}

absl::Status ReadSpan(const Args& args, std::string_view flag, google::protobuf::Duration* span) {
  const absl::StatusOr<int64_t> seconds = ParseSpanSeconds(args.Get(flag));
  if (!seconds.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", View(flag), ": ", seconds.status().message()));
  }
  span->set_seconds(*seconds);
  return absl::OkStatus();
}

absl::StatusOr<v1::CreateTicketRequest> ReadRequest(const Args& args) {
  v1::CreateTicketRequest request;
  for (const std::string& operand : args.operands()) {
    absl::StatusOr<std::string> name = ParseDisplayName(operand);
    if (!name.ok()) return name.status();
    request.add_displays(*std::move(name));
  }
  request.set_role(args.Get("role"));
  request.set_certificate_sha256(args.Get("certificate-sha256"));
  request.set_note(args.Get("note"));
  const auto uses = args.GetNumber("uses", 1, kUsesMax);
  if (!uses.ok()) return uses.status();
  request.set_uses(static_cast<int32_t>(uses->value_or(0)));
  absl::Status status;
  if (args.Has("ttl")) status = ReadSpan(args, "ttl", request.mutable_start_ttl());
  if (status.ok() && args.Has("session-max")) {
    status = ReadSpan(args, "session-max", request.mutable_session_max());
  }
  if (!status.ok()) return status;
  return request;
}

// One word for a shell.
std::string ShellWord(std::string_view text) {
  static constexpr std::string_view kPlain = "-_./:@%+,=";
  const auto is_plain = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || kPlain.find(c) != kPlain.npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_plain)) return std::string(text);
  return absl::StrCat("'", absl::StrReplaceAll(View(text), {{"'", "'\\''"}}), "'");
}

// The flags by which whoever gets the ticket reaches the server: as --for says, else at the
// viewers' socket beside the operators' own, else as the operator did.
absl::StatusOr<std::string> ReadViewerFlags(const Context& context) {
  const Args& args = context.args;
  const ClientOptions& mine = context.client_options;
  const absl::StatusOr<ServerAddress> address =
      ParseServerAddress(args.Has("for") ? args.Get("for") : mine.server);
  if (!address.ok()) return address.status();
  std::string target = address->target;
  if (address->is_unix && !args.Has("for")) {
    target = absl::StrCat(target.substr(0, target.rfind('/') + 1), View(kViewersSocket));
  }
  std::string ca = args.Get("for-ca", args.Has("for") ? "" : mine.tls.ca_path);
  // Other machines are reached by TLS alone, and hardly anybody's CA is one of the system's.
  if (ca.empty() && args.Has("for") && !address->is_unix && !address->is_local) ca = "ca.pem";
  if (address->is_unix && !ca.empty()) {
    return absl::InvalidArgumentError(
        "--for-ca is for addresses with TLS; name the viewers' one with --for");
  }
  std::string flags = absl::StrCat("--server ", ShellWord(target));
  if (!ca.empty()) absl::StrAppend(&flags, " --tls-ca ", ShellWord(ca));
  if (args.Has("for")) return flags;
  if (!mine.tls.server_name.empty()) {
    absl::StrAppend(&flags, " --tls-name ", ShellWord(mine.tls.server_name));
  }
  if (mine.transport == Transport::kTls && ca.empty()) flags += " --tls";
  return flags;
}

std::string FormatTicket(const v1::Ticket& ticket) {
  // Rounded: the two times may have been taken one after the other.
  const int64_t ttl_ms =
      TimeUtil::DurationToMilliseconds(ticket.start_expire_time() - ticket.create_time());
  return absl::StrCat(
      "ticket ", IdOf(ticket.name()), " for ", absl::StrJoin(ticket.displays(), ", "), ", role ",
      ticket.role(), ", start within ", FormatSpan((ttl_ms + 500) / 1000),
      ticket.uses_left() > 1 ? absl::StrCat(", ", ticket.uses_left(), " viewers") : "",
      ticket.uses_left() < ticket.displays_size()
          ? absl::StrCat("; for ", ticket.uses_left(), " of these lines, --uses allows more")
          : "",
      ":\n");
}

int RunTicket(const Context& context) {
  const absl::StatusOr<v1::CreateTicketRequest> request = ReadRequest(context.args);
  if (!request.ok()) return WrongUsage(context, request.status());
  const absl::StatusOr<std::string> flags = ReadViewerFlags(context);
  if (!flags.ok()) return WrongUsage(context, flags.status());
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::StatusOr<v1::CreateTicketResponse> made = client->CreateTicket(*request);
  if (!made.ok()) {
    return CallFailed(
        context, absl::StrCat("make a ticket for ", absl::StrJoin(context.args.operands(), ", ")),
        made.status());
  }
  if (context.output == Output::kJson) {
    context.out() << FormatJson(*made);
    return kDone;
  }
  context.out() << FormatTicket(made->ticket());
  for (const std::string& display : made->ticket().displays()) {
    context.out() << "  PLANECAST_TICKET=" << made->secret() << " planecast stats "
                  << DisplayId(display) << " " << *flags << "\n";
  }
  return kDone;
}

void PrintTickets(const Context& context, const std::vector<v1::Ticket>& tickets) {
  if (tickets.empty()) {
    context.err() << "no tickets; 'planecast ticket NAME' makes one\n";
    return;
  }
  const bool wide = context.output == Output::kWide;
  std::vector<std::vector<std::string>> rows = {
      {"TICKET", "DISPLAYS", "ROLE", "USES LEFT", "SESSIONS", "START UNTIL"}};
  if (wide) {
    rows[0].insert(rows[0].end(),
                   {"SESSION MAX", "MADE BY", "MADE AT", "CERTIFICATE", "PERMISSIONS"});
  }
  rows[0].emplace_back("NOTE");
  for (const v1::Ticket& ticket : tickets) {
    std::vector<std::string> row = {
        IdOf(ticket.name()),
        DisplayIds(ticket),
        ticket.role(),
        absl::StrCat(ticket.uses_left()),
        absl::StrCat(ticket.session_count()),
        FormatTime(ticket.has_start_expire_time(), ticket.start_expire_time())};
    if (wide) {
      const std::string& certificate = ticket.certificate_sha256();
      row.insert(row.end(), {FormatSpan(ticket.session_max().seconds()), ticket.issuer(),
                             FormatTime(ticket.has_create_time(), ticket.create_time()),
                             certificate.empty() ? "any" : certificate,
                             FormatPermissions(ticket.permissions())});
    }
    row.push_back(ticket.note());
    rows.push_back(std::move(row));
  }
  context.out() << FormatTable(rows);
}

int RunTickets(const Context& context) {
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::StatusOr<std::vector<v1::Ticket>> tickets = client->ListTickets();
  if (!tickets.ok()) return CallFailed(context, "list tickets", tickets.status());
  if (context.output != Output::kJson) {
    PrintTickets(context, *tickets);
    return kDone;
  }
  v1::ListTicketsResponse list;
  for (const v1::Ticket& ticket : *tickets) *list.add_tickets() = ticket;
  context.out() << FormatJson(list);
  return kDone;
}

int RunRevoke(const Context& context) {
  const absl::StatusOr<std::string> name = ParseTicketName(context.args.operands().front());
  if (!name.ok()) return WrongUsage(context, name.status());
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::Status status = client->RevokeTicket(*name);
  if (!status.ok()) return CallFailed(context, absl::StrCat("revoke ", *name), status);
  if (context.output != Output::kJson) return kDone;
  google::protobuf::Struct report;
  (*report.mutable_fields())["name"].set_string_value(*name);
  context.out() << FormatJson(report);
  return kDone;
}

}  // namespace

const Verb& TicketVerb() {
  static const Verb verb = {
      .syntax = {.name = "ticket",
                 .synopsis = "NAME... [--role ROLE] [--ttl 60s] [--session-max 12h] [--uses N] "
                             "[--for HOST:PORT]",
                 .summary = "Make a ticket: a secret that lets its holder use displays for a while",
                 .details =
                     "Prints the ticket in a line for whoever is to use it. Only the line has the "
                     "secret; the server does not\nkeep it. With -o json prints {ticket, secret}. "
                     "The line's address is that of --for, else the viewers' socket\nbeside the "
                     "operators', else --server. Lengths of time are 60s, 5m, 12h or 30d.",
                 .operands_min = 1,
                 .operands_max = kDisplaysMax,
                 .takes_display = true,
                 .flags = {{.name = "role",
                            .value = "ROLE",
                            .help =
                                "viewer (default), controller, operator, or one of the config's",
                            .choices = "viewer controller operator"},
                           {.name = "ttl",
                            .value = "SPAN",
                            .help = "how long the holder may take to start (default 60s, at most "
                                    "24h)"},
                           {.name = "session-max",
                            .value = "SPAN",
                            .help = "how long each stream may go on (default 12h, at most 30d)"},
                           {.name = "uses",
                            .value = "N",
                            .help = "viewers that can be started with it (default 1)"},
                           {.name = "certificate-sha256",
                            .value = "HEX",
                            .help = "fingerprint of the client certificate that it works with"},
                           {.name = "note",
                            .value = "TEXT",
                            .help = "what it is for, for 'planecast tickets' and the audit log"},
                           {.name = "for",
                            .value = "HOST:PORT",
                            .help = "where the holder finds the server"},
                           {.name = "for-ca",
                            .value = "FILE",
                            .help = "where the holder has the PEM of the server's CA"}},
                 .examples =
                     {{"planecast ticket vm1", "let someone on this machine watch vm1"},
                      {"planecast ticket vm1 vm2 --uses 2 --role controller --session-max 1h --for "
                       "vmhost:7443 --for-ca ca.pem",
                       "let someone elsewhere use two displays for an hour"}}},
      .run = RunTicket};
  return verb;
}

const Verb& TicketsVerb() {
  static const Verb verb = {
      .syntax = {.name = "tickets",
                 .summary = "List the tickets that are valid, without their secrets",
                 .details = "'-o wide' shows who made them and what they permit too.",
                 .examples = {{"planecast tickets", "who was let in?"},
                              {"planecast tickets -o json", "the same for a program"}}},
      .run = RunTickets,
      .prints_wide = true};
  return verb;
}

const Verb& RevokeVerb() {
  static const Verb verb = {
      .syntax = {.name = "revoke",
                 .synopsis = "ID",
                 .summary = "Void a ticket and end its streams",
                 .details =
                     "ID is what 'planecast tickets' shows, with or without 'tickets/' before "
                     "it. Prints nothing; with -o json {name}.",
                 .operands_min = 1,
                 .operands_max = 1,
                 .examples = {{"planecast revoke 8c1f2a3b4c5d6e7f", "it works no more"}}},
      .run = RunRevoke};
  return verb;
}

}  // namespace planecast::cli
