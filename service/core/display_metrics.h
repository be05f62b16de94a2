// What a display counts and measures.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "service/core/stage_histogram.h"
#include "service/core/stream_event.h"

namespace planecast {

/// What a display counts, of all its renditions and viewers, since it was attached.
enum class Count {
  kLooks,
  /// Looks that gave a frame.
  kCaptured,
  /// Encodes whose frame did not differ.
  kUnchanged,
  kEncoded,
  kKeyFrames,
  kEncodedBytes,
  /// Times that a frame was not encoded because no viewer could take it.
  kSkippedNoViewerReady,
  /// ... because of the frame-rate cap.
  kSkippedFrameRate,
  /// Units that showed the same pixels as before, sharper. Part of kEncoded.
  kRefinements,
  kEncodeErrors,
  kViewersStalled,
  /// Times that a viewer came to a lesser rendition, and to a better one.
  kMovesDown,
  kMovesUp,
  /// Units that a viewer's transport took, and their bytes.
  kSent,
  kSentBytes,
  /// Times that a viewer had to wait for a key frame after a drop.
  kResyncs,
};
inline constexpr size_t kCountsSize = static_cast<size_t>(Count::kResyncs) + 1;

/// The steps of a frame's way whose times a display collects.
enum class Stage {
  /// The age of the picture when it is read.
  kFlipToCapture,
  kCaptureToConverted,
  kConvertedToEncoded,
  /// In a viewer's queue.
  kEncodedToSent,
  /// Until the transport took it.
  kSentToWritten,
  kEncodedToAcknowledged,
  /// From the begin of the write to the acknowledgement, without the client's own part.
  kNetworkRoundTrip,
  /// As clients report.
  kReceivedToDecoded,
  kReceivedToPresented,
};
inline constexpr size_t kStagesSize = static_cast<size_t>(Stage::kReceivedToPresented) + 1;

/// The stage's name, e.g. "flip_to_capture".
std::string_view StageName(Stage stage);
/// The reason's name as in the proto, e.g. "queue_full".
std::string_view DropReasonName(DropReason reason);

/// The values of all counts at a moment.
class CountValues {
 public:
  uint64_t operator[](Count count) const { return values_[static_cast<size_t>(count)]; }
  uint64_t& operator[](Count count) { return values_[static_cast<size_t>(count)]; }

 private:
  std::array<uint64_t, kCountsSize> values_ = {};
};

/// What one display counts and measures. Shared by the display, its renditions and its viewers, of
/// which some may outlive it. Thread-safe, without locks; numbers that were counted together may be
/// read apart.
class DisplayMetrics {
 public:
  void Add(Count count, uint64_t amount = 1);
  void AddDropped(DropReason reason, uint64_t amount);
  /// As StageHistogram::Add.
  void AddTime(Stage stage, int64_t duration_ns);

  uint64_t Value(Count count) const;
  CountValues Values() const;
  /// Units dropped for all viewers.
  DropCounts Drops() const;
  StageHistogram::Reading Times(Stage stage) const;

 private:
  std::array<std::atomic<uint64_t>, kCountsSize> counts_ = {};
  std::array<std::atomic<uint64_t>, kDropReasonsSize> drops_ = {};
  std::array<StageHistogram, kStagesSize> stages_;
};

}  // namespace planecast
