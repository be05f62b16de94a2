// `planecast attach`, `detach` and `mode`: what changes a display.
#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "clients/cli/format.h"
#include "clients/cli/process_start.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

constexpr std::array<std::string_view, 5> kSourceFlags = {"fake", "vfio-group", "vmm-pid", "cdev",
                                                          "hand-over-token"};

// `words` are separated by blanks.
absl::Status CheckOneOf(std::string_view what, const std::string& text, std::string_view words) {
  const std::vector<std::string> known = absl::StrSplit(View(words), ' ');
  if (std::find(known.begin(), known.end(), text) != known.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("there is no fake ", View(what), " '", text,
                                                 "'; there are ", absl::StrJoin(known, ", ")));
}

absl::Status ReadFake(const Args& args, v1::FakeDevice& fake) {
  const std::string text = args.Get("fake");
  const size_t colon = text.find(':');
  fake.set_profile(text.substr(0, colon));
  if (colon != std::string::npos) fake.set_scene(text.substr(colon + 1));
  if (fake.profile().empty() || (colon != std::string::npos && fake.scene().empty())) {
    return absl::InvalidArgumentError("--fake takes PROFILE or PROFILE:SCENE, e.g. ideal:desktop");
  }
  absl::Status status = CheckOneOf("profile", fake.profile(), kFakeProfiles);
  if (status.ok() && colon != std::string::npos) {
    status = CheckOneOf("scene", fake.scene(), kFakeScenes);
  }
  if (!status.ok()) return status;
  if (args.Has("size")) {
    const absl::StatusOr<Size> size = ParseSize(args.Get("size"));
    if (!size.ok()) return size.status();
    fake.set_width_px(size->width_px);
    fake.set_height_px(size->height_px);
  }
  const absl::StatusOr<std::optional<int64_t>> rate = args.GetNumber("rate", 1, 240);
  if (!rate.ok()) return rate.status();
  if (*rate) fake.set_frame_rate_hz(static_cast<int>(**rate));
  return absl::OkStatus();
}

absl::Status ReadGroup(const Args& args, v1::VfioGroupDevice& device) {
  const auto group = args.GetNumber("vfio-group", 0, std::numeric_limits<int32_t>::max());
  if (!group.ok()) return group.status();
  if (!args.Has("device")) {
    return absl::InvalidArgumentError(
        "--vfio-group needs --device too: the mdev's UUID or the PCI address");
  }
  device.set_group(static_cast<int32_t>(**group));
  device.set_device(args.Get("device"));
  return absl::OkStatus();
}

absl::Status ReadVmm(const Args& args, v1::VmmDevice& device) {
  const auto pid = args.GetNumber("vmm-pid", 1, std::numeric_limits<int32_t>::max());
  if (!pid.ok()) return pid.status();
  device.set_pid(static_cast<int32_t>(**pid));
  device.set_device(args.Get("device"));
  const auto start = args.GetNumber("vmm-start", 1, std::numeric_limits<int64_t>::max());
  if (!start.ok()) return start.status();
  if (*start) {
    device.set_start_time_ticks(**start);
    return absl::OkStatus();
  }
  // A process of this machine, if the server is on it.
  const absl::StatusOr<ServerAddress> address = ParseServerAddress(args.Get("server"));
  if (address.ok() && !address->is_unix) {
    return absl::InvalidArgumentError(
        "--vmm-pid needs --vmm-start too where the server is no unix socket: when that process "
        "started, field 22 of /proc/PID/stat on the server's machine");
  }
  const absl::StatusOr<int64_t> ticks = ProcessStartTicks(device.pid());
  if (!ticks.ok()) return ticks.status();
  device.set_start_time_ticks(*ticks);
  return absl::OkStatus();
}

absl::Status ReadDialect(const Args& args, v1::DisplaySource& source) {
  source.set_render_node(args.Get("render-node", ""));
  const std::string dialect = args.Get("dialect", "final");
  if (dialect == "v15") {
    source.set_dialect(v1::DisplaySource::DIALECT_V15);
  } else if (dialect == "v1") {
    source.set_dialect(v1::DisplaySource::DIALECT_V1);
  } else if (dialect != "final") {
    return absl::InvalidArgumentError(
        absl::StrCat("--dialect takes final, v15 or v1, not '", dialect, "'"));
  }
  const std::string events = args.Get("flip-events", "auto");
  if (events == "none") {
    source.set_flip_events(v1::DisplaySource::FLIP_EVENTS_NONE);
  } else if (events == "eventfd-ioctl") {
    source.set_flip_events(v1::DisplaySource::FLIP_EVENTS_EVENTFD_IOCTL);
  } else if (events != "auto") {
    return absl::InvalidArgumentError(
        absl::StrCat("--flip-events takes auto, none or eventfd-ioctl, not '", events, "'"));
  }
  return absl::OkStatus();
}

