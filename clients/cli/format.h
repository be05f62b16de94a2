// How messages look to a person and to a program.
#pragma once

#include <google/protobuf/map.h>
#include <google/protobuf/message.h>
#include <google/protobuf/repeated_field.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/string_view.h"
#include "planecast/v1/display.pb.h"

namespace planecast::cli {

/// absl::string_view is a type of its own in Debian's abseil.
inline absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

/// Rows with their columns aligned, two spaces apart, without trailing spaces.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

/// The message as JSON with the proto's field names, fields of value zero included: on several
/// lines, or on one for streams of messages. Ends with a newline.
std::string FormatJson(const google::protobuf::Message& message, bool one_line = false);

/// `ACTIVE` for STATE_ACTIVE; the number for a state that is newer than this program.
std::string FormatState(v1::Display::State state);

/// `fake ideal:desktop`, `vfio-group 12 DEVICE`, ... as `attach` would want it, in brief.
std::string FormatSource(const v1::DisplaySource& source);

/// `LIST,WATCH`, or `-` for none.
std::string FormatPermissions(const google::protobuf::RepeatedField<int>& permissions);

/// `a=1,b=2` in the order of keys, or `-` for none.
std::string FormatLabels(const google::protobuf::Map<std::string, std::string>& labels);

/// `60 s`, `5 min`, `12 h`, `30 days`.
std::string FormatSpan(int64_t seconds);

/// `1920x1080`, or `-` without a plane.
std::string FormatSize(const v1::Display& display);

/// `ZERO_COPY: reason`, as much of it as there is, or `-`.
std::string FormatPixelPath(v1::PixelPath path, const std::string& reason);

/// `polled`, `flip interrupt`, ..., or `-`.
std::string FormatFlipRegime(v1::FlipRegime regime);

/// `4.2 ms`, `830 us`.
std::string FormatDurationNs(int64_t duration_ns);

/// `950 kbit/s`, `12.3 Mbit/s`.
std::string FormatBitrate(int64_t bitrate_bps);

/// `812 B`, `1.4 MB`.
std::string FormatBytes(uint64_t bytes);

/// `2026-01-31T12:00:00Z`, or `-` where unset.
std::string FormatTime(bool is_set, const google::protobuf::Timestamp& time);

/// `STATE: reason. remedy`, as much of it as there is.
std::string FormatWhy(v1::Display::State state, std::string_view reason, std::string_view remedy);

}  // namespace planecast::cli
