// What a display counts.
#pragma once

#include <cstdint>

namespace planecast {

/// Everything a display counts, of all its renditions, since it was attached.
struct DisplayCounters {
  uint64_t looks = 0;
  /// Encodes whose frame did not differ.
  uint64_t unchanged = 0;
  uint64_t encoded = 0;
  uint64_t key_frames = 0;
  uint64_t encoded_bytes = 0;
  /// Times that a frame was not encoded because no viewer could take it.
  uint64_t skipped_no_viewer_ready = 0;
  /// ... because of the frame-rate cap.
  uint64_t skipped_frame_rate = 0;
  /// Units that showed the same pixels as before, sharper. Part of `encoded`.
  uint64_t refinements = 0;
  uint64_t encode_errors = 0;
  uint64_t viewers_stalled = 0;
  /// Times that a viewer came to a lesser rendition, and to a better one.
  uint64_t moves_down = 0;
  uint64_t moves_up = 0;
};

}  // namespace planecast
