// What a display is made of and allowed to do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "encoder/encoder.h"
#include "encoder/pixels/pixels.h"
#include "service/core/display_state.h"
#include "service/core/stream_event.h"
#include "vfio/clock.h"

namespace planecast {

/// Makes an encoder; called by the display's thread.
using EncoderFactory = std::function<absl::StatusOr<std::unique_ptr<Encoder>>(const EncoderParams&,
                                                                              const RateParams&)>;

/// The same for all displays of a daemon.
struct DisplayOptions {
  /// Required. Must outlive the display.
  Clock* clock = nullptr;
  /// Required.
  EncoderFactory make_encoder;
  /// May be null. Must outlive the display and its events.
  EventCodec* codec = nullptr;
  /// The encoder reads by CPU: a plane without CPU path is then IMPORT_FAILED even before anybody
  /// watches.
  bool encoder_reads_by_cpu = true;
  /// Software may take over from a GPU that fails.
  bool software_fallback = true;
  /// The render node for a display's encoders, or empty for any; null means any. Asked by the
  /// display's thread each time that it makes an encoder.
  std::function<std::string(const DisplaySpec&)> render_node_of;
  int encoder_threads = 1;
  H264Profile profile = H264Profile::kConstrainedBaseline;
  /// The bitrate is the cap; viewers may lower it.
  RateParams rate;
  /// Frames per second at most, 1 to 240; viewers may lower it.
  int frame_rate_max_hz = 60;
  int viewers_max = 256;
};

/// The pixels of a plane at one moment.
struct Picture {
  RgbImage image;
  /// Monotonic clock.
  int64_t capture_time_ns = 0;
  bool cursor_drawn = false;
  /// Its place among the pictures that a display hands out at once; given back when the picture and
  /// its copies are destroyed. May outlive the display.
  std::shared_ptr<const void> slot;
};

}  // namespace planecast
