// A VMM that holds fake devices, and the host around it: the Sys seam with a process that isn't
// there, its fds, and what /proc and /sys say of them.
#pragma once

#include <errno.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "vfio/abi.h"
#include "vfio/clock.h"
#include "vfio/fake/fake_device.h"
#include "vfio/fd.h"
#include "vfio/open_device.h"

namespace planecast {

inline constexpr pid_t kVmmPid = 4711;
inline constexpr int64_t kVmmStartTicks = 123456;

/// Thread-compatible while it is set up, then thread-safe.
class FakeVmm : public Sys {
 public:
  FakeVmm() {
    // Short: a unix socket's path has 107 bytes at most.
    std::string pattern = "/tmp/planecast-XXXXXX";
    root_ = mkdtemp(pattern.data());
    paths_ = {.proc_root = root_ / "proc", .sys_root = root_ / "sys"};
    std::filesystem::create_directories(process() / "fd");
    SetStat("qemu-system-x86", kVmmStartTicks);
  }
  ~FakeVmm() override {
    std::error_code error;
    std::filesystem::remove_all(root_, error);
  }

  const BorrowPaths& paths() const { return paths_; }
  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path process() const {
    return std::filesystem::path(paths_.proc_root) / std::to_string(kVmmPid);
  }

  /// What /proc/PID/stat says.
  void SetStat(const std::string& name, int64_t start_ticks) const {
    std::ofstream(process() / "stat")
        << kVmmPid << " (" << name << ") S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 0 "
        << start_ticks << " 23 24 25\n";
  }
  void AddLink(int vmm_fd, const std::string& target) const {
    std::filesystem::create_symlink(target, process() / "fd" / std::to_string(vmm_fd));
  }

  /// A device that nobody has open yet, with its node in sysfs. `number` must be new.
  FakeDevice& AddDevice(FakeProfile profile, int number, const std::string& name) {
    devices_.push_back(std::make_unique<FakeDevice>(
        FakeDeviceOptions{.profile = profile, .number = number, .device_name = name}, clock_));
    PutInGroup(name, number);
    WriteDev("vfio", std::to_string(number), 511, number);
    const std::string node = "vfio" + std::to_string(number);
    WriteDev("vfio-dev", node, 510, number);
    std::filesystem::create_symlink("../../../devices/" + name,
                                    sys("class") / "vfio-dev" / node / "device");
    return *devices_.back();
  }
  /// The VMM opens it by its group; the group's own fd is the one after.
  FakeDevice& OpenByGroup(int vmm_fd, FakeProfile profile, int number, const std::string& name) {
    FakeDevice& device = AddDevice(profile, number, name);
    AddLink(vmm_fd, "anon_inode:[vfio-device]");
    Hold(vmm_fd, device, device.OpenDevice());
    AddLink(vmm_fd + 1, device.group_path());
    Hold(vmm_fd + 1, device, device.Open(device.group_path().c_str(), 0));
    return device;
  }
  /// The VMM opens /dev/vfio/devices/vfioN, which sysfs names.
  FakeDevice& OpenByCdev(int vmm_fd, FakeProfile profile, int number, const std::string& name) {
    FakeDevice& device = AddDevice(profile, number, name);
    auto opened = OpenCdevDevice(device, device.cdev_path());
    EXPECT_TRUE(opened.ok()) << opened.status();
    AddLink(vmm_fd, device.cdev_path());
    Hold(vmm_fd, device, opened->device.Release());
    return device;
  }
  /// One more fd of the VMM.
  void Hold(int vmm_fd, FakeDevice& device, int fd) { held_[vmm_fd] = {&device, Fd(device, fd)}; }
  /// One more, which is no device's.
  void HoldFile(int vmm_fd, Fd file) { files_[vmm_fd] = std::move(file); }
  /// What the fd is before it is copied, as S_IFMT; a VMM may exchange it in between.
  void SayKind(int vmm_fd, mode_t kind) { kinds_[vmm_fd] = kind; }
  void PutInGroup(const std::string& name, int group) const {
    const std::filesystem::path devices =
        sys("kernel") / "iommu_groups" / std::to_string(group) / "devices";
    std::filesystem::create_directories(devices / name);
    std::filesystem::create_directories(sys("bus") / "mdev" / "devices" / name);
    std::filesystem::create_symlink("../../../../kernel/iommu_groups/" + std::to_string(group),
                                    sys("bus") / "mdev" / "devices" / name / "iommu_group");
  }
  void WriteDev(const std::string& device_class, const std::string& name, int major,
                int minor) const {
    std::filesystem::create_directories(sys("class") / device_class / name);
    std::ofstream(sys("class") / device_class / name / "dev") << major << ":" << minor << "\n";
  }
  /// What sysfs says of a PCI function.
  void SayPciClass(const std::string& name, const std::string& pci_class) const {
    std::filesystem::create_directories(sys("bus") / "pci" / "devices" / name);
    std::ofstream(sys("bus") / "pci" / "devices" / name / "class") << pci_class << "\n";
  }
  /// What fdinfo says of every copy of an fd of the VMM.
  void SayInFdinfo(int vmm_fd, const std::string& line) { infos_[vmm_fd] = line; }

