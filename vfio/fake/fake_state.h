// What a fake device knows, shared by its parts. Internal to vfio/fake.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "vfio/abi.h"
#include "vfio/clock.h"
#include "vfio/fake/fake_device.h"
#include "vfio/fake/fake_guest.h"
#include "vfio/fake/fake_memory.h"
#include "vfio/fake/fake_profile.h"
#include "vfio/frame.h"

namespace planecast {

/// Something that a plane can show: memory, and what the guest's driver programmed about it.
struct FakeSurface {
  PlaneLayout layout;
  /// GGTT address (gvt, ideal) or offset in video memory (mbochs).
  uint64_t address_bytes = 0;
  std::shared_ptr<FakeMemory> memory;
};

/// What a dmabuf_id names in the driver.
struct FakePlaneObject {
  uint32_t id = 0;
  FakeSurface surface;
  /// A QUERY's reference, which the next GET turns into the one of its dma-buf.
  bool pending = false;
  /// Live dma-buf files.
  int files = 0;
  bool ever_exported = false;
  bool is_cursor = false;
};

/// An open file; fds, duplicates of them, and mappings share it.
struct FakeFile {
  enum class Kind { kContainer, kGroup, kIommufd, kDevice, kDmabuf, kSyncFile };
  Kind kind = Kind::kDevice;
  /// Container: SET_IOMMU was done. Device: usable, i.e. not an unbound cdev.
  bool ready = false;
  bool via_cdev = false;
  /// Group: its container. Device: its group.
  std::shared_ptr<FakeFile> parent;
  std::shared_ptr<FakePlaneObject> object;
  /// What Fstat says instead of the memfd's, if not 0.
  ino_t inode = 0;
};

struct FakeMapping {
  size_t size_bytes = 0;
  std::shared_ptr<FakeFile> file;
};

/// `skip` calls go well, then `count` fail.
struct FakeFault {
  int error = 0;
  int count = 0;
  int skip = 0;
  /// The negated errno of this call, or 0.
  int Next();
};

struct FakeCursorState {
  bool visible = false;
  FakeSurface surface;
  int32_t x_px = 0;
  int32_t y_px = 0;
  uint32_t x_hot_px = 0;
  uint32_t y_hot_px = 0;
};

/// The state of one flip IRQ, or of the draft eventfd.
struct FakeTrigger {
  /// Our duplicate, as the kernel holds a reference; -1 if not armed.
  int eventfd = -1;
  bool masked = false;
};

/// All state of a FakeDevice. Methods are called with `mutex` held unless noted.
struct FakeState {
  FakeState(const FakeDeviceOptions& device_options, Clock& device_clock);
  ~FakeState();

  const FakeDeviceOptions options;
  const FakeProfileTraits& traits;
  const FakeFlipDialect flip_dialect;
  Clock& clock;

  mutable std::mutex mutex;
  /// Callbacks that an operation wants run after the lock is released.
  std::vector<std::function<void()>> deferred;

  /// Runs `operation` under the lock, and what it deferred without. Lock not held.
  template <typename Operation>
  auto Locked(Operation operation) {
    std::vector<std::function<void()>> actions;
    struct RunAfter {
      std::vector<std::function<void()>>& actions;
      ~RunAfter() {
        for (const auto& action : actions) action();
      }
    } run_after{actions};
    const std::lock_guard lock(mutex);
    struct TakeDeferred {
      FakeState& state;
      std::vector<std::function<void()>>& actions;
      ~TakeDeferred() { actions.swap(state.deferred); }
    } take_deferred{*this, actions};
    return operation();
  }

  // --- Files and mappings (fake_files.cc).

  std::map<int, std::shared_ptr<FakeFile>> files;
  std::map<void*, FakeMapping> mappings;
  /// pidfds of this very process.
  std::map<int, pid_t> own_pidfds;
  bool group_open = false;
  int bound_device_files = 0;
  bool cdev_bound = false;
  FakeDevice::Counters counters;
  std::string last_consumer_error;
  ino_t next_inode = 1;

  std::shared_ptr<FakeFile> Find(int fd) const;
  /// Puts a real fd under `file`; returns the fd, or the error that it is.
  int Install(int real_fd, std::shared_ptr<FakeFile> file);
  /// A new fd for a file without memory.
  int InstallPlain(const char* name, std::shared_ptr<FakeFile> file);
  int OpenPath(const std::string& path);
  int CloseFd(int fd);
  /// Drops one reference; the last one does what the kernel does on release.
  void Drop(std::shared_ptr<FakeFile>&& reference);
  void ConsumerError(std::string what);
  int OpenDeviceFile(std::shared_ptr<FakeFile> group);
  void OnDeviceOpened();
  void OnDeviceClosed();
  int GroupIoctl(const std::shared_ptr<FakeFile>& file, unsigned long request, void* arg);
  int ContainerIoctl(FakeFile& file, unsigned long request, void* arg);
  int BindCdev(FakeFile& file, void* arg);

  // --- The device's own ioctls (fake_device.cc).

