// `planecast snapshot`: the current picture as a PNG file.
#include <google/protobuf/struct.pb.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "clients/cli/format.h"
#include "clients/cli/output_file.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

void Report(const Context& context, const std::string& path,
            const v1::GetSnapshotResponse& snapshot) {
  if (context.output == Output::kJson) {
    google::protobuf::Struct report;
    auto& fields = *report.mutable_fields();
    fields["file"].set_string_value(path);
    fields["width_px"].set_number_value(snapshot.width_px());
    fields["height_px"].set_number_value(snapshot.height_px());
    fields["capture_time"].set_string_value(
        FormatTime(snapshot.has_capture_time(), snapshot.capture_time()));
    fields["cursor_drawn"].set_bool_value(snapshot.cursor_drawn());
    context.out() << FormatJson(report);
    return;
  }
  context.err() << "wrote " << path << ", " << snapshot.width_px() << "x" << snapshot.height_px()
                << ", " << FormatBytes(snapshot.image().size())
                << (snapshot.cursor_drawn() ? ", with the cursor\n" : "\n");
}

// Says of the display's state what the server's message has not said.
void TellTheRest(const Context& context, Client& client, const std::string& message) {
  const absl::StatusOr<v1::Display> display = client.GetDisplay(context.display());
  if (!display.ok() || display->state() == v1::Display::STATE_ACTIVE) return;
  const auto told = [&message](const std::string& sentence) {
    return absl::StrContains(message, absl::StripSuffix(sentence, "."));
  };
  if (!told(display->state_reason())) return ExplainNoPicture(context, *display);
  if (!told(display->state_remedy())) context.err() << display->state_remedy() << "\n";
}

int RunSnapshot(const Context& context) {
  const std::string path = context.args.Get("file");
  if (path.empty()) {
    return WrongUsage(
        context, absl::InvalidArgumentError("name the file to write with -f, e.g. -f out.png"));
  }
  if (path != "-" && FileExtension(path) != "png") {
    return WrongUsage(context, absl::InvalidArgumentError(absl::StrCat(
                                   "a snapshot is a PNG file: name it .png, not ", path)));
  }
  if (path == "-" && context.output == Output::kJson) {
    return WrongUsage(context, absl::InvalidArgumentError(
                                   "-f - and -o json would both write to standard output"));
  }
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::StatusOr<v1::GetSnapshotResponse> snapshot =
      client->GetSnapshot(context.display(), {.exclude_cursor = context.args.Has("no-cursor")});
  if (!snapshot.ok()) {
    exit_code = CallFailed(context, absl::StrCat("take a snapshot of ", context.display()),
                           snapshot.status());
    TellTheRest(context, *client, std::string(snapshot.status().message()));
    return exit_code;
  }
  if (path == "-") {
    context.out() << snapshot->image() << std::flush;
    return kDone;
  }
  const absl::Status written = WriteFile(path, snapshot->image());
  if (!written.ok()) return Failed(context, "save the snapshot", written);
  Report(context, path, *snapshot);
  return kDone;
}

}  // namespace

const Verb& SnapshotVerb() {
  static const Verb verb = {
      .syntax = {.name = "snapshot",
                 .synopsis = "NAME -f out.png [--no-cursor]",
                 .summary = "Save the current picture as a PNG file",
                 .details = "With -o json prints {file, width_px, height_px, capture_time, "
                            "cursor_drawn}.",
                 .operands_min = 1,
                 .operands_max = 1,
                 .takes_display = true,
                 .flags = {{.name = "file",
                            .value = "FILE",
                            .help = "the file to write; - is standard output",
                            .letter = 'f'},
                           {.name = "no-cursor",
                            .value = "",
                            .help = "leave out the cursor where it is a plane of its own"}},
                 .examples = {{"planecast snapshot desk -f desk.png", "what is on the screen?"},
                              {"planecast snapshot desk -f - | display", "without a file"}}},
      .run = RunSnapshot};
  return verb;
}

}  // namespace planecast::cli