  ManualClock& clock() { return clock_; }
  FakeDevice& holder(int vmm_fd) { return *held_.at(vmm_fd).first; }
  /// The device that an fd of this process is of; null if of none.
  FakeDevice* DeviceOf(int fd) {
    const std::lock_guard lock(mutex_);
    const auto found = ours_.find(fd);
    return found == ours_.end() ? nullptr : found->second.device;
  }
  /// Fds of devices that this process has.
  size_t ours_count() {
    const std::lock_guard lock(mutex_);
    return ours_.size();
  }
  /// Copies that were asked for.
  int copies_count() const { return copies_count_; }
  /// The number of the last copy, which may be closed by now.
  int last_copy() const { return last_copy_; }
  /// Every copy fails with this.
  void FailCopies(int negative_errno) { copy_error_ = negative_errno; }
  /// Every open fails with this.
  void FailOpens(int negative_errno) { open_error_ = negative_errno; }

  /// From now on what is closed may be on its way to another process, which keeps it open until it
  /// has arrived.
  void KeepInFlight() {
    const std::lock_guard lock(mutex_);
    keeps_in_flight_ = true;
  }
  /// Whatever was on its way has arrived.
  void Land() {
    std::vector<Fd> landed;
    const std::lock_guard lock(mutex_);
    keeps_in_flight_ = false;
    landed.swap(in_flight_);
  }

  // Sys: what is asked of an fd depends on whose it is.
  int PidfdOpen(pid_t pid) override {
    return pid == kVmmPid ? KernelSys().PidfdOpen(getpid()) : -ESRCH;
  }
  int PidfdGetfd(int, int target_fd) override {
    const std::lock_guard lock(mutex_);
    ++copies_count_;
    if (copy_error_ != 0) return copy_error_;
    last_copy_ = Copy(target_fd);
    return last_copy_;
  }
  int Open(const char* path, int flags) override {
    const std::lock_guard lock(mutex_);
    if (open_error_ != 0) return open_error_;
    for (const auto& device : devices_) {
      // Container and iommufd are the first device's.
      const bool shared =
          path == std::string("/dev/vfio/vfio") || path == std::string("/dev/iommu");
      if (!shared && device->group_path() != path && device->cdev_path() != path) continue;
      return Note(device->Open(path, flags), device.get(), -1);
    }
    return KernelSys().Open(path, flags);
  }
  int Close(int fd) override {
    Sys& owner = Of(fd);
    {
      const std::lock_guard lock(mutex_);
      const bool in_flight = ours_.erase(fd) > 0 && keeps_in_flight_;
      if (in_flight) in_flight_.emplace_back(owner, owner.Dup(fd));
    }
    return owner.Close(fd);
  }
  int Dup(int fd) override { return Like(fd, Of(fd).Dup(fd)); }
  int Ioctl(int fd, unsigned long request, void* arg) override {
    const int result = Of(fd).Ioctl(fd, request, arg);
    const bool gives_fd = request == abi::kGetGfxDmabuf || request == abi::kGroupGetDeviceFd;
    return gives_fd ? Like(fd, result) : result;
  }
  int64_t Pread(int fd, void* data, size_t size, int64_t offset) override {
    return Of(fd).Pread(fd, data, size, offset);
  }
  int64_t Pwrite(int fd, const void* data, size_t size, int64_t offset) override {
    return Of(fd).Pwrite(fd, data, size, offset);
  }
  int64_t Lseek(int fd, int64_t offset, int whence) override {
    return Of(fd).Lseek(fd, offset, whence);
  }
  int Mmap(size_t size, int prot, int flags, int fd, int64_t offset, void** address) override {
    return Of(fd).Mmap(size, prot, flags, fd, offset, address);
  }
  int Munmap(void* address, size_t size) override {
    return devices_.front()->Munmap(address, size);
  }
  int Fstat(int fd, struct stat* out) override { return Of(fd).Fstat(fd, out); }
  int FileKind(const char* path, mode_t* kind) override {
    const std::filesystem::path file(path);
    if (file.parent_path() != process() / "fd") return KernelSys().FileKind(path, kind);
    const int vmm_fd = std::stoi(file.filename());
    const auto said = kinds_.find(vmm_fd);
    const auto held = held_.find(vmm_fd);
    const auto own = files_.find(vmm_fd);
    struct stat info {};
    info.st_mode = S_IFCHR;
    if (said != kinds_.end()) {
      info.st_mode = said->second;
    } else if (held != held_.end()) {
      held->second.first->Fstat(held->second.second.get(), &info);
    } else if (own != files_.end()) {
      KernelSys().Fstat(own->second.get(), &info);
    }
    *kind = info.st_mode & S_IFMT;
    return 0;
  }
  int FileSystemType(int fd, uint64_t* type) override { return Of(fd).FileSystemType(fd, type); }
  int ReadFdLink(int fd, std::string* target) override { return Of(fd).ReadFdLink(fd, target); }
  int ReadFdInfo(int fd, std::string* text) override {
    const std::lock_guard lock(mutex_);
    const auto found = ours_.find(fd);
    if (found == ours_.end()) return KernelSys().ReadFdInfo(fd, text);
    const auto info = infos_.find(found->second.vmm_fd);
    *text = "pos:\t0\n" + (info == infos_.end() ? "" : info->second + "\n");
    return 0;
  }
  int GetFdFlags(int fd) override { return Of(fd).GetFdFlags(fd); }
  int GetFileFlags(int fd) override { return Of(fd).GetFileFlags(fd); }

