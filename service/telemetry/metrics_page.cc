#include "service/telemetry/metrics_page.h"

#include <cstddef>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "service/core/display_metrics.h"
#include "service/core/display_state.h"

namespace planecast {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kNsPerSecond = 1e9;

/// A series of a counter. Those of one name stand together, differ by the label, and have the help
/// of the first.
struct CountSeries {
  Count count;
  const char* name;
  const char* help;
  const char* label = nullptr;
  const char* value = nullptr;
};

constexpr CountSeries kCountSeries[] = {
    {Count::kLooks, "planecast_looks_total", "Times that a display's planes were looked at."},
    {Count::kCaptured, "planecast_frames_captured_total", "Looks that gave a frame."},
    {Count::kUnchanged, "planecast_frames_unchanged_total",
     "Frames that did not differ from the one before, so that nothing was coded."},
    {Count::kSkippedNoViewerReady, "planecast_frames_skipped_total",
     "Frames that were not encoded, by reason.", "reason", "no_viewer_ready"},
    {Count::kSkippedFrameRate, "planecast_frames_skipped_total", "", "reason", "frame_rate"},
    {Count::kEncoded, "planecast_frames_encoded_total", "Access units encoded."},
    {Count::kKeyFrames, "planecast_key_frames_total", "Access units that are key frames."},
    {Count::kRefinements, "planecast_refinements_total",
     "Access units that showed the same pixels as before, sharper."},
    {Count::kEncodeErrors, "planecast_encode_errors_total", "Frames whose encoding failed."},
    {Count::kEncodedBytes, "planecast_encoded_bytes_total", "Bytes of access units encoded."},
    {Count::kSent, "planecast_units_sent_total",
     "Access units that a viewer's transport took, each viewer counted."},
    {Count::kSentBytes, "planecast_sent_bytes_total", "Bytes of access units sent."},
    {Count::kResyncs, "planecast_resyncs_total",
     "Times that a viewer had to wait for a key frame after a drop."},
    {Count::kViewersStalled, "planecast_viewers_stalled_total",
     "Viewers that were ended because they took or acknowledged nothing."},
    {Count::kMovesDown, "planecast_rendition_moves_total",
     "Times that a viewer came to a lesser encoding, or to a better one.", "direction", "down"},
    {Count::kMovesUp, "planecast_rendition_moves_total", "", "direction", "up"},
};

constexpr DisplayState kStates[] = {
    DisplayState::kAttaching,     DisplayState::kActive,       DisplayState::kWaitingForGuest,
    DisplayState::kBlanked,       DisplayState::kImportFailed, DisplayState::kUnsupportedFormat,
    DisplayState::kEncoderFailed, DisplayState::kDeviceError,  DisplayState::kDeviceGone,
    DisplayState::kDetaching,
};

using Readings = std::vector<DisplayReading>;

std::string_view RegimeName(const std::optional<FlipRegime>& regime) {
  if (!regime.has_value()) return "unknown";
  switch (*regime) {
    case FlipRegime::kPolling:
      return "polling";
    case FlipRegime::kIrq:
      return "irq";
    case FlipRegime::kEventfd:
      return "eventfd";
  }
  return "unknown";
}

MetricFamily Family(const char* name, const char* help, MetricType type) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

/// A new sample of the family with these labels.
ClientMetric& AddSample(MetricFamily& family,
                        std::initializer_list<std::pair<const char*, std::string_view>> labels) {
  ClientMetric& metric = family.metric.emplace_back();
  for (const auto& [name, value] : labels) metric.label.push_back({name, std::string(value)});
  return metric;
}

MetricFamily DaemonInfo() {
  MetricFamily family =
      Family("planecast_build_info", "The daemon's version. Always 1.", MetricType::Gauge);
  AddSample(family, {{"version", PLANECAST_VERSION}}).gauge.value = 1;
  return family;
}

MetricFamily Gauge(const char* name, const char* help, double value) {
  MetricFamily family = Family(name, help, MetricType::Gauge);
  AddSample(family, {}).gauge.value = value;
  return family;
}

MetricFamily Total(const char* name, const char* help, uint64_t value) {
  MetricFamily family = Family(name, help, MetricType::Counter);
  AddSample(family, {}).counter.value = static_cast<double>(value);
  return family;
}

void AddFds(const FdReading& fds, std::vector<MetricFamily>& families) {
  const auto add = [&families](const char* name, const char* help, size_t value) {
    families.push_back(Gauge(name, help, static_cast<double>(value)));
  };
  add("planecast_open_fds", "File descriptors that are open.", fds.open);
  add("planecast_open_fds_max", "File descriptors that may be open.", fds.limit);
  add("planecast_display_fds_claimed",
      "File descriptors that attached displays have claimed, open or not.", fds.claimed);
  add("planecast_display_fds_max", "File descriptors that displays may claim.", fds.claimed_max);
}

MetricFamily States(const Readings& readings) {
  MetricFamily family =
      Family("planecast_display_state", "1 for the state that a display is in, 0 for all others.",
             MetricType::Gauge);
  for (const DisplayReading& reading : readings) {
    for (const DisplayState state : kStates) {
      AddSample(family, {{"display", reading.snapshot.id}, {"state", DisplayStateName(state)}})
          .gauge.value = reading.snapshot.state.state == state ? 1 : 0;
    }
  }
  return family;
}

MetricFamily Infos(const Readings& readings) {
  MetricFamily family = Family("planecast_display_info",
                               "The encoder that a display used last, empty before its first "
                               "picture, and how the daemon learns of flips. Always 1.",
                               MetricType::Gauge);
  for (const DisplayReading& reading : readings) {
    const DisplaySnapshot& snapshot = reading.snapshot;
    AddSample(family, {{"display", snapshot.id},
                       {"encoder", snapshot.encoder},
                       {"hardware", snapshot.encoder_hardware ? "true" : "false"},
                       {"regime", RegimeName(snapshot.flip_regime)}})
        .gauge.value = 1;
  }
  return family;
}

MetricFamily Viewers(const Readings& readings) {
  MetricFamily family = Family("planecast_viewers", "Viewers of a display now.", MetricType::Gauge);
  for (const DisplayReading& reading : readings) {
    AddSample(family, {{"display", reading.snapshot.id}}).gauge.value =
        reading.snapshot.viewer_count;
  }
  return family;
}

void AddCounts(const CountSeries& series, const Readings& readings, MetricFamily& family) {
  for (const DisplayReading& reading : readings) {
    if (reading.metrics == nullptr) continue;
    ClientMetric& metric = AddSample(family, {{"display", reading.snapshot.id}});
    if (series.label != nullptr) metric.label.push_back({series.label, series.value});
    metric.counter.value = static_cast<double>(reading.metrics->Value(series.count));
  }
}

void AddCounters(const Readings& readings, std::vector<MetricFamily>& families) {
  for (const CountSeries& series : kCountSeries) {
    if (families.back().name != series.name) {
      families.push_back(Family(series.name, series.help, MetricType::Counter));
    }
    AddCounts(series, readings, families.back());
  }
}

MetricFamily Drops(const Readings& readings) {
  MetricFamily family = Family("planecast_units_dropped_total",
                               "Access units dropped for viewers, by reason.", MetricType::Counter);
  for (const DisplayReading& reading : readings) {
    if (reading.metrics == nullptr) continue;
    const DropCounts drops = reading.metrics->Drops();
    for (size_t i = 0; i < kDropReasonsSize; ++i) {
      const auto reason = static_cast<DropReason>(i);
      AddSample(family, {{"display", reading.snapshot.id}, {"reason", DropReasonName(reason)}})
          .counter.value = static_cast<double>(drops[reason]);
    }
  }
  return family;
}

ClientMetric::Histogram ToHistogram(const StageHistogram::Reading& reading) {
  ClientMetric::Histogram histogram;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < reading.buckets.size(); ++i) {
    cumulative += reading.buckets[i];
    const double bound = i < kStageBucketBoundsNs.size()
                             ? static_cast<double>(kStageBucketBoundsNs[i]) / kNsPerSecond
                             : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({cumulative, bound});
  }
  histogram.sample_count = cumulative;
  histogram.sample_sum = static_cast<double>(reading.sum_ns) / kNsPerSecond;
  return histogram;
}

