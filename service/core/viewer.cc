#include "service/core/viewer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

/// A viewer that overflows again within this after the last time is one that can't keep up.
constexpr int64_t kResyncForgivenNs = 5'000'000'000;
/// What a stalled viewer is told to wait before it tries again.
constexpr int32_t kStalledRetryAfterMs = 2000;

const UnitEvent* UnitOf(const StreamEventPtr& event) {
  return std::get_if<UnitEvent>(&event->body);
}

bool IsStarted(const StreamEventPtr& event) {
  return std::holds_alternative<StreamStarted>(event->body);
}

bool IsState(const StreamEventPtr& event) {
  return std::holds_alternative<StateChanged>(event->body);
}

ClientTimes Believable(const ClientTimes& times) {
  return {std::clamp<int64_t>(times.decode_ns, 0, kStageDurationMaxNs),
          std::clamp<int64_t>(times.present_ns, 0, kStageDurationMaxNs)};
}

template <typename NotifyPtr>
void Call(const NotifyPtr& notify) {
  if (notify != nullptr && *notify) (*notify)();
}

}  // namespace

absl::Status ValidateViewerLimits(const ViewerLimits& limits) {
  if (limits.bitrate_max_bps < 0) {
    return absl::InvalidArgumentError("bitrate_max_bps is negative: use 0 for no limit");
  }
  if (limits.frame_rate_max_hz < 0 || limits.frame_rate_max_hz > kViewerFrameRateMaxHz) {
    return absl::InvalidArgumentError(absl::StrCat("frame_rate_max_hz ", limits.frame_rate_max_hz,
                                                   " is out of range: use 1 to ",
                                                   kViewerFrameRateMaxHz, ", or 0 for no limit"));
  }
  return absl::OkStatus();
}

Viewer::Viewer(std::string id, const ViewerOptions& options, std::shared_ptr<WakeSignal> display,
               std::shared_ptr<DisplayMetrics> metrics, Clock& clock)
    : id_(std::move(id)),
      acknowledges_(options.acknowledges),
      cursor_in_picture_(options.cursor_in_picture),
      takes_png_(options.cursor.png),
      display_(std::move(display)),
      metrics_(std::move(metrics)),
      clock_(clock),
      limits_(options.limits),
      cursor_(options.cursor.kept_max),
      link_(options.link),
      progress_ns_(clock.NowNs()) {}

void Viewer::SetNotify(std::function<void()> notify) {
  Notify due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    notify_ = std::make_shared<const std::function<void()>>(std::move(notify));
    due = DueNotifyLocked();
  }
  Call(due);
}

StreamEventPtr Viewer::Take() {
  StreamEventPtr event;
  bool ready = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_ || finished_ || write_in_flight_) return nullptr;
    event = PopLocked();
    if (event == nullptr) {
      notify_armed_ = true;
      return nullptr;
    }
    write_in_flight_ = true;
    progress_ns_ = clock_.NowNs();
    finished_ = std::holds_alternative<Goodbye>(event->body);
    ready = ReadyLocked();
  }
  if (ready) display_->WakeIfAwaited();
  return event;
}

void Viewer::OnWritten() {
  bool ready = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    write_in_flight_ = false;
    progress_ns_ = clock_.NowNs();
    if (unit_in_flight_.has_value()) HandleWrittenLocked(*unit_in_flight_, progress_ns_);
    unit_in_flight_.reset();
    ready = ReadyLocked();
  }
  if (ready) display_->WakeIfAwaited();
}

void Viewer::HandleWrittenLocked(const Sent& sent, int64_t now_ns) {
  metrics_->Add(Count::kSent);
  metrics_->Add(Count::kSentBytes, sent.size_bytes);
  if (sent.measured) {
    encoded_to_written_.Add(now_ns - sent.encoded_time_ns);
    MeasureLocked(Stage::kSentToWritten, sent_to_written_, now_ns - sent.mark.sent_ns);
  }
  // All that is known of such a link is how long the transport takes to take a unit.
  if (!acknowledges_) link_.Acknowledged(sent.mark, 0, now_ns);
}

uint64_t Viewer::sequence_offset() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return taken_offset_;
}

