#include "vfio/open_device.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/vfio/source_testing.h"
#include "vfio/abi.h"

namespace planecast {
namespace {

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

// A device of vfio-pci: a network card, a disk.
class WithoutPlane : public FakeDevice {
 public:
  explicit WithoutPlane(Clock& clock) : FakeDevice({.profile = FakeProfile::kMbochs}, clock) {}
  int Ioctl(int fd, unsigned long request, void* arg) override {
    return request == abi::kQueryGfxPlane ? -ENOTTY : FakeDevice::Ioctl(fd, request, arg);
  }
};

TEST(OpenDeviceTest, ADeviceWithoutAPlaneIsNotGivenOut) {
  ManualClock clock;
  WithoutPlane device(clock);
  const auto by_group =
      OpenGroupDevice(device, device.options().number, device.options().device_name);
  const auto by_cdev = OpenCdevDevice(device, device.cdev_path());
  for (const absl::Status& status : {by_group.status(), by_cdev.status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(status.message().find("no vGPU with a display"), absl::string_view::npos) << status;
  }
  EXPECT_EQ(device.counters().open_device_fds, 0);
  EXPECT_EQ(device.counters().open_other_fds, 0);
}

TEST(OpenDeviceTest, APlaneOfADraftIsOne) {
  for (const FakeDialect dialect : {FakeDialect::kV15, FakeDialect::kV1}) {
    ManualClock clock;
    FakeDevice device({.profile = FakeProfile::kGvt, .dialect = dialect}, clock);
    ASSERT_TRUE(device.guest().SetMode({.width_px = 640, .height_px = 480}).ok());
    const auto opened = OpenCdevDevice(device, device.cdev_path());
    EXPECT_TRUE(opened.ok()) << opened.status();
  }
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

// A file that answers as a device does, and is none: CUSE or a file of FUSE can.
class Impostor : public FakeDevice {
 public:
  explicit Impostor(Clock& clock) : FakeDevice({.profile = FakeProfile::kMdpy}, clock) {}
  int Ioctl(int fd, unsigned long request, void* arg) override {
    ++ioctls_count_;
    return FakeDevice::Ioctl(fd, request, arg);
  }
  int FileSystemType(int, uint64_t* type) override {
    constexpr uint64_t kFuse = 0x65735546;
    *type = kFuse;
    return 0;
  }
  int ioctls_count() const { return ioctls_count_; }

 private:
  int ioctls_count_ = 0;
};

TEST(AdoptDeviceTest, AsksNothingOfAFileThatIsNoDeviceOfVfio) {
  ManualClock clock;
  Impostor impostor(clock);
  EXPECT_EQ(AdoptDevice(Fd(impostor, impostor.OpenDevice())).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(impostor.ioctls_count(), 0);
}

}  // namespace
}  // namespace planecast
