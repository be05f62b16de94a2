// QUERY_GFX_PLANE of the fake device. Numbers are those of the list of behaviours that the
// kernel's drivers show.
#include <drm_fourcc.h>
#include <errno.h>
#include <sys/mman.h>

#include "tests/vfio/fake_testing.h"

namespace planecast {
namespace {

TEST_P(AnyProfile, B01_QueryNeedsAnArgszOfSixty) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  device.Primary();
  for (const uint32_t argsz : {0U, 59U}) {
    abi::GfxPlaneInfo info = PlaneArg(device.kind(), abi::kPlaneTypePrimary, argsz);
    EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), -EINVAL) << argsz;
  }
  for (const uint32_t argsz : {60U, 64U, 4096U}) {
    abi::GfxPlaneInfo info = PlaneArg(device.kind(), abi::kPlaneTypePrimary, argsz);
    EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), 0) << argsz;
    EXPECT_EQ(info.argsz, argsz);
    EXPECT_EQ(info.width, 640U);
  }
}

TEST_P(AnyProfile, B02_QueryWritesSixtyBytes) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  device.Primary();
  abi::GfxPlaneInfo info = PlaneArg(device.kind());
  info.reserved = 0xcafe;
  ASSERT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), 0);
  EXPECT_EQ(info.reserved, 0xcafeU);
  EXPECT_NE(info.size, 0U);
}

TEST_P(AnyProfile, B03_BadPointersFaultAndFailuresWriteNothing) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, nullptr), -EFAULT);
  void* unmapped = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(unmapped, MAP_FAILED);
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, unmapped), -EFAULT);
  munmap(unmapped, 4096);

  const abi::GfxPlaneInfo before = PlaneArg(device.kind(), abi::kPlaneTypePrimary, 59, 0xaa);
  abi::GfxPlaneInfo info = before;
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), -EINVAL);
  EXPECT_EQ(std::memcmp(&info, &before, sizeof info), 0);
}

TEST_P(AnyProfile, B04_B05_OneKindOfPlaneAndItsProbeAreTaken) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  device.Primary();
  for (uint32_t flags = 0; flags < 32; ++flags) {
    const abi::GfxPlaneInfo before =
        PlaneArg(flags, abi::kPlaneTypePrimary, sizeof(abi::GfxPlaneInfo), 0xaa);
    abi::GfxPlaneInfo info = before;
    const int result = device.Ioctl(abi::kQueryGfxPlane, &info);
    if (flags == device.kind()) {
      EXPECT_EQ(result, 0);
      EXPECT_EQ(info.width, 640U);
      continue;
    }
    EXPECT_EQ(result, flags == (device.kind() | abi::kPlaneFlagProbe) ? 0 : -EINVAL) << flags;
    EXPECT_EQ(std::memcmp(&info, &before, sizeof info), 0) << flags;
  }
}

TEST_P(AnyProfile, B06_ProbesDontLookAtThePlaneType) {
  TestDevice device(GetParam());
  abi::GfxPlaneInfo info = PlaneArg(device.kind() | abi::kPlaneFlagProbe, 4711);
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), 0);
}

TEST(FakePlanes, B07_MbochsAnswersOtherPlaneTypesWithZeros) {
  TestDevice device(FakeProfile::kMbochs);
  device.SetMode(640, 480);
  device.Primary();
  for (const uint32_t type : {0U, 2U, 99U}) {
    abi::GfxPlaneInfo info;
    EXPECT_EQ(device.Query(info, type), 0);
    EXPECT_EQ(info.drm_format, 0U);
    EXPECT_EQ(info.size, 0U);
  }
}

TEST(FakePlanes, B07_GvtRefusesOtherPlaneTypes) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  for (const uint32_t type : {0U, 99U}) {
    abi::GfxPlaneInfo info;
    EXPECT_EQ(device.Query(info, type), -EINVAL);
  }
}

TEST_P(RegionProfile, B07_AnyPlaneTypeIsThePrimaryPlane) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  for (const uint32_t type : {0U, 1U, 2U, 99U}) {
    abi::GfxPlaneInfo info;
    EXPECT_EQ(device.Query(info, type), 0);
    EXPECT_EQ(info.width, 640U) << type;
  }
}

abi::GfxPlaneInfo QueryPrefilled(TestDevice& device) {
  abi::GfxPlaneInfo info =
      PlaneArg(device.kind(), abi::kPlaneTypePrimary, sizeof(abi::GfxPlaneInfo), 0xaa);
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), 0);
  return info;
}

