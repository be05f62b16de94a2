#include "tests/vm/guest_device.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vfio/abi.h"
#include "vfio/sys.h"

namespace planecast::vmtest {
namespace {

constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kBytesPerPixel = 4;
/// Places in video memory that Flip goes round.
constexpr uint32_t kSlotsMax = 3;

constexpr uint32_t kBar0 = 0;
constexpr uint32_t kBar2 = 2;
constexpr uint32_t kConfigSpace = 7;
constexpr uintptr_t kType1Iommu = 1;

/// The Bochs display interface: 16-bit registers from here in BAR 2.
constexpr int64_t kRegistersInBar2 = 0x500;
constexpr uint32_t kRegWidth = 1;
constexpr uint32_t kRegHeight = 2;
constexpr uint32_t kRegBitsPerPixel = 3;
constexpr uint32_t kRegEnable = 4;
constexpr uint32_t kRegVirtualWidth = 6;
constexpr uint32_t kRegOffsetX = 8;
constexpr uint32_t kRegOffsetY = 9;
constexpr uint16_t kEnableLinear = 0x41;

/// Where mdpy's config space tells its fixed mode.
constexpr int64_t kMdpyWidth = 0x48;
constexpr int64_t kMdpyHeight = 0x4c;

absl::Status Failure(int64_t negative_errno, const std::string& what) {
  const int error = static_cast<int>(-negative_errno);
  return absl::InternalError(
      absl::StrCat(error == EBUSY ? "EBUSY: " : "", what, ": ", strerror(error)));
}

absl::StatusOr<abi::RegionInfo> QueryRegion(int fd, uint32_t index) {
  abi::RegionInfo info{};
  info.argsz = sizeof(info);
  info.index = index;
  const int result = KernelSys().Ioctl(fd, abi::kDeviceGetRegionInfo, &info);
  if (result < 0) return Failure(result, absl::StrCat("GET_REGION_INFO of region ", index));
  return info;
}

bool ProbesAs(int fd, uint32_t plane_flag) {
  abi::GfxPlaneInfo info{};
  info.argsz = sizeof(info);
  info.flags = abi::kPlaneFlagProbe | plane_flag;
  return KernelSys().Ioctl(fd, abi::kQueryGfxPlane, &info) == 0;
}

bool IsKind(int fd, const DeviceKind& kind) {
  if (!ProbesAs(fd, kind.region ? abi::kPlaneFlagRegion : abi::kPlaneFlagDmabuf)) return false;
  const auto bar = QueryRegion(fd, kBar0);
  return bar.ok() && bar->size == kind.memory_bytes;
}

}  // namespace

absl::StatusOr<Fd> OpenByGroup(int group, const std::string& device, Fd* kept_group) {
  Sys& sys = KernelSys();
  Fd container(sys, sys.Open("/dev/vfio/vfio", O_RDWR));
  if (!container.valid()) return absl::InternalError("/dev/vfio/vfio can't be opened");
  const std::string path = absl::StrCat("/dev/vfio/", group);
  const int group_fd = sys.Open(path.c_str(), O_RDWR);
  if (group_fd < 0) return Failure(group_fd, path);
  Fd group_owner(sys, group_fd);
  int32_t container_fd = container.get();
  int result = sys.Ioctl(group_fd, abi::kGroupSetContainer, &container_fd);
  if (result < 0) return Failure(result, "SET_CONTAINER");
  result = sys.Ioctl(container.get(), abi::kSetIommu, reinterpret_cast<void*>(kType1Iommu));
  if (result < 0) return Failure(result, "SET_IOMMU");
  result = sys.Ioctl(group_fd, abi::kGroupGetDeviceFd, const_cast<char*>(device.c_str()));
  if (result < 0) return Failure(result, absl::StrCat("GET_DEVICE_FD of ", device));
  if (kept_group != nullptr) *kept_group = std::move(group_owner);
  return Fd(sys, result);
}

absl::StatusOr<Fd> CopyFromProcess(pid_t pid, const DeviceKind& kind) {
  Sys& sys = KernelSys();
  Fd pidfd(sys, sys.PidfdOpen(pid));
  if (!pidfd.valid()) return absl::NotFoundError(absl::StrCat("no process ", pid));
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/fd"), error)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (target.find("[vfio-device]") == std::string::npos) continue;
    const std::string name = entry.path().filename().string();
    int number = -1;
    std::from_chars(name.data(), name.data() + name.size(), number);
    Fd copy(sys, sys.PidfdGetfd(pidfd.get(), number));
    if (copy.valid() && IsKind(copy.get(), kind)) return copy;
  }
  return absl::NotFoundError(absl::StrCat("process ", pid, " has no such device open"));
}

absl::StatusOr<std::unique_ptr<GuestDevice>> GuestDevice::Create(Fd device) {
  std::unique_ptr<GuestDevice> guest(new GuestDevice(std::move(device)));
  const int fd = guest->fd();
  Sys& sys = KernelSys();
  guest->region_plane_ = ProbesAs(fd, abi::kPlaneFlagRegion);
  const auto bar = QueryRegion(fd, kBar0);
  if (!bar.ok()) return bar.status();
  const int mapped = sys.Mmap(bar->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                              static_cast<int64_t>(bar->offset), &guest->memory_);
  if (mapped < 0) return Failure(mapped, "mmap of BAR 0");
  guest->memory_bytes_ = bar->size;
  if (guest->region_plane_) {
    const auto config = QueryRegion(fd, kConfigSpace);
    if (!config.ok()) return config.status();
    const auto offset = static_cast<int64_t>(config->offset);
    sys.Pread(fd, &guest->width_px_, sizeof(uint32_t), offset + kMdpyWidth);
    sys.Pread(fd, &guest->height_px_, sizeof(uint32_t), offset + kMdpyHeight);
    return guest;
  }
  const auto bar2 = QueryRegion(fd, kBar2);
  if (!bar2.ok()) return bar2.status();
  guest->registers_offset_ = static_cast<int64_t>(bar2->offset) + kRegistersInBar2;
  return guest;
}

