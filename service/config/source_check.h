// Validation of what says where a display's pixels come from: shared by the config and
// AttachDisplay.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "planecast/v1/display.pb.h"

namespace planecast {

/// Limits of a fake device, as the proto documents them.
inline constexpr int kFakeSizeMinPx = 64;
inline constexpr int kFakeFrameRateMaxHz = 240;

/// Longest device name or path in a source, in bytes.
inline constexpr size_t kSourceTextMaxBytes = 255;

/// INVALID_ARGUMENT unless `id` is 1 to 63 lower-case letters, digits and '-'.
absl::Status CheckDisplayId(std::string_view id);

/// INVALID_ARGUMENT, naming the field, unless exactly one device is set and each of its fields is
/// in its documented range. Does not look at the host.
absl::Status CheckDisplaySource(const v1::DisplaySource& source);

}  // namespace planecast
