// How the fake device is opened, its regions, and the draft dialects of its plane ioctls. Numbers
// are those of the list of behaviours that the kernel's drivers and the drafts show.
#include "vfio/fake/fake_device.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/vfio/fake_testing.h"

namespace planecast {
namespace {

// --- Region planes.

abi::RegionInfo AskRegion(TestDevice& device, uint32_t index) {
  abi::RegionInfo info{};
  info.argsz = sizeof info;
  info.index = index;
  EXPECT_EQ(device.Ioctl(abi::kDeviceGetRegionInfo, &info), 0) << index;
  return info;
}

TEST_P(RegionProfile, B33_ThePlanesRegionIsBeyondTheCount) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  abi::DeviceInfo info{.argsz = sizeof info, .flags = 0, .num_regions = 0, .num_irqs = 0};
  ASSERT_EQ(device.Ioctl(abi::kDeviceGetInfo, &info), 0);
  EXPECT_EQ(info.num_regions, 9U);
  const uint32_t index = device.Primary().region_index_or_dmabuf_id;
  EXPECT_EQ(index, GetParam() == FakeProfile::kMdpy ? 16U : 9U);
  const abi::RegionInfo region = AskRegion(device, index);
  EXPECT_NE(region.flags & abi::kRegionFlagMmap, 0U);
  abi::RegionInfo other{};
  other.argsz = sizeof other;
  other.index = 12;
  EXPECT_EQ(device.Ioctl(abi::kDeviceGetRegionInfo, &other), -EINVAL);
}

TEST(FakeRegions, B34_MdpySaysThePowerOfTwo) {
  TestDevice device(FakeProfile::kMdpy);
  device.SetMode(640, 480);
  const abi::GfxPlaneInfo info = device.Primary();
  EXPECT_EQ(info.size, 8U << 20);
  EXPECT_GT(info.size, info.stride * info.height);
  EXPECT_EQ(AskRegion(device, 16).size, info.size);
}

TEST(FakeRegions, B35_MdpyReadsItsBeginningAndMapsTheTruth) {
  TestDevice device(FakeProfile::kMdpy);
  device.SetMode(640, 480);
  device.guest().PaintInPlace([](std::span<uint8_t> bytes, const PlaneLayout&) {
    for (size_t i = 0; i < 4096; ++i) bytes[i] = static_cast<uint8_t>(i);
  });
  const abi::RegionInfo region = AskRegion(device, 16);
  EXPECT_EQ(region.offset, 4096U);
  uint8_t read[8] = {};
  EXPECT_EQ(device.device.Pread(device.fd.get(), read, 8, static_cast<int64_t>(region.offset) + 64),
            8);
  const uint8_t beginning[8] = {0, 1, 2, 3, 0, 1, 2, 3};
  EXPECT_EQ(std::memcmp(read, beginning, 8), 0);

  void* address = nullptr;
  EXPECT_EQ(device.device.Mmap(4096, PROT_READ, MAP_PRIVATE, device.fd.get(),
                               static_cast<int64_t>(region.offset), &address),
            -EINVAL);
  EXPECT_EQ(device.device.Mmap(region.size + 4096, PROT_READ, MAP_SHARED, device.fd.get(),
                               static_cast<int64_t>(region.offset), &address),
            -EINVAL);
  ASSERT_EQ(device.device.Mmap(4096, PROT_READ, MAP_SHARED, device.fd.get(),
                               static_cast<int64_t>(region.offset), &address),
            0);
  EXPECT_EQ(static_cast<const uint8_t*>(address)[64], 64);
  device.device.Munmap(address, 4096);
}

TEST(FakeRegions, NvidiaReadsWhatItMaps) {
  TestDevice device(FakeProfile::kNvidia);
  device.SetMode(640, 480);
  device.guest().PaintInPlace([](std::span<uint8_t> bytes, const PlaneLayout&) { bytes[64] = 42; });
  uint8_t read = 0;
  const auto offset = static_cast<int64_t>(AskRegion(device, 9).offset);
  EXPECT_EQ(device.device.Pread(device.fd.get(), &read, 1, offset + 64), 1);
  EXPECT_EQ(read, 42);
}

TEST(FakeRegions, DmabufDevicesAreNotMapped) {
  TestDevice device(FakeProfile::kMbochs);
  void* address = nullptr;
  EXPECT_LT(device.device.Mmap(4096, PROT_READ, MAP_SHARED, device.fd.get(), 12288, &address), 0);
  EXPECT_EQ(device.device.counters().consumer_errors, 1);
}

// --- Drafts.

abi::V15GfxPlaneInfo V15Arg(uint32_t argsz = sizeof(abi::V15GfxPlaneInfo)) {
  abi::V15GfxPlaneInfo info;
  std::memset(&info, 0xaa, sizeof info);
  info.argsz = argsz;
  info.flags = abi::kPlaneFlagDmabuf;
  info.drm_plane_type = abi::kPlaneTypePrimary;
  return info;
}

TEST(FakeDrafts, B51_V15AnswersWithStructs) {
  TestDevice device(
      FakeDeviceOptions{.profile = FakeProfile::kIdeal, .dialect = FakeDialect::kV15});
  abi::V15GfxPlaneInfo info = V15Arg();
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), -ENODEV);
  EXPECT_EQ(info.drm_format, 0U) << "zeroed although it failed";
  EXPECT_EQ(info.size, 0U);

  device.SetMode(640, 480);
  info = V15Arg(51);
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), -EINVAL);
  info = V15Arg();
  ASSERT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), 0);
  EXPECT_EQ(info.width, 640U);
  EXPECT_EQ(info.padding, 0xaaaaaaaaU) << "52 bytes are written";

  abi::V15GfxDmabuf get{.argsz = sizeof get,
                        .flags = 0,
                        .dmabuf_id = static_cast<uint32_t>(info.dmabuf_id),
                        .dmabuf_fd = -1};
  ASSERT_EQ(device.Ioctl(abi::kGetGfxDmabuf, &get), 0);
  Fd held(device.device, get.dmabuf_fd);
  EXPECT_GT(device.device.Lseek(held.get(), 0, SEEK_END), 0);
  held.Reset();
  EXPECT_EQ(device.Ioctl(abi::kGetGfxDmabuf, &get), -EINVAL) << "an id dies with its fds";
}

