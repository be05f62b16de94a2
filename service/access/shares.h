// What one peer may have of what all share.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/access/policy.h"

namespace planecast {

/// What there is only so much of for all callers together.
enum class Shared {
  /// Streams of a display's pictures.
  kViewers,
  /// Watches of the list of displays.
  kWatches,
  /// Streams that have been opened and have not chosen a display.
  kUnstartedStreams,
  /// Snapshots, from the wait for the picture until the client has the answer.
  kSnapshots,
  /// Watches of health, which anybody may open.
  kHealthWatches,
  /// All other calls, until they are answered, and until a long answer is taken.
  kCalls,
};
inline constexpr size_t kSharedKinds = 6;

// At a time, of all callers together.
inline constexpr int kWatchesMax = 256;
inline constexpr int kHealthWatchesMax = 256;
inline constexpr int kUnstartedStreamsMax = 256;
/// Each holds a whole picture.
inline constexpr int kSnapshotsMax = 8;
inline constexpr int kCallsMax = 512;

// How many of these are kept for who comes by the operators' socket: nobody locks him out.
inline constexpr int kWatchesReserved = 16;
inline constexpr int kHealthWatchesReserved = 16;
inline constexpr int kUnstartedStreamsReserved = 16;
inline constexpr int kSnapshotsReserved = 2;
inline constexpr int kCallsReserved = 64;

inline constexpr int kNoShareLimit = std::numeric_limits<int>::max();

/// How much there is of one thing.
struct ShareLimits {
  /// For everybody together ...
  int all = kNoShareLimit;
  /// ... of which so many are for operators' sockets alone.
  int reserved = 0;
  int per_address = kNoShareLimit;
  int per_principal = kNoShareLimit;
};
/// By Shared.
using ShareTable = std::array<ShareLimits, kSharedKinds>;

/// Who wants some of it. Views: valid as long as what it was made of.
struct ShareHolder {
  /// As Peer::limit_key.
  std::string_view address;
  /// Empty for who is nobody in particular: his address alone says who he is.
  std::string_view principal;
  /// Came by the operators' socket: has no shares, and the reserve.
  bool by_operator_socket = false;
};
ShareHolder HolderOf(const Peer& peer, const Principal& principal);

class ShareBooks;

/// One of the things that are shared, for as long as this lives. Movable; may outlive the keeper.
/// Bound to one thread at a time.
class ShareHold {
 public:
  ShareHold() = default;
  ShareHold(ShareHold&& other) noexcept;
  ShareHold& operator=(ShareHold&& other) noexcept;
  ~ShareHold() { Release(); }

  explicit operator bool() const { return books_ != nullptr; }
  /// Gives it back. Idempotent.
  void Release();

 private:
  friend class ShareBooks;
  /// What a peer has, by Shared.
  using Counts = std::array<int, kSharedKinds>;
  using Account = std::pair<const std::string, Counts>;

  std::shared_ptr<ShareBooks> books_;
  Shared what_ = Shared::kCalls;
  /// In the books; null if no share of it counts.
  Account* address_ = nullptr;
  Account* principal_ = nullptr;
};

/// Knows who has how much of what all share. Copies keep the same books. Thread-safe.
class ShareKeeper {
 public:
  /// Without limits.
  ShareKeeper() : ShareKeeper(ShareTable()) {}
  explicit ShareKeeper(const ShareTable& limits);

  /// One more of `what`. `instead_of` (may be null or empty) is given back for it, if it is
  /// granted; kept, if not.
  ///
  /// RESOURCE_EXHAUSTED, for a person: whose share of what is used up and what raises it.
  absl::StatusOr<ShareHold> Take(Shared what, const ShareHolder& who,
                                 ShareHold* instead_of = nullptr) const;

  /// Peers that have something now: addresses and principals.
  size_t peers() const;

 private:
  std::shared_ptr<ShareBooks> books_;
};

}  // namespace planecast
