// The software VA driver in a test program: loaded by the real libva, told whom to play.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "encoder/testing/va_driver/control.h"
#include "tests/encoder/test_frames.h"

namespace planecast::testing {

/// The render node that stands for the driver.
inline constexpr const char* kSwRenderNode = "/dev/null";
inline constexpr const char* kPersonas[] = {"ihd", "ihd-lp", "radeonsi", "radeonsi-old", "minimal"};

/// While one lives, displays that are opened play this persona with these faults. Not nested. Bound
/// to one thread; no display may be opened elsewhere meanwhile. The driver may take as long as the
/// machine needs, unless one of the faults is a hang, which ends after GpuTimeoutNs as on a GPU.
class SwDriver {
 public:
  explicit SwDriver(const std::string& persona, const std::string& faults = {});
  ~SwDriver();
  SwDriver(const SwDriver&) = delete;
  SwDriver& operator=(const SwDriver&) = delete;

  /// Where reconstructions go, from the next display on.
  void DumpTo(const std::string& path);
};

/// The driver's counters; all 0 while it is not loaded.
planecast_sw_counters SwCounters();
/// Why the driver last refused a call.
std::string SwLastRejection();
/// Waits until no display is left, as after a hang; false after some seconds.
bool WaitForNoDisplays();

/// A plane in a memfd: the software driver takes it for a dma-buf. The CPU can read it if asked
/// for.
class MemfdPlane {
 public:
  MemfdPlane(uint32_t fourcc, uint32_t width_px, uint32_t height_px, uint32_t padding_bytes = 0);

  /// Takes over what a plane on the heap shows, which must have the same layout.
  void Show(HeapPlane& plane);
  const PlaneLayout& layout() const { return layout_; }
  Frame frame(int64_t time_ns = 0) const;
  /// CPU reads that were begun.
  int cpu_reads() const { return *cpu_reads_; }
  void set_cpu_readable(bool readable) { *cpu_readable_ = readable; }
  /// Lets go of the buffer, as a plane that retires it does.
  void Retire() { buffer_.reset(); }

 private:
  PlaneLayout layout_;
  std::shared_ptr<int> cpu_reads_;
  std::shared_ptr<bool> cpu_readable_;
  std::shared_ptr<uint8_t> bytes_;
  std::shared_ptr<const PlaneBuffer> buffer_;
};

}  // namespace planecast::testing
