// Requests to a display that wait for its steps.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/core/display_options.h"

namespace planecast {

/// A picture that somebody waits for.
struct PictureRequest {
  bool exclude_cursor = false;
  int64_t deadline_ns = 0;
  std::function<void(absl::StatusOr<Picture>)> done;
};

/// A mode that somebody asked for.
struct ModeRequest {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  std::function<void(absl::Status)> done;
};

}  // namespace planecast
