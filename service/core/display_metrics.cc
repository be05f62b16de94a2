#include "service/core/display_metrics.h"

namespace planecast {

std::string_view StageName(Stage stage) {
  switch (stage) {
    case Stage::kFlipToCapture:
      return "flip_to_capture";
    case Stage::kCaptureToConverted:
      return "capture_to_converted";
    case Stage::kConvertedToEncoded:
      return "converted_to_encoded";
    case Stage::kEncodedToSent:
      return "encoded_to_sent";
    case Stage::kSentToWritten:
      return "sent_to_written";
    case Stage::kEncodedToAcknowledged:
      return "encoded_to_acknowledged";
    case Stage::kNetworkRoundTrip:
      return "network_round_trip";
    case Stage::kReceivedToDecoded:
      return "received_to_decoded";
    case Stage::kReceivedToPresented:
      return "received_to_presented";
  }
  return "";
}

std::string_view DropReasonName(DropReason reason) {
  switch (reason) {
    case DropReason::kQueueFull:
      return "queue_full";
    case DropReason::kQueueAge:
      return "queue_age";
    case DropReason::kAwaitingKeyFrame:
      return "awaiting_key_frame";
    case DropReason::kSuperseded:
      return "superseded";
  }
  return "";
}

void DisplayMetrics::Add(Count count, uint64_t amount) {
  counts_[static_cast<size_t>(count)].fetch_add(amount, std::memory_order_relaxed);
}

void DisplayMetrics::AddDropped(DropReason reason, uint64_t amount) {
  drops_[static_cast<size_t>(reason)].fetch_add(amount, std::memory_order_relaxed);
}

void DisplayMetrics::AddTime(Stage stage, int64_t duration_ns) {
  stages_[static_cast<size_t>(stage)].Add(duration_ns);
}

uint64_t DisplayMetrics::Value(Count count) const {
  return counts_[static_cast<size_t>(count)].load(std::memory_order_relaxed);
}

CountValues DisplayMetrics::Values() const {
  CountValues values;
  for (size_t i = 0; i < kCountsSize; ++i) {
    const auto count = static_cast<Count>(i);
    values[count] = Value(count);
  }
  return values;
}

DropCounts DisplayMetrics::Drops() const {
  DropCounts drops;
  for (size_t i = 0; i < kDropReasonsSize; ++i) {
    drops[static_cast<DropReason>(i)] = drops_[i].load(std::memory_order_relaxed);
  }
  return drops;
}

StageHistogram::Reading DisplayMetrics::Times(Stage stage) const {
  return stages_[static_cast<size_t>(stage)].Read();
}

}  // namespace planecast
