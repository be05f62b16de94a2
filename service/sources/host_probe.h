// A first look at what this host allows.
#pragma once

#include <string>
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

/// Asks `opener` what it could open. `hand_over` says whether the daemon serves a hand-over socket.
/// Blocks for as long as the opener takes to answer.
std::vector<WayToPlane> ProbeWaysToPlane(DeviceOpener& opener, bool hand_over);

}  // namespace planecast