TEST(FakePlanes, B08_MbochsWritesZerosWhileOff) {
  TestDevice device(FakeProfile::kMbochs);
  device.SetMode(640, 480);
  device.Primary();
  device.guest().Disable();
  const abi::GfxPlaneInfo info = QueryPrefilled(device);
  EXPECT_EQ(info.drm_format, 0U);
  EXPECT_EQ(info.size, 0U);
  EXPECT_EQ(info.width, 0U);
  EXPECT_EQ(info.height, 0U);
  EXPECT_EQ(info.stride, 0U);
  EXPECT_EQ(info.region_index_or_dmabuf_id, 0U);
  device.guest().Enable();
  EXPECT_EQ(device.Primary().width, 640U);
}

TEST(FakePlanes, B09_GvtWritesNothingWhileOff) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  device.guest().Disable();
  const abi::GfxPlaneInfo info = QueryPrefilled(device);
  EXPECT_EQ(info.drm_format, 0xaaaaaaaaU);
  EXPECT_EQ(info.drm_format_mod, 0xaaaaaaaaaaaaaaaaU);
  EXPECT_EQ(info.width, 0xaaaaaaaaU);
  EXPECT_EQ(info.region_index_or_dmabuf_id, 0xaaaaaaaaU);
}

TEST(FakePlanes, B10_GvtRefusesInvalidSurfacesAndRecovers) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  abi::GfxPlaneInfo info;
  const std::pair<FakeInvalidSurface, int> cases[] = {
      {FakeInvalidSurface::kBadFormat, -EINVAL},
      {FakeInvalidSurface::kUnmapped, -EINVAL},
      {FakeInvalidSurface::kMisaligned, -EFAULT},
      {FakeInvalidSurface::kOutOfRange, -EFAULT},
  };
  for (const auto& [what, error] : cases) {
    device.guest().ShowInvalidSurface(what);
    EXPECT_EQ(device.Query(info), error);
    device.guest().Flip(1);
    EXPECT_EQ(device.Query(info), 0);
    EXPECT_EQ(info.width, 640U);
  }
}

TEST(FakePlanes, B11_MbochsForgetsANewModeOnce) {
  TestDevice device(FakeProfile::kMbochs);
  device.SetMode(640, 480);
  abi::GfxPlaneInfo info;
  EXPECT_EQ(device.Query(info), -ENOMEM);
  EXPECT_EQ(device.Query(info), 0);
  EXPECT_EQ(info.region_index_or_dmabuf_id, 1U);
  EXPECT_EQ(device.Query(info), 0);
  device.SetMode(800, 600);
  EXPECT_EQ(device.Query(info), -ENOMEM);
  EXPECT_EQ(device.Query(info), 0);
  EXPECT_EQ(info.region_index_or_dmabuf_id, 2U);
}

TEST(FakePlanes, B12_MbochsNamesAPlaceInMemory) {
  TestDevice device(FakeProfile::kMbochs);
  device.SetMode(640, 480);
  const uint32_t first = device.Primary().region_index_or_dmabuf_id;
  device.guest().Pan(640 * 4 * 480);
  const uint32_t second = device.Primary().region_index_or_dmabuf_id;
  EXPECT_NE(second, first);
  device.guest().Pan(0);
  EXPECT_EQ(device.Primary().region_index_or_dmabuf_id, first);
}

TEST(FakePlanes, B12_MbochsCantExportFromTheMiddleOfAPage) {
  TestDevice device(FakeProfile::kMbochs);
  device.SetMode(800, 600);
  device.guest().Pan(800 * 4 * 3);
  EXPECT_EQ(device.Get(device.Primary().region_index_or_dmabuf_id), -EINVAL);
}

TEST(FakePlanes, B13_MbochsCountsIdsUpUntilTheLastClose) {
  TestDevice device(FakeProfile::kMbochs);
  for (uint32_t i = 0; i < 4; ++i) {
    device.SetMode(640 + 8 * i, 480);
    const uint32_t id = device.Primary().region_index_or_dmabuf_id;
    EXPECT_EQ(id, i + 1);
    device.GetFd(id);
  }
  device.SetMode(640, 480);
  EXPECT_EQ(device.Primary().region_index_or_dmabuf_id, 1U) << "an old mode has its old id";

  Fd second(device.device, device.device.OpenDevice());
  device.fd.Reset();
  device.fd = std::move(second);
  EXPECT_EQ(device.Primary().region_index_or_dmabuf_id, 1U) << "not the last close";
  device.fd.Reset();
  device.fd = Fd(device.device, device.device.OpenDevice());
  device.SetMode(1024, 768);
  EXPECT_EQ(device.Primary().region_index_or_dmabuf_id, 1U) << "a new life counts from one";
}

