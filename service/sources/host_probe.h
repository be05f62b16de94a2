// A first look at what this host allows.
#pragma once

#include <string>
#include <vector>

#include "vfio/sys.h"

namespace planecast {

/// One way to a plane, and whether anything on this host speaks against it.
struct WayToPlane {
  /// "fake", "vfio-group", "vfio-cdev", "vmm", "handed-over".
  std::string id;
  /// Why it can't work and what would help; empty if nothing speaks against it.
  std::string problem;
};

/// Looks at device nodes and abilities without opening a device. `hand_over` says whether the
/// daemon serves a hand-over socket. Never blocks.
std::vector<WayToPlane> ProbeWaysToPlane(Sys& sys, bool hand_over);

}  // namespace planecast
