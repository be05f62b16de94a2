#include "vfio/open_device.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tests/vfio/source_testing.h"

namespace planecast {
namespace {

namespace fs = std::filesystem;

constexpr pid_t kVmm = 4711;
constexpr char kUuidA[] = "11111111-2222-3333-4444-555555555555";
constexpr char kUuidB[] = "66666666-7777-8888-9999-aaaaaaaaaaaa";

TEST(OpenGroupDeviceTest, OpensAndReleasesEverything) {
  ManualClock clock;
  FakeDevice device({.profile = FakeProfile::kMdpy, .number = 12}, clock);
  {
    auto opened = OpenGroupDevice(device, 12, device.options().device_name);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_FALSE(opened->borrowed);
    EXPECT_FALSE(opened->vmm_pidfd.valid());
    EXPECT_NE(opened->description.find("12"), std::string::npos);
    EXPECT_TRUE(MakeVfioSource(*std::move(opened), {}, clock).ok());
  }
  EXPECT_EQ(device.counters().open_device_fds, 0);
  EXPECT_EQ(device.counters().open_other_fds, 0);
}

TEST(OpenGroupDeviceTest, ErrorsNameTheRemedy) {
  ManualClock clock;
  FakeDevice device({.profile = FakeProfile::kGvt, .has_kvm = false}, clock);
  const std::string name = device.options().device_name;
  const auto no_kvm = OpenGroupDevice(device, device.options().number, name);
  EXPECT_EQ(no_kvm.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(no_kvm.status().message().find("borrow"), absl::string_view::npos);
  EXPECT_EQ(OpenGroupDevice(device, device.options().number, "nonsense").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenGroupDevice(device, -1, name).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenGroupDevice(device, 7, "").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(device.counters().open_other_fds, 0);
}

TEST(OpenGroupDeviceTest, AGroupInUseSaysToBorrow) {
  ManualClock clock;
  FakeDevice device({.profile = FakeProfile::kMbochs}, clock);
  const auto first = OpenGroupDevice(device, device.options().number, device.options().device_name);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second =
      OpenGroupDevice(device, device.options().number, device.options().device_name);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(second.status().message().find("borrow"), absl::string_view::npos);
}

TEST(OpenCdevDeviceTest, BindsAndReleasesEverything) {
  ManualClock clock;
  FakeDevice device({.profile = FakeProfile::kMbochs}, clock);
  {
    auto opened = OpenCdevDevice(device, device.cdev_path());
    ASSERT_TRUE(opened.ok()) << opened.status();
    const auto second = OpenCdevDevice(device, device.cdev_path());
    EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_TRUE(MakeVfioSource(*std::move(opened), {}, clock).ok());
  }
  EXPECT_EQ(device.counters().open_device_fds, 0);
  EXPECT_EQ(device.counters().open_other_fds, 0);
}

// A host on which some files are missing.
class HostWithout : public FakeDevice {
 public:
  HostWithout(std::string missing, Clock& clock)
      : FakeDevice({.profile = FakeProfile::kMbochs}, clock), missing_(std::move(missing)) {}
  int Open(const char* path, int flags) override {
    return path == missing_ ? -ENOENT : FakeDevice::Open(path, flags);
  }

 private:
  std::string missing_;
};

TEST(OpenGroupDeviceTest, AMissingFileNamesWhatToDo) {
  ManualClock clock;
  HostWithout vfio("/dev/vfio/vfio", clock);
  const std::string name = vfio.options().device_name;
  const int number = vfio.options().number;
  const absl::Status no_vfio = OpenGroupDevice(vfio, number, name).status();
  EXPECT_EQ(no_vfio.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(no_vfio.message().find("modprobe -a vfio"), absl::string_view::npos) << no_vfio;
  HostWithout group(vfio.group_path(), clock);
  const absl::Status no_group = OpenGroupDevice(group, number, name).status();
  EXPECT_EQ(no_group.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(no_group.message().find("iommu_group"), absl::string_view::npos) << no_group;
  EXPECT_EQ(group.counters().open_other_fds, 0);
}

TEST(OpenCdevDeviceTest, AMissingFileNamesWhatToDo) {
  ManualClock clock;
  HostWithout iommu("/dev/iommu", clock);
  const absl::Status no_iommu = OpenCdevDevice(iommu, iommu.cdev_path()).status();
  EXPECT_EQ(no_iommu.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(no_iommu.message().find("modprobe iommufd"), absl::string_view::npos) << no_iommu;
  HostWithout cdev(iommu.cdev_path(), clock);
  const absl::Status no_cdev = OpenCdevDevice(cdev, cdev.cdev_path()).status();
  EXPECT_EQ(no_cdev.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(no_cdev.message().find("Linux 6.6"), absl::string_view::npos) << no_cdev;
}

TEST(OpenCdevDeviceTest, APathThatDoesNotExistIsNotFound) {
  EXPECT_EQ(OpenCdevDevice(KernelSys(), "/dev/vfio/devices/none").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(AdoptDeviceTest, TakesADeviceAndRefusesAnythingElse) {
  ManualClock clock;
  FakeDevice device({.profile = FakeProfile::kNvidia}, clock);
  const auto adopted = AdoptDevice(Fd(device, device.OpenDevice()));
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_TRUE(adopted->borrowed);
  EXPECT_FALSE(adopted->vmm_pidfd.valid());
  const auto watched = AdoptDevice(Fd(device, device.OpenDevice()),
                                   Fd(KernelSys(), KernelSys().PidfdOpen(getpid())));
  ASSERT_TRUE(watched.ok()) << watched.status();
  EXPECT_TRUE(watched->vmm_pidfd.valid());
  const auto null = AdoptDevice(Fd(device, device.Open("/dev/null", 0)));
  EXPECT_EQ(null.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(AdoptDevice(Fd()).status().code(), absl::StatusCode::kInvalidArgument);
}

// A VMM that holds fake devices, in a process that isn't there: its fds and what /proc and /sys say
// of them.
class BorrowTest : public testing::Test, public Sys {
 protected:
  BorrowTest() {
    std::string pattern = testing::TempDir() + "borrow-XXXXXX";
    root_ = mkdtemp(pattern.data());
    paths_ = {.proc_root = root_ / "proc", .sys_root = root_ / "sys"};
    fs::create_directories(process() / "fd");
    fs::create_directories(process() / "fdinfo");
  }
  ~BorrowTest() override { fs::remove_all(root_); }

  fs::path process() const { return fs::path(paths_.proc_root) / std::to_string(kVmm); }

  void AddLink(int vmm_fd, const std::string& target) {
    fs::create_symlink(target, process() / "fd" / std::to_string(vmm_fd));
  }
  FakeDevice& AddGroupDevice(int vmm_fd, FakeProfile profile) {
    AddLink(vmm_fd, "anon_inode:[vfio-device]");
    return AddDevice(vmm_fd, profile);
  }
  FakeDevice& AddDevice(int vmm_fd, FakeProfile profile) {
    auto device = std::make_unique<FakeDevice>(FakeDeviceOptions{.profile = profile}, clock_);
    held_[vmm_fd] = device->OpenDevice();
    owners_[vmm_fd] = device.get();
    devices_.push_back(std::move(device));
    return *devices_.back();
  }
  void SayInFdinfo(int vmm_fd, const std::string& line) {
    std::ofstream(process() / "fdinfo" / std::to_string(vmm_fd)) << "pos:\t0\n" << line << "\n";
  }
  void NameCdev(const std::string& node, const std::string& device_name) {
    const fs::path directory = fs::path(paths_.sys_root) / "class" / "vfio-dev" / node;
    fs::create_directories(directory);
    fs::create_symlink("../../../devices/" + device_name, directory / "device");
  }
  absl::StatusOr<OpenedDevice> Borrow(std::string_view device) {
    return BorrowVmmDevice(*this, kVmm, device, paths_);
  }

  // Sys: what the calls on fds go to depends on whose fd it is.
  Sys& Of(int fd) {
    const auto owner = copies_.find(fd);
    return owner == copies_.end() ? KernelSys() : *owner->second;
  }
  int PidfdOpen(pid_t pid) override {
    if (pid != kVmm) return -ESRCH;
    return KernelSys().PidfdOpen(getpid());
  }
  int PidfdGetfd(int, int target_fd) override {
    ++copies_count_;
    if (copy_error_ != 0) return copy_error_;
    if (held_.count(target_fd) == 0) return KernelSys().Open("/dev/null", 0);
    const int copy = owners_[target_fd]->Dup(held_[target_fd]);
    copies_[copy] = owners_[target_fd];
    return copy;
  }
  int Close(int fd) override {
    Sys& owner = Of(fd);
    copies_.erase(fd);
    return owner.Close(fd);
  }
  int Open(const char* path, int flags) override { return KernelSys().Open(path, flags); }
  int Dup(int fd) override { return Of(fd).Dup(fd); }
  int Ioctl(int fd, unsigned long request, void* arg) override {
    return Of(fd).Ioctl(fd, request, arg);
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
  int GetFdFlags(int fd) override { return Of(fd).GetFdFlags(fd); }
  int GetFileFlags(int fd) override { return Of(fd).GetFileFlags(fd); }

  ManualClock clock_;
  fs::path root_;
  BorrowPaths paths_;
  std::vector<std::unique_ptr<FakeDevice>> devices_;
  std::map<int, int> held_;
  std::map<int, FakeDevice*> owners_;
  std::map<int, Sys*> copies_;
  int copies_count_ = 0;
  int copy_error_ = 0;
};

TEST_F(BorrowTest, FindsTheOnlyGfxDeviceAmongOtherFiles) {
  AddLink(0, "/dev/null");
  AddLink(9, "anon_inode:[eventpoll]");
  AddGroupDevice(31, FakeProfile::kMdpy);
  const auto opened = Borrow("");
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->borrowed);
  EXPECT_TRUE(opened->vmm_pidfd.valid());
  EXPECT_EQ(copies_count_, 1) << "only what is a VFIO device by its name is copied";
}

TEST_F(BorrowTest, PassesOverVfioDevicesWithoutAPlane) {
  AddLink(20, "anon_inode:[vfio-device]");
  AddGroupDevice(31, FakeProfile::kGvt);
  ASSERT_TRUE(Borrow("").ok());
  EXPECT_EQ(copies_.size(), 0u) << "what was copied is closed again with the result";
}

TEST_F(BorrowTest, AmbiguityIsAnErrorThatNamesTheCandidates) {
  AddGroupDevice(31, FakeProfile::kMdpy);
  AddGroupDevice(32, FakeProfile::kMdpy);
  const auto opened = Borrow("");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(opened.status().message().find("31"), absl::string_view::npos);
  EXPECT_NE(opened.status().message().find("32"), absl::string_view::npos);
  EXPECT_EQ(Borrow(kUuidA).status().code(), absl::StatusCode::kFailedPrecondition)
      << "nothing tells which one that is";
  EXPECT_TRUE(copies_.empty());
}

TEST_F(BorrowTest, TakesTheDeviceThatTheKernelNamesInFdinfo) {
  AddGroupDevice(31, FakeProfile::kMdpy);
  AddGroupDevice(32, FakeProfile::kNvidia);
  SayInFdinfo(31, std::string("vfio-device-syspath:\t/sys/devices/virtual/mdpy/") + kUuidA);
  SayInFdinfo(32, std::string("vfio-device-syspath:\t/sys/devices/pci0000:00/") + kUuidB);
  const auto opened = Borrow(kUuidB);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_NE(opened->description.find(kUuidB), std::string::npos);
  EXPECT_EQ(copies_.at(opened->device.get()), owners_[32]);
  EXPECT_EQ(Borrow("0000:00:02.0").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BorrowTest, TakesTheCdevThatSysfsNames) {
  AddLink(31, "/dev/vfio/devices/vfio3");
  AddDevice(31, FakeProfile::kMbochs);
  AddLink(32, "/dev/vfio/devices/vfio4");
  AddDevice(32, FakeProfile::kMbochs);
  NameCdev("vfio3", kUuidA);
  NameCdev("vfio4", kUuidB);
  const auto by_uuid = Borrow(kUuidB);
  ASSERT_TRUE(by_uuid.ok()) << by_uuid.status();
  EXPECT_EQ(copies_.at(by_uuid->device.get()), owners_[32]);
  const auto by_path = Borrow("/dev/vfio/devices/vfio3");
  ASSERT_TRUE(by_path.ok()) << by_path.status();
  EXPECT_EQ(copies_.at(by_path->device.get()), owners_[31]);
}

TEST_F(BorrowTest, SeveralFdsOfOneNamedDeviceAreOneDevice) {
  AddLink(31, "/dev/vfio/devices/vfio3");
  FakeDevice& device = AddDevice(31, FakeProfile::kMbochs);
  AddLink(33, "/dev/vfio/devices/vfio3");
  held_[33] = device.Dup(held_[31]);
  owners_[33] = &device;
  EXPECT_TRUE(Borrow("").ok());
}

TEST_F(BorrowTest, SaysSoWhenItCouldNotCheckWhichDeviceItIs) {
  AddGroupDevice(31, FakeProfile::kMdpy);
  const auto opened = Borrow(kUuidA);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_NE(opened->description.find("because it is the only one"), std::string::npos);
}

TEST_F(BorrowTest, AMissingPermissionNamesItsRemedy) {
  AddGroupDevice(31, FakeProfile::kMdpy);
  copy_error_ = -EPERM;
  const auto opened = Borrow("");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(opened.status().message().find("CAP_SYS_PTRACE"), absl::string_view::npos);
}

TEST_F(BorrowTest, MissingProcessesAndDevicesAreNotFound) {
  EXPECT_EQ(Borrow("").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(BorrowVmmDevice(*this, kVmm + 1, "", paths_).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(BorrowVmmDevice(*this, 0, "", paths_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(BorrowTest, LivesOffTheCopyAndGivesItBack) {
  FakeDevice& device = AddGroupDevice(31, FakeProfile::kMdpy);
  auto opened = Borrow("");
  ASSERT_TRUE(opened.ok());
  auto source = MakeVfioSource(*std::move(opened), {}, clock_);
  ASSERT_TRUE(source.ok());
  ASSERT_TRUE(device.guest().SetMode({.width_px = 640, .height_px = 480}).ok());
  EXPECT_EQ((*source)->Look(0).primary, Primary::kFrame);
  source->reset();
  EXPECT_EQ(device.counters().open_device_fds, 1) << "the VMM's own";
  EXPECT_EQ(device.counters().live_mappings, 0);
}

TEST(BorrowVmmDeviceTest, FindsNothingInAProcessWithoutDevices) {
  EXPECT_EQ(BorrowVmmDevice(KernelSys(), getpid(), "").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace planecast
