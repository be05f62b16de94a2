// The daemon in the VM and a client on the host: what the checks of all encoders have in common.
#pragma once

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "tests/vm/lab.h"
#include "tests/vm/report.h"
#include "tests/vm/server_link.h"

namespace planecast::vmtest {

/// What the guests paint from.
inline constexpr uint32_t kSeed = 5;

std::string Text(const absl::Status& status);

/// What one command of the host's shell printed.
struct Shell {
  int status = -1;
  std::string output;
};
Shell RunOnHost(const std::string& line);

/// One run of planecastd in the VM. Thread-compatible.
class DaemonSession {
 protected:
  /// `options` are the command line's of vm_e2e.
  DaemonSession(Lab& lab, Report& report, std::map<std::string, std::string> options)
      : lab_(lab), report_(report), options_(std::move(options)) {}

  bool Expect(const absl::Status& status, const std::string& what) {
    return report_.Check(status.ok(), what, Text(status));
  }
  bool Expect(bool ok, const std::string& what, const std::string& detail = {}) {
    return report_.Check(ok, what, detail);
  }

  /// Starts the daemon with this config and connects a client on the host to it.
  bool StartServing(const std::string& config_textproto, const std::string& environment = {});
  /// Ends the daemon, which must end well.
  void StopServing();

  void ExpectState(const std::string& id, v1::Display::State state, const std::string& what);
  void ExpectPicture(Viewer& viewer, const std::string& id, uint16_t code, uint32_t width_px,
                     uint32_t height_px, const std::string& what);
  void ExpectSoundStream(Viewer& viewer, const std::string& id);

  /// Has a guest role paint or flip.
  absl::Status Paint(const std::string& role, const char* verb, uint16_t code);
  bool Attach(const std::string& id, const std::string& source);
  bool AttachGroup(const std::string& id, const Mdev& mdev);
  /// `planecast WORDS` on the host.
  Shell Cli(const std::string& words);

  Lab& lab_;
  Report& report_;
  std::map<std::string, std::string> options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<DisplayWatch> watch_;
  pid_t daemon_ = 0;
};

}  // namespace planecast::vmtest
