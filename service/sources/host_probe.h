// A first look at what this host allows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vfio/device_opener.h"

namespace planecast {

/// One way to a plane, and whether anything on this host speaks against it.
struct WayToPlane {
  /// "fake", "vfio-group", "vfio-cdev", "vmm", "handed-over".
  std::string id;
  /// Why it can't work and what would help; empty if nothing speaks against it.
  std::string problem;
};

/// What the daemon's config lets in.
struct WaysAllowed {
  /// It serves a hand-over socket.
  bool hand_over = false;
  bool fakes = false;
};

/// Why a daemon has no fake devices, and what gives it some.
inline constexpr std::string_view kNoFakeDevices =
    "fake devices take a core each and are for demos and tests: start planecastd with "
    "--allow-fake, "
    "or write allow_fake_devices: true into its config";

/// Asks `opener` what it could open. Blocks for as long as the opener takes to answer.
std::vector<WayToPlane> ProbeWaysToPlane(DeviceOpener& opener, const WaysAllowed& allowed);

}  // namespace planecast
