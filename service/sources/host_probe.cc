#include "service/sources/host_probe.h"

#include <utility>

namespace planecast {

std::vector<WayToPlane> ProbeWaysToPlane(DeviceOpener& opener, bool hand_over) {
  OpenerProblems problems = opener.Problems();
  return {
      {"fake", ""},
      {"vfio-group", std::move(problems.group)},
      {"vfio-cdev", std::move(problems.cdev)},
      {"vmm", std::move(problems.vmm)},
      {"handed-over", hand_over ? "" : "the config sets no hand_over_socket_path"},
  };
}

}  // namespace planecast
