// GET_GFX_DMABUF of the fake device, the lives of ids, and what can be done with the fds. Numbers
// are those of the list of behaviours that the kernel's drivers show.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include "tests/vfio/fake_testing.h"

namespace planecast {
namespace {

uint64_t InodeOf(TestDevice& device, int fd) {
  struct stat info {};
  EXPECT_EQ(device.device.Fstat(fd, &info), 0);
  return info.st_ino;
}

TEST(FakeDmabuf, B14_AGvtIdDiesWithItsLastFd) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  {
    const Fd held = device.GetFd(id);
    EXPECT_TRUE(held.valid());
  }
  EXPECT_EQ(device.Get(id), -EINVAL);
  device.guest().Flip(1);
  EXPECT_EQ(device.Primary().region_index_or_dmabuf_id, id) << "the number is handed out again";
}

TEST(FakeDmabuf, B14_ADuplicateKeepsTheIdAlive) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  Fd first = device.GetFd(id);
  Fd copy(device.device, device.device.Dup(first.get()));
  first.Reset();
  EXPECT_TRUE(device.GetFd(id).valid());
  copy.Reset();
  EXPECT_EQ(device.Get(id), -EINVAL);
}

TEST(FakeDmabuf, B15_AQueryAfterGetKeepsTheGvtIdAlive) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  {
    const Fd held = device.GetFd(id);
    device.Primary();
  }
  EXPECT_TRUE(device.GetFd(id).valid());
}

TEST(FakeDmabuf, B16_AnOpenFdReservesItsGvtNumber) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  const Fd held = device.GetFd(id);
  for (uint32_t i = 0; i < 8; ++i) {
    device.SetMode(800 + 8 * i, 600);
    const uint32_t other = device.Primary().region_index_or_dmabuf_id;
    EXPECT_NE(other, id);
    device.GetFd(other);
  }
}

TEST_P(DmabufProfile, B17_AnIdNeverSeenIsRefused) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  const int error = GetParam() == FakeProfile::kMbochs ? -ENOENT : -EINVAL;
  EXPECT_EQ(device.Get(0), error);
  EXPECT_EQ(device.Get(4711), error);
  EXPECT_EQ(device.Ioctl(abi::kGetGfxDmabuf, nullptr), -EFAULT);
}

TEST_P(RegionProfile, B17_RegionPlanesHaveNoGet) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  EXPECT_EQ(device.Get(1), -ENOTTY);
  EXPECT_EQ(device.Ioctl(abi::kGetGfxDmabuf, nullptr), -ENOTTY);
}

TEST(FakeDmabuf, B18_GvtExportsAnewEachTime) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  device.guest().PaintInPlace(FillWith(0x42));
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  const Fd one = device.GetFd(id);
  const Fd two = device.GetFd(id);
  EXPECT_NE(one.get(), two.get());
  EXPECT_NE(InodeOf(device, one.get()), InodeOf(device, two.get()));
  EXPECT_EQ(BackingBytes(one.get(), 100), std::string(100, 0x42));
  EXPECT_EQ(BackingBytes(two.get(), 100), std::string(100, 0x42));
  EXPECT_EQ(device.device.counters().consumer_errors, 0);
}

TEST(FakeDmabuf, B19_ASecondMbochsGetIsTheConsumersError) {
  TestDevice device(FakeProfile::kMbochs);
  device.SetMode(640, 480);
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  const Fd one = device.GetFd(id);
  EXPECT_EQ(device.device.counters().consumer_errors, 0);
  const Fd two = device.GetFd(id);
  EXPECT_NE(one.get(), two.get());
  EXPECT_EQ(InodeOf(device, one.get()), InodeOf(device, two.get()));
  EXPECT_EQ(device.device.counters().consumer_errors, 1);
}

TEST(FakeDmabuf, B19_AnMbochsGetAfterCloseIsTheConsumersErrorToo) {
  TestDevice device(FakeProfile::kMbochs);
  device.SetMode(640, 480);
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  device.GetFd(id).Reset();
  EXPECT_EQ(device.device.counters().consumer_errors, 0);
  EXPECT_TRUE(device.GetFd(id).valid());
  EXPECT_EQ(device.device.counters().consumer_errors, 1);
}

