// What the link to one viewer carries, as far as acknowledgements tell.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace planecast {

/// Time that a unit may wait on its way beyond the link's own round trip, before nothing more is
/// sent. With the round trip of most links the picture stays well under 300 ms old.
inline constexpr int64_t kQueueBudgetNs = 120'000'000;
/// A queue above this is congestion if it lasts, below the other one it is none.
inline constexpr int64_t kQueueHighNs = 80'000'000;
inline constexpr int64_t kQueueLowNs = 40'000'000;
/// So long must every acknowledgement tell of a queue. A lost segment holds up what comes after it
/// too, but that arrives all at once.
inline constexpr int64_t kCongestionLastsNs = 150'000'000;
/// What is left of the measured rate to let the queue drain.
inline constexpr double kDrainShare = 0.85;
/// So many bytes may be on their way to any viewer: kQueueBudgetNs of the slowest link that a
/// desktop is still usable on.
inline constexpr size_t kWindowBytesMin = size_t{32} << 10;
/// Least rate that is ever asked for.
inline constexpr int64_t kLinkRateMinBps = 100'000;

/// Estimates the round trip, the queue and the rate of a viewer's link, and says how many bits per
/// second to send. Pure: time comes in as an argument, in ns. Thread-compatible.
///
/// The round trip is the least that was seen in the last ten to twenty seconds; what is beyond it
/// is queue. A link that always has a queue would hide its round trip, so at congestion, if need
/// be, everything is let arrive once before more is sent. While there is a queue, the bytes that
/// arrive per second are what the link carries. After congestion the rate grows again, slowly at
/// first and then ever faster, as long as it is used: close to the known limit for a while, and
/// soon anywhere if the link has recovered.
class LinkEstimator {
 public:
  /// One unit on its way.
  struct Mark {
    size_t bytes = 0;
    int64_t sent_ns = 0;
    /// Nothing else was on its way.
    bool alone = false;
    /// What had arrived when it was sent, and since when that has been so.
    uint64_t arrived_bytes = 0;
    int64_t arrived_ns = 0;
  };

  /// A unit is sent. `alone` says that nothing else is on its way.
  Mark Sent(size_t bytes, bool alone, int64_t now_ns);
  /// Its acknowledgement came. `client_ns` of the round trip was spent by the client, as it says;
  /// what it can't have spent is not believed.
  void Acknowledged(const Mark& mark, int64_t client_ns, int64_t now_ns);

  /// There was an acknowledgement.
  bool known() const { return round_trip_ns() > 0; }
  /// The link's own round trip, or 0.
  int64_t round_trip_ns() const;
  /// What the last unit waited beyond it.
  int64_t queue_ns() const { return queue_ns_; }
  /// Until when the oldest unit on its way may take, from when it was sent; beyond that nothing
  /// more is sent.
  int64_t patience_ns() const { return round_trip_ns() + kQueueBudgetNs; }
  /// Bytes that may be on their way before one more unit is sent.
  size_t window_bytes() const;
  /// Nothing more is to be sent until all has arrived.
  bool draining() const { return draining_; }
  /// Bits per second to send at most; 0 is no limit.
  int64_t rate_max_bps() const { return rate_max_bps_; }
  /// What it is sure to carry, in bits per second: the limit if that is known, else what the window
  /// brings.
  int64_t carries_bps() const;
  /// When the rate was last lowered, or 0.
  int64_t congested_ns() const { return congested_ns_; }

 private:
  void NoteRoundTrip(int64_t round_trip_ns, int64_t now_ns);
  /// Returns what the link carried while this unit was on its way, in bits per second.
  double NoteCarried(const Mark& mark, int64_t now_ns);
  void NoteClient(int64_t client_ns, int64_t now_ns);
  void Lower(double carried_bps, int64_t now_ns);
  void Raise(int64_t now_ns);

  /// Least round trips of this period and of the one before; 0 if there was none.
  std::array<int64_t, 2> least_ns_ = {};
  int64_t period_end_ns_ = 0;
  int64_t queue_ns_ = 0;
  /// When a unit that was alone on its way last arrived.
  int64_t alone_ns_ = 0;
  bool draining_ = false;
  /// Most that was carried in this period and in the one before.
  std::array<double, 2> most_bps_ = {};
  int64_t most_end_ns_ = 0;
  uint64_t arrived_bytes_ = 0;
  int64_t arrived_ns_ = 0;
  /// Since when every acknowledgement has told of a queue, or 0.
  int64_t queued_since_ns_ = 0;
  int64_t congested_ns_ = 0;
  int64_t rate_max_bps_ = 0;
  /// Since when the use of the rate is measured, what had arrived then, and whether there was a
  /// queue since.
  int64_t use_start_ns_ = 0;
  uint64_t use_start_bytes_ = 0;
  bool use_queued_ = false;
  /// Part of the time that the client was busy with units, lately.
  double client_busy_ = 0;
  int64_t client_noted_ns_ = 0;
};

}  // namespace planecast
