// `planecast label`: what a display's owner wants to remember of it.
#include "absl/strings/str_cat.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

// Tries, where others change the same display at the same time.
constexpr int kTriesMax = 5;

absl::StatusOr<std::vector<Label>> ReadEdits(const Args& args) {
  std::vector<Label> edits;
  for (size_t i = 1; i < args.operands().size(); ++i) {
    absl::StatusOr<Label> edit = ParseLabel(args.operands()[i], /*may_remove=*/true);
    if (!edit.ok()) return edit.status();
    edits.push_back(*std::move(edit));
  }
  return edits;
}

// Changes what was read, so that nobody else's change is undone.
absl::StatusOr<v1::Display> Change(Client& client, const std::string& display,
                                   const std::vector<Label>& edits) {
  const absl::StatusOr<v1::Display> read = client.GetDisplay(display);
  if (!read.ok()) return read.status();
  v1::Display changed;
  changed.set_name(read->name());
  changed.set_etag(read->etag());
  auto& labels = *changed.mutable_labels();
  labels = read->labels();
  for (const Label& edit : edits) {
    if (edit.value) {
      labels[edit.key] = *edit.value;
    } else {
      labels.erase(edit.key);
    }
  }
  return client.UpdateDisplay(changed, {"labels"});
}

int RunLabel(const Context& context) {
  const absl::StatusOr<std::vector<Label>> edits = ReadEdits(context.args);
  if (!edits.ok()) return WrongUsage(context, edits.status());
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  absl::StatusOr<v1::Display> display = Change(*client, context.display(), *edits);
  for (int i = 1; i < kTriesMax && ReasonOf(display.status()) == v1::ERROR_REASON_ETAG_MISMATCH;
       ++i) {
    display = Change(*client, context.display(), *edits);
  }
  if (!display.ok()) {
    return CallFailed(context, absl::StrCat("label ", context.display()), display.status());
  }
  context.out() << (context.output == Output::kJson
                        ? FormatJson(*display)
                        : absl::StrCat(FormatLabels(display->labels()), "\n"));
  return kDone;
}

}  // namespace

const Verb& LabelVerb() {
  static const Verb verb = {
      .syntax = {.name = "label",
                 .synopsis = "NAME KEY=VALUE... KEY-...",
                 .summary = "Set labels of a display, and remove those with a dash behind the key",
                 .details = "Prints all labels that it has then; with -o json the display. "
                            "'list -o wide' and 'get' show labels too.",
                 .operands_min = 2,
                 .operands_max = 64,
                 .takes_display = true,
                 .examples = {{"planecast label vm1 owner=alice room-",
                               "set one, remove another"}}},
      .run = RunLabel};
  return verb;
}

}  // namespace planecast::cli
