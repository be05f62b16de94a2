// What a viewer sends: whatever it is, its queue keeps to the stream contract and to its bounds.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>
#include <variant>

#include "planecast/v1/viewer_service.pb.h"
#include "service/core/viewer.h"
#include "service/rpc/proto_convert.h"

namespace {

using namespace planecast;

// Units are shared, so large ones cost nothing here.
std::shared_ptr<const AccessUnit> UnitOf(bool is_large, bool key_frame) {
  static const auto make = [](size_t size_bytes, bool is_key) {
    auto unit = std::make_shared<AccessUnit>();
    unit->bytes.resize(size_bytes);
    unit->key_frame = is_key;
    return std::shared_ptr<const AccessUnit>(std::move(unit));
  };
  static const std::shared_ptr<const AccessUnit> units[2][2] = {
      {make(1000, false), make(1000, true)}, {make(3'000'000, false), make(3'000'000, true)}};
  return units[is_large ? 1 : 0][key_frame ? 1 : 0];
}

// A viewer, and a display that offers it units of a few sizes.
class Stream {
 public:
  Stream()
      : viewer_("viewer", {.limits = {}, .acknowledges = true}, std::make_shared<WakeSignal>(),
                std::make_shared<DisplayMetrics>(), clock_) {
    viewer_.OfferStarted(MakeEvent(StreamStarted{}, nullptr));
  }
  ~Stream() { viewer_.Close(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void Receive(const v1::StreamDisplayRequest& request) {
    for (const v1::Acknowledgement& acknowledgement :
         request.acknowledgements().acknowledgements()) {
      const uint64_t sequence = acknowledgement.sequence();
      const ClientTimes times = {acknowledgement.decode_duration_ns(),
                                 acknowledgement.present_duration_ns()};
      if (viewer_.Acknowledge(sequence, times).ok() && sequence > last_taken_) abort();
    }
    if (request.has_key_frame()) viewer_.RequestKeyFrame();
    if (request.has_limits()) {
      const auto limits = ToLimits(request.limits(), viewer_.limits());
      if (!limits.ok()) return;
      if (limits->bitrate_max_bps < 0 || limits->frame_rate_max_hz > kViewerFrameRateMaxHz) abort();
      viewer_.SetLimits(*limits).IgnoreError();
    }
  }

  // One picture's time: the display offers a unit as the viewer wants it, and the transport takes
  // what there is if it is `fast`.
  void Tick(bool is_large, bool fast) {
    clock_.Advance(16'000'000);
    const Viewer::Wants wants = viewer_.GetWants();
    const bool key_frame =
        wants.join_key_frame || wants.resync_key_frame || wants.requested_key_frame;
    viewer_.OfferUnit(MakeEvent(UnitEvent{++sequence_, UnitOf(is_large, key_frame)}, nullptr),
                      clock_.NowNs(), true);
    if (fast) TakeAll();
  }

 private:
  void TakeAll() {
    while (const StreamEventPtr event = viewer_.Take()) {
      if (const auto* unit = std::get_if<UnitEvent>(&event->body)) {
        if (unit->sequence <= last_taken_) abort();
        if (unit->sequence != last_taken_ + 1 && !unit->unit->key_frame) abort();
        last_taken_ = unit->sequence;
      }
      viewer_.OnWritten();
    }
  }

  ManualClock clock_;
  Viewer viewer_;
  uint64_t sequence_ = 0;
  uint64_t last_taken_ = 0;
};

}  // namespace

// The input is a row of steps: a byte that says how long the message behind it is and what the
// display does meanwhile, then the message.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> input(data, size);
  Stream stream;
  while (!input.empty()) {
    const uint8_t step = input.front();
    input = input.subspan(1);
    const size_t length = std::min<size_t>(step & 0x1f, input.size());
    v1::StreamDisplayRequest request;
    if (request.ParseFromArray(input.data(), static_cast<int>(length))) stream.Receive(request);
    v1::DisplaySource source;
    if (source.ParseFromArray(input.data(), static_cast<int>(length))) {
      if (const auto spec = ToSpec(source); spec.ok() && !ToSpec(ToProto(*spec)).ok()) abort();
    }
    input = input.subspan(length);
    stream.Tick((step & 0x20) != 0, (step & 0xc0) != 0);
  }
  return 0;
}
