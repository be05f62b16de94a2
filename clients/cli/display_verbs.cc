// `planecast list`, `get` and `watch`: displays and their states.
#include "absl/strings/str_cat.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

int RunList(const Context& context) {
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::StatusOr<std::vector<v1::Display>> displays = client->ListDisplays();
  if (!displays.ok()) return CallFailed(context, "list displays", displays.status());
  PrintDisplays(context, *displays);
  return kDone;
}

int RunGet(const Context& context) {
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::StatusOr<v1::Display> display = client->GetDisplay(context.display());
  if (!display.ok()) {
    return CallFailed(context, absl::StrCat("get ", context.display()), display.status());
  }
  PrintDisplay(context, *display);
  return kDone;
}

void PrintEvent(const Context& context, const v1::WatchDisplaysResponse& event) {
  if (context.output == Output::kJson) {
    context.out() << FormatJson(event, /*one_line=*/true) << std::flush;
    return;
  }
  if (event.has_display()) {
    const v1::Display& display = event.display();
    context.out() << DisplayId(display.name()) << "  "
                  << FormatWhy(display.state(), display.state_reason(), display.state_remedy())
                  << "  " << FormatSize(display) << ", viewers " << display.viewer_count() << "\n";
  } else if (event.has_detached()) {
    context.out() << DisplayId(event.detached().name()) << "  detached\n";
  }
  context.out() << std::flush;
}

int RunWatch(const Context& context) {
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::Status status = client->WatchDisplays(
      CatchInterrupt(context), [&context](const v1::WatchDisplaysResponse& event) {
        PrintEvent(context, event);
        if (event.has_bookmark()) context.err() << "watching for changes; Ctrl-C ends\n";
        return true;
      });
  return status.ok() ? kDone : CallFailed(context, "watch displays", status);
}

}  // namespace

const Verb& ListVerb() {
  static const Verb verb = {
      .syntax = {.name = "list",
                 .summary = "List displays, their states, and why one has no picture",
                 .details = "'-o names' prints just the names, one per line; '-o wide' labels too.",
                 .examples = {{"planecast list", "what is attached?"},
                              {"planecast list -o json | jq -r '.displays[].state'",
                               "the states, for a program"}}},
      .run = RunList,
      .prints_names = true,
      .prints_wide = true};
  return verb;
}

const Verb& GetVerb() {
  static const Verb verb = {
      .syntax = {.name = "get",
                 .synopsis = "NAME",
                 .summary = "Show all that is known of one display",
                 .operands_min = 1,
                 .operands_max = 1,
                 .takes_display = true,
                 .examples = {{"planecast get desk", "why has desk no picture?"}}},
      .run = RunGet};
  return verb;
}

const Verb& WatchVerb() {
  static const Verb verb = {
      .syntax = {.name = "watch",
                 .summary = "Print displays and each change as it happens, until Ctrl-C",
                 .details = "With -o json each line is one WatchDisplaysResponse; the bookmark "
                            "ends the first listing.",
                 .examples = {{"planecast watch", "follow what happens"},
                              {"planecast watch -o json | jq --unbuffered .", "for a program"}}},
      .run = RunWatch};
  return verb;
}

}  // namespace planecast::cli
