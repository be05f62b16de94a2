#include "vfio/fd_kind.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/vfio/fake_testing.h"
#include "vfio/gfx_device.h"

namespace planecast {
namespace {

TEST(FdKindTest, OnlyADmabufIsOne) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  const Fd dmabuf = device.GetFd(device.Primary().region_index_or_dmabuf_id);
  EXPECT_TRUE(IsDmabuf(device.device, dmabuf.get()));
  EXPECT_FALSE(IsDmabuf(device.device, device.fd.get()));
  const Fd event(KernelSys(), eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(IsDmabuf(KernelSys(), event.get()));
  EXPECT_FALSE(IsDmabuf(KernelSys(), -1));
}

TEST(FdKindTest, OnlyADeviceOfAGroupIsOne) {
  TestDevice device(FakeProfile::kGvt);
  EXPECT_TRUE(IsGroupDeviceFile(device.device, device.fd.get()));
  // As anonymous, but another thing.
  const Fd event(KernelSys(), eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(IsGroupDeviceFile(KernelSys(), event.get()));
  const Fd group(device.device, device.device.Open(device.device.group_path().c_str(), O_RDWR));
  EXPECT_FALSE(IsGroupDeviceFile(device.device, group.get()));
}

// The kernel's own, which needs no device: /dev/null, as if it were a class of VFIO.
TEST(FdKindTest, ACharacterDeviceIsKnownByItsNumbersAndOnlyIfItWasOpened) {
  const std::string root = testing::TempDir() + "/fd_kind";
  std::filesystem::create_directories(root + "/class/mem/null");
  const Fd null(KernelSys(), open("/dev/null", O_RDWR | O_CLOEXEC));
  struct stat info {};
  ASSERT_EQ(fstat(null.get(), &info), 0);
  const std::string numbers = absl::StrCat(major(info.st_rdev), ":", minor(info.st_rdev), "\n");
  std::ofstream(root + "/class/mem/null/dev") << numbers;
  EXPECT_EQ(CharDeviceName(KernelSys(), null.get(), "mem", root), "null");
  EXPECT_EQ(CharDeviceName(KernelSys(), null.get(), "vfio", root), std::nullopt);
  const Fd path(KernelSys(), open("/dev/null", O_PATH | O_CLOEXEC));
  EXPECT_EQ(CharDeviceName(KernelSys(), path.get(), "mem", root), std::nullopt)
      << "takes no permission";
  std::ofstream(root + "/class/mem/null/dev") << "1:99\n";
  EXPECT_EQ(CharDeviceName(KernelSys(), null.get(), "mem", root), std::nullopt);
  std::filesystem::remove_all(root);
}

// A device whose driver answers a GET with a number that is no dma-buf's.
class Liar : public FakeDevice {
 public:
  Liar(FakeDialect dialect, int answer, Clock& clock)
      : FakeDevice({.profile = FakeProfile::kGvt, .dialect = dialect}, clock), answer_(answer) {}
  int Ioctl(int fd, unsigned long request, void* arg) override {
    if (request == abi::kGetGfxDmabuf && options().dialect == FakeDialect::kV15) {
      static_cast<abi::V15GfxDmabuf*>(arg)->dmabuf_fd = answer_;
      return 0;
    }
    if (request == abi::kGetGfxDmabuf) return answer_;
    const int result = FakeDevice::Ioctl(fd, request, arg);
    if (request == abi::kQueryGfxPlane && options().dialect == FakeDialect::kV1 && result == 0) {
      auto& query = *static_cast<abi::V1QueryGfxPlane*>(arg);
      if (query.fd >= 0) FakeDevice::Close(query.fd);
      query.fd = answer_;
    }
    return result;
  }

 private:
  int answer_;
};

TEST(FdKindTest, WhatAGetReturnsIsOursOnlyIfItIsADmabuf) {
  // Somebody else's, whose number the device names.
  const Fd event(KernelSys(), eventfd(0, EFD_CLOEXEC));
  for (const auto& [fake, dialect] : {std::pair(FakeDialect::kFinal, AbiDialect::kFinal),
                                      std::pair(FakeDialect::kV15, AbiDialect::kV15),
                                      std::pair(FakeDialect::kV1, AbiDialect::kV1)}) {
    ManualClock clock;
    Liar liar(fake, event.get(), clock);
    const Fd fd(liar, liar.OpenDevice());
    ASSERT_TRUE(liar.guest().SetMode({.width_px = 640, .height_px = 480}).ok());
    {
      GfxDevice device(liar, fd.get(), dialect);
      PlaneInfo info;
      const int queried = device.Query(PlaneKind::kDmabuf, abi::kPlaneTypePrimary, &info);
      EXPECT_EQ(dialect == AbiDialect::kV1 ? queried : device.GetDmabuf(1), -EPROTO);
    }
    EXPECT_GE(fcntl(event.get(), F_GETFD), 0) << "closed by who never owned it";
  }
}

}  // namespace
}  // namespace planecast