GuestDevice::~GuestDevice() {
  if (memory_ != nullptr) KernelSys().Munmap(memory_, memory_bytes_);
}

absl::Status GuestDevice::WriteRegister(uint32_t index, uint16_t value) {
  if (region_plane_) return absl::UnimplementedError("mdpy has no registers");
  const int64_t written =
      KernelSys().Pwrite(fd(), &value, sizeof(value), registers_offset_ + 2 * int64_t{index});
  if (written != sizeof(value)) return Failure(written, absl::StrCat("write of register ", index));
  return absl::OkStatus();
}

absl::StatusOr<uint16_t> GuestDevice::ReadRegister(uint32_t index) {
  if (region_plane_) return absl::UnimplementedError("mdpy has no registers");
  uint16_t value = 0;
  const int64_t count =
      KernelSys().Pread(fd(), &value, sizeof(value), registers_offset_ + 2 * int64_t{index});
  if (count != sizeof(value)) return Failure(count, absl::StrCat("read of register ", index));
  return value;
}

absl::StatusOr<std::array<uint8_t, 128>> GuestDevice::ReadEdid() {
  if (region_plane_) return absl::UnimplementedError("mdpy has no EDID");
  std::array<uint8_t, 128> edid{};
  const int64_t count =
      KernelSys().Pread(fd(), edid.data(), edid.size(), registers_offset_ - kRegistersInBar2);
  if (count != static_cast<int64_t>(edid.size())) return Failure(count, "read of the EDID");
  return edid;
}

absl::Status GuestDevice::SetMode(uint32_t width_px, uint32_t height_px, uint32_t bits_per_pixel) {
  const std::pair<uint32_t, uint32_t> writes[] = {{kRegEnable, 0},
                                                  {kRegWidth, width_px},
                                                  {kRegHeight, height_px},
                                                  {kRegBitsPerPixel, bits_per_pixel},
                                                  {kRegVirtualWidth, width_px},
                                                  {kRegOffsetX, 0},
                                                  {kRegOffsetY, 0},
                                                  {kRegEnable, kEnableLinear}};
  for (const auto& [index, value] : writes) {
    const absl::Status status = WriteRegister(index, static_cast<uint16_t>(value));
    if (!status.ok()) return status;
  }
  width_px_ = width_px;
  height_px_ = height_px;
  line_ = 0;
  return absl::OkStatus();
}

absl::Status GuestDevice::Pan(uint32_t line) {
  const absl::Status status = WriteRegister(kRegOffsetY, static_cast<uint16_t>(line));
  if (status.ok()) line_ = line;
  return status;
}

absl::Status GuestDevice::SetEnabled(bool enabled) {
  return WriteRegister(kRegEnable, enabled ? kEnableLinear : 0);
}

absl::Status GuestDevice::Reset() {
  const int result = KernelSys().Ioctl(fd(), abi::kDeviceReset, nullptr);
  return result < 0 ? Failure(result, "RESET") : absl::OkStatus();
}

uint32_t GuestDevice::SlotLines() const {
  const uint32_t stride_bytes = width_px_ * kBytesPerPixel;
  const uint32_t step = kPageBytes / std::gcd(kPageBytes, stride_bytes);
  return (height_px_ + step - 1) / step * step;
}

absl::Status GuestDevice::PaintAtLine(uint32_t seed, uint16_t code, uint32_t line) {
  if (width_px_ < Pattern::kWidthMinPx || height_px_ < Pattern::kHeightMinPx) {
    return absl::FailedPreconditionError("no mode that is large enough");
  }
  const uint64_t first = uint64_t{line} * width_px_;
  if ((first + uint64_t{width_px_} * height_px_) * kBytesPerPixel > memory_bytes_) {
    return absl::OutOfRangeError("beyond video memory");
  }
  Pattern(seed, code, width_px_, height_px_)
      .Paint(static_cast<volatile uint32_t*>(memory_) + first, width_px_);
  return absl::OkStatus();
}

absl::Status GuestDevice::Paint(uint32_t seed, uint16_t code) {
  return PaintAtLine(seed, code, line_);
}

absl::Status GuestDevice::Fill(uint8_t value) {
  const uint64_t stride_bytes = uint64_t{width_px_} * kBytesPerPixel;
  const uint64_t begin = line_ * stride_bytes;
  const uint64_t size = height_px_ * stride_bytes;
  if (begin + size > memory_bytes_) return absl::OutOfRangeError("beyond video memory");
  memset(static_cast<uint8_t*>(memory_) + begin, value, size);
  return absl::OkStatus();
}

absl::Status GuestDevice::Flip(uint32_t seed, uint16_t code) {
  const uint32_t lines_max =
      width_px_ == 0 ? 0 : static_cast<uint32_t>(memory_bytes_ / kBytesPerPixel / width_px_);
  const uint32_t slots = SlotLines() == 0 ? 0 : std::min(kSlotsMax, lines_max / SlotLines());
  if (slots < 2) return absl::FailedPreconditionError("no memory for a second picture");
  const uint32_t line = (line_ / SlotLines() + 1) % slots * SlotLines();
  const absl::Status status = PaintAtLine(seed, code, line);
  return status.ok() ? Pan(line) : status;
}

}  // namespace planecast::vmtest
