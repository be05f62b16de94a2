// How many file descriptors the displays of this process may have.
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace planecast {

/// What the process has open without displays and connections: listeners, locks, logs, gRPC's own.
/// About twenty are in use.
inline constexpr size_t kFdsOwn = 32;
/// Least that is left to connections, operators' among them, however small the limit is. Of larger
/// limits it is five of 32: at 1,024 that leaves 64 displays what they need, and each of them a
/// viewer.
inline constexpr size_t kFdsReserveMin = 64;
inline constexpr size_t kFdsReserveShare = 5;
inline constexpr size_t kFdsReserveOf = 32;
/// A connection is a socket, and a duplicate by which it is watched.
inline constexpr size_t kFdsPerConnection = 2;
/// Connections that are kept for operators, who come by sockets of their own.
inline constexpr size_t kOperatorConnections = 8;
/// Dma-bufs that every display of a device that exports them can keep: what a guest flips among,
/// two or three, and a cursor.
inline constexpr size_t kBuffersKeptMin = 4;
/// Dma-bufs that a display keeps at most of a driver that gives them out again.
inline constexpr size_t kBuffersKeptMax = 32;
/// Of a display, beside its device: the eventfd that wakes its thread, and its encoder's render
/// node.
inline constexpr size_t kFdsPerDisplay = 2;
/// Of a device that is opened or borrowed, at most: the device, a group and its container or an
/// iommufd, the VMM's pidfd, and two eventfds for flips.
inline constexpr size_t kFdsPerDevice = 6;

/// What one display takes.
struct FdNeeds {
  /// For as long as it is attached.
  size_t fixed = kFdsPerDisplay + kFdsPerDevice;
  /// Dma-bufs that it must be able to keep; 0 for a plane that is a region.
  size_t buffers = kBuffersKeptMin;
  /// What one of them takes.
  size_t per_buffer = 1;
};

class FdClaim;

/// Shares a process's file descriptors among its displays.
///
/// What a display can't do without is claimed when it is attached; if that is not there, the attach
/// is refused. What is left over is spread evenly over the displays for further dma-bufs, so that a
/// host with room keeps as many as ever and a full one fewer. Nothing is counted by the kernel's
/// word: a display that needs a descriptor later has its place already.
///
/// Thread-safe. Must outlive its claims.
class FdBudget {
 public:
  /// `limit` is RLIMIT_NOFILE's soft limit.
  explicit FdBudget(size_t limit);
  FdBudget(const FdBudget&) = delete;
  FdBudget& operator=(const FdBudget&) = delete;

  /// RESOURCE_EXHAUSTED if there is no room, with what to raise.
  absl::StatusOr<FdClaim> Take(const FdNeeds& needs);

  struct Reading {
    size_t limit = 0;
    /// Of the limit, for displays.
    size_t displays_max = 0;
    /// Of that, claimed.
    size_t claimed = 0;
    /// Displays that keep fewer dma-bufs than they would.
    size_t short_displays = 0;
  };
  Reading Read() const;

  /// TCP connections that can be open beside all of that, and beside operators'.
  size_t connections_max() const;

  /// What is short, one sentence each; `open_fds` is how many the process has open now.
  std::vector<std::string> Shortages(size_t open_fds) const;

 private:
  friend class FdClaim;

  absl::Status AddLocked(size_t fds, const char* what);
  void SpreadLocked();

  const size_t limit_;
  const size_t displays_max_;
  mutable std::mutex mutex_;
  size_t claimed_ = 0;
  size_t short_displays_ = 0;
  /// What one more dma-buf of each display that may keep more takes, all together.
  size_t sharers_ = 0;
  /// Dma-bufs that each of those may keep beyond its own.
  std::atomic<size_t> extra_buffers_{0};
};

/// One display's part of a budget; given back on destruction. Move-only.
///
/// A claim that is not valid is one without a budget: it allows all. Thread-compatible.
class FdClaim {
 public:
  FdClaim() = default;
  FdClaim(FdClaim&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)),
        needs_(other.needs_),
        shares_(std::exchange(other.shares_, false)),
        short_(std::exchange(other.short_, false)) {}
  FdClaim& operator=(FdClaim&& other) noexcept;
  FdClaim(const FdClaim&) = delete;
  FdClaim& operator=(const FdClaim&) = delete;
  ~FdClaim() { Release(); }

  bool valid() const { return budget_ != nullptr; }
  /// RLIMIT_NOFILE, for a person; 0 if not valid.
  size_t limit() const { return budget_ != nullptr ? budget_->limit_ : 0; }

  /// Dma-bufs that may be kept now, at least as many as were claimed, at most kBuffersKeptMax.
  /// Changes as displays come and go.
  size_t buffers_max() const;
  /// Dma-bufs that may be kept whatever happens.
  size_t buffers() const { return needs_.buffers; }
  /// For a driver whose dma-bufs can't be let go: from now on, `buffers` are claimed instead of
  /// shared. RESOURCE_EXHAUSTED if they are not there; the claim is then what it was.
  absl::Status ClaimBuffers(size_t buffers);
  /// The plane is a region: there are no dma-bufs.
  void ReleaseBuffers();
  /// Whether fewer are kept than would be.
  void SetShort(bool is_short);

 private:
  friend class FdBudget;

  FdClaim(FdBudget& budget, const FdNeeds& needs)
      : budget_(&budget), needs_(needs), shares_(needs.buffers > 0) {}
  void Release();
  void StopSharingLocked();

  FdBudget* budget_ = nullptr;
  FdNeeds needs_;
  /// It may have more dma-bufs than it claimed.
  bool shares_ = false;
  bool short_ = false;
};

}  // namespace planecast
