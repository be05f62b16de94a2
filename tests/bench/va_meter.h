// CPU time that a thread spends inside libva, and so inside the driver.
#pragma once

#include <cstdint>

namespace planecast::bench {

/// A program that links va_meter.cc has its calls of libva counted: those that an encoder makes for
/// every picture. Counts are of the calling thread.
struct VaMeter {
  /// CPU time between entering a call and leaving it, in ns.
  int64_t inside_ns = 0;
  uint64_t calls = 0;
};
VaMeter ThreadVaMeter();

}  // namespace planecast::bench