TEST(FakePlanes, B26_GvtTilesAreSaidAndMeant) {
  TestDevice device(FakeProfile::kGvt);
  const struct {
    uint64_t modifier;
    uint32_t tile_width_bytes;
    uint32_t tile_lines;
  } cases[] = {{I915_FORMAT_MOD_X_TILED, 512, 8}, {I915_FORMAT_MOD_Y_TILED, 128, 32}};
  for (const auto& tile : cases) {
    FakeMode mode{.width_px = 650, .height_px = 470};
    mode.modifier = tile.modifier;
    ASSERT_TRUE(device.guest().SetMode(mode).ok());
    const abi::GfxPlaneInfo info = device.Primary();
    EXPECT_EQ(info.drm_format_mod, tile.modifier);
    EXPECT_EQ(info.stride % tile.tile_width_bytes, 0U);
    EXPECT_EQ(info.size % (info.stride * tile.tile_lines), 0U);
    EXPECT_EQ(info.size,
              info.stride * ((470 + tile.tile_lines - 1) / tile.tile_lines * tile.tile_lines));
  }
}

TEST_P(AnyProfile, B28_ContentChangesUnderOneId) {
  TestDevice device(GetParam());
  device.SetMode(640, 480, 1);
  const abi::GfxPlaneInfo before = device.Primary();
  device.guest().PaintInPlace(FillWith(0x55));
  const abi::GfxPlaneInfo after = device.Primary();
  EXPECT_EQ(std::memcmp(&before, &after, sizeof before), 0);
}

TEST_P(DmabufProfile, B28_IdChangesUnderEqualContent) {
  TestDevice device(GetParam());
  device.SetMode(640, 480, 2);
  device.guest().Paint(0, FillWith(0x55));
  device.guest().Paint(1, FillWith(0x55));
  const uint32_t first = device.Primary().region_index_or_dmabuf_id;
  device.guest().Flip(1);
  const uint32_t second = device.Primary().region_index_or_dmabuf_id;
  EXPECT_NE(first, second);
  device.guest().Flip(0);
  EXPECT_EQ(device.Primary().region_index_or_dmabuf_id, first);
}

// --- Cursor.

TEST(FakePlanes, B29_MovingTheCursorKeepsItsId) {
  TestDevice device(FakeProfile::kGvt);
  device.SetMode(640, 480);
  ASSERT_TRUE(device.guest().SetCursor(PlainCursor(64, 3, 4)).ok());
  device.guest().MoveCursor(10, 20);
  const abi::GfxPlaneInfo before = device.CursorPlane();
  EXPECT_EQ(before.x_hot, 3U);
  EXPECT_EQ(before.y_hot, 4U);
  device.guest().MoveCursor(11, 22);
  abi::GfxPlaneInfo after = device.CursorPlane();
  EXPECT_EQ(after.x_pos, 11U);
  EXPECT_EQ(after.y_pos, 22U);
  after.x_pos = before.x_pos;
  after.y_pos = before.y_pos;
  EXPECT_EQ(std::memcmp(&before, &after, sizeof before), 0);
}

TEST(FakePlanes, B30_AHiddenCursorComesBackUnderItsId) {
  TestDevice device(FakeProfile::kGvt);
  ASSERT_TRUE(device.guest().SetCursor(PlainCursor(64)).ok());
  const uint32_t id = device.CursorPlane().region_index_or_dmabuf_id;
  const Fd held = device.GetFd(id);
  device.guest().HideCursor();
  abi::GfxPlaneInfo info =
      PlaneArg(device.kind(), abi::kPlaneTypeCursor, sizeof(abi::GfxPlaneInfo), 0xaa);
  EXPECT_EQ(device.Ioctl(abi::kQueryGfxPlane, &info), 0);
  EXPECT_EQ(info.width, 0xaaaaaaaaU);
  device.guest().ShowCursor();
  EXPECT_EQ(device.CursorPlane().region_index_or_dmabuf_id, id);
}