TEST(FakeDrafts, B51_AFinalCallerOnV15IsRefused) {
  TestDevice device(
      FakeDeviceOptions{.profile = FakeProfile::kIdeal, .dialect = FakeDialect::kV15});
  device.SetMode(640, 480);
  // The id where argsz is expected.
  uint32_t words[4] = {1, 0, 0, 0};
  EXPECT_EQ(device.Ioctl(abi::kGetGfxDmabuf, words), -EINVAL);
}

TEST(FakeDrafts, AV15CallerOnAFinalDriverIsRefused) {
  TestDevice device(FakeProfile::kIdeal);
  device.SetMode(640, 480);
  device.Primary();
  abi::V15GfxPlaneInfo info = V15Arg();
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), -EINVAL);
  abi::V15GfxDmabuf get{.argsz = sizeof get, .flags = 0, .dmabuf_id = 1, .dmabuf_fd = -1};
  EXPECT_EQ(device.Ioctl(abi::kGetGfxDmabuf, &get), -EINVAL) << "argsz is taken for an id";
}

abi::V1QueryGfxPlane V1Arg() {
  abi::V1QueryGfxPlane query{};
  query.argsz = sizeof query;
  query.plane_type = abi::kPlaneTypePrimary;
  return query;
}

TEST(FakeDrafts, B52_V1GivesTheSameFdForTheSameBuffer) {
  TestDevice device(FakeDeviceOptions{.profile = FakeProfile::kIdeal, .dialect = FakeDialect::kV1});
  abi::V1QueryGfxPlane query = V1Arg();
  ASSERT_EQ(device.Ioctl(abi::kQueryGfxPlane, &query), 0);
  EXPECT_EQ(query.fd, -1) << "no framebuffer";
  EXPECT_EQ(query.info.drm_format, 0U);

  device.SetMode(640, 480);
  ASSERT_EQ(device.Ioctl(abi::kQueryGfxPlane, &query), 0);
  const Fd first(device.device, query.fd);
  EXPECT_EQ(query.info.width, 640U);
  query = V1Arg();
  ASSERT_EQ(device.Ioctl(abi::kQueryGfxPlane, &query), 0);
  EXPECT_EQ(query.fd, first.get());
  device.guest().Flip(1);
  ASSERT_EQ(device.Ioctl(abi::kQueryGfxPlane, &query), 0);
  EXPECT_NE(query.fd, first.get());
  const Fd second(device.device, query.fd);
  query = V1Arg();
  query.flags = 2;
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &query), -EINVAL);
  uint32_t id = 1;
  EXPECT_EQ(device.Ioctl(abi::kGetGfxDmabuf, &id), -ENOTTY);
}

// --- Opening.

/// A device by its group, as a lone service opens it.
struct OpenGroup {
  explicit OpenGroup(FakeDevice& device) {
    container = Fd(device, device.Open("/dev/vfio/vfio", O_RDWR));
    group = Fd(device, device.Open(device.group_path().c_str(), O_RDWR));
    int32_t fd = container.get();
    EXPECT_EQ(device.Ioctl(group.get(), abi::kGroupSetContainer, &fd), 0);
    EXPECT_EQ(device.Ioctl(container.get(), abi::kSetIommu, Type1()), 0);
  }
  static void* Type1() {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the ABI says so.
    return reinterpret_cast<void*>(uintptr_t{1});
  }
  Fd container;
  Fd group;
};