TEST_P(DmabufProfile, B20_FdFlagsAreTheDrivers) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  const Fd held = device.GetFd(device.Primary().region_index_or_dmabuf_id);
  const bool mbochs = GetParam() == FakeProfile::kMbochs;
  EXPECT_EQ(device.device.GetFdFlags(held.get()) & FD_CLOEXEC, mbochs ? 0 : FD_CLOEXEC);
  EXPECT_EQ(device.device.GetFileFlags(held.get()) & O_ACCMODE, mbochs ? O_RDONLY : O_RDWR);
}

TEST_P(DmabufProfile, B21_SeekTellsTheSizeAndNothingElse) {
  TestDevice device(GetParam());
  // Not a whole number of pages in mbochs.
  device.SetMode(800, 600);
  const abi::GfxPlaneInfo info = device.Primary();
  const Fd held = device.GetFd(info.region_index_or_dmabuf_id);
  const int64_t size_bytes = device.device.Lseek(held.get(), 0, SEEK_END);
  if (GetParam() == FakeProfile::kMbochs) {
    EXPECT_EQ(size_bytes, 800 * 4 * 600);
  } else {
    EXPECT_EQ(size_bytes % 4096, 0);
    EXPECT_GE(size_bytes, info.size);
    EXPECT_LT(size_bytes, info.size + 4096);
  }
  EXPECT_EQ(device.device.Lseek(held.get(), 0, SEEK_SET), 0);
  EXPECT_EQ(device.device.Lseek(held.get(), 1, SEEK_SET), -EINVAL);
  EXPECT_EQ(device.device.Lseek(held.get(), -1, SEEK_END), -EINVAL);
  EXPECT_EQ(device.device.Lseek(held.get(), 0, SEEK_CUR), -EINVAL);
  uint8_t byte = 0;
  EXPECT_EQ(device.device.Pread(held.get(), &byte, 1, 0), -EINVAL);
}

struct MapCase {
  int prot;
  int flags;
};
constexpr MapCase kReadWriteShared = {PROT_READ | PROT_WRITE, MAP_SHARED};
constexpr MapCase kReadShared = {PROT_READ, MAP_SHARED};
constexpr MapCase kPrivate = {PROT_READ, MAP_PRIVATE};

int MapPrimary(TestDevice& device, const MapCase& how) {
  const abi::GfxPlaneInfo info = device.Primary();
  const Fd held = device.GetFd(info.region_index_or_dmabuf_id);
  void* address = nullptr;
  const int result = device.device.Mmap(4096, how.prot, how.flags, held.get(), 0, &address);
  if (result == 0) device.device.Munmap(address, 4096);
  return result;
}

TEST(FakeDmabuf, B22_MbochsCantBeMapped) {
  TestDevice device(FakeProfile::kMbochs);
  device.SetMode(640, 480);
  EXPECT_EQ(MapPrimary(device, kReadWriteShared), -EACCES);
  EXPECT_EQ(MapPrimary(device, kReadShared), -EINVAL);
  EXPECT_EQ(MapPrimary(device, kPrivate), -EINVAL);
}

TEST(FakeDmabuf, B23_GvtCantBeMapped) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  EXPECT_EQ(MapPrimary(device, kReadWriteShared), -ENODEV);
  EXPECT_EQ(MapPrimary(device, kReadShared), -ENODEV);
  EXPECT_EQ(MapPrimary(device, kPrivate), -ENODEV);
}

TEST(FakeDmabuf, IdealIsMappedUpToItsEnd) {
  TestDevice device(FakeProfile::kIdeal);
  device.SetMode(800, 600);
  device.guest().PaintInPlace(FillWith(0x42));
  const abi::GfxPlaneInfo info = device.Primary();
  Fd held = device.GetFd(info.region_index_or_dmabuf_id);
  void* address = nullptr;
  EXPECT_EQ(device.device.Mmap(info.size + 4096, PROT_READ, MAP_SHARED, held.get(), 0, &address),
            -EINVAL);
  ASSERT_EQ(device.device.Mmap(info.size, PROT_READ, MAP_SHARED, held.get(), 0, &address), 0);
  EXPECT_EQ(device.device.counters().live_mappings, 1);
  const auto* bytes = static_cast<const uint8_t*>(address);
  EXPECT_EQ(bytes[0], 0x42);
  // A mapping outlives fd, device and mode.
  held.Reset();
  device.guest().PaintInPlace(FillWith(0x43));
  device.SetMode(640, 480);
  device.fd.Reset();
  EXPECT_EQ(bytes[info.size - 1], 0x43);
  device.device.Munmap(address, info.size);
  EXPECT_EQ(device.device.counters().live_mappings, 0);
}

