// The VM as a laboratory: sample devices, guest roles, the daemon under test, what the kernel saw.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/vm/vm_control.h"

namespace planecast::vmtest {

/// A sample device.
struct Mdev {
  std::string uuid;
  int group = -1;
  /// E.g. `mbochs-medium`.
  std::string type;
};

/// Thread-compatible.
class Lab {
 public:
  explicit Lab(VmControl& control) : control_(control) {}

  /// Runs a line of sh in the VM; its output, or what went wrong.
  absl::StatusOr<std::string> Run(const std::string& line);

  /// Creates a device of a type, e.g. `mdpy-xga`.
  absl::StatusOr<Mdev> CreateMdev(const std::string& type);
  /// Removes it; DEADLINE_EXCEEDED if somebody keeps it open.
  absl::Status RemoveMdev(const Mdev& mdev);

  /// Starts a guest role that opens the device; its pid.
  absl::StatusOr<pid_t> StartOwner(const std::string& role, const Mdev& mdev);
  /// When a process started, as `--vmm-start` takes it.
  absl::StatusOr<std::string> StartTicks(pid_t pid);
  /// Starts a guest role on a device that process `pid` has open.
  absl::Status StartBorrower(const std::string& role, pid_t pid, bool region, int memory_mib);
  /// Has a guest role do something, e.g. `flip 1 7`.
  absl::Status Tell(const std::string& role, const std::string& command);
  /// The EDID block that a role's guest finds, as bytes.
  absl::StatusOr<std::string> ReadEdid(const std::string& role);

  /// Has a role hand a copy of its device fd to the daemon; the token.
  absl::StatusOr<std::string> HandOver(const std::string& role);

  /// Starts planecastd with this config and a hand-over socket; its pid. `environment` is as the
  /// shell takes it before a command.
  absl::StatusOr<pid_t> StartDaemon(const std::string& config_textproto,
                                    const std::string& environment = {});
  /// Ends it by SIGTERM; its exit status.
  absl::StatusOr<int> StopDaemon(pid_t pid);
  /// The daemon's log.
  std::string DaemonLog();
  /// What the daemon's fds of devices and dma-bufs are; empty if it has none.
  std::string DeviceFds(pid_t pid);

  /// Begins to record every GET_GFX_DMABUF that reaches a driver (kernel probes).
  absl::Status TraceGets();
  /// One recorded GET.
  struct Get {
    std::string process;
    std::string driver;
    std::string device;
    int id = 0;
  };
  absl::StatusOr<std::vector<Get>> Gets();

  /// Lines of the kernel's log that tell of a bug.
  std::string KernelBugs();

 private:
  VmControl& control_;
  int mdevs_ = 0;
};

}  // namespace planecast::vmtest
