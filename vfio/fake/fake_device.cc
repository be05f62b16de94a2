#include "vfio/fake/fake_device.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "vfio/fake/fake_state.h"

namespace planecast {
namespace {

using Kind = FakeFile::Kind;

/// Major numbers of the character devices, which are any that the kernel had free.
constexpr unsigned kGroupMajor = 511;
constexpr unsigned kCdevMajor = 510;
constexpr mode_t kPermissions = 0600;

constexpr uint32_t kConfigRegion = 7;
constexpr uint32_t kEdidRegion = 9;
/// What a GET_REGION_INFO answer with one TYPE capability takes.
constexpr uint32_t kRegionInfoWithTypeBytes = sizeof(abi::RegionInfo) + sizeof(abi::RegionCapType);
/// nvidia: a fixed console size, as users report.
constexpr uint64_t kNvidiaRegionBytes = uint64_t{16} << 20;

uint64_t PlaneRegionBytes(const FakeDeviceOptions& options) {
  const uint64_t needed = uint64_t{options.width_max_px} * options.height_max_px * 4;
  const uint64_t rounded = std::bit_ceil(std::max<uint64_t>(needed, kFakePageBytes));
  return options.profile == FakeProfile::kNvidia ? std::max(rounded, kNvidiaRegionBytes) : rounded;
}

}  // namespace

FakeState::FakeState(const FakeDeviceOptions& device_options, Clock& device_clock)
    : options(device_options),
      traits(TraitsOf(device_options.profile)),
      flip_dialect(device_options.flip_dialect.value_or(traits.default_flip_dialect)),
      clock(device_clock) {
  if (traits.region_plane) region_memory = FakeMemory::Create(PlaneRegionBytes(options));
  if (!traits.edid) return;
  const bool gvt = options.profile == FakeProfile::kGvt;
  const bool ideal = options.profile == FakeProfile::kIdeal;
  edid.edid_offset = 2048;
  edid.edid_max_size = traits.edid_max_size_bytes;
  edid.max_xres = ideal ? kPlaneWidthMaxPx : 1920;
  edid.max_yres = ideal ? kPlaneHeightMaxPx : (gvt ? 1200 : 1440);
}

FakeState::~FakeState() {
  for (FakeTrigger& trigger : triggers) Disarm(trigger);
  for (const auto& [fd, file] : files) close(fd);
}

// --- Ioctls on the device fd.

int FakeState::DeviceIoctl(const std::shared_ptr<FakeFile>& file, unsigned long request,
                           void* arg) {
  if (request == abi::kDeviceBindIommufd && file->via_cdev) return BindCdev(*file, arg);
  if (!file->ready) return -EINVAL;
  if (unplugged) return -ENODEV;
  switch (request) {
    case abi::kDeviceGetInfo:
      return GetInfo(arg);
    case abi::kDeviceGetRegionInfo:
      return GetRegionInfo(arg);
    case abi::kDeviceGetIrqInfo:
      return GetIrqInfo(arg);
    case abi::kDeviceSetIrqs:
      return SetIrqs(arg);
    case abi::kDeviceReset:
      ++counters.resets;
      ResetDevice();
      return 0;
    case abi::kQueryGfxPlane:
      if (options.dialect == FakeDialect::kV15) return QueryPlaneV15(arg);
      if (options.dialect == FakeDialect::kV1) return QueryPlaneV1(arg);
      return QueryPlane(arg);
    case abi::kGetGfxDmabuf:
      if (traits.region_plane || options.dialect == FakeDialect::kV1) return -ENOTTY;
      if (options.dialect == FakeDialect::kV15) return GetDmabufV15(arg);
      return GetDmabuf(arg);
    case abi::kDeviceFeature:
      if (flip_dialect == FakeFlipDialect::kFlipEventfd) return SetFlipEventfd(arg);
      return DeviceFeature(arg);
    case abi::kDeviceAttachIommufdPt:
    case abi::kDeviceDetachIommufdPt:
      return file->via_cdev ? 0 : -ENOTTY;
    default:
      return -ENOTTY;
  }
}

int FakeState::GetInfo(void* arg) {
  abi::DeviceInfo info;
  if (CopyIn(&info, arg, sizeof info) != 0) return -EFAULT;
  if (info.argsz < sizeof info) return -EINVAL;
  info_was_read = true;
  info.flags = traits.device_flags;
  info.num_regions = traits.num_regions;
  info.num_irqs = num_irqs();
  return CopyOut(arg, &info, sizeof info);
}

uint64_t FakeState::RegionSizeBytes(uint32_t index) const {
  if (traits.region_plane && index == traits.plane_region) {
    return region_memory == nullptr ? 0 : region_memory->size_bytes();
  }
  if (traits.edid && index == kEdidRegion) return traits.edid_region_size_bytes;
  return index == kConfigRegion ? 256 : 0;
}

uint64_t FakeState::RegionOffsetBytes(uint32_t index) const {
  if (traits.region_plane && index == traits.plane_region) return traits.plane_region_offset_bytes;
  if (traits.edid && index == kEdidRegion) return traits.edid_region_offset_bytes;
  return 0;
}

int FakeState::GetRegionInfo(void* arg) const {
  struct {
    abi::RegionInfo info;
    abi::RegionCapType type;
  } answer{};
  static_assert(sizeof answer == kRegionInfoWithTypeBytes);
  abi::RegionInfo& info = answer.info;
  if (CopyIn(&info, arg, sizeof info) != 0) return -EFAULT;
  const uint32_t asked_bytes = info.argsz;
  if (asked_bytes < sizeof info) return -EINVAL;
  const bool mbochs = options.profile == FakeProfile::kMbochs;
  if (mbochs && asked_bytes > kRegionInfoWithTypeBytes) return -EINVAL;
  const bool plane = traits.region_plane && info.index == traits.plane_region;
  if (info.index >= traits.num_regions && !plane) return -EINVAL;

  info.flags = abi::kRegionFlagRead | abi::kRegionFlagWrite;
  if (plane) info.flags |= abi::kRegionFlagMmap;
  info.size = RegionSizeBytes(info.index);
  info.offset = RegionOffsetBytes(info.index);
  info.cap_offset = 0;
  uint32_t out_bytes = sizeof info;
  if (traits.edid && info.index == kEdidRegion) {
    info.flags |= abi::kRegionFlagCaps;
    info.argsz = kRegionInfoWithTypeBytes;
    answer.type = {.header = {.id = abi::kRegionCapType, .version = 1, .next = 0},
                   .type = abi::kRegionTypeGfx,
                   .subtype = abi::kRegionSubtypeGfxEdid};
    const bool fits = asked_bytes >= kRegionInfoWithTypeBytes;
    // mbochs names the offset of what it did not copy.
    if (fits || mbochs) info.cap_offset = sizeof info;
    if (fits) out_bytes = kRegionInfoWithTypeBytes;
  }
  return CopyOut(arg, &answer, out_bytes);
}

// --- Reads and writes of regions, in the steps in which the kernel splits them.

namespace {

size_t AccessStep(uint64_t offset_bytes, size_t left_bytes) {
  if (left_bytes >= 4 && offset_bytes % 4 == 0) return 4;
  if (left_bytes >= 2 && offset_bytes % 2 == 0) return 2;
  return 1;
}

/// Registers and blob; what lies between reads as nothing.
constexpr uint64_t kEdidWindowBytes = 4096;

}  // namespace

int64_t FakeState::DeviceRead(uint8_t* data, size_t size_bytes, uint64_t offset_bytes) {
  if (unplugged) return -ENODEV;
  for (size_t done = 0; done < size_bytes;) {
    const uint64_t at = offset_bytes + done;
    const size_t step = AccessStep(at, size_bytes - done);
    const uint64_t edid_at = at - traits.edid_region_offset_bytes;
    const uint64_t plane_at = at - traits.plane_region_offset_bytes;
    if (traits.edid && edid_at < kEdidWindowBytes) {
      const int result = ReadEdid(edid_at, data + done, step);
      if (result < 0) return result;
    } else if (traits.region_plane && region_memory != nullptr &&
               plane_at + step <= region_memory->size_bytes()) {
      // mdpy forgets the position inside the region, at each step.
      const uint64_t from = options.profile == FakeProfile::kMdpy ? 0 : plane_at;
      if (pread(region_memory->memfd(), data + done, step, static_cast<off_t>(from)) < 0) {
        return -EIO;
      }
    } else {
      return -EINVAL;
    }
    done += step;
  }
  return static_cast<int64_t>(size_bytes);
}

int64_t FakeState::DeviceWrite(const uint8_t* data, size_t size_bytes, uint64_t offset_bytes) {
  if (unplugged) return -ENODEV;
  if (!traits.edid || offset_bytes - traits.edid_region_offset_bytes >= kEdidWindowBytes) {
    ConsumerError(absl::StrCat("write of ", size_bytes, " bytes at device offset ", offset_bytes,
                               ", outside the EDID region"));
    return options.profile == FakeProfile::kMbochs ? static_cast<int64_t>(size_bytes) : -EINVAL;
  }
  ++counters.edid_writes;
  for (size_t done = 0; done < size_bytes;) {
    const uint64_t edid_at = offset_bytes + done - traits.edid_region_offset_bytes;
    const size_t step = AccessStep(edid_at, size_bytes - done);
    if (edid_at >= kEdidWindowBytes) {
      ConsumerError("an EDID write runs over the end of its region, into video memory");
      return options.profile == FakeProfile::kMbochs ? static_cast<int64_t>(size_bytes) : -EFAULT;
    }
    const int result = WriteEdid(edid_at, data + done, step);
    if (result < 0) return result;
    done += step;
  }
  return static_cast<int64_t>(size_bytes);
}

// --- The system calls.

FakeDevice::FakeDevice(const FakeDeviceOptions& options, Clock& clock)
    : state_(std::make_unique<FakeState>(options, clock)),
      guest_(std::make_unique<FakeGuest>(*state_)) {}

FakeDevice::~FakeDevice() = default;

const FakeDeviceOptions& FakeDevice::options() const {
  return state_->options;
}
FakeGuest& FakeDevice::guest() {
  return *guest_;
}

int FakeDevice::OpenDevice() {
  return state_->Locked([&] { return state_->OpenDeviceFile(nullptr); });
}

bool FakeDevice::Receive(int fd) {
  struct stat received {};
  if (fstat(fd, &received) != 0) return false;
  return state_->Locked([&] {
    if (state_->Find(fd) != nullptr) return true;
    for (const auto& [known, file] : state_->files) {
      struct stat info {};
      if (fstat(known, &info) != 0 || info.st_dev != received.st_dev ||
          info.st_ino != received.st_ino) {
        continue;
      }
      auto same_file = file;
      return state_->Install(fd, std::move(same_file)) == fd;
    }
    return false;
  });
}

std::string FakeDevice::group_path() const {
  return absl::StrCat("/dev/vfio/", state_->options.number);
}

std::string FakeDevice::cdev_path() const {
  return absl::StrCat("/dev/vfio/devices/vfio", state_->options.number);
}

FakeDevice::Counters FakeDevice::counters() const {
  const std::lock_guard lock(state_->mutex);
  Counters counters = state_->counters;
  for (const auto& [fd, file] : state_->files) {
    if (file->kind == Kind::kDevice) {
      ++counters.open_device_fds;
    } else if (file->kind == Kind::kDmabuf) {
      ++counters.open_dmabuf_fds;
    } else {
      ++counters.open_other_fds;
    }
  }
  counters.live_mappings = static_cast<int>(state_->mappings.size());
  return counters;
}

std::string FakeDevice::last_consumer_error() const {
  const std::lock_guard lock(state_->mutex);
  return state_->last_consumer_error;
}

int FakeDevice::Open(const char* path, int flags) {
  const int fd = state_->Locked([&] { return state_->OpenPath(path); });
  return fd == -ENOENT ? KernelSys().Open(path, flags) : fd;
}

int FakeDevice::Close(int fd) {
  const bool known = state_->Locked([&] {
    state_->own_pidfds.erase(fd);
    if (state_->Find(fd) == nullptr) return false;
    state_->CloseFd(fd);
    // Under the lock, or another thread could be given the number before it is forgotten here.
    close(fd);
    return true;
  });
  return known ? 0 : KernelSys().Close(fd);
}

int FakeDevice::Dup(int fd) {
  return state_->Locked([&] {
    auto file = state_->Find(fd);
    const int copy = KernelSys().Dup(fd);
    if (file == nullptr || copy < 0) return copy;
    return state_->Install(copy, std::move(file));
  });
}

int FakeDevice::Ioctl(int fd, unsigned long request, void* arg) {
  constexpr int kNotOurs = 1 << 30;
  const int result = state_->Locked([&] {
    const auto file = state_->Find(fd);
    if (file == nullptr) return kNotOurs;
    int answer = -ENOTTY;
    switch (file->kind) {
      case Kind::kContainer:
        answer = state_->ContainerIoctl(*file, request, arg);
        break;
      case Kind::kGroup:
        answer = state_->GroupIoctl(file, request, arg);
        break;
      case Kind::kDevice:
        answer = state_->DeviceIoctl(file, request, arg);
        break;
      case Kind::kDmabuf:
        answer = state_->DmabufIoctl(request, arg);
        break;
      case Kind::kIommufd:
      case Kind::kSyncFile:
        break;
    }
    return answer;
  });
  return result == kNotOurs ? KernelSys().Ioctl(fd, request, arg) : result;
}

int64_t FakeDevice::Pread(int fd, void* data, size_t size_bytes, int64_t offset_bytes) {
  constexpr int64_t kNotOurs = std::numeric_limits<int64_t>::min();
  const int64_t result = state_->Locked([&]() -> int64_t {
    const auto file = state_->Find(fd);
    if (file == nullptr) return kNotOurs;
    if (file->kind != Kind::kDevice || !file->ready || offset_bytes < 0) return -EINVAL;
    return state_->DeviceRead(static_cast<uint8_t*>(data), size_bytes,
                              static_cast<uint64_t>(offset_bytes));
  });
  return result == kNotOurs ? KernelSys().Pread(fd, data, size_bytes, offset_bytes) : result;
}

int64_t FakeDevice::Pwrite(int fd, const void* data, size_t size_bytes, int64_t offset_bytes) {
  constexpr int64_t kNotOurs = std::numeric_limits<int64_t>::min();
  const int64_t result = state_->Locked([&]() -> int64_t {
    const auto file = state_->Find(fd);
    if (file == nullptr) return kNotOurs;
    if (file->kind != Kind::kDevice || !file->ready || offset_bytes < 0) return -EINVAL;
    return state_->DeviceWrite(static_cast<const uint8_t*>(data), size_bytes,
                               static_cast<uint64_t>(offset_bytes));
  });
  return result == kNotOurs ? KernelSys().Pwrite(fd, data, size_bytes, offset_bytes) : result;
}

int64_t FakeDevice::Lseek(int fd, int64_t offset_bytes, int whence) {
  constexpr int64_t kNotOurs = std::numeric_limits<int64_t>::min();
  const int64_t result = state_->Locked([&]() -> int64_t {
    const auto file = state_->Find(fd);
    if (file == nullptr) return kNotOurs;
    if (file->kind != Kind::kDmabuf) return -ESPIPE;
    return state_->DmabufSeek(*file, offset_bytes, whence);
  });
  return result == kNotOurs ? KernelSys().Lseek(fd, offset_bytes, whence) : result;
}

int FakeDevice::Mmap(size_t size_bytes, int prot, int flags, int fd, int64_t offset_bytes,
                     void** address) {
  constexpr int kNotOurs = 1;
  const int result = state_->Locked([&] {
    const auto file = state_->Find(fd);
    if (file == nullptr) return kNotOurs;
    if (const int error = state_->mmap_fault.Next(); error != 0) return error;
    if (size_bytes == 0 || offset_bytes < 0 || offset_bytes % int64_t{kFakePageBytes} != 0) {
      return -EINVAL;
    }
    if (file->kind == Kind::kDmabuf) {
      return state_->MapDmabuf(file, fd, size_bytes, prot, flags, offset_bytes, address);
    }
    if (file->kind != Kind::kDevice || !file->ready) return -EINVAL;
    return state_->MapRegion(file, size_bytes, prot, flags, offset_bytes, address);
  });
  if (result != kNotOurs) return result;
  return KernelSys().Mmap(size_bytes, prot, flags, fd, offset_bytes, address);
}

int FakeDevice::Munmap(void* address, size_t size_bytes) {
  return state_->Locked([&] {
    const auto found = state_->mappings.find(address);
    if (found != state_->mappings.end()) {
      if (RoundUpToPage(found->second.size_bytes) != RoundUpToPage(size_bytes)) {
        state_->ConsumerError("munmap of a part of a mapping");
      }
      auto file = std::move(found->second.file);
      state_->mappings.erase(found);
      state_->Drop(std::move(file));
    }
    return KernelSys().Munmap(address, size_bytes);
  });
}

int FakeDevice::Fstat(int fd, struct stat* out) {
  const int result = KernelSys().Fstat(fd, out);
  if (result != 0) return result;
  const std::lock_guard lock(state_->mutex);
  const auto file = state_->Find(fd);
  if (file == nullptr) return 0;
  if (file->inode != 0) out->st_ino = file->inode;
  const auto number = static_cast<unsigned>(state_->options.number);
  if (file->kind == Kind::kGroup) {
    out->st_mode = S_IFCHR | kPermissions;
    out->st_rdev = makedev(kGroupMajor, number);
  } else if (file->kind == Kind::kDevice && file->via_cdev) {
    out->st_mode = S_IFCHR | kPermissions;
    out->st_rdev = makedev(kCdevMajor, number);
  } else if (file->kind == Kind::kDevice) {
    out->st_mode = kPermissions;
  }
  return 0;
}

int FakeDevice::FileSystemType(int fd, uint64_t* type) {
  {
    const std::lock_guard lock(state_->mutex);
    const auto file = state_->Find(fd);
    if (file != nullptr && file->kind == Kind::kDmabuf) {
      *type = abi::kDmabufFileSystem;
      return 0;
    }
    if (file != nullptr && file->kind == Kind::kDevice && !file->via_cdev) {
      *type = abi::kAnonymousFileSystem;
      return 0;
    }
  }
  return KernelSys().FileSystemType(fd, type);
}

int FakeDevice::ReadFdLink(int fd, std::string* target) {
  {
    const std::lock_guard lock(state_->mutex);
    const auto file = state_->Find(fd);
    if (file != nullptr && file->kind == Kind::kGroup) {
      *target = group_path();
      return 0;
    }
    if (file != nullptr && file->kind == Kind::kDevice) {
      *target = file->via_cdev ? cdev_path() : "anon_inode:[vfio-device]";
      return 0;
    }
  }
  return KernelSys().ReadFdLink(fd, target);
}

// As kernels that say no more of a device's file than of any other.
int FakeDevice::ReadFdInfo(int fd, std::string* text) {
  return KernelSys().ReadFdInfo(fd, text);
}

// Exports are opened with the flags that the profile wants, so the kernel has the answers.
int FakeDevice::GetFdFlags(int fd) {
  return KernelSys().GetFdFlags(fd);
}
int FakeDevice::GetFileFlags(int fd) {
  return KernelSys().GetFileFlags(fd);
}

int FakeDevice::PidfdOpen(pid_t pid) {
  const int pidfd = KernelSys().PidfdOpen(pid);
  if (pidfd >= 0 && pid == getpid()) {
    const std::lock_guard lock(state_->mutex);
    state_->own_pidfds[pidfd] = pid;
  }
  return pidfd;
}

int FakeDevice::PidfdGetfd(int pidfd, int target_fd) {
  const bool ours = state_->Locked(
      [&] { return state_->own_pidfds.contains(pidfd) && state_->Find(target_fd) != nullptr; });
  return ours ? Dup(target_fd) : KernelSys().PidfdGetfd(pidfd, target_fd);
}

}  // namespace planecast
