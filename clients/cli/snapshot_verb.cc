// `planecast snapshot`: the current picture as a PNG file.
#include <google/protobuf/struct.pb.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "clients/cli/format.h"
#include "clients/cli/output_file.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

std::string FormatScaling(const v1::GetSnapshotResponse& snapshot) {
  if (snapshot.plane_width_px() <= snapshot.width_px()) return "";
  return absl::StrCat(", scaled down from ", snapshot.plane_width_px(), "x",
                      snapshot.plane_height_px());
}

void Report(const Context& context, const std::string& path,
            const v1::GetSnapshotResponse& snapshot) {
  if (context.output == Output::kJson) {
    google::protobuf::Struct report;
    auto& fields = *report.mutable_fields();
    fields["file"].set_string_value(path);
    fields["width_px"].set_number_value(snapshot.width_px());
    fields["height_px"].set_number_value(snapshot.height_px());
    fields["plane_width_px"].set_number_value(snapshot.plane_width_px());
    fields["plane_height_px"].set_number_value(snapshot.plane_height_px());
    fields["capture_time"].set_string_value(
        FormatTime(snapshot.has_capture_time(), snapshot.capture_time()));
    fields["cursor_drawn"].set_bool_value(snapshot.cursor_drawn());
    context.out() << FormatJson(report);
    return;
  }
  context.err() << "wrote " << path << ", " << snapshot.width_px() << "x" << snapshot.height_px()
                << FormatScaling(snapshot) << ", " << FormatBytes(snapshot.image().size())
                << (snapshot.cursor_drawn() ? ", with the cursor\n" : "\n");
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
  const auto width = context.args.GetNumber("width", 1, std::numeric_limits<int32_t>::max());
  if (!width.ok()) return WrongUsage(context, width.status());
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const SnapshotOptions options = {.exclude_cursor = context.args.Has("no-cursor"),
                                   .width_max_px = static_cast<int>(width->value_or(0))};
  const absl::StatusOr<v1::GetSnapshotResponse> snapshot =
      client->GetSnapshot(context.display(), options);
  if (!snapshot.ok()) {
    return CallFailed(context, absl::StrCat("take a snapshot of ", context.display()),
                      snapshot.status());
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
                 .synopsis = "NAME -f out.png [--no-cursor] [--width N]",
                 .summary = "Save the current picture as a PNG file",
                 .details = "With -o json prints {file, width_px, height_px, plane_width_px, "
                            "plane_height_px, capture_time, cursor_drawn}.",
                 .operands_min = 1,
                 .operands_max = 1,
                 .takes_display = true,
                 .flags = {{.name = "file",
                            .value = "FILE",
                            .help = "the file to write; - is standard output",
                            .letter = 'f'},
                           {.name = "no-cursor",
                            .value = "",
                            .help = "leave out the cursor where it is a plane of its own"},
                           {.name = "width",
                            .value = "N",
                            .help = "scale it down to at most N pixels in width"}},
                 .examples = {{"planecast snapshot desk -f desk.png", "what is on the screen?"},
                              {"planecast snapshot desk -f - | display", "without a file"}}},
      .run = RunSnapshot};
  return verb;
}

}  // namespace planecast::cli