 private:
  /// An fd of this process.
  struct Ours {
    FakeDevice* device = nullptr;
    /// What it is a copy of, or -1.
    int vmm_fd = -1;
  };

  std::filesystem::path sys(const char* folder) const {
    return std::filesystem::path(paths_.sys_root) / folder;
  }
  Sys& Of(int fd) {
    const std::lock_guard lock(mutex_);
    const auto found = ours_.find(fd);
    if (found != ours_.end()) return *found->second.device;
    for (const auto& device : devices_) {
      if (!device->Receive(fd)) continue;
      ours_[fd] = {device.get(), -1};
      return *device;
    }
    return KernelSys();
  }
  /// `fd` is of the same device as `other`, if that is one.
  int Like(int other, int fd) {
    const std::lock_guard lock(mutex_);
    const auto found = ours_.find(other);
    return found == ours_.end() ? fd : Note(fd, found->second.device, found->second.vmm_fd);
  }
  /// What the VMM doesn't hold is /dev/null.
  int Copy(int vmm_fd) {
    if (const auto own = files_.find(vmm_fd); own != files_.end()) {
      return KernelSys().Dup(own->second.get());
    }
    const auto held = held_.find(vmm_fd);
    if (held == held_.end()) return KernelSys().Open("/dev/null", 0);
    FakeDevice* device = held->second.first;
    return Note(device->Dup(held->second.second.get()), device, vmm_fd);
  }
  int Note(int fd, FakeDevice* device, int vmm_fd) {
    if (fd >= 0) ours_[fd] = {device, vmm_fd};
    return fd;
  }

  ManualClock clock_;
  std::filesystem::path root_;
  BorrowPaths paths_;
  std::vector<std::unique_ptr<FakeDevice>> devices_;
  /// By the VMM's numbers. Closed before the devices go.
  std::map<int, std::pair<FakeDevice*, Fd>> held_;
  std::map<int, Fd> files_;
  std::map<int, mode_t> kinds_;
  std::map<int, std::string> infos_;
  std::mutex mutex_;
  std::map<int, Ours> ours_;
  int copies_count_ = 0;
  int last_copy_ = -1;
  int copy_error_ = 0;
  int open_error_ = 0;
  bool keeps_in_flight_ = false;
  /// Closed by who sent them. Destroyed before the devices.
  std::vector<Fd> in_flight_;
};

}  // namespace planecast
