// Displays on paper.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

std::string FormatCursorPath(v1::CursorPath path) {
  switch (path) {
    case v1::CURSOR_PATH_SEPARATE:
      return "a plane of its own, sent as events";
    case v1::CURSOR_PATH_IN_PICTURE:
      return "in the picture, if the guest draws one";
    default:
      return "-";
  }
}

std::string FormatPlane(const v1::Display& display) {
  if (!display.has_primary_plane()) return "-";
  const v1::Plane& plane = display.primary_plane();
  std::string text = absl::StrCat(FormatSize(display), " ", plane.fourcc(), ", stride ",
                                  plane.stride_bytes(), " bytes");
  if (plane.modifier() != 0) absl::StrAppendFormat(&text, ", modifier %#x", plane.modifier());
  if (plane.kind() == v1::PLANE_KIND_DMABUF) text += ", dma-buf";
  if (plane.kind() == v1::PLANE_KIND_REGION) text += ", region";
  return text;
}

}  // namespace

void PrintDisplays(const Context& context, const std::vector<v1::Display>& displays) {
  if (context.output == Output::kNames) {
    for (const v1::Display& display : displays) context.out() << DisplayId(display.name()) << "\n";
    return;
  }
  if (context.output == Output::kJson) {
    v1::ListDisplaysResponse list;
    for (const v1::Display& display : displays) *list.add_displays() = display;
    context.out() << FormatJson(list);
    return;
  }
  if (displays.empty()) {
    context.err() << "no displays; 'planecast attach --help' shows how to attach one\n";
    return;
  }
  const bool wide = context.output == Output::kWide;
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "SIZE", "VIEWERS", "SOURCE"}};
  for (const v1::Display& display : displays) {
    rows.push_back({std::string(DisplayId(display.name())), FormatState(display.state()),
                    FormatSize(display), absl::StrCat(display.viewer_count()),
                    FormatSource(display.source())});
  }
  // What can be long comes last.
  if (wide) rows[0].emplace_back("LABELS");
  rows[0].emplace_back("WHY");
  for (size_t i = 0; i < displays.size(); ++i) {
    const v1::Display& display = displays[i];
    if (wide) rows[i + 1].push_back(FormatLabels(display.labels()));
    rows[i + 1].push_back(display.state() == v1::Display::STATE_ACTIVE ? display.degraded_reason()
                                                                       : display.state_reason());
  }
  context.out() << FormatTable(rows);
}

void PrintDisplay(const Context& context, const v1::Display& display) {
  if (context.output == Output::kJson) {
    context.out() << FormatJson(display);
    return;
  }
  std::vector<std::vector<std::string>> rows = {
      {"name", std::string(DisplayId(display.name()))},
      {"state",
       absl::StrCat(FormatState(display.state()), " since ",
                    FormatTime(display.has_state_start_time(), display.state_start_time()))}};
  const auto add_if = [&rows](const char* label, const std::string& text) {
    if (!text.empty()) rows.push_back({label, text});
  };
  add_if("why", display.state_reason());
  add_if("remedy", display.state_remedy());
  add_if("degraded", display.degraded_reason());
  rows.push_back({"source", FormatSource(display.source())});
  add_if("device", display.device_description());
  rows.push_back({"plane", FormatPlane(display)});
  rows.push_back({"cursor", FormatCursorPath(display.cursor_path())});
  rows.push_back({"flips", FormatFlipRegime(display.flip_regime())});
  rows.push_back({"encoder", display.encoder().empty() ? "-" : display.encoder()});
  if (display.encoder_detail() != display.encoder()) add_if("", display.encoder_detail());
  if (display.pixel_path() != v1::PIXEL_PATH_UNSPECIFIED) {
    rows.push_back({"pixels", FormatPixelPath(display.pixel_path(), display.pixel_path_reason())});
  }
  if (!display.labels().empty()) rows.push_back({"labels", FormatLabels(display.labels())});
  rows.push_back({"viewers", absl::StrCat(display.viewer_count())});
  rows.push_back({"mode", display.mode_settable() ? "can be set with 'planecast mode'" : "fixed"});
  rows.push_back(
      {"attached", absl::StrCat(FormatTime(display.has_attach_time(), display.attach_time()),
                                display.configured() ? ", by the server's config" : "")});
  context.out() << FormatTable(rows);
}

}  // namespace planecast::cli