absl::Status Viewer::Acknowledge(uint64_t sequence, const ClientTimes& times) {
  if (!acknowledges_) return absl::OkStatus();
  Notify due;
  bool became_ready = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (sequence > last_sent_sequence_) {
      return absl::InvalidArgumentError(absl::StrCat(
          "unit ", sequence, " was acknowledged but the last one sent is ", last_sent_sequence_));
    }
    const int64_t now_ns = clock_.NowNs();
    progress_ns_ = now_ns;
    const bool was_ready = ReadyLocked();
    const size_t owed = unacknowledged_.size();
    while (!unacknowledged_.empty() && unacknowledged_.front().sequence <= sequence) {
      const Sent sent = unacknowledged_.front();
      unacknowledged_.pop_front();
      unacknowledged_bytes_ -= sent.mark.bytes;
      if (sent.measured) {
        MeasureLocked(Stage::kEncodedToAcknowledged, encoded_to_acknowledged_,
                      now_ns - sent.encoded_time_ns);
      }
      const ClientTimes client = sent.sequence == sequence ? Believable(times) : ClientTimes();
      link_.Acknowledged(sent.mark, client.present_ns, now_ns);
      MeasureClientLocked(sent, client, now_ns);
    }
    if (unacknowledged_.size() < owed) acknowledged_ns_ = now_ns;
    due = DueNotifyLocked();
    // One that was ready before has told so: a flood wakes nobody.
    became_ready = !was_ready && ReadyLocked();
  }
  Call(due);
  if (became_ready) display_->WakeIfAwaited();
  return absl::OkStatus();
}

void Viewer::MeasureClientLocked(const Sent& sent, const ClientTimes& times, int64_t now_ns) {
  if (times.decode_ns > 0) {
    MeasureLocked(Stage::kReceivedToDecoded, received_to_decoded_, times.decode_ns);
  }
  if (times.present_ns <= 0) return;
  MeasureLocked(Stage::kReceivedToPresented, received_to_presented_, times.present_ns);
  const int64_t round_trip_ns = now_ns - sent.mark.sent_ns - times.present_ns;
  // A client that claims more than the whole time says nothing about the network.
  if (round_trip_ns < 0) return;
  MeasureLocked(Stage::kNetworkRoundTrip, network_round_trip_, round_trip_ns);
}

void Viewer::RequestKeyFrame() {
  Notify due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (key_frame_requested_ || !AcceptsLocked()) return;
    key_frame_requested_ = true;
    // Its decoder lost them, so it may never acknowledge them.
    ForgetUnacknowledgedLocked();
    due = DueNotifyLocked();
  }
  Call(due);
  display_->Wake();
}

absl::Status Viewer::SetLimits(const ViewerLimits& limits) {
  absl::Status valid = ValidateViewerLimits(limits);
  if (!valid.ok()) return valid;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (limits_ == limits) return absl::OkStatus();
    limits_ = limits;
  }
  display_->Wake();
  return absl::OkStatus();
}

ViewerLimits Viewer::limits() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return limits_;
}

void Viewer::Close() {
  Notify released;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    closed_ = true;
    DropUnitsLocked(DropReason::kSuperseded);
    ordered_.clear();
    cursor_.Clear();
    stats_ = goodbye_ = nullptr;
    ForgetUnacknowledgedLocked();
    // What the callback owns may own this viewer.
    released = std::move(notify_);
  }
  display_->Wake();
}

LinkEstimator Viewer::link() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return link_;
}

bool Viewer::closed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return closed_;
}

bool Viewer::ending() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return goodbye_ != nullptr || finished_;
}

bool Viewer::finished() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return finished_;
}

void Viewer::OfferStarted(StreamEventPtr event) {
  Notify due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!AcceptsLocked()) return;
    NotePendingLocked(clock_.NowNs());
    DropUnitsLocked(DropReason::kSuperseded);
    if (std::get<StreamStarted>(event->body).cursor_path != CursorPath::kSeparate) {
      // It would be drawn twice.
      cursor_.Clear();
    }
    const auto queued = std::find_if(ordered_.begin(), ordered_.end(),
                                     [](const Queued& item) { return IsStarted(item.event); });
    if (queued != ordered_.end()) {
      // In place: Started is the first event of a stream, whatever waits behind it.
      queued->event = std::move(event);
    } else {
      ordered_.push_back({std::move(event), 0, false});
    }
    sync_ = Sync::kJoining;
    due = DueNotifyLocked();
  }
  Call(due);
}

