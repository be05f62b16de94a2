// A display's stream at a client: what comes in, what can be asked for, and when to try again.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "planecast/v1/viewer_service.pb.h"

namespace planecast {

class Stream;

/// When an access unit is acknowledged. An acknowledgement means *presented*: the server keeps only
/// what the link brings in its round trip, and little more, in flight to a viewer that
/// acknowledges, and fits the bitrate to the link, so the picture stays current on any network.
enum class AcknowledgeMode {
  /// When OnAccessUnit returns: for handlers that present, or are done with a unit, right there.
  kOnReturn,
  /// When the application calls Stream::Acknowledge: for handlers that pass units on to a decoder.
  /// A handler that never calls it gets a few units and then nothing.
  kExplicit,
  /// Never. The server then guards this viewer by its transport alone, which reacts late.
  kNever,
};

/// How to stream.
struct StreamOptions {
  /// Bits per second, 0 for no limit. The server shares encodings among viewers of like limits.
  int64_t bitrate_max_bps = 0;
  /// Frames per second, 0 for no limit, at most 240.
  int frame_rate_max_hz = 0;
  /// The cursor in the picture even where it is a plane of its own: for recordings, and handlers
  /// that can't draw. All viewers of the display get it there then, and its moves cost video.
  bool cursor_in_picture = false;
  AcknowledgeMode acknowledge = AcknowledgeMode::kOnReturn;
  /// Tries again when the connection breaks, as the same viewer and with a growing wait; a
  /// Goodbye's own wait is honoured. What trying again can't mend (no such display, no permission)
  /// ends the stream all the same.
  bool reconnect = true;
  /// The first wait before another try.
  std::chrono::milliseconds backoff_min{200};
  /// The longest wait before another try.
  std::chrono::milliseconds backoff_max{5000};
};

/// What an application does with a stream's events.
///
/// All methods are called on the stream's own thread, one at a time, in the order of the stream
/// contract (see viewer_service.proto). They may call any method of Stream but Wait, and should not
/// block for longer than a picture takes: no event is read meanwhile. Messages are borrowed for the
/// duration of the call.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;

  /// A stream begins: at first, after each reconnect, and with each new size of the picture. A
  /// decoder can be set up from it.
  virtual void OnStarted(Stream& stream, const v1::StreamStarted& started);
  /// One coded picture. The first of a connection and the first after a gap is a key frame: units
  /// that can't be decoded are dropped, and a key frame is asked for, before they get here.
  virtual void OnAccessUnit(Stream& stream, const v1::AccessUnit& unit) = 0;
  /// The cursor has a new image, or one that it had before: always whole, in `argb`.
  virtual void OnCursorShape(const v1::CursorShape& shape);
  /// The cursor has a new position or was shown or hidden.
  virtual void OnCursorMoved(const v1::CursorMoved& moved);
  /// The display's state changed: tells a person why there is no picture.
  virtual void OnState(const v1::DisplayStateChanged& state);
  /// Numbers of the stream, about once a second.
  virtual void OnStats(const v1::StreamStats& stats);
  /// The server ends the stream and says why. OnDisconnected follows.
  virtual void OnGoodbye(const v1::Goodbye& goodbye);
  /// The stream is not connected. `retry_in` is the wait before the next try; without it the stream
  /// has ended for good with `status`. Not called for an end that RequestStop or Stop asked for.
  virtual void OnDisconnected(const absl::Status& status,
                              std::optional<std::chrono::milliseconds> retry_in);
};

/// A display's stream. Made by Client::StreamDisplay; destroying it stops it.
///
/// Thread-safe. No method but Stop and Wait blocks: requests are sent by a thread of the stream's
/// own, and requests that wait for a slow network are merged.
class Stream {
 public:
  virtual ~Stream() = default;

  /// Acknowledges all units up to `sequence` as presented or skipped. The durations from a unit's
  /// arrival to its decoded picture, and to its presentation, feed the server's statistics; zero
  /// means unknown. Ignored for sequences that this connection has not delivered.
  virtual void Acknowledge(uint64_t sequence, std::chrono::nanoseconds decode_duration,
                           std::chrono::nanoseconds present_duration) = 0;

  /// Asks for a key frame, for instance because the decoder lost its state.
  virtual void RequestKeyFrame() = 0;

  /// Changes the limits, for this connection and those to come. Units as in StreamOptions.
  virtual void SetLimits(int64_t bitrate_max_bps, int frame_rate_max_hz) = 0;

  /// Makes the stream end soon; returns at once.
  virtual void RequestStop() = 0;

  /// Ends the stream and waits until the handler will not be called again. Called by the handler
  /// itself it is RequestStop.
  virtual void Stop() = 0;

  /// Waits for the end and says why it came: OK after a stop, else the last connection's status.
  virtual absl::Status Wait() = 0;
};

}  // namespace planecast