TEST(FakeDmabuf, MappingFailsOnRequest) {
  TestDevice device(FakeProfile::kIdeal);
  device.SetMode(640, 480);
  device.guest().FailMmaps(ENOMEM, 1);
  EXPECT_EQ(MapPrimary(device, kReadShared), -ENOMEM);
  EXPECT_EQ(MapPrimary(device, kReadShared), 0);
}

TEST_P(DmabufProfile, GetFailsOnRequest) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  device.guest().FailGets(EMFILE, 1);
  EXPECT_EQ(device.Get(id), -EMFILE);
  EXPECT_TRUE(device.GetFd(id).valid());
}

TEST_P(DmabufProfile, B24_SyncWantsADirectionAndNothingUnknown) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  const Fd held = device.GetFd(device.Primary().region_index_or_dmabuf_id);
  const std::pair<uint64_t, int> cases[] = {{0, -EINVAL}, {4, -EINVAL}, {8, -EINVAL},
                                            {9, -EINVAL}, {1, 0},       {5, 0}};
  for (const auto& [flags, result] : cases) {
    uint64_t sync = flags;
    EXPECT_EQ(device.device.Ioctl(held.get(), abi::kDmabufSync, &sync), result) << flags;
  }
  EXPECT_EQ(device.device.Ioctl(held.get(), abi::kDmabufSync, nullptr), -EFAULT);
  EXPECT_EQ(device.device.Ioctl(held.get(), abi::kDeviceGetInfo, nullptr), -ENOTTY);
}

TEST_P(DmabufProfile, B25_FencesAreAlwaysSignalled) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  const Fd held = device.GetFd(device.Primary().region_index_or_dmabuf_id);
  struct {
    uint32_t flags;
    int32_t fd;
  } sync = {.flags = 1, .fd = -1};
  ASSERT_EQ(device.device.Ioctl(held.get(), abi::kDmabufExportSyncFile, &sync), 0);
  const Fd fence(device.device, sync.fd);
  pollfd waits[] = {{.fd = fence.get(), .events = POLLIN, .revents = 0},
                    {.fd = held.get(), .events = POLLIN, .revents = 0}};
  EXPECT_EQ(poll(waits, 2, 0), 2);
  sync.flags = 4;
  EXPECT_EQ(device.device.Ioctl(held.get(), abi::kDmabufExportSyncFile, &sync), -EINVAL);
}

TEST_P(DmabufProfile, B27_FdsOutliveModeAndDevice) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  device.guest().PaintInPlace(FillWith(0x42));
  const Fd held = device.GetFd(device.Primary().region_index_or_dmabuf_id);
  device.SetMode(800, 600);
  EXPECT_EQ(BackingBytes(held.get(), 3), "\x42\x42\x42");
  device.fd.Reset();
  EXPECT_EQ(BackingBytes(held.get(), 3), "\x42\x42\x42");
  EXPECT_GT(device.device.Lseek(held.get(), 0, SEEK_END), 0);
  EXPECT_EQ(device.device.counters().open_dmabuf_fds, 1);
}

TEST(FakeDmabuf, IdealIdsAreNeverReused) {
  TestDevice device(FakeProfile::kIdeal);
  uint32_t last = 0;
  for (uint32_t i = 0; i < 5; ++i) {
    device.SetMode(640 + 8 * i, 480);
    const uint32_t id = device.Primary().region_index_or_dmabuf_id;
    EXPECT_GT(id, last);
    device.GetFd(id);
    last = id;
  }
  EXPECT_EQ(device.Get(1), -EINVAL) << "neither the guest nor an fd has it any more";
}

TEST(FakeDmabuf, LeaksAreCounted) {
  TestDevice device(FakeProfile::kIdeal);
  device.SetMode(640, 480);
  EXPECT_EQ(device.device.counters().open_device_fds, 1);
  Fd held = device.GetFd(device.Primary().region_index_or_dmabuf_id);
  Fd copy(device.device, device.device.Dup(held.get()));
  EXPECT_EQ(device.device.counters().open_dmabuf_fds, 2);
  held.Reset();
  copy.Reset();
  EXPECT_EQ(device.device.counters().open_dmabuf_fds, 0);
  device.fd.Reset();
  EXPECT_EQ(device.device.counters().open_device_fds, 0);
}

}  // namespace
}  // namespace planecast
