// QEMU's own VNC server, on a screen that the bench paints.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/child_process.h"
#include "vfio/fd.h"

namespace planecast::bench {

/// A QEMU whose VM never runs; its devices are set up by the qtest protocol. Its ramfb shows a part
/// of the VM's memory, which is shared with the bench: what the bench writes there is what QEMU
/// sees, as with a vGPU's region under vfio-pci's display, and like there QEMU has to compare to
/// find what changed. Thread-compatible.
class QemuPeer {
 public:
  /// `lossy` allows JPEG. UNAVAILABLE if QEMU is not installed.
  static absl::StatusOr<std::unique_ptr<QemuPeer>> Start(const Bench& bench, uint32_t width_px,
                                                         uint32_t height_px, bool lossy);
  /// Use Start.
  QemuPeer() = default;
  ~QemuPeer();
  QemuPeer(const QemuPeer&) = delete;
  QemuPeer& operator=(const QemuPeer&) = delete;

  int pid() const { return process_->pid(); }
  int vnc_port() const { return vnc_port_; }
  uint32_t* pixels() const;

 private:
  absl::Status MapMemory();
  absl::Status Run(const Bench& bench, bool lossy);
  absl::Status ConfigureScreen(uint32_t width_px, uint32_t height_px);
  /// The key of a file of fw_cfg.
  absl::StatusOr<uint16_t> FindFile(const std::string& name);
  absl::StatusOr<uint32_t> ReadBigEndian(int bytes);

  Fd memory_fd_;
  uint8_t* memory_ = nullptr;
  std::unique_ptr<ChildProcess> process_;
  int vnc_port_ = 0;
};

}  // namespace planecast::bench
