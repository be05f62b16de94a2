// What a viewer is told: plain structs that mirror the StreamEvent message.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "encoder/access_unit.h"
#include "encoder/encoder.h"
#include "service/core/display_state.h"
#include "vfio/frame.h"

namespace planecast {

/// A stream, or a new size or way of the cursor on the same stream, begins. The adapter adds what
/// differs by viewer or by moment: viewer_id, server_time, server_monotonic_time_ns.
struct StreamStarted {
  std::string display_id;
  /// Absent until there is a picture.
  std::optional<StreamDescription> description;
  CursorPath cursor_path = CursorPath::kUnknown;
  std::optional<FlipRegime> flip_regime;
  /// Empty until there is a picture.
  std::string encoder;
};

/// One coded picture.
struct UnitEvent {
  /// Counts up by one per unit of the display, from 1.
  uint64_t sequence = 0;
  std::shared_ptr<const AccessUnit> unit;
};

/// The cursor has a new image. Never null.
struct CursorShape {
  std::shared_ptr<const CursorImage> image;
  /// Names the image within the display; 0: it has no name.
  uint32_t id = 0;
  /// The same as a PNG file, for those who read it; null: as it is.
  std::shared_ptr<const std::vector<uint8_t>> png = nullptr;
};

/// The cursor has a new position, or was shown or hidden.
struct CursorMoved {
  int32_t x_px = 0;
  int32_t y_px = 0;
  bool visible = false;
  /// Another image, that the viewer has; 0: it stays.
  uint32_t shape_id = 0;
};

/// The display's state changed.
struct StateChanged {
  StateReport report;
};

/// One stage's latency over a window.
struct StageLatency {
  int64_t samples = 0;
  int64_t p50_ns = 0;
  int64_t p95_ns = 0;
  int64_t max_ns = 0;
};

/// Why units are dropped for a viewer. DropCounts of the proto says more.
enum class DropReason { kQueueFull, kQueueAge, kAwaitingKeyFrame, kSuperseded };
inline constexpr size_t kDropReasonsSize = static_cast<size_t>(DropReason::kSuperseded) + 1;

/// Units dropped, by reason.
class DropCounts {
 public:
  uint64_t operator[](DropReason reason) const { return counts_[static_cast<size_t>(reason)]; }
  uint64_t& operator[](DropReason reason) { return counts_[static_cast<size_t>(reason)]; }
  uint64_t Sum() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}); }

 private:
  std::array<uint64_t, kDropReasonsSize> counts_ = {};
};

/// Numbers of the stream, for one viewer. Counts are since the viewer joined, also of what the
/// display does for all.
struct StreamStats {
  int viewer_count = 0;
  uint64_t looks = 0;
  uint64_t unchanged = 0;
  uint64_t encoded = 0;
  uint64_t key_frames = 0;
  uint64_t encoded_bytes = 0;
  /// By their sum, what `dropped` of the proto says.
  DropCounts dropped;
  uint64_t resyncs = 0;
  uint64_t skipped_no_viewer_ready = 0;
  uint64_t skipped_frame_rate = 0;
  uint64_t refinements = 0;
  uint64_t encode_errors = 0;
  double frames_per_second = 0;
  int64_t bitrate_bps = 0;
  StageLatency flip_to_capture;
  StageLatency capture_to_encoded;
  StageLatency capture_to_converted;
  StageLatency converted_to_encoded;
  StageLatency encoded_to_written;
  StageLatency encoded_to_sent;
  StageLatency sent_to_written;
  StageLatency encoded_to_acknowledged;
  StageLatency network_round_trip;
  StageLatency received_to_decoded;
  StageLatency received_to_presented;
  int unacknowledged = 0;
  int quantizer = 0;
  /// Empty until there is a picture.
  std::string encoder;
  std::optional<FlipRegime> flip_regime;
};

/// The stream ends; no event follows.
struct Goodbye {
  enum class Reason {
    kDraining,
    kDetached,
    kStalled,
    kDisplayFailed,
    kResumed,
    kEvicted,
    kRevoked,
  };
  Reason reason = Reason::kDetached;
  /// One sentence for a person.
  std::string message;
  /// -1 means don't.
  int32_t retry_after_ms = -1;
};

struct StreamEvent;

/// Turns an event into the transport's form, once for all viewers. Implemented by the adapter.
///
/// Thread-safe; called by the displays' threads without locks held, so it must not block.
class EventCodec {
 public:
  virtual ~EventCodec() = default;
  /// What StreamEvent::encoded holds from now on; opaque to the core, null if there is nothing to
  /// share.
  virtual std::shared_ptr<const void> Encode(const StreamEvent& event) = 0;
};

/// One event. Immutable once made by MakeEvent, shared by all viewers.
struct StreamEvent {
  std::variant<StreamStarted, UnitEvent, CursorShape, CursorMoved, StateChanged, StreamStats,
               Goodbye>
      body;
  /// The codec's form of the event. Always null for StreamStarted and StreamStats, which differ by
  /// viewer: the adapter serialises those itself.
  std::shared_ptr<const void> encoded;
};

using StreamEventPtr = std::shared_ptr<const StreamEvent>;

/// Makes an event; `codec` may be null.
StreamEventPtr MakeEvent(decltype(StreamEvent::body) body, EventCodec* codec);

}  // namespace planecast
