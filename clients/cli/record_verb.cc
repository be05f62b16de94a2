// `planecast record`: a display's stream as a file.
#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "clients/cli/clip_writer.h"
#include "clients/cli/format.h"
#include "clients/cli/timeline.h"
#include "clients/cli/verbs.h"
#include "planecast/v1/access.pb.h"

namespace planecast::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Between two lines of progress: redrawn in a terminal, appended elsewhere.
constexpr std::chrono::milliseconds kProgressInTerminal{500};
constexpr std::chrono::milliseconds kProgressElsewhere{10'000};

bool HasPermission(const v1::StreamStarted& started, v1::Permission permission) {
  return std::find(started.permissions().begin(), started.permissions().end(), permission) !=
         started.permissions().end();
}

struct Limits {
  std::optional<int64_t> length_ns;
  std::optional<int64_t> frames;
};

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now().time_since_epoch())
      .count();
}

// Writes what the stream brings. The handler's methods run on the stream's thread, the others on
// the verb's.
class Recorder : public StreamHandler {
 public:
  Recorder(std::ostream& err, std::unique_ptr<ClipWriter> writer, const Limits& limits)
      : err_(err), writer_(std::move(writer)), limits_(limits) {}

  void OnStarted(Stream& /*stream*/, const v1::StreamStarted& started) override {
    const std::lock_guard lock(mutex_);
    if (!HasPermission(started, v1::PERMISSION_RECORD)) return Refuse();
    timeline_.OnStarted(started.server_monotonic_time_ns());
    writer_->SetPictureSize({started.visible_width_px(), started.visible_height_px()});
    lacks_cursor_ = started.cursor_path() == v1::CURSOR_PATH_SEPARATE;
  }

  void OnAccessUnit(Stream& /*stream*/, const v1::AccessUnit& unit) override {
    const std::lock_guard lock(mutex_);
    if (over_) return;
    const int64_t time_ns = timeline_.Place(unit, NowNs());
    if (limits_.length_ns && time_ns >= *limits_.length_ns) return End(absl::OkStatus());
    const absl::Status status = writer_->Write(unit, time_ns);
    if (!status.ok()) return End(status);
    ++frames_;
    TellOfCursor();
    if (limits_.frames && frames_ >= *limits_.frames) return End(absl::OkStatus());
    changed_.notify_all();
  }

  void OnState(const v1::DisplayStateChanged& state) override {
    const std::lock_guard lock(mutex_);
    state_ = state;
    if (state.state() == v1::Display::STATE_ACTIVE) return;
    err_ << "no picture: " << FormatWhy(state.state(), state.reason(), state.remedy()) << "\n";
  }

  void OnDisconnected(const absl::Status& status,
                      std::optional<std::chrono::milliseconds> retry_in) override {
    const std::lock_guard lock(mutex_);
    timeline_.OnDisconnected();
    if (!retry_in) return End(status);
    err_ << "planecast: " << status.message() << "; trying again\n";
  }

