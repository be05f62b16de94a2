// `planecast stats`: numbers of a display's stream, live.
#include <algorithm>
#include <initializer_list>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

struct Stage {
  const char* name;
  const v1::StageLatency& (v1::StreamStats::*latency)() const;
};

constexpr Stage kStages[] = {
    {"flip to capture", &v1::StreamStats::flip_to_capture},
    {"capture to converted", &v1::StreamStats::capture_to_converted},
    {"converted to encoded", &v1::StreamStats::converted_to_encoded},
    {"capture to encoded", &v1::StreamStats::capture_to_encoded},
    {"encoded to sent", &v1::StreamStats::encoded_to_sent},
    {"sent to written", &v1::StreamStats::sent_to_written},
    {"encoded to written", &v1::StreamStats::encoded_to_written},
    {"encoded to acknowledged", &v1::StreamStats::encoded_to_acknowledged},
    {"network round trip", &v1::StreamStats::network_round_trip},
    {"received to decoded", &v1::StreamStats::received_to_decoded},
    {"received to presented", &v1::StreamStats::received_to_presented},
};

// `5 (3 queue full, 2 queue age)`; without the parts that are 0.
std::string FormatParts(uint64_t total,
                        std::initializer_list<std::pair<uint64_t, const char*>> parts) {
  std::string inner;
  for (const auto& [count, name] : parts) {
    if (count == 0) continue;
    absl::StrAppend(&inner, inner.empty() ? "" : ", ", count, " ", name);
  }
  return inner.empty() ? absl::StrCat(total) : absl::StrCat(total, " (", inner, ")");
}

std::string FormatDrops(const v1::StreamStats& stats) {
  const v1::DropCounts& drops = stats.dropped_by_reason();
  return FormatParts(stats.dropped(), {{drops.queue_full(), "queue full"},
                                       {drops.queue_age(), "queue too old"},
                                       {drops.awaiting_key_frame(), "awaiting a key frame"},
                                       {drops.superseded(), "superseded"}});
}

std::string FormatSkips(const v1::StreamStats& stats) {
  return FormatParts(stats.skipped_no_viewer_ready() + stats.skipped_frame_rate(),
                     {{stats.skipped_no_viewer_ready(), "no viewer ready"},
                      {stats.skipped_frame_rate(), "frame-rate cap"}});
}

// Viewers count for stats only if they stream, so this is a viewer that throws pictures away.
class StatsPrinter : public StreamHandler {
 public:
  StatsPrinter(const Context& context, int64_t count_max)
      : context_(context), count_max_(count_max) {}

  void OnStarted(Stream& stream, const v1::StreamStarted& started) override {
    stream_ = &stream;
    started_ = started;
  }

  void OnAccessUnit(Stream& /*stream*/, const v1::AccessUnit& unit) override {
    if (unit.key_frame() || unit.pixel_path() != pixel_path_) {
      pixel_path_reason_ = unit.pixel_path_reason();
    }
    pixel_path_ = unit.pixel_path();
  }

  void OnState(const v1::DisplayStateChanged& state) override {
    state_ = state;
    if (IsLive() || state.state() == v1::Display::STATE_ACTIVE) return;
    context_.err() << FormatWhy(state.state(), state.reason(), state.remedy()) << "\n";
  }

  void OnStats(const v1::StreamStats& stats) override {
    if (context_.output == Output::kJson) {
      context_.out() << FormatJson(stats, /*one_line=*/true) << std::flush;
    } else if (IsLive()) {
      Redraw(stats);
    } else {
      PrintLine(stats);
    }
    if (++count_ == count_max_ && stream_ != nullptr) stream_->RequestStop();
  }

  void OnDisconnected(const absl::Status& status,
                      std::optional<std::chrono::milliseconds> retry_in) override {
    if (!retry_in) return;
    context_.err() << "planecast: " << status.message() << "; trying again\n";
    lines_drawn_ = 0;
  }

 private:
  bool IsLive() const {
    return context_.environment.out_is_terminal && context_.output == Output::kTable;
  }

  static std::string EncoderOf(const v1::StreamStats& stats) {
    return stats.encoder().empty() ? "-" : stats.encoder();
  }

  void PrintLine(const v1::StreamStats& stats) const {
    std::ostream& out = context_.out();
    out << absl::StrFormat("%.1f fps  %s  q%d  viewers %d  encoder %s  flips: %s",
                           stats.frames_per_second(), FormatBitrate(stats.bitrate_bps()),
                           stats.quantizer(), stats.viewer_count(), EncoderOf(stats),
                           FormatFlipRegime(stats.flip_regime()))
        << "  skipped " << FormatSkips(stats) << "  dropped " << FormatDrops(stats);
    for (const Stage& stage : kStages) {
      const v1::StageLatency& latency = (stats.*stage.latency)();
      if (latency.samples() == 0) continue;
      out << "  " << stage.name << " " << FormatDurationNs(latency.p50_ns()) << " (p95 "
          << FormatDurationNs(latency.p95_ns()) << ")";
    }
    out << std::endl;
  }

