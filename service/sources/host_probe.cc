#include "service/sources/host_probe.h"

#include <utility>

namespace planecast {

std::vector<WayToPlane> ProbeWaysToPlane(DeviceOpener& opener, const WaysAllowed& allowed) {
  OpenerProblems problems = opener.Problems();
  return {
      {"fake", allowed.fakes ? "" : std::string(kNoFakeDevices)},
      {"vfio-group", std::move(problems.group)},
      {"vfio-cdev", std::move(problems.cdev)},
      {"vmm", std::move(problems.vmm)},
      {"handed-over", allowed.hand_over ? "" : "the config sets no hand_over_socket_path"},
  };
}

}  // namespace planecast