void Viewer::OfferStateChanged(StreamEventPtr event) {
  Notify due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!AcceptsLocked()) return;
    NotePendingLocked(clock_.NowNs());
    const auto is_state = [](const Queued& queued) { return IsState(queued.event); };
    const auto states = std::count_if(ordered_.begin(), ordered_.end(), is_state);
    if (static_cast<size_t>(states) >= kQueueStatesMax) {
      ordered_.erase(std::find_if(ordered_.begin(), ordered_.end(), is_state));
    }
    ordered_.push_back({std::move(event), 0, false});
    due = DueNotifyLocked();
  }
  Call(due);
}

size_t Viewer::OfferCursorShape(StreamEventPtr event) {
  Notify due;
  size_t size_bytes = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!AcceptsLocked()) return 0;
    NotePendingLocked(clock_.NowNs());
    size_bytes = cursor_.OfferShape(std::move(event));
    due = DueNotifyLocked();
  }
  Call(due);
  return size_bytes;
}

void Viewer::OfferCursorMoved(StreamEventPtr event) {
  Notify due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!AcceptsLocked()) return;
    NotePendingLocked(clock_.NowNs());
    cursor_.OfferMoved(std::move(event));
    due = DueNotifyLocked();
  }
  Call(due);
}

void Viewer::OfferUnit(StreamEventPtr event, int64_t now_ns, bool fresh) {
  Call(OfferUnitQuietly(std::move(event), now_ns, fresh));
}

Viewer::Notify Viewer::OfferUnitQuietly(StreamEventPtr event, int64_t now_ns, bool fresh) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!AcceptsLocked()) return nullptr;
  const UnitEvent* unit = UnitOf(event);
  const bool key_frame = unit->unit->key_frame;
  const size_t size_bytes = unit->unit->bytes.size();
  if (key_frame && fresh && key_frame_requested_) {
    // What came before it is of no use to a decoder that is lost, and must not hold it up.
    key_frame_requested_ = false;
    DropUnitsLocked(DropReason::kSuperseded);
    ForgetUnacknowledgedLocked();
  }
  const std::optional<DropReason> overflow = OverflowLocked(size_bytes, now_ns);
  if (overflow.has_value()) LoseUnitsLocked(*overflow, now_ns);
  if (sync_ != Sync::kStreaming && !key_frame) {
    // A joiner was never sent a unit, so it has lost none.
    if (sync_ == Sync::kLost) CountDroppedLocked(DropReason::kAwaitingKeyFrame, 1);
    return nullptr;
  }
  sync_ = Sync::kStreaming;
  NotePendingLocked(now_ns);
  if (std::exchange(rendition_changed_, false)) {
    sequence_offset_ = last_offered_sequence_ + 1 - unit->sequence;
  }
  last_queued_sequence_ = unit->sequence;
  last_offered_sequence_ = unit->sequence + sequence_offset_;
  ++queued_units_;
  queued_bytes_ += size_bytes;
  ordered_.push_back({std::move(event), now_ns, fresh, sequence_offset_});
  return DueNotifyLocked();
}

void Viewer::ChangeRendition() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!AcceptsLocked()) return;
  DropUnitsLocked(DropReason::kSuperseded);
  last_queued_sequence_ = 0;
  // Before its first unit there is nothing to go on from.
  rendition_changed_ = last_offered_sequence_ != 0;
  // One that lost units still has to catch up first.
  if (sync_ == Sync::kStreaming) sync_ = Sync::kJoining;
}

void Viewer::OfferGoodbye(StreamEventPtr event) {
  Notify notify;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!AcceptsLocked()) return;
    NotePendingLocked(clock_.NowNs());
    DropUnitsLocked(DropReason::kSuperseded);
    cursor_.Clear();
    stats_ = nullptr;
    goodbye_ = std::move(event);
    notify_armed_ = false;
    notify = notify_;
  }
  Call(notify);
}

Viewer::Wants Viewer::GetWants() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  Wants wants;
  wants.ended = !AcceptsLocked();
  if (wants.ended) return wants;
  wants.ready = ReadyLocked();
  wants.join_key_frame = sync_ == Sync::kJoining;
  wants.resync_key_frame = sync_ == Sync::kLost;
  wants.resync_not_before_ns = resync_not_before_ns_;
  wants.requested_key_frame = key_frame_requested_;
  wants.last_sequence = last_queued_sequence_;
  wants.limits = limits_;
  wants.link_rate_max_bps = link_.rate_max_bps();
  wants.link_congested_ns = link_.congested_ns();
  wants.cursor_rate_bps = CursorRateLocked();
  return wants;
}