  // Waits until there is a picture; false if there is none by `deadline`, or no more.
  bool WaitForPicture(SteadyClock::time_point deadline) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline, [this] { return over_ || frames_ > 0; });
    return frames_ > 0;
  }

  // Waits for the end, at most for `duration`; true if it came.
  bool WaitForEnd(std::chrono::milliseconds duration) {
    std::unique_lock lock(mutex_);
    auto deadline = SteadyClock::now() + duration;
    const std::optional<SteadyClock::time_point> length_end = LengthEnd();
    if (length_end) deadline = std::min(deadline, *length_end);
    changed_.wait_until(lock, deadline, [this] { return over_; });
    // A screen that does not change sends nothing by which to see that the time is up.
    if (length_end && SteadyClock::now() >= *length_end) End(absl::OkStatus());
    return over_;
  }

  // Ends the recording from outside.
  void RequestEnd() {
    const std::lock_guard lock(mutex_);
    End(absl::OkStatus());
  }

  // Makes the files whole. The stream must have stopped.
  absl::Status Finish() {
    const std::lock_guard lock(mutex_);
    if (frames_ == 0) return absl::OkStatus();
    length_ns_ = timeline_.LengthAt(end_ns_);
    if (limits_.length_ns) length_ns_ = std::min(length_ns_, *limits_.length_ns);
    return writer_->Finish(length_ns_);
  }

  // Why it ended: OK if a limit or the user asked for it.
  absl::Status end_status() const {
    const std::lock_guard lock(mutex_);
    return end_status_;
  }

  std::string FormatProgress() const {
    const std::lock_guard lock(mutex_);
    const int64_t length_ns = over_ ? length_ns_ : timeline_.LengthAt(NowNs());
    return absl::StrFormat("%.1f s, %d pictures, %s", static_cast<double>(length_ns) / 1e9, frames_,
                           FormatBytes(writer_->size_bytes()));
  }

  // What the display is like, if that may be why there is no recording.
  std::string FormatState() const {
    const std::lock_guard lock(mutex_);
    if (refused_) return "";
    if (!state_) return "the server told no state";
    return FormatWhy(state_->state(), state_->reason(), state_->remedy());
  }

  // What was recorded, for a program.
  google::protobuf::Struct MakeReport() const {
    const std::lock_guard lock(mutex_);
    google::protobuf::Struct report;
    auto& fields = *report.mutable_fields();
    auto& files = *fields["files"].mutable_list_value();
    for (const std::string& file : writer_->files()) files.add_values()->set_string_value(file);
    fields["duration_s"].set_number_value(static_cast<double>(length_ns_) / 1e9);
    fields["pictures"].set_number_value(static_cast<double>(frames_));
    fields["bytes"].set_number_value(static_cast<double>(writer_->size_bytes()));
    return report;
  }

  std::vector<std::string> files() const {
    const std::lock_guard lock(mutex_);
    return writer_->files();
  }

 private:
  std::optional<SteadyClock::time_point> LengthEnd() const {
    if (!limits_.length_ns || !timeline_.began()) return std::nullopt;
    const int64_t left_ns = *limits_.length_ns - timeline_.LengthAt(NowNs());
    return SteadyClock::now() + std::chrono::nanoseconds(std::max<int64_t>(0, left_ns));
  }

  // Nobody but an honest client keeps this rule, so this one does.
  void Refuse() {
    refused_ = true;
    End(absl::PermissionDeniedError(
        "you may watch it, but not keep what you see: ask an operator for a ticket whose role has "
        "RECORD"));
  }

  // Once there is a recording for the cursor to be missing from.
  void TellOfCursor() {
    if (!lacks_cursor_ || std::exchange(told_cursor_, true)) return;
    err_ << "the guest's cursor is a plane of its own and is not in the recording; --cursor draws "
            "it there\n";
  }

  void End(const absl::Status& status) {
    if (std::exchange(over_, true)) return;
    end_status_ = status;
    end_ns_ = NowNs();
    changed_.notify_all();
  }

  std::ostream& err_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All below: guarded by mutex_.
  const std::unique_ptr<ClipWriter> writer_;
  const Limits limits_;
  Timeline timeline_;
  std::optional<v1::DisplayStateChanged> state_;
  int64_t frames_ = 0;
  int64_t end_ns_ = 0;
  int64_t length_ns_ = 0;
  bool refused_ = false;
  bool lacks_cursor_ = false;
  bool told_cursor_ = false;
  bool over_ = false;
  absl::Status end_status_;
};

absl::StatusOr<Limits> ReadLimits(const Args& args) {
  Limits limits;
  if (args.Has("seconds")) {
    const absl::StatusOr<int64_t> length_ms = ParseDurationMs(args.Get("seconds"));
    if (!length_ms.ok()) return length_ms.status();
    limits.length_ns = *length_ms * 1'000'000;
  }
  const auto frames = args.GetNumber("frames", 1, std::numeric_limits<int32_t>::max());
  if (!frames.ok()) return frames.status();
  limits.frames = *frames;
  return limits;
}

// Shows progress until the recording ends.
void ShowProgress(const Context& context, Recorder& recorder) {
  const bool in_terminal = context.environment.err_is_terminal;
  const auto interval = in_terminal ? kProgressInTerminal : kProgressElsewhere;
  while (!recorder.WaitForEnd(interval)) {
    if (in_terminal) context.err() << "\r\x1b[K";
    context.err() << "recording: " << recorder.FormatProgress() << (in_terminal ? "" : "\n")
                  << std::flush;
  }
  if (in_terminal) context.err() << "\r\x1b[K";
}