  bool unplugged = false;
  /// mdpy knows its number of IRQs only after the first GET_INFO.
  bool info_was_read = false;
  int DeviceIoctl(const std::shared_ptr<FakeFile>& file, unsigned long request, void* arg);
  int GetInfo(void* arg);
  int GetRegionInfo(void* arg) const;
  uint64_t RegionSizeBytes(uint32_t index) const;
  uint64_t RegionOffsetBytes(uint32_t index) const;
  int64_t DeviceRead(uint8_t* data, size_t size_bytes, uint64_t offset_bytes);
  int64_t DeviceWrite(const uint8_t* data, size_t size_bytes, uint64_t offset_bytes);

  // --- The guest (fake_guest.cc).

  FakeMode mode;
  std::vector<FakeSurface> buffers;
  int shown = 0;
  bool ever_had_mode = false;
  bool enabled = false;
  std::optional<FakeInvalidSurface> invalid;
  /// mbochs: what Pan shows instead of a buffer.
  std::optional<FakeSurface> panned;
  FakeCursorState cursor;
  uint64_t next_address_bytes = 0x100000;
  /// mbochs: the same place in video memory is the same memory.
  std::map<std::pair<uint64_t, uint64_t>, std::shared_ptr<FakeMemory>> video_memory;
  /// The memory of a region plane.
  std::shared_ptr<FakeMemory> region_memory;
  absl::StatusOr<PlaneLayout> CheckMode(const FakeMode& wanted) const;
  absl::StatusOr<std::vector<FakeSurface>> AllocateBuffers(const FakeMode& wanted);
  void ResetDevice();
  void CursorChanged();

  // --- Planes (fake_planes.cc).

  std::map<uint32_t, std::shared_ptr<FakePlaneObject>> objects;
  uint32_t last_id = 0;
  int64_t last_query_ns = 0;
  FakeFault query_fault;
  FakeFault cursor_query_fault;
  FakeFault get_fault;
  FakeFault mmap_fault;
  std::function<void(abi::GfxPlaneInfo&)> corrupt;
  std::function<void()> after_next_query;
  /// v1: the fd that an object was handed out as.
  std::map<uint32_t, int> v1_fds;

  int QueryPlane(void* arg);
  int QueryPlaneV15(void* arg);
  int QueryPlaneV1(void* arg);
  int GetDmabuf(void* arg);
  int GetDmabufV15(void* arg);
  int CheckQueryFlags(uint32_t flags) const;
  int FillPlane(abi::GfxPlaneInfo& info);
  int FillPrimary(abi::GfxPlaneInfo& info);
  int FillCursor(abi::GfxPlaneInfo& info);
  void FillCursorPlace(abi::GfxPlaneInfo& info) const;
  void NoFramebuffer(abi::GfxPlaneInfo& info) const;
  /// The id of a surface, in info; a new object if the driver doesn't know it yet.
  int FillSurface(const FakeSurface& surface, bool is_cursor, abi::GfxPlaneInfo& info);
  std::shared_ptr<FakePlaneObject> FindObject(const FakeSurface& surface) const;
  std::shared_ptr<FakePlaneObject> AddObject(const FakeSurface& surface, bool is_cursor);
  int ExportObject(const std::shared_ptr<FakePlaneObject>& object);
  void OnDmabufReleased(FakePlaneObject& object);
  void ForgetSurfaces();
  int DmabufIoctl(unsigned long request, void* arg);
  int64_t DmabufSeek(const FakeFile& file, int64_t offset_bytes, int whence) const;
  int MapDmabuf(const std::shared_ptr<FakeFile>& file, int fd, size_t size_bytes, int prot,
                int flags, int64_t offset_bytes, void** address);
  int MapRegion(const std::shared_ptr<FakeFile>& file, size_t size_bytes, int prot, int flags,
                int64_t offset_bytes, void** address);

  // --- EDID (fake_edid.cc).

  abi::EdidRegs edid{};
  std::array<uint8_t, 1024> edid_blob{};
  int64_t edid_due_ns = std::numeric_limits<int64_t>::max();
  FakeGuest::Size edid_size;
  /// Offsets within the region; 0 or a negated errno.
  int ReadEdid(uint64_t offset_bytes, uint8_t* data, size_t size_bytes) const;
  int WriteEdid(uint64_t offset_bytes, const uint8_t* data, size_t size_bytes);
  int WriteEdidRegister(uint32_t offset_bytes, uint32_t value);
  int WriteLinkState(uint32_t value);
  void ScheduleEdidReaction();

  // --- Flip events (fake_irqs.cc).

  std::array<FakeTrigger, 2> triggers;
  int idle_vblanks = 0;
  uint32_t num_irqs() const;
  int GetIrqInfo(void* arg) const;
  int GetFlipIrqInfo(const abi::IrqInfo& asked, void* arg) const;
  int SetIrqs(void* arg);
  int SetFlipIrq(const abi::IrqSet& set, const void* data);
  int SetFlipEventfd(void* arg);
  int DeviceFeature(void* arg) const;
  int Arm(FakeTrigger& trigger, int eventfd) const;
  static void Disarm(FakeTrigger& trigger);
  void SignalFlip();
  void SignalVblank();
  void SignalCursor();
  bool events_armed() const;
  /// The draft signals blanks without a flip, always or in the end.
  bool signals_vblanks() const;

  // --- The guest's thread.

  std::function<void()> wakeup;
  void WakeGuest();
};

/// copy_from_user and copy_to_user: 0 or -EFAULT.
int CopyIn(void* to, const void* from_user, size_t size_bytes);
int CopyOut(void* to_user, const void* from, size_t size_bytes);

}  // namespace planecast
