// A real sample device (mbochs, mdpy) seen from the guest: registers and video memory.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/vm/pattern.h"
#include "vfio/fd.h"

namespace planecast::vmtest {

/// Opens a device by its group as a VMM would; the fds of group and container are closed again,
/// the device keeps what it needs; the group's goes to `kept_group` if that is not null. With
/// -EBUSY as the first words of the message if the group is taken.
absl::StatusOr<Fd> OpenByGroup(int group, const std::string& device, Fd* kept_group = nullptr);

/// What tells one device of a process from another.
struct DeviceKind {
  /// Region plane (mdpy) or dma-buf plane (mbochs).
  bool region = false;
  /// Size of video memory.
  uint64_t memory_bytes = 0;
};

/// Copies the device fd of that kind out of another process.
absl::StatusOr<Fd> CopyFromProcess(pid_t pid, const DeviceKind& kind);

/// The guest's hands on a device. Thread-compatible.
class GuestDevice {
 public:
  /// Maps the video memory. mdpy has a fixed mode, mbochs none before SetMode.
  static absl::StatusOr<std::unique_ptr<GuestDevice>> Create(Fd device);
  ~GuestDevice();
  GuestDevice(const GuestDevice&) = delete;
  GuestDevice& operator=(const GuestDevice&) = delete;

  int fd() const { return device_.get(); }
  bool region_plane() const { return region_plane_; }
  uint64_t memory_bytes() const { return memory_bytes_; }

  /// Sets a mode and switches on, showing the top of memory. mbochs only, as all registers are.
  absl::Status SetMode(uint32_t width_px, uint32_t height_px, uint32_t bits_per_pixel = 32);
  /// Shows memory from this line on.
  absl::Status Pan(uint32_t line);
  absl::Status SetEnabled(bool enabled);
  /// VFIO_DEVICE_RESET.
  absl::Status Reset();
  absl::Status WriteRegister(uint32_t index, uint16_t value);
  absl::StatusOr<uint16_t> ReadRegister(uint32_t index);

  /// The EDID block as the guest's driver finds it; all zeros while the display is unplugged.
  absl::StatusOr<std::array<uint8_t, 128>> ReadEdid();

  /// Paints a pattern into what is on screen now.
  absl::Status Paint(uint32_t seed, uint16_t code);
  /// Fills what is on screen now with one byte value.
  absl::Status Fill(uint8_t value);
  /// Paints a pattern into memory that is not on screen and then pans to it.
  absl::Status Flip(uint32_t seed, uint16_t code);

  uint32_t width_px() const { return width_px_; }
  uint32_t height_px() const { return height_px_; }
  /// Lines between two places to pan to, such that each begins on a page.
  uint32_t SlotLines() const;

 private:
  explicit GuestDevice(Fd device) : device_(std::move(device)) {}
  absl::Status PaintAtLine(uint32_t seed, uint16_t code, uint32_t line);

  Fd device_;
  bool region_plane_ = false;
  int64_t registers_offset_ = 0;
  void* memory_ = nullptr;
  uint64_t memory_bytes_ = 0;
  uint32_t width_px_ = 0;
  uint32_t height_px_ = 0;
  uint32_t line_ = 0;
};

}  // namespace planecast::vmtest
