// A configured display whose device can't be opened yet.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "vfio/clock.h"
#include "vfio/plane_source.h"

namespace planecast {

/// From one attempt to open a device to the next; doubled each time up to the second.
inline constexpr int64_t kOpenRetryMinNs = 1'000'000'000;
inline constexpr int64_t kOpenRetryMaxNs = 30'000'000'000;

/// A source that is there before its device is: a machine boots the daemon before its guests, and a
/// configured display is then listed with the reason instead of being lost.
///
/// Until the device opens, Look() says kFailed with why; it is tried again with back-off, also
/// while nobody watches. From then on everything is passed on to the device's own source. Bound to
/// the display's thread, as every source is.
class RetryingSource final : public PlaneSource {
 public:
  using Open = std::function<absl::StatusOr<std::unique_ptr<PlaneSource>>()>;

  /// Tries at once. `clock` must outlive the source.
  RetryingSource(Open open, Clock& clock);

  /// Why the device is not open; OK if it is.
  const absl::Status& problem() const { return problem_; }

  const PlaneSourceInfo& info() const override;
  std::vector<int> wait_fds() const override;
  Events HandleEvents(int64_t now_ns) override;
  int64_t NextLookNs() const override;
  int64_t NextTimedWorkNs() const override;
  PlaneLook Look(int64_t now_ns) override;
  Cursor LookAtCursor(int64_t now_ns) override;
  void ReportContent(bool changed, int64_t now_ns) override;
  void SetWatched(bool watched, int64_t now_ns) override;
  absl::Status SetMode(uint32_t width_px, uint32_t height_px, int64_t now_ns) override;

 private:
  void TryOpen(int64_t now_ns);

  const Open open_;
  std::unique_ptr<PlaneSource> source_;
  absl::Status problem_;
  const PlaneSourceInfo no_info_;
  bool watched_ = false;
  int64_t next_try_ns_ = 0;
  int64_t backoff_ns_ = kOpenRetryMinNs;
};

}  // namespace planecast
