// How other threads tell a display's thread that there is something to do.
#pragma once

#include <atomic>

#include "vfio/fd.h"

namespace planecast {

/// An eventfd with two memories: "sweep", and "somebody waits for a viewer to become ready".
/// Shared by a display and its viewers, so that a viewer may outlive the display. Thread-safe.
class WakeSignal {
 public:
  WakeSignal();

  /// Readable after Wake until Clear; -1 if the process ran out of fds, then see valid().
  int fd() const { return fd_.get(); }
  bool valid() const { return fd_.valid(); }

  /// Wakes the display. Never blocks.
  void Wake();
  /// Wakes the display if it waits for a viewer that can take a unit.
  void WakeIfAwaited();
  /// Display's thread: forgets what woke it. Returns true if anything did.
  bool Clear();
  /// Display's thread: says whether WakeIfAwaited wakes.
  void AwaitReady(bool awaited) { ready_awaited_.store(awaited); }

 private:
  Fd fd_;
  std::atomic<bool> woken_{false};
  std::atomic<bool> ready_awaited_{false};
};

}  // namespace planecast
