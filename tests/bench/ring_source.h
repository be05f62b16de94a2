// Frames that were painted before the measurement, as fast as they are taken.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/bench/bench_guest.h"
#include "vfio/fd.h"
#include "vfio/plane_source.h"

namespace planecast::bench {

/// A plane in memory of its own, which holds these XRGB8888 pixels.
std::shared_ptr<const PlaneBuffer> MakePlane(uint32_t width_px, uint32_t height_px,
                                             std::vector<uint32_t> pixels);
/// The same in a memfd, which the CPU may not read.
std::shared_ptr<const PlaneBuffer> MakeDmabufPlane(uint32_t width_px, uint32_t height_px,
                                                   const std::vector<uint32_t>& pixels);

/// Consecutive pictures of a scene in memory of their own, played forth and back so that each
/// differs from the one before as the scene makes them differ. Immutable.
class FrameRing {
 public:
  enum class Memory {
    /// Only the CPU can read it.
    kOwn,
    /// A memfd, which the software VA driver takes for a dma-buf; the CPU may not read it.
    kDmabuf,
  };

  /// As MakeBenchScene. Begins five seconds into the scene, when the desktop's window is dragged.
  static absl::StatusOr<std::shared_ptr<const FrameRing>> Paint(const std::string& scene,
                                                                uint32_t width_px,
                                                                uint32_t height_px, size_t count,
                                                                Memory memory = Memory::kOwn);

  /// Play forth and back once takes so many.
  size_t period() const { return buffers_.size() == 1 ? 1 : 2 * (buffers_.size() - 1); }
  const std::shared_ptr<const PlaneBuffer>& at(uint64_t count) const;
  /// Index of `at(count)` among the pictures.
  size_t IndexOf(uint64_t count) const;
  const std::vector<std::shared_ptr<const PlaneBuffer>>& buffers() const { return buffers_; }
  uint32_t width_px() const { return buffers_[0]->layout().width_px; }
  uint32_t height_px() const { return buffers_[0]->layout().height_px; }

 private:
  std::vector<std::shared_ptr<const PlaneBuffer>> buffers_;
};

/// A PlaneSource that shows the next picture of a ring as soon as the last one was encoded, so that
/// the display sets the pace. Each look also queries a fake device as any look does.
class RingSource : public PlaneSource {
 public:
  /// How far a display got; outlives the source.
  class Progress {
   public:
    uint64_t count() const { return count_.load(); }
    /// Waits until `count` frames were encoded or found unchanged. False after 30 s.
    bool WaitFor(uint64_t count);

   private:
    friend class RingSource;
    void Add();
    std::atomic<uint64_t> count_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t wanted_ = UINT64_MAX;
  };

  static absl::StatusOr<std::unique_ptr<PlaneSource>> Make(std::shared_ptr<const FrameRing> ring,
                                                           std::shared_ptr<Progress> progress);
  /// Use Make.
  RingSource(std::shared_ptr<const FrameRing> ring, std::shared_ptr<Progress> progress,
             std::unique_ptr<BenchGuest> guest, std::unique_ptr<PlaneSource> device);

  const PlaneSourceInfo& info() const override { return device_->info(); }
  std::vector<int> wait_fds() const override { return {ready_.get()}; }
  Events HandleEvents(int64_t now_ns) override;
  int64_t NextLookNs() const override { return INT64_MAX; }
  int64_t NextTimedWorkNs() const override { return INT64_MAX; }
  PlaneLook Look(int64_t now_ns) override;
  Cursor LookAtCursor(int64_t now_ns) override { return device_->LookAtCursor(now_ns); }
  void ReportContent(bool changed, int64_t now_ns) override;
  void SetWatched(bool watched, int64_t now_ns) override { device_->SetWatched(watched, now_ns); }
  absl::Status SetMode(uint32_t, uint32_t, int64_t) override;

 private:
  const std::shared_ptr<const FrameRing> ring_;
  const std::shared_ptr<Progress> progress_;
  const std::unique_ptr<BenchGuest> guest_;
  const std::unique_ptr<PlaneSource> device_;
  uint64_t next_ = 0;
  /// An eventfd: readable while a picture waits that was not looked at.
  Fd ready_;
};

}  // namespace planecast::bench
