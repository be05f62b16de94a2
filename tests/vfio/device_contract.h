// The contract that planecast relies on, as checks that run on the fake device and on the kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/clock.h"
#include "vfio/opened_device.h"

namespace planecast {

/// What the contract has the guest of a device do. Implemented on the fake's guest and on the
/// guest role of the VM. A guest that can't do something says UNIMPLEMENTED, and the checks that
/// need it are reported as left out.
class GuestRole {
 public:
  virtual ~GuestRole() = default;
  /// Switches the screen on in this mode, 4 bytes per pixel.
  virtual absl::Status SetMode(uint32_t width_px, uint32_t height_px) = 0;
  /// Fills what is on screen with one byte value, in place.
  virtual absl::Status Paint(uint8_t value) = 0;
  /// Shows other memory of the same mode, and back: 0 is what SetMode showed, 1 the other.
  virtual absl::Status Pan(int buffer) = 0;
  virtual absl::Status Disable() = 0;
  virtual absl::Status Reset() = 0;
};

/// A device as the contract meets it.
struct ContractDevice {
  /// Opens the device, or copies its fd; called once.
  std::function<absl::StatusOr<OpenedDevice>()> open;
  GuestRole* guest = nullptr;
  Clock* clock = nullptr;
  /// Whether the CPU is expected to reach the pixels.
  bool is_readable = true;
  /// Modes to go through; at least one.
  struct Mode {
    uint32_t width_px = 0;
    uint32_t height_px = 0;
  };
  std::vector<Mode> modes;
};

/// What became of one check.
struct ContractResult {
  enum class Outcome { kPassed, kFailed, kLeftOut };
  std::string name;
  Outcome outcome = Outcome::kPassed;
  /// Why it failed or was left out.
  std::string reason;
};

/// Runs all checks, one after the other. Everything that they open is closed again.
///
/// One source is used for all of them, because an unrepaired mbochs does not survive a second
/// session that asks for the same ids.
std::vector<ContractResult> RunDeviceContract(const ContractDevice& device);

/// The results as lines of text, one per check.
std::string ContractReport(const std::vector<ContractResult>& results);

}  // namespace planecast