int ReportNothing(const Context& context, const Recorder& recorder) {
  absl::Status why = recorder.end_status();
  if (why.ok()) why = absl::DeadlineExceededError("there was no picture");
  Failed(context, absl::StrCat("record ", context.display()), why);
  const std::string state = recorder.FormatState();
  if (!state.empty()) context.err() << context.display() << " is " << state << "\n";
  return kFailed;
}

int Report(const Context& context, Recorder& recorder, const Limits& limits) {
  const absl::Status finished = recorder.Finish();
  if (!finished.ok()) return Failed(context, "finish the recording", finished);
  context.err() << "wrote " << absl::StrJoin(recorder.files(), ", ") << ": "
                << recorder.FormatProgress() << "\n";
  if (context.output == Output::kJson) context.out() << FormatJson(recorder.MakeReport());
  const absl::Status why = recorder.end_status();
  if (why.ok()) return kDone;
  const bool is_write_error = !absl::IsUnavailable(why) && !absl::IsNotFound(why);
  // A display that goes away is the natural end of a recording without limits.
  if (!is_write_error && !limits.length_ns && !limits.frames) {
    context.err() << "the stream ended: " << why.message() << "\n";
    return kDone;
  }
  return Failed(context, absl::StrCat("record ", context.display(), " to the end"), why);
}

int RunRecord(const Context& context) {
  const std::string path = context.args.Get("file");
  if (path.empty()) {
    return WrongUsage(
        context, absl::InvalidArgumentError("name the file to write with -f, e.g. -f out.mp4"));
  }
  absl::StatusOr<std::unique_ptr<ClipWriter>> writer = MakeClipWriter(path);
  if (!writer.ok()) return WrongUsage(context, writer.status());
  const absl::StatusOr<Limits> limits = ReadLimits(context.args);
  if (!limits.ok()) return WrongUsage(context, limits.status());
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  // Without a server or display there is nothing to wait for; later on a stream waits for both.
  const absl::StatusOr<v1::Display> display = client->GetDisplay(context.display());
  if (!display.ok()) {
    return CallFailed(context, absl::StrCat("record ", context.display()), display.status());
  }

  Recorder recorder(context.err(), *std::move(writer), *limits);
  const StreamOptions options{.cursor_in_picture = context.args.Has("cursor")};
  const absl::StatusOr<std::unique_ptr<Stream>> stream =
      client->StreamDisplay(context.display(), options, recorder);
  if (!stream.ok()) return WrongUsage(context, stream.status());
  const std::stop_callback stop(CatchInterrupt(context), [&recorder] { recorder.RequestEnd(); });
  const bool has_picture =
      recorder.WaitForPicture(SteadyClock::now() + context.client_options.deadline);
  if (has_picture) ShowProgress(context, recorder);
  (*stream)->Stop();
  return has_picture ? Report(context, recorder, *limits) : ReportNothing(context, recorder);
}

}  // namespace

const Verb& RecordVerb() {
  static const Verb verb = {
      .syntax =
          {.name = "record",
           .synopsis = "NAME -f out.mp4|out.h264 [--seconds S] [--frames N] [--cursor]",
           .summary = "Record a display, without coding anything anew, until Ctrl-C or a limit",
           .details =
               "Needs the right to record the display, not just to watch it. MP4 has the guest's "
               "own frame times. Where the size changes, out-2.mp4 is begun.\n"
               "A cursor that is a plane of its own is not in the recording without --cursor, "
               "which "
               "puts it into the picture\nof all who watch meanwhile. A file appears under its "
               "name when it is whole; Ctrl-C ends it properly. --timeout is the time to wait "
               "for the first picture.\nWith -o json prints {files, duration_s, pictures, bytes} "
               "at the end.",
           .operands_min = 1,
           .operands_max = 1,
           .takes_display = true,
           .flags = {{.name = "file",
                      .value = "FILE",
                      .help = "the file to write; .mp4, or .h264 for the bare stream",
                      .letter = 'f'},
                     {.name = "seconds", .value = "S", .help = "end after this time"},
                     {.name = "frames", .value = "N", .help = "end after this many pictures"},
                     {.name = "cursor",
                      .value = "",
                      .help = "draw the guest's cursor into the picture"}},
           .examples = {{"planecast record desk -f desk.mp4 --seconds 10", "ten seconds"},
                        {"planecast record desk -f desk.h264", "the bare stream, until Ctrl-C"}}},
      .run = RunRecord};
  return verb;
}

}  // namespace planecast::cli