  std::string FormatBlock(const v1::StreamStats& stats) const {
    std::string block =
        absl::StrFormat("%s  %dx%d %s\n%s\n\n", context_.display(), started_.visible_width_px(),
                        started_.visible_height_px(), started_.codec(),
                        FormatWhy(state_.state(), state_.reason(), state_.remedy()));
    absl::StrAppend(
        &block,
        FormatTable(
            {{"rate", absl::StrFormat("%.1f fps, %s, quantiser %d", stats.frames_per_second(),
                                      FormatBitrate(stats.bitrate_bps()), stats.quantizer())},
             {"frames", absl::StrCat(stats.encoded(), " encoded, ", stats.key_frames(),
                                     " of them key, ", stats.refinements(), " refinements, ",
                                     FormatBytes(stats.encoded_bytes()))},
             {"skipped", FormatSkips(stats)},
             {"encoder", absl::StrCat(EncoderOf(stats), ", ", stats.encode_errors(), " errors")},
             {"pixels", FormatPixelPath(pixel_path_, pixel_path_reason_)},
             {"looks", absl::StrCat(stats.looks(), ", ", stats.unchanged(), " found nothing new")},
             {"flips", FormatFlipRegime(stats.flip_regime())},
             {"viewers", absl::StrCat(stats.viewer_count())},
             {"dropped", FormatDrops(stats)},
             {"this viewer",
              absl::StrCat(stats.resyncs(), " resyncs, ", stats.unacknowledged(), " in flight")}}));
    std::vector<std::vector<std::string>> rows = {{"LATENCY", "MEDIAN", "95 %", "MAX", "SAMPLES"}};
    for (const Stage& stage : kStages) {
      const v1::StageLatency& latency = (stats.*stage.latency)();
      if (latency.samples() == 0) {
        rows.push_back({stage.name, "-", "-", "-", "0"});
        continue;
      }
      rows.push_back({stage.name, FormatDurationNs(latency.p50_ns()),
                      FormatDurationNs(latency.p95_ns()), FormatDurationNs(latency.max_ns()),
                      absl::StrCat(latency.samples())});
    }
    return absl::StrCat(block, "\n", FormatTable(rows), "\nCtrl-C ends\n");
  }

  // Draws over what was drawn before.
  void Redraw(const v1::StreamStats& stats) {
    const std::string block = FormatBlock(stats);
    if (lines_drawn_ > 0) context_.out() << "\x1b[" << lines_drawn_ << "A\x1b[J";
    context_.out() << block << std::flush;
    lines_drawn_ = std::count(block.begin(), block.end(), '\n');
  }

  const Context& context_;
  const int64_t count_max_;
  Stream* stream_ = nullptr;
  v1::PixelPath pixel_path_ = v1::PIXEL_PATH_UNSPECIFIED;
  std::string pixel_path_reason_;
  v1::StreamStarted started_;
  v1::DisplayStateChanged state_;
  int64_t count_ = 0;
  int64_t lines_drawn_ = 0;
};

int RunStats(const Context& context) {
  const auto count = context.args.GetNumber("count", 1, std::numeric_limits<int32_t>::max());
  if (!count.ok()) return WrongUsage(context, count.status());
  int exit_code = kDone;
  const std::unique_ptr<Client> client = Connect(context, exit_code);
  if (client == nullptr) return exit_code;
  StatsPrinter printer(context, count->value_or(0));
  const std::stop_token interrupt = CatchInterrupt(context);
  // Without a server there is nothing to wait for; a server that goes away comes back.
  const absl::StatusOr<v1::Display> display = client->GetDisplay(context.display());
  if (!display.ok()) {
    return CallFailed(context, absl::StrCat("get numbers of ", context.display()),
                      display.status());
  }
  const absl::StatusOr<std::unique_ptr<Stream>> stream =
      client->StreamDisplay(context.display(), {}, printer);
  if (!stream.ok()) return WrongUsage(context, stream.status());
  const std::stop_callback stop(interrupt, [&stream] { (*stream)->RequestStop(); });
  const absl::Status status = (*stream)->Wait();
  return status.ok() ? kDone
                     : CallFailed(context, absl::StrCat("go on with ", context.display()), status);
}

}  // namespace

const Verb& StatsVerb() {
  static const Verb verb = {
      .syntax = {.name = "stats",
                 .synopsis = "NAME",
                 .summary = "Show frame rate, bitrate, latency by stage and viewers, live",
                 .details = "Streams the display, so it counts as a viewer. In a terminal the "
                            "numbers are redrawn in place;\nelsewhere each second is a line, and "
                            "with -o json a StreamStats.",
                 .operands_min = 1,
                 .operands_max = 1,
                 .takes_display = true,
                 .flags = {{.name = "count", .value = "N", .help = "end after N reports"}},
                 .examples = {{"planecast stats desk", "how is it doing?"},
                              {"planecast stats desk -o json --count 10 | jq .frames_per_second",
                               "ten seconds of frame rates"}}},
      .run = RunStats};
  return verb;
}

}  // namespace planecast::cli
