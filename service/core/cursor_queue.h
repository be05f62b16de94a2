// What waits of the cursor for one viewer, and which images its client has already.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>

#include "service/core/stream_event.h"

namespace planecast {

/// Images that a client is believed to keep at most. At the largest image that is 32 MiB of its
/// memory.
inline constexpr size_t kCursorsKeptMax = 32;

/// What a client can do with images of the cursor.
struct CursorAbilities {
  /// Images that it keeps by their ids, at most kCursorsKeptMax.
  size_t kept_max = 0;
  /// It reads PNG files.
  bool png = false;
};

/// What an image takes on the wire, about.
size_t CursorBytes(const CursorShape& shape);

/// How long that many bytes take at this rate, which must be positive.
inline int64_t TransferNs(size_t bytes, int64_t rate_bps) {
  return static_cast<int64_t>(static_cast<double>(bytes) * 8e9 / static_cast<double>(rate_bps));
}

/// The latest image and the latest position that a viewer was not given yet.
///
/// Knows which images a client still has that keeps some, by the rule that both sides follow: each
/// image that is given or named becomes the most recent one, and beyond the client's number the
/// least recent is forgotten. What the client has is named by a CursorMoved instead of given again.
/// Thread-compatible; a viewer's lock guards it.
class CursorQueue {
 public:
  explicit CursorQueue(size_t kept_max);

  /// A CursorShape; replaces one that waits. Returns the bytes that it will take.
  size_t OfferShape(StreamEventPtr shape);
  /// A CursorMoved; replaces one that waits.
  void OfferMoved(StreamEventPtr moved);
  /// Nothing waits any more. What the client has it keeps.
  void Clear();

  /// Bytes of the image that waits.
  size_t waiting_bytes() const { return waiting_bytes_; }
  /// There is something to take. Without `room` no image is taken.
  bool Takeable(bool room) const { return moved_ != nullptr || (shape_ != nullptr && Fits(room)); }

  struct Taken {
    /// Null if there was nothing.
    StreamEventPtr event;
    /// Of an image that goes over the link; 0 for a position.
    size_t image_bytes = 0;
  };
  /// The image, and only then the position. `carries_bps` is what the link carries, 0 if no more is
  /// known of it than that its transport took what came before.
  Taken Take(bool room, int64_t carries_bps, int64_t now_ns);
  /// Bytes of images that may still be on their way, as nobody acknowledges them.
  size_t OnItsWay(int64_t now_ns) const { return now_ns < busy_until_ns_ ? sent_bytes_ : 0; }
  /// The same; they are a unit's from now on, which will be acknowledged.
  size_t TakeOnItsWay(int64_t now_ns);

 private:
  Taken Pop(bool room);
  bool Fits(bool room) const { return room || waiting_bytes_ == 0; }
  bool Has(uint32_t shape_id) const;
  void MakeMostRecent(uint32_t shape_id);
  StreamEventPtr TakeMoved();

  const size_t kept_max_;
  StreamEventPtr shape_;
  StreamEventPtr moved_;
  size_t waiting_bytes_ = 0;
  /// Images since the last unit, and until when the link has work with them.
  size_t sent_bytes_ = 0;
  int64_t busy_until_ns_ = 0;
  /// The position given last.
  CursorMoved position_;
  /// What the client has, the most recent first.
  std::list<uint32_t> kept_;
};

}  // namespace planecast
