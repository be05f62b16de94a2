// `planecast viewers` and `kick`: who streams a display, and how to end that.
#include <google/protobuf/struct.pb.h>

#include "absl/strings/str_cat.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

std::string OrDash(const std::string& text) {
  return text.empty() ? "-" : text;
}

// What follows the last slash.
std::string IdOf(const std::string& name) {
  return name.substr(name.rfind('/') + 1);
}

void PrintViewers(const Context& context, const std::vector<v1::ViewerInfo>& viewers) {
  if (viewers.empty()) {
    context.err() << "nobody streams " << DisplayId(context.display()) << "\n";
    return;
  }
  const bool wide = context.output == Output::kWide;
  std::vector<std::vector<std::string>> rows = {{"VIEWER", "WHO", "FROM", "SINCE", "SENT"}};
  if (wide) rows[0].insert(rows[0].end(), {"TICKET", "ACKNOWLEDGES", "PERMISSIONS"});
  for (const v1::ViewerInfo& viewer : viewers) {
    std::vector<std::string> row = {IdOf(viewer.name()), OrDash(viewer.principal()),
                                    OrDash(viewer.peer()),
                                    FormatTime(viewer.has_start_time(), viewer.start_time()),
                                    FormatBytes(static_cast<uint64_t>(viewer.sent_bytes()))};
    if (wide) {
      row.insert(row.end(), {OrDash(IdOf(viewer.ticket())), viewer.acknowledges() ? "yes" : "no",
                             FormatPermissions(viewer.permissions())});
    }
    rows.push_back(std::move(row));
  }
  context.out() << FormatTable(rows);
}

int RunViewers(const Context& context) {
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::StatusOr<std::vector<v1::ViewerInfo>> viewers =
      client->ListViewers(context.display());
  if (!viewers.ok()) {
    return CallFailed(context, absl::StrCat("list viewers of ", context.display()),
                      viewers.status());
  }
  if (context.output != Output::kJson) {
    PrintViewers(context, *viewers);
    return kDone;
  }
  v1::ListViewersResponse list;
  for (const v1::ViewerInfo& viewer : *viewers) *list.add_viewers() = viewer;
  context.out() << FormatJson(list);
  return kDone;
}

int RunKick(const Context& context) {
  const std::string& viewer = context.args.operands()[1];
  const absl::StatusOr<std::string> name = ParseViewerName(context.display(), viewer);
  if (!name.ok()) return WrongUsage(context, name.status());
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::Status status =
      client->EndViewer(context.display(), viewer, context.args.Get("message"));
  if (!status.ok()) {
    return CallFailed(context, absl::StrCat("send away ", *name), status);
  }
  if (context.output != Output::kJson) return kDone;
  google::protobuf::Struct report;
  (*report.mutable_fields())["name"].set_string_value(*name);
  context.out() << FormatJson(report);
  return kDone;
}

}  // namespace

const Verb& ViewersVerb() {
  static const Verb verb = {.syntax = {.name = "viewers",
                                       .synopsis = "NAME",
                                       .summary = "List who streams a display",
                                       .details = "'-o wide' shows tickets and permissions too.",
                                       .operands_min = 1,
                                       .operands_max = 1,
                                       .takes_display = true,
                                       .examples = {{"planecast viewers vm1", "who looks on?"}}},
                            .run = RunViewers,
                            .prints_wide = true};
  return verb;
}

const Verb& KickVerb() {
  static const Verb verb = {
      .syntax = {.name = "kick",
                 .synopsis = "NAME VIEWER [--message TEXT]",
                 .summary = "Send a viewer away; with a ticket he does not come back",
                 .details = "VIEWER is the id or the resource name that 'planecast viewers' shows. "
                            "Prints nothing; with -o json {name}.",
                 .operands_min = 2,
                 .operands_max = 2,
                 .takes_display = true,
                 .flags = {{.name = "message",
                            .value = "TEXT",
                            .help = "why, for the viewer; at most 200 characters"}},
                 .examples = {{"planecast kick vm1 3 --message 'maintenance'",
                               "end the stream of viewer 3"}}},
      .run = RunKick};
  return verb;
}

}  // namespace planecast::cli
