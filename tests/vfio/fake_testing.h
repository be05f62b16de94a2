// What the tests of the fake device share: a device of a profile, opened, and its calls by name.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "vfio/abi.h"
#include "vfio/clock.h"
#include "vfio/fake/fake_device.h"
#include "vfio/fd.h"

namespace planecast {

/// What a careful caller passes to QUERY.
inline abi::GfxPlaneInfo PlaneArg(uint32_t flags, uint32_t plane_type = abi::kPlaneTypePrimary,
                                  uint32_t argsz = sizeof(abi::GfxPlaneInfo), int fill = 0) {
  abi::GfxPlaneInfo info;
  std::memset(&info, fill, sizeof info);
  info.argsz = argsz;
  info.flags = flags;
  info.drm_plane_type = plane_type;
  return info;
}

/// An open fake device.
struct TestDevice {
  explicit TestDevice(const FakeDeviceOptions& options) : device(options, clock) {
    fd = Fd(device, device.OpenDevice());
  }
  explicit TestDevice(FakeProfile profile, FakeFlipDialect flips = FakeFlipDialect::kNone)
      : TestDevice(FakeDeviceOptions{.profile = profile, .flip_dialect = flips}) {}

  FakeGuest& guest() { return device.guest(); }
  int Ioctl(unsigned long request, void* arg) { return device.Ioctl(fd.get(), request, arg); }

  bool region() const { return TraitsOf(device.options().profile).region_plane; }
  uint32_t kind() const { return region() ? abi::kPlaneFlagRegion : abi::kPlaneFlagDmabuf; }

  /// A query with a zeroed struct.
  int Query(abi::GfxPlaneInfo& info, uint32_t plane_type = abi::kPlaneTypePrimary) {
    info = PlaneArg(kind(), plane_type);
    return Ioctl(abi::kQueryGfxPlane, &info);
  }
  /// The primary plane, with the second try that mbochs needs.
  abi::GfxPlaneInfo Primary() {
    abi::GfxPlaneInfo info;
    int result = Query(info);
    if (result != 0) result = Query(info);
    EXPECT_EQ(result, 0);
    return info;
  }
  abi::GfxPlaneInfo CursorPlane() {
    abi::GfxPlaneInfo info;
    EXPECT_EQ(Query(info, abi::kPlaneTypeCursor), 0);
    return info;
  }
  int Get(uint32_t id) { return Ioctl(abi::kGetGfxDmabuf, &id); }
  Fd GetFd(uint32_t id) { return Fd(device, Get(id)); }

  void SetMode(uint32_t width_px, uint32_t height_px, int buffer_count = 2) {
    FakeMode mode{.width_px = width_px, .height_px = height_px};
    mode.buffer_count = buffer_count;
    ASSERT_TRUE(guest().SetMode(mode).ok());
  }

  ManualClock clock;
  FakeDevice device;
  /// Destroyed before the device.
  Fd fd;
};

/// Every profile, for TEST_P.
class AnyProfile : public testing::TestWithParam<FakeProfile> {};
class DmabufProfile : public testing::TestWithParam<FakeProfile> {};
class RegionProfile : public testing::TestWithParam<FakeProfile> {};

inline std::string ProfileParamName(const testing::TestParamInfo<FakeProfile>& info) {
  return std::string(FakeProfileName(info.param));
}

/// What the memory behind a dma-buf fd holds, whether or not the profile lets it be mapped.
inline std::string BackingBytes(int dmabuf_fd, size_t size_bytes) {
  std::string bytes(size_bytes, '\0');
  const int64_t count = KernelSys().Pread(dmabuf_fd, bytes.data(), size_bytes, 0);
  bytes.resize(count < 0 ? 0 : static_cast<size_t>(count));
  return bytes;
}

/// Fills a buffer of the guest with one byte value.
inline FakeGuest::PaintFunction FillWith(uint8_t value) {
  return [value](std::span<uint8_t> bytes, const PlaneLayout&) {
    std::memset(bytes.data(), value, bytes.size());
  };
}

/// A cursor picture of one colour.
inline FakeCursorImage PlainCursor(uint32_t side_px, uint32_t x_hot_px = 0, uint32_t y_hot_px = 0) {
  return {.width_px = side_px,
          .height_px = side_px,
          .x_hot_px = x_hot_px,
          .y_hot_px = y_hot_px,
          .argb = std::vector<uint32_t>(uint64_t{side_px} * side_px, 0xff808080)};
}

}  // namespace planecast