bool Viewer::EndIfStalled(int64_t now_ns, EventCodec* codec) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!AcceptsLocked()) return false;
    const bool takes_nothing = OwesProgressLocked() && now_ns - progress_ns_ >= kViewerStallNs;
    const bool acknowledges_nothing =
        !WindowOpenLocked() && now_ns - acknowledged_ns_ >= kViewerStallNs;
    if (!takes_nothing && !acknowledges_nothing) return false;
  }
  Goodbye goodbye;
  goodbye.reason = Goodbye::Reason::kStalled;
  goodbye.message = absl::StrCat("The viewer took or acknowledged nothing for ",
                                 kViewerStallNs / 1'000'000'000, " s.");
  goodbye.retry_after_ms = kStalledRetryAfterMs;
  OfferGoodbye(MakeEvent(std::move(goodbye), codec));
  return true;
}

void Viewer::OfferStats(StreamStats display_stats) {
  Notify due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!AcceptsLocked()) return;
    NotePendingLocked(clock_.NowNs());
    display_stats.dropped = dropped_;
    display_stats.resyncs = resyncs_;
    display_stats.encoded_to_written = encoded_to_written_.Take();
    display_stats.encoded_to_sent = encoded_to_sent_.Take();
    display_stats.sent_to_written = sent_to_written_.Take();
    display_stats.encoded_to_acknowledged = encoded_to_acknowledged_.Take();
    display_stats.network_round_trip = network_round_trip_.Take();
    display_stats.received_to_decoded = received_to_decoded_.Take();
    display_stats.received_to_presented = received_to_presented_.Take();
    display_stats.unacknowledged = static_cast<int>(unacknowledged_.size());
    stats_ = MakeEvent(display_stats, nullptr);
    due = DueNotifyLocked();
  }
  Call(due);
}

bool Viewer::FitsLinkLocked(size_t units, size_t size_bytes) const {
  if (!acknowledges_ || units == 0) return true;
  if (link_.draining()) return false;
  if (units < kUnacknowledgedUnitsMin) return true;
  if (!link_.known()) return units < kUnacknowledgedUnitsFirst;
  if (units >= kUnacknowledgedUnitsMax || size_bytes >= link_.window_bytes()) return false;
  return unacknowledged_.empty() ||
         clock_.NowNs() - unacknowledged_.front().mark.sent_ns < link_.patience_ns();
}

bool Viewer::WindowOpenLocked() const {
  return FitsLinkLocked(unacknowledged_.size(),
                        unacknowledged_bytes_ + cursor_.OnItsWay(clock_.NowNs()));
}

int64_t Viewer::CursorRateLocked() const {
  int64_t rate_bps = kCursorRateMaxBps;
  if (limits_.bitrate_max_bps > 0) {
    rate_bps = std::min(rate_bps, limits_.bitrate_max_bps / kCursorRateShare);
  }
  if (acknowledges_) rate_bps = std::min(rate_bps, link_.carries_bps() / kCursorRateShare);
  return std::max(rate_bps, kCursorRateMinBps);
}

bool Viewer::ReadyLocked() const {
  if (!AcceptsLocked()) return false;
  // A viewer that lost units is worth a key frame only once its transport has caught up.
  if (sync_ == Sync::kLost && (write_in_flight_ || TakeableLocked())) return false;
  if (!acknowledges_) return queued_units_ < kReadyUnitsQueuedMax;
  return FitsLinkLocked(unacknowledged_.size() + queued_units_,
                        unacknowledged_bytes_ + queued_bytes_ + cursor_.waiting_bytes() +
                            cursor_.OnItsWay(clock_.NowNs()));
}

bool Viewer::TakeableLocked() const {
  if (closed_ || finished_) return false;
  if (goodbye_ != nullptr || stats_ != nullptr) return true;
  if (cursor_.Takeable(false) || (cursor_.Takeable(true) && WindowOpenLocked())) return true;
  if (ordered_.empty()) return false;
  return UnitOf(ordered_.front().event) == nullptr || WindowOpenLocked();
}

bool Viewer::OwesProgressLocked() const {
  return write_in_flight_ || TakeableLocked();
}

StreamEventPtr Viewer::PopLocked() {
  if (!ordered_.empty() && UnitOf(ordered_.front().event) == nullptr) return PopOrderedLocked();
  // The cursor before the picture: it is small, and it is what a person feels. An image is not
  // always small: it waits for the link as a unit does, and the display offers no more than are
  // fair.
  const bool room = cursor_.Takeable(true) && WindowOpenLocked();
  CursorQueue::Taken cursor =
      cursor_.Take(room, acknowledges_ ? link_.carries_bps() : 0, clock_.NowNs());
  if (cursor.event != nullptr) return std::move(cursor.event);
  if (!ordered_.empty() && WindowOpenLocked()) return PopOrderedLocked();
  if (stats_ != nullptr) return std::exchange(stats_, nullptr);
  return std::exchange(goodbye_, nullptr);
}

