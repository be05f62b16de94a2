// A VFIO display device that isn't there: the kernel's side of the Sys seam.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "vfio/clock.h"
#include "vfio/fake/fake_guest.h"
#include "vfio/fake/fake_profile.h"
#include "vfio/sys.h"

namespace planecast {

struct FakeDeviceOptions {
  FakeProfile profile = FakeProfile::kIdeal;
  FakeDialect dialect = FakeDialect::kFinal;
  /// The profile's own if absent: irq-v6 for ideal, none for the others.
  std::optional<FakeFlipDialect> flip_dialect = std::nullopt;
  /// Whether the calling process has a KVM VM; gvt can't be opened without.
  bool has_kvm = true;
  /// Largest mode; decides the size of a region plane.
  uint32_t width_max_px = 1920;
  uint32_t height_max_px = 1080;
  /// From link UP to the guest's mode change.
  int64_t edid_reaction_ns = 150'000'000;
  /// Number N of /dev/vfio/N and /dev/vfio/devices/vfioN.
  int number = 7;
  /// What GROUP_GET_DEVICE_FD must name.
  std::string device_name = "c9b0ad7e-8f0a-4ee3-9f0a-2b6a52f1c001";
};

/// One fake device, with the paths that lead to it and everything exported from it.
///
/// Fd numbers are real fds of this process (memfds, so poll(2) works); what they mean is known only
/// here, so they must be used and closed through this object. Fds and paths that it doesn't know go
/// to KernelSys(). Every export is backed by real memory: the fd of a dma-buf is a memfd with
/// exactly the plane's bytes, also where the profile forbids mapping it.
///
/// Thread-safe. Must outlive all fds obtained from it.
class FakeDevice : public Sys {
 public:
  FakeDevice(const FakeDeviceOptions& options, Clock& clock);
  ~FakeDevice() override;

  const FakeDeviceOptions& options() const;
  FakeGuest& guest();

  /// A device fd as GROUP_GET_DEVICE_FD gives it, or a negated errno. The caller closes it through
  /// this object.
  int OpenDevice();

  /// Makes `fd`, which came to this process by SCM_RIGHTS, one of this device's. False if it is a
  /// copy of none that is open.
  bool Receive(int fd);

  /// "/dev/vfio/N", "/dev/vfio/devices/vfioN".
  std::string group_path() const;
  std::string cdev_path() const;

  /// What the host has and did. For tests of leaks and of etiquette.
  struct Counters {
    int open_device_fds = 0;
    int open_dmabuf_fds = 0;
    /// Group, container, iommufd.
    int open_other_fds = 0;
    int live_mappings = 0;
    /// Things that would break a real host, such as a second GET of an mbochs id.
    int consumer_errors = 0;
    uint64_t primary_queries = 0;
    uint64_t cursor_queries = 0;
    uint64_t gets = 0;
    uint64_t resets = 0;
    uint64_t edid_writes = 0;
  };
  Counters counters() const;
  /// What the last consumer error was; empty if there was none.
  std::string last_consumer_error() const;

  // Sys.
  int Open(const char* path, int flags) override;
  int Close(int fd) override;
  int Dup(int fd) override;
  int Ioctl(int fd, unsigned long request, void* arg) override;
  int64_t Pread(int fd, void* data, size_t size_bytes, int64_t offset_bytes) override;
  int64_t Pwrite(int fd, const void* data, size_t size_bytes, int64_t offset_bytes) override;
  int64_t Lseek(int fd, int64_t offset_bytes, int whence) override;
  int Mmap(size_t size_bytes, int prot, int flags, int fd, int64_t offset_bytes,
           void** address) override;
  int Munmap(void* address, size_t size_bytes) override;
  int Fstat(int fd, struct stat* out) override;
  int FileKind(const char* path, mode_t* kind) override { return KernelSys().FileKind(path, kind); }
  int FileSystemType(int fd, uint64_t* type) override;
  int ReadFdLink(int fd, std::string* target) override;
  int ReadFdInfo(int fd, std::string* text) override;
  int GetFdFlags(int fd) override;
  int GetFileFlags(int fd) override;
  int PidfdOpen(pid_t pid) override;
  int PidfdGetfd(int pidfd, int target_fd) override;

 private:
  std::unique_ptr<FakeState> state_;
  std::unique_ptr<FakeGuest> guest_;
};

}  // namespace planecast