MetricFamily Stages(const Readings& readings) {
  MetricFamily family = Family("planecast_stage_seconds",
                               "What each step takes of a frame's way from the guest's flip to a "
                               "viewer's screen.",
                               MetricType::Histogram);
  for (const DisplayReading& reading : readings) {
    if (reading.metrics == nullptr) continue;
    for (size_t i = 0; i < kStagesSize; ++i) {
      const auto stage = static_cast<Stage>(i);
      AddSample(family, {{"display", reading.snapshot.id}, {"stage", StageName(stage)}}).histogram =
          ToHistogram(reading.metrics->Times(stage));
    }
  }
  return family;
}

MetricFamily Connections(const ConnectionReading& reading) {
  MetricFamily family = Family("planecast_connections", "Connections now.", MetricType::Gauge);
  AddSample(family, {{"kind", "tcp"}}).gauge.value = static_cast<double>(reading.tcp_open);
  AddSample(family, {{"kind", "unix"}}).gauge.value = static_cast<double>(reading.unix_open);
  return family;
}

MetricFamily ConnectionRefusals(const ConnectionReading& reading) {
  MetricFamily family =
      Family("planecast_connections_refused_total",
             "Connections that were not taken or were cut off, by reason.", MetricType::Counter);
  for (size_t i = 0; i < kConnectionRefusalsSize; ++i) {
    const auto reason = ConnectionRefusalName(static_cast<ConnectionRefusal>(i));
    AddSample(family, {{"reason", reason}}).counter.value = static_cast<double>(reading.refused[i]);
  }
  return family;
}

}  // namespace

std::vector<MetricFamily> CollectMetrics(const Registry& registry, const DaemonReading& daemon) {
  const Readings readings = registry.ReadDisplays();
  std::vector<MetricFamily> families;
  families.push_back(DaemonInfo());
  families.push_back(Gauge("planecast_displays", "Displays that are attached.",
                           static_cast<double>(readings.size())));
  families.push_back(
      Gauge("planecast_displays_max", "Displays that may be attached.", registry.displays_max()));
  AddFds(daemon.fds, families);
  families.push_back(States(readings));
  families.push_back(Infos(readings));
  families.push_back(Viewers(readings));
  AddCounters(readings, families);
  families.push_back(Total("planecast_audit_lost_total",
                           "Entries that could not be written to the audit file.",
                           daemon.audit.lost));
  families.push_back(Total("planecast_audit_suppressed_total",
                           "Entries without an audit line of their own, as there were too many.",
                           daemon.audit.suppressed));
  families.push_back(Connections(daemon.connections));
  families.push_back(ConnectionRefusals(daemon.connections));
  families.push_back(Drops(readings));
  families.push_back(Stages(readings));
  return families;
}

}  // namespace planecast