int GetDeviceFd(FakeDevice& device, int group, std::string name) {
  return device.Ioctl(group, abi::kGroupGetDeviceFd, name.data());
}

int Bind(FakeDevice& device, int fd, int iommufd) {
  abi::BindIommufd bind{.argsz = sizeof bind, .flags = 0, .iommufd = iommufd, .devid = 0};
  return device.Ioctl(fd, abi::kDeviceBindIommufd, &bind);
}

FakeDeviceOptions Options(FakeProfile profile) {
  FakeDeviceOptions options;
  options.profile = profile;
  return options;
}

TEST_P(AnyProfile, B53_TheGroupIsOpenedOnce) {
  ManualClock clock;
  FakeDevice device(Options(GetParam()), clock);
  Fd fd;
  {
    OpenGroup open(device);
    EXPECT_EQ(device.Open(device.group_path().c_str(), O_RDWR), -EBUSY);
    EXPECT_EQ(GetDeviceFd(device, open.group.get(), "somebody-else"), -ENODEV);
    fd = Fd(device, GetDeviceFd(device, open.group.get(), device.options().device_name));
    ASSERT_TRUE(fd.valid());
    EXPECT_NE(device.GetFdFlags(fd.get()) & FD_CLOEXEC, 0);
    const Fd again(device, GetDeviceFd(device, open.group.get(), device.options().device_name));
    EXPECT_TRUE(again.valid()) << "a second device fd of one group works";
  }
  // The device works without group and container, and keeps the group busy.
  abi::DeviceInfo info{.argsz = sizeof info, .flags = 0, .num_regions = 0, .num_irqs = 0};
  EXPECT_EQ(device.Ioctl(fd.get(), abi::kDeviceGetInfo, &info), 0);
  EXPECT_EQ(device.Open(device.group_path().c_str(), O_RDWR), -EBUSY);
  fd.Reset();
  EXPECT_TRUE(Fd(device, device.Open(device.group_path().c_str(), O_RDWR)).valid());
}

TEST(FakeOpen, B53_AMappingKeepsTheGroupBusy) {
  ManualClock clock;
  FakeDevice device(Options(FakeProfile::kMdpy), clock);
  void* address = nullptr;
  {
    OpenGroup open(device);
    const Fd fd(device, GetDeviceFd(device, open.group.get(), device.options().device_name));
    ASSERT_EQ(device.Mmap(4096, PROT_READ, MAP_SHARED, fd.get(), 4096, &address), 0);
  }
  EXPECT_EQ(device.Open(device.group_path().c_str(), O_RDWR), -EBUSY);
  device.Munmap(address, 4096);
  EXPECT_TRUE(Fd(device, device.Open(device.group_path().c_str(), O_RDWR)).valid());
}

TEST(FakeOpen, B53_TheDeviceWantsAContainerWithAnIommu) {
  ManualClock clock;
  FakeDevice device(Options(FakeProfile::kIdeal), clock);
  const Fd group(device, device.Open(device.group_path().c_str(), O_RDWR));
  EXPECT_EQ(GetDeviceFd(device, group.get(), device.options().device_name), -EINVAL);
  const Fd container(device, device.Open("/dev/vfio/vfio", O_RDWR));
  int32_t fd = container.get();
  ASSERT_EQ(device.Ioctl(group.get(), abi::kGroupSetContainer, &fd), 0);
  EXPECT_EQ(GetDeviceFd(device, group.get(), device.options().device_name), -EINVAL);
}

TEST_P(AnyProfile, B53_OneCdevIsBoundAtATime) {
  ManualClock clock;
  FakeDevice device(Options(GetParam()), clock);
  const Fd iommufd(device, device.Open("/dev/iommu", O_RDWR));
  Fd one(device, device.Open(device.cdev_path().c_str(), O_RDWR));
  const Fd two(device, device.Open(device.cdev_path().c_str(), O_RDWR));
  ASSERT_TRUE(one.valid() && two.valid());
  {
    const Fd group(device, device.Open(device.group_path().c_str(), O_RDWR));
    EXPECT_EQ(Bind(device, one.get(), iommufd.get()), -EBUSY);
  }
  EXPECT_EQ(Bind(device, one.get(), iommufd.get()), 0);
  EXPECT_EQ(Bind(device, one.get(), iommufd.get()), -EINVAL);
  EXPECT_EQ(Bind(device, two.get(), iommufd.get()), -EINVAL);
  EXPECT_EQ(device.Open(device.group_path().c_str(), O_RDWR), -EBUSY);
  one.Reset();
  EXPECT_EQ(Bind(device, two.get(), iommufd.get()), 0);
}