TEST(FakePlanes, B31_GvtLosesTheSignOfThePosition) {
  TestDevice device(FakeProfile::kGvt);
  ASSERT_TRUE(device.guest().SetCursor(PlainCursor(64)).ok());
  device.guest().MoveCursor(-5, -7);
  const abi::GfxPlaneInfo info = device.CursorPlane();
  EXPECT_EQ(info.x_pos, 5U);
  EXPECT_EQ(info.y_pos, 7U);
  EXPECT_EQ(info.drm_format, DRM_FORMAT_ARGB8888);
  EXPECT_EQ(info.drm_format_mod, DRM_FORMAT_MOD_LINEAR);
  for (const uint32_t side : {64U, 128U, 256U}) {
    EXPECT_TRUE(device.guest().SetCursor(PlainCursor(side)).ok());
    EXPECT_EQ(device.CursorPlane().width, side);
  }
  EXPECT_FALSE(device.guest().SetCursor(PlainCursor(32)).ok());
}

TEST(FakePlanes, B31_IdealKeepsTheSignOfThePosition) {
  TestDevice device(FakeProfile::kIdeal);
  ASSERT_TRUE(device.guest().SetCursor(PlainCursor(32)).ok());
  device.guest().MoveCursor(-5, -7);
  EXPECT_EQ(device.CursorPlane().x_pos, static_cast<uint32_t>(-5));
}

TEST(FakePlanes, B32_AHotspotOutsideTheImageIsUnknown) {
  TestDevice device(FakeProfile::kGvt);
  const struct {
    uint32_t x_px, y_px;
    bool known;
  } cases[] = {{0, 0, true}, {64, 64, true}, {65, 0, false}, {0, 65, false}};
  for (const auto& hot : cases) {
    ASSERT_TRUE(device.guest().SetCursor(PlainCursor(64, hot.x_px, hot.y_px)).ok());
    const abi::GfxPlaneInfo info = device.CursorPlane();
    EXPECT_EQ(info.x_hot, hot.known ? hot.x_px : abi::kHotspotUnknown);
    EXPECT_EQ(info.y_hot, hot.known ? hot.y_px : abi::kHotspotUnknown);
  }
}

TEST_P(AnyProfile, B56_ResetTakesTheFramebufferAway) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  device.guest().PaintInPlace(FillWith(0x77));
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  Fd held;
  if (!device.region()) held = device.GetFd(id);
  EXPECT_EQ(device.Ioctl(abi::kDeviceReset, nullptr), 0);
  EXPECT_EQ(device.Primary().drm_format, 0U);
  if (!device.region()) {
    EXPECT_EQ(BackingBytes(held.get(), 4), "\x77\x77\x77\x77");
  }
  device.SetMode(800, 600);
  EXPECT_EQ(device.Primary().width, 800U);
}

// --- Faults on request.

TEST_P(AnyProfile, QueriesFailOnRequest) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  device.Primary();
  abi::GfxPlaneInfo info;
  device.guest().FailQueries(EIO, 2, 1);
  EXPECT_EQ(device.Query(info), 0);
  EXPECT_EQ(device.Query(info), -EIO);
  EXPECT_EQ(device.Query(info), -EIO);
  EXPECT_EQ(device.Query(info), 0);
}

TEST_P(AnyProfile, PlanesLieOnRequest) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  device.Primary();
  device.guest().CorruptPlanes([](abi::GfxPlaneInfo& info) { info.stride = 1; });
  EXPECT_EQ(device.Primary().stride, 1U);
  device.guest().CorruptPlanes(nullptr);
  EXPECT_EQ(device.Primary().stride, 640U * 4);
}

TEST_P(DmabufProfile, TheGuestCanFlipBetweenQueryAndGet) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  device.guest().Paint(0, FillWith(0x11));
  device.guest().Paint(1, FillWith(0x22));
  device.Primary();
  device.guest().AfterNextQuery([&] { device.guest().Flip(1); });
  const uint32_t id = device.Primary().region_index_or_dmabuf_id;
  EXPECT_EQ(device.guest().shown_buffer(), 1);
  const Fd held = device.GetFd(id);
  EXPECT_EQ(BackingBytes(held.get(), 2), "\x11\x11");
}

TEST_P(AnyProfile, AnUnpluggedDeviceIsGone) {
  TestDevice device(GetParam());
  device.SetMode(640, 480);
  device.guest().Unplug();
  abi::GfxPlaneInfo info;
  EXPECT_EQ(device.Query(info), -ENODEV);
  EXPECT_EQ(device.device.OpenDevice(), -ENODEV);
}

}  // namespace
}  // namespace planecast
