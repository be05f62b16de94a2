// Flip notification by the device: the drafts of 2019. Upstream kernels have none of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vfio/caps.h"
#include "vfio/fd.h"
#include "vfio/gfx_device.h"
#include "vfio/plane_source.h"

namespace planecast {

/// Which planes a flip event speaks of.
struct FlippedPlanes {
  bool primary = false;
  bool cursor = false;
  friend bool operator==(const FlippedPlanes&, const FlippedPlanes&) = default;
};

/// What an eventfd's counter of a draft v5 or v6 display IRQ says. Pure.
///
/// Each event adds its plane's value, so that 256 unread cursor events carry into the primary's
/// byte. Nothing can be told apart then, and on any doubt both planes count as flipped.
FlippedPlanes DecodeFlipCounter(uint64_t counter, const DisplayIrqCaps& caps);

/// An armed source of flip events of one device. Disarms on destruction. Thread-compatible.
class FlipEvents {
 public:
  /// Looks for display IRQs behind the PCI ones and arms what it finds, in the probing order of
  /// least risk. NOT_FOUND if the device announces none; any other error if it does, but arming
  /// failed. `device` must outlive the result.
  static absl::StatusOr<std::unique_ptr<FlipEvents>> ArmIrqs(GfxDevice& device);

  /// Arms the draft ioctl of 2019-05.
  static absl::StatusOr<std::unique_ptr<FlipEvents>> ArmEventfdIoctl(GfxDevice& device);

  explicit FlipEvents(GfxDevice& device) : device_(&device) {}
  FlipEvents(const FlipEvents&) = delete;
  FlipEvents& operator=(const FlipEvents&) = delete;
  ~FlipEvents();

  FlipRegime regime() const { return regime_; }
  /// Whether changes of the cursor are signalled too. The drafts of which that is not known count
  /// as not.
  bool covers_cursor() const;
  /// Borrowed eventfds, readable after a flip.
  std::vector<int> fds() const;
  /// Events stop (false) or go on (true). A device that can't mask is disarmed and armed again.
  absl::Status SetEnabled(bool enabled);
  /// Takes all events that are there. Never blocks.
  FlippedPlanes Drain();

 private:
  struct Irq {
    uint32_t index = 0;
    DisplayIrqCaps caps;
    Fd eventfd;
  };
  absl::Status Arm(const Irq& irq);
  absl::Status SetIrqEnabled(const Irq& irq, bool enabled);

  GfxDevice* device_;
  FlipRegime regime_ = FlipRegime::kIrq;
  std::vector<Irq> irqs_;
  Fd ioctl_eventfd_;
};

}  // namespace planecast