StreamEventPtr Viewer::PopOrderedLocked() {
  const Queued queued = std::move(ordered_.front());
  ordered_.pop_front();
  const UnitEvent* unit = UnitOf(queued.event);
  if (unit == nullptr) return queued.event;
  --queued_units_;
  queued_bytes_ -= unit->unit->bytes.size();
  const int64_t now_ns = clock_.NowNs();
  const size_t size_bytes = unit->unit->bytes.size();
  // What comes before it on the link is part of what its acknowledgement tells.
  const size_t link_bytes = size_bytes + cursor_.TakeOnItsWay(now_ns);
  taken_offset_ = queued.sequence_offset;
  last_sent_sequence_ = unit->sequence + queued.sequence_offset;
  const Sent sent = {last_sent_sequence_, unit->unit->encoded_time_ns, queued.fresh, size_bytes,
                     link_.Sent(link_bytes, unacknowledged_.empty(), now_ns)};
  unit_in_flight_ = sent;
  if (sent.measured) {
    MeasureLocked(Stage::kEncodedToSent, encoded_to_sent_, now_ns - sent.encoded_time_ns);
  }
  if (!acknowledges_) return queued.event;
  if (unacknowledged_.empty()) acknowledged_ns_ = now_ns;
  unacknowledged_.push_back(sent);
  unacknowledged_bytes_ += link_bytes;
  return queued.event;
}

void Viewer::ForgetUnacknowledgedLocked() {
  unacknowledged_.clear();
  unacknowledged_bytes_ = 0;
}

void Viewer::CountDroppedLocked(DropReason reason, uint64_t count) {
  dropped_[reason] += count;
  metrics_->AddDropped(reason, count);
}

void Viewer::DropUnitsLocked(DropReason reason) {
  CountDroppedLocked(reason, queued_units_);
  std::erase_if(ordered_, [](const Queued& queued) { return UnitOf(queued.event) != nullptr; });
  queued_units_ = 0;
  queued_bytes_ = 0;
}

void Viewer::MeasureLocked(Stage stage, LatencyWindow& window, int64_t duration_ns) {
  window.Add(duration_ns);
  metrics_->AddTime(stage, duration_ns);
}

void Viewer::LoseUnitsLocked(DropReason reason, int64_t now_ns) {
  DropUnitsLocked(reason);
  ++resyncs_;
  metrics_->Add(Count::kResyncs);
  sync_ = Sync::kLost;
  const bool again = last_lost_ns_ != 0 && now_ns - last_lost_ns_ < kResyncForgivenNs;
  resync_backoff_ns_ =
      again ? std::clamp(resync_backoff_ns_ * 2, kResyncBackoffMinNs, kResyncBackoffMaxNs) : 0;
  resync_not_before_ns_ = now_ns + resync_backoff_ns_;
  last_lost_ns_ = now_ns;
}

std::optional<DropReason> Viewer::OverflowLocked(size_t size_bytes, int64_t now_ns) const {
  // A viewer that is ready asked for the unit: its link may be slow, but nobody outruns it.
  if (queued_units_ == 0 || ReadyLocked()) return std::nullopt;
  const size_t waiting_bytes = queued_bytes_ + cursor_.waiting_bytes();
  if (queued_units_ >= kQueueUnitsMax || waiting_bytes + size_bytes > kQueueBytesMax) {
    return DropReason::kQueueFull;
  }
  const auto oldest = std::find_if(ordered_.begin(), ordered_.end(), [](const Queued& queued) {
    return UnitOf(queued.event) != nullptr;
  });
  if (now_ns - oldest->queued_ns <= kQueueAgeMaxNs) return std::nullopt;
  return DropReason::kQueueAge;
}

void Viewer::NotePendingLocked(int64_t now_ns) {
  // The time that a viewer had nothing to do is not held against it.
  if (!OwesProgressLocked()) progress_ns_ = now_ns;
}

Viewer::Notify Viewer::DueNotifyLocked() {
  if (!notify_armed_ || notify_ == nullptr || write_in_flight_ || !TakeableLocked()) return nullptr;
  notify_armed_ = false;
  return notify_;
}

}  // namespace planecast