// Which flags only make sense with which source.
absl::Status CheckCompanions(const Args& args) {
  if (!args.Has("fake") && (args.Has("size") || args.Has("rate"))) {
    return absl::InvalidArgumentError(
        "--size and --rate are for --fake; see 'planecast mode' for "
        "the size of a real display");
  }
  if (args.Has("device") && !args.Has("vfio-group") && !args.Has("vmm-pid")) {
    return absl::InvalidArgumentError("--device is for --vfio-group and --vmm-pid");
  }
  if (args.Has("vmm-start") && !args.Has("vmm-pid")) {
    return absl::InvalidArgumentError("--vmm-start is for --vmm-pid");
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::DisplaySource> ReadSource(const Args& args) {
  int count = 0;
  for (const std::string_view flag : kSourceFlags) count += args.Has(flag) ? 1 : 0;
  if (count != 1) {
    return absl::InvalidArgumentError(
        "say where the pixels come from, with just one of --fake, --vfio-group, --vmm-pid, --cdev "
        "and --hand-over-token");
  }
  absl::Status status = CheckCompanions(args);
  if (!status.ok()) return status;
  v1::DisplaySource source;
  status = ReadDialect(args, source);
  if (!status.ok()) return status;
  if (args.Has("fake")) {
    status = ReadFake(args, *source.mutable_fake());
  } else if (args.Has("vfio-group")) {
    status = ReadGroup(args, *source.mutable_vfio_group());
  } else if (args.Has("vmm-pid")) {
    status = ReadVmm(args, *source.mutable_vmm());
  } else if (args.Has("cdev")) {
    source.mutable_vfio_cdev()->set_path(args.Get("cdev"));
  } else {
    source.mutable_handed_over()->set_token(args.Get("hand-over-token"));
  }
  if (!status.ok()) return status;
  return source;
}

int RunAttach(const Context& context) {
  const absl::StatusOr<v1::DisplaySource> source = ReadSource(context.args);
  if (absl::IsNotFound(source.status())) {
    return CallFailed(context, absl::StrCat("attach ", context.display()), source.status());
  }
  if (!source.ok()) return WrongUsage(context, source.status());
  std::map<std::string, std::string> labels;
  for (const std::string& text : context.args.GetAll("label")) {
    const absl::StatusOr<Label> label = ParseLabel(text, /*may_remove=*/false);
    if (!label.ok()) return WrongUsage(context, label.status());
    labels[label->key] = *label->value;
  }
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  absl::StatusOr<v1::Display> display = client->AttachDisplay(context.display(), *source, labels);
  if (!display.ok()) {
    return CallFailed(context, absl::StrCat("attach ", context.display()), display.status());
  }
  // The daemon looks at a display afresh when asked for it: a state worth telling.
  absl::StatusOr<v1::Display> fresh = client->GetDisplay(context.display());
  if (fresh.ok()) display = std::move(fresh);
  if (context.output == Output::kJson) {
    context.out() << FormatJson(*display);
  } else {
    PrintDisplays(context, {*display});
  }
  ExplainNoPicture(context, *display);
  return kDone;
}

// Says in JSON which display a verb without data of its own was about.
google::protobuf::Struct NameReport(const Context& context) {
  google::protobuf::Struct report;
  (*report.mutable_fields())["name"].set_string_value(
      absl::StrCat("displays/", View(DisplayId(context.display()))));
  return report;
}

int RunDetach(const Context& context) {
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::Status status = client->DetachDisplay(context.display());
  if (!status.ok()) {
    return CallFailed(context, absl::StrCat("detach ", context.display()), status);
  }
  if (context.output == Output::kJson) context.out() << FormatJson(NameReport(context));
  return kDone;
}

int RunMode(const Context& context) {
  const absl::StatusOr<Size> size = ParseSize(context.args.operands()[1]);
  if (!size.ok()) return WrongUsage(context, size.status());
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  const absl::Status status =
      client->SetDisplayMode(context.display(), size->width_px, size->height_px);
  if (!status.ok()) {
    return CallFailed(context, absl::StrCat("set the mode of ", context.display()), status);
  }
  if (context.output == Output::kJson) {
    google::protobuf::Struct report = NameReport(context);
    auto& fields = *report.mutable_fields();
    fields["width_px"].set_number_value(size->width_px);
    fields["height_px"].set_number_value(size->height_px);
    context.out() << FormatJson(report);
  }
  context.err() << "offered " << size->width_px << "x" << size->height_px
                << " to the guest, which decides; 'planecast watch' shows a change\n";
  return kDone;
}

}  // namespace

const Verb& AttachVerb() {
  static const Verb verb =
      {.syntax =
           {.name = "attach",
            .synopsis =
                "NAME --fake PROFILE[:SCENE] | --vfio-group N --device ID | --vmm-pid PID | "
                "--cdev PATH | --hand-over-token T",
            .summary = "Attach a display under a name of your choice",
            .details = "A display without a picture is attached too: its state says what it waits "
                       "for.\nProfiles: ideal, gvt, mbochs, mdpy, nvidia. Scenes: desktop, video, "
                       "static, modeset, blank, tearing.",
            .operands_min = 1,
            .operands_max = 1,
            .names_display = true,
            .flags =
                {{.name = "fake",
                  .value = "PROFILE[:SCENE]",
                  .help = "a fake device, if the daemon has --allow-fake",
                  .choices = kFakeProfiles},
                 {.name = "size", .value = "WxH", .help = "size of the fake (default 1280x720)"},
                 {.name = "rate",
                  .value = "HZ",
                  .help = "flips per second of the fake (default 60)"},
                 {.name = "vfio-group", .value = "N", .help = "the device of /dev/vfio/N"},
                 {.name = "vmm-pid",
                  .value = "PID",
                  .help = "borrow the device fd of a running VMM"},
                 {.name = "vmm-start",
                  .value = "TICKS",
                  .help = "when that process started, if the server is no unix socket: field 22 "
                          "of its /proc/PID/stat"},
                 {.name = "device",
                  .value = "ID",
                  .help = "which device: mdev UUID or PCI address"},
                 {.name = "cdev", .value = "PATH", .help = "a node under /dev/vfio/devices"},
                 {.name = "hand-over-token",
                  .value = "T",
                  .help = "the token that the hand-over socket answered with"},
                 {.name = "dialect",
                  .value = "D",
                  .help = "ABI of the driver: final (default), v15 or v1",
                  .choices = "final v15 v1"},
                 {.name = "flip-events",
                  .value = "E",
                  .help = "auto (default), none, or eventfd-ioctl for kernels with that draft",
                  .choices = "auto none eventfd-ioctl"},
                 {.name = "render-node",
                  .value = "PATH",
                  .help = "the GPU to encode on (default: the one that hosts the vGPU)"},
                 {.name = "label",
                  .value = "KEY=VALUE",
                  .help = "something to remember of it; may be given more than once"}},
            .examples = {{"planecast attach demo --fake ideal:desktop",
                          "a fake desktop, no hardware needed (planecastd --allow-fake)"},
                         {"planecast attach big --fake ideal:video --size 1920x1080 --rate 30",
                          "another, larger and slower"},
                         {"planecast attach vm1 --vmm-pid $(cat /run/libvirt/qemu/vm1.pid)",
                          "the display of a running VM, here of libvirt's vm1"},
                         {"planecast attach vm2 --vfio-group 12 --device "
                          "a297db4a-f4c2-11e6-90f6-d3b88d6c9525",
                          "an mdev that no one has open"}}},
       .run = RunAttach};
  return verb;
}

const Verb& DetachVerb() {
  static const Verb verb = {
      .syntax = {.name = "detach",
                 .synopsis = "NAME",
                 .summary = "Detach a display: end its streams and close its device",
                 .details = "Prints nothing; with -o json {name}.",
                 .operands_min = 1,
                 .operands_max = 1,
                 .takes_display = true,
                 .examples = {{"planecast detach demo", "done with it"}}},
      .run = RunDetach};
  return verb;
}

const Verb& ModeVerb() {
  static const Verb verb = {
      .syntax = {.name = "mode",
                 .synopsis = "NAME WIDTHxHEIGHT",
                 .summary = "Offer the guest a display mode (writes an EDID)",
                 .details = "From 64x64 to 7680x4320; a device may take less. With -o json "
                            "prints {name, width_px, height_px}.",
                 .operands_min = 2,
                 .operands_max = 2,
                 .takes_display = true,
                 .examples = {{"planecast mode vm1 1920x1080", "ask the guest for Full HD"}}},
      .run = RunMode};
  return verb;
}

}  // namespace planecast::cli
