#include "clients/cli/format.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "planecast/v1/access.pb.h"

namespace planecast::cli {
namespace {

constexpr std::string_view kStatePrefix = "STATE_";

// Sentences of the server may or may not end in a full stop.
std::string_view WithoutStop(std::string_view sentence) {
  if (sentence.ends_with('.')) sentence.remove_suffix(1);
  return sentence;
}

}  // namespace

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    if (row.size() > widths.size()) widths.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string table;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      line += row[i];
      line.append(widths[i] - row[i].size(), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + "\n";
  }
  return table;
}

std::string FormatJson(const google::protobuf::Message& message, bool one_line) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  options.add_whitespace = !one_line;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  // Only an invalid Timestamp of the server's can make this fail.
  if (!status.ok()) json = absl::StrCat("{\"error\":\"", status.ToString(), "\"}");
  if (!json.ends_with('\n')) json += '\n';
  return json;
}

std::string FormatState(v1::Display::State state) {
  std::string name = v1::Display::State_Name(state);
  if (name.empty()) return absl::StrCat("STATE ", static_cast<int>(state));
  if (name.starts_with(kStatePrefix)) name.erase(0, kStatePrefix.size());
  return name;
}

std::string FormatSource(const v1::DisplaySource& source) {
  switch (source.device_case()) {
    case v1::DisplaySource::kFake:
      return absl::StrCat("fake ", source.fake().profile(),
                          source.fake().scene().empty() ? "" : ":", source.fake().scene());
    case v1::DisplaySource::kVfioGroup:
      return absl::StrCat("vfio-group ", source.vfio_group().group(), " ",
                          source.vfio_group().device());
    case v1::DisplaySource::kVfioCdev:
      return absl::StrCat("cdev ", source.vfio_cdev().path());
    case v1::DisplaySource::kVmm:
      return absl::StrCat("vmm-pid ", source.vmm().pid(), source.vmm().device().empty() ? "" : " ",
                          source.vmm().device());
    case v1::DisplaySource::kHandedOver:
      return "hand-over";
    case v1::DisplaySource::DEVICE_NOT_SET:
      return "-";
  }
  return "-";
}

std::string FormatPermissions(const google::protobuf::RepeatedField<int>& permissions) {
  constexpr std::string_view kPrefix = "PERMISSION_";
  std::string text;
  for (const int permission : permissions) {
    std::string name = v1::Permission_Name(static_cast<v1::Permission>(permission));
    if (name.empty()) name = absl::StrCat(permission);
    if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
    absl::StrAppend(&text, text.empty() ? "" : ",", name);
  }
  return text.empty() ? "-" : text;
}

std::string FormatLabels(const google::protobuf::Map<std::string, std::string>& labels) {
  std::string text;
  for (const auto& [key, value] :
       std::map<std::string, std::string>(labels.begin(), labels.end())) {
    absl::StrAppend(&text, text.empty() ? "" : ",", key, "=", value);
  }
  return text.empty() ? "-" : text;
}

std::string FormatSpan(int64_t seconds) {
  constexpr int64_t kDay = 24 * 3600;
  if (seconds > kDay && seconds % kDay == 0) return absl::StrCat(seconds / kDay, " days");
  if (seconds >= 3600 && seconds % 3600 == 0) return absl::StrCat(seconds / 3600, " h");
  if (seconds > 60 && seconds % 60 == 0) return absl::StrCat(seconds / 60, " min");
  return absl::StrCat(seconds, " s");
}

std::string FormatSize(const v1::Display& display) {
  if (!display.has_primary_plane()) return "-";
  return absl::StrCat(display.primary_plane().width_px(), "x", display.primary_plane().height_px());
}

std::string FormatPixelPath(v1::PixelPath path, const std::string& reason) {
  constexpr std::string_view kPrefix = "PIXEL_PATH_";
  if (path == v1::PIXEL_PATH_UNSPECIFIED) return "-";
  std::string name = v1::PixelPath_Name(path);
  if (name.empty()) name = absl::StrCat(static_cast<int>(path));
  if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
  return reason.empty() ? name : absl::StrCat(name, ": ", reason);
}

std::string FormatFlipRegime(v1::FlipRegime regime) {
  switch (regime) {
    case v1::FLIP_REGIME_POLLING:
      return "polled";
    case v1::FLIP_REGIME_IRQ:
      return "flip interrupt";
    case v1::FLIP_REGIME_EVENTFD:
      return "flip eventfd (draft)";
    default:
      return "-";
  }
}

std::string FormatDurationNs(int64_t duration_ns) {
  if (duration_ns < 1'000'000) return absl::StrFormat("%.0f us", duration_ns / 1e3);
  if (duration_ns < 1'000'000'000) return absl::StrFormat("%.1f ms", duration_ns / 1e6);
  return absl::StrFormat("%.2f s", duration_ns / 1e9);
}

std::string FormatBitrate(int64_t bitrate_bps) {
  if (bitrate_bps < 1'000'000) return absl::StrFormat("%.0f kbit/s", bitrate_bps / 1e3);
  return absl::StrFormat("%.1f Mbit/s", bitrate_bps / 1e6);
}

std::string FormatBytes(uint64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (bytes < 1000) return absl::StrCat(bytes, " B");
  if (bytes < 1'000'000) return absl::StrFormat("%.1f kB", number / 1e3);
  if (bytes < 1'000'000'000) return absl::StrFormat("%.1f MB", number / 1e6);
  return absl::StrFormat("%.2f GB", number / 1e9);
}

std::string FormatTime(bool is_set, const google::protobuf::Timestamp& time) {
  if (!is_set) return "-";
  google::protobuf::Timestamp seconds;
  seconds.set_seconds(time.seconds());
  return google::protobuf::util::TimeUtil::ToString(seconds);
}

std::string FormatWhy(v1::Display::State state, std::string_view reason, std::string_view remedy) {
  std::string why = FormatState(state);
  if (!reason.empty()) absl::StrAppend(&why, ": ", View(WithoutStop(reason)));
  if (!remedy.empty()) absl::StrAppend(&why, ". ", View(WithoutStop(remedy)));
  return why;
}

}  // namespace planecast::cli
