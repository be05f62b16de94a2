#include "service/sources/host_probe.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "vfio/fd.h"

namespace planecast {
namespace {

constexpr const char* kContainerNode = "/dev/vfio/vfio";
constexpr const char* kVfioDirectory = "/dev/vfio";
constexpr const char* kCdevDirectory = "/dev/vfio/devices";
constexpr const char* kIommufdNode = "/dev/iommu";

/// Whether `directory` has an entry besides `except`.
bool HasEntries(const char* directory, const char* except) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().filename() != except) return true;
  }
  return false;
}

std::string NodeProblem(const char* node, const char* remedy) {
  if (access(node, F_OK) != 0) return absl::StrCat("there is no ", node, "; ", remedy);
  if (access(node, R_OK | W_OK) != 0) {
    return absl::StrCat("the daemon may not open ", node, "; run it as root or give it the node");
  }
  return "";
}

std::string GroupProblem() {
  if (auto problem = NodeProblem(kContainerNode, "load the kernel module vfio"); !problem.empty()) {
    return problem;
  }
  if (HasEntries(kVfioDirectory, "vfio")) return "";
  return "no VFIO group exists; create a mediated device first";
}

std::string CdevProblem() {
  if (auto problem = NodeProblem(kIommufdNode, "it takes Linux 6.6 or later with CONFIG_IOMMUFD");
      !problem.empty()) {
    return problem;
  }
  if (HasEntries(kCdevDirectory, "")) return "";
  return absl::StrCat("no device in ", kCdevDirectory,
                      "; create a mediated device on a kernel with CONFIG_VFIO_DEVICE_CDEV first");
}

std::string VmmProblem(Sys& sys) {
  const int pidfd = sys.PidfdOpen(getpid());
  if (pidfd < 0) {
    return absl::StrCat("pidfd_open: ", std::strerror(-pidfd), "; it takes Linux 5.6 or later");
  }
  const Fd self(sys, pidfd);
  const int copy = sys.PidfdGetfd(pidfd, pidfd);
  if (copy < 0) {
    return absl::StrCat("pidfd_getfd: ", std::strerror(-copy),
                        "; it takes Linux 5.6 or later and a seccomp filter that allows it");
  }
  sys.Close(copy);
  return "";
}

}  // namespace

std::vector<WayToPlane> ProbeWaysToPlane(Sys& sys, const WaysAllowed& allowed) {
  return {
      {"fake", allowed.fakes ? "" : std::string(kNoFakeDevices)},
      {"vfio-group", GroupProblem()},
      {"vfio-cdev", CdevProblem()},
      {"vmm", VmmProblem(sys)},
      {"handed-over", allowed.hand_over ? "" : "the config sets no hand_over_socket_path"},
  };
}

}  // namespace planecast