TEST_P(AnyProfile, B54_AnUnboundCdevRefusesEverything) {
  ManualClock clock;
  FakeDevice device(Options(GetParam()), clock);
  const Fd iommufd(device, device.Open("/dev/iommu", O_RDWR));
  const Fd fd(device, device.Open(device.cdev_path().c_str(), O_RDWR));
  const Fd copy(device, device.Dup(fd.get()));
  abi::DeviceInfo info{.argsz = sizeof info, .flags = 0, .num_regions = 0, .num_irqs = 0};
  EXPECT_EQ(device.Ioctl(copy.get(), abi::kDeviceGetInfo, &info), -EINVAL);
  EXPECT_EQ(device.Ioctl(copy.get(), 0x1234, nullptr), -EINVAL);
  uint32_t word = 0;
  EXPECT_EQ(device.Pread(copy.get(), &word, 4, 0), -EINVAL);
  EXPECT_EQ(device.Pwrite(copy.get(), &word, 4, 0), -EINVAL);
  void* address = nullptr;
  EXPECT_EQ(device.Mmap(4096, PROT_READ, MAP_SHARED, copy.get(), 4096, &address), -EINVAL);
  ASSERT_EQ(Bind(device, fd.get(), iommufd.get()), 0);
  EXPECT_EQ(device.Ioctl(copy.get(), abi::kDeviceGetInfo, &info), 0);
}

TEST(FakeOpen, B55_GvtWantsAKvmVm) {
  ManualClock clock;
  FakeDeviceOptions options = Options(FakeProfile::kGvt);
  options.has_kvm = false;
  FakeDevice device(options, clock);
  EXPECT_EQ(device.OpenDevice(), -ESRCH);
  {
    const OpenGroup open(device);
    EXPECT_EQ(GetDeviceFd(device, open.group.get(), options.device_name), -ESRCH);
  }
  const Fd iommufd(device, device.Open("/dev/iommu", O_RDWR));
  const Fd cdev(device, device.Open(device.cdev_path().c_str(), O_RDWR));
  EXPECT_EQ(Bind(device, cdev.get(), iommufd.get()), -ESRCH);
}

TEST(FakeOpen, OtherFilesAreTheKernels) {
  ManualClock clock;
  FakeDevice device(Options(FakeProfile::kIdeal), clock);
  const Fd null(device, device.Open("/dev/null", O_RDWR));
  EXPECT_TRUE(null.valid());
  EXPECT_EQ(device.Pwrite(null.get(), "x", 1, 0), 1);
  EXPECT_EQ(device.Open("/dev/vfio/99999", O_RDWR), -ENOENT);
  EXPECT_EQ(device.counters().open_other_fds, 0);
}

TEST(FakeOpen, FdsAreCopiedByPidfdFromThisProcess) {
  TestDevice device(FakeProfile::kIdeal);
  device.SetMode(640, 480);
  const Fd pidfd(device.device, device.device.PidfdOpen(getpid()));
  ASSERT_TRUE(pidfd.valid());
  const Fd copy(device.device, device.device.PidfdGetfd(pidfd.get(), device.fd.get()));
  ASSERT_TRUE(copy.valid());
  abi::GfxPlaneInfo info = PlaneArg(abi::kPlaneFlagDmabuf);
  EXPECT_EQ(device.device.Ioctl(copy.get(), abi::kQueryGfxPlane, &info), 0);
}

TEST_P(AnyProfile, GuestAndHostMayWorkAtTheSameTime) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  std::atomic<bool> done = false;
  std::thread guest([&] {
    for (int i = 0; i < 300; ++i) {
      device.guest().Paint(i % 2, FillWith(static_cast<uint8_t>(i)));
      device.guest().Flip(i % 2);
      device.guest().MoveCursor(i, i);
      if (i % 100 == 99) {
        EXPECT_TRUE(device.guest().SetMode({.width_px = 800, .height_px = 600}).ok());
      }
    }
    done = true;
  });
  Fd held;
  uint32_t held_id = 0;
  std::vector<Fd> kept;
  while (!done) {
    abi::GfxPlaneInfo info;
    if (device.Query(info) != 0 || info.size == 0 || device.region()) continue;
    if (info.region_index_or_dmabuf_id == held_id) continue;
    // mbochs must not be asked twice for one id.
    if (GetParam() == FakeProfile::kMbochs && info.region_index_or_dmabuf_id < held_id) continue;
    kept.push_back(std::move(held));
    held = device.GetFd(info.region_index_or_dmabuf_id);
    held_id = info.region_index_or_dmabuf_id;
  }
  guest.join();
  EXPECT_EQ(device.device.counters().consumer_errors, 0) << device.device.last_consumer_error();
}

}  // namespace
}  // namespace planecast
