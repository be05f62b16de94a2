// The host's hands on the VM: commands over the VM's second serial port (see tests/vm/init).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace planecast::vmtest {

/// What a command in the VM came to.
struct CommandResult {
  int status = 0;
  /// Standard output and error.
  std::string output;
};

/// A connection to the VM's command line. Thread-compatible: one command at a time.
class VmControl {
 public:
  /// Connects to QEMU's socket and waits until the VM is up.
  static absl::StatusOr<std::unique_ptr<VmControl>> Connect(const std::string& socket_path);
  ~VmControl();
  VmControl(const VmControl&) = delete;
  VmControl& operator=(const VmControl&) = delete;

  /// Runs one line of sh as the VM's root. An error means that the VM no longer answers; then every
  /// further command fails at once.
  absl::StatusOr<CommandResult> Run(std::string_view line);

  /// Ends the VM. It leaves `status` on its console.
  void Stop(int status);

 private:
  explicit VmControl(int socket) : socket_(socket) {}
  absl::StatusOr<CommandResult> ReadAnswer();
  absl::StatusOr<char> ReadByte();

  int socket_;
  bool broken_ = false;
  std::string buffer_;
  size_t consumed_bytes_ = 0;
};

}  // namespace planecast::vmtest
