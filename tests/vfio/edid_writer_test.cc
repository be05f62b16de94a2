#include <errno.h>
#include <gtest/gtest.h>

#include "tests/vfio/source_testing.h"
#include "vfio/abi.h"
#include "vfio/edid.h"

namespace planecast {
namespace {

// A device whose EDID region fails on request.
class FailingEdid : public FakeDevice {
 public:
  using FakeDevice::FakeDevice;
  int64_t Pwrite(int fd, const void* data, size_t size_bytes, int64_t offset_bytes) override {
    if (writes_until_failure_ > 0 && --writes_until_failure_ == 0) return -EIO;
    return FakeDevice::Pwrite(fd, data, size_bytes, offset_bytes);
  }
  /// The n-th write from now fails.
  void FailWrite(int n) { writes_until_failure_ = n; }

 private:
  int writes_until_failure_ = 0;
};

class EdidProfileTest : public testing::TestWithParam<FakeProfile> {};

TEST_P(EdidProfileTest, OffersAModeInTwoStepsAHundredMillisecondsApart) {
  TestSource test(GetParam());
  ASSERT_TRUE(test.source().info().mode_settable);
  const int64_t start_ns = test.clock().NowNs();
  const absl::Status set = test.source().SetMode(1024, 768, start_ns);
  ASSERT_TRUE(set.ok()) << set;
  EXPECT_EQ(test.guest().link_state(), abi::kEdidLinkDown);
  ASSERT_EQ(test.source().NextTimedWorkNs(), start_ns + EdidWriter::kLinkUpDelayNs)
      << "due although nobody watches";

  test.source().HandleEvents(start_ns + EdidWriter::kLinkUpDelayNs - 1);
  EXPECT_EQ(test.guest().link_state(), abi::kEdidLinkDown);
  test.source().HandleEvents(start_ns + EdidWriter::kLinkUpDelayNs);
  EXPECT_EQ(test.guest().link_state(), abi::kEdidLinkUp);
  EXPECT_EQ(test.source().NextTimedWorkNs(), INT64_MAX);
  EXPECT_TRUE(test.source().info().degraded_reason.empty());

  std::vector<uint8_t> seen = test.guest().VisibleEdid();
  ASSERT_GE(seen.size(), kEdidBlockBytes);
  seen.resize(kEdidBlockBytes);
  const EdidBlock block = *MakeEdid(1024, 768);
  EXPECT_EQ(seen, std::vector<uint8_t>(block.begin(), block.end()));
}

TEST_P(EdidProfileTest, TheLastModeWins) {
  TestSource test(GetParam());
  const int64_t start_ns = test.clock().NowNs();
  ASSERT_TRUE(test.source().SetMode(800, 600, start_ns).ok());
  ASSERT_TRUE(test.source().SetMode(640, 480, start_ns + 50 * kMillisecondNs).ok());
  test.source().HandleEvents(start_ns + 100 * kMillisecondNs);
  EXPECT_EQ(test.guest().link_state(), abi::kEdidLinkDown);
  test.source().HandleEvents(start_ns + 150 * kMillisecondNs);
  EXPECT_EQ(test.guest().link_state(), abi::kEdidLinkUp);
  const EdidBlock block = *MakeEdid(640, 480);
  EXPECT_TRUE(std::equal(block.begin(), block.end(), test.guest().VisibleEdid().begin()));
}

TEST_P(EdidProfileTest, AFailureHalfWayBringsBackTheModeBefore) {
  // The size, then the first, a middle and the last word of the block.
  for (const int failing_write : {2, 3, 20, 34}) {
    ManualClock clock;
    FailingEdid device({.profile = GetParam()}, clock);
    OpenedDevice opened;
    opened.device = Fd(device, device.OpenDevice());
    const auto source = *MakeVfioSource(std::move(opened), {}, clock);
    ASSERT_TRUE(source->SetMode(800, 600, 0).ok());
    source->HandleEvents(EdidWriter::kLinkUpDelayNs);
    ASSERT_EQ(device.guest().link_state(), abi::kEdidLinkUp);

    device.FailWrite(failing_write);
    const int64_t now_ns = 5 * EdidWriter::kLinkUpDelayNs;
    EXPECT_FALSE(source->SetMode(1024, 768, now_ns).ok());
    source->HandleEvents(now_ns + EdidWriter::kLinkUpDelayNs);
    EXPECT_EQ(device.guest().link_state(), abi::kEdidLinkUp) << failing_write;
    const EdidBlock block = *MakeEdid(800, 600);
    EXPECT_TRUE(std::equal(block.begin(), block.end(), device.guest().VisibleEdid().begin()))
        << failing_write;
  }
}

TEST_P(EdidProfileTest, TheFirstWriteFailsAndAModeUnderWayStillComes) {
  ManualClock clock;
  FailingEdid device({.profile = GetParam()}, clock);
  OpenedDevice opened;
  opened.device = Fd(device, device.OpenDevice());
  const auto source = *MakeVfioSource(std::move(opened), {}, clock);
  ASSERT_TRUE(source->SetMode(800, 600, 0).ok());
  device.FailWrite(1);
  EXPECT_FALSE(source->SetMode(1024, 768, kMillisecondNs).ok());
  source->HandleEvents(EdidWriter::kLinkUpDelayNs);
  EXPECT_EQ(device.guest().link_state(), abi::kEdidLinkUp);
}

TEST_P(EdidProfileTest, ALinkThatDidNotRiseIsSaidUntilOneDoes) {
  ManualClock clock;
  FailingEdid device({.profile = GetParam()}, clock);
  OpenedDevice opened;
  opened.device = Fd(device, device.OpenDevice());
  const auto source = *MakeVfioSource(std::move(opened), {}, clock);
  ASSERT_TRUE(source->SetMode(800, 600, 0).ok());
  device.FailWrite(1);
  source->HandleEvents(EdidWriter::kLinkUpDelayNs);
  EXPECT_NE(source->info().degraded_reason.find("not offered the mode"), std::string::npos);
  ASSERT_TRUE(source->SetMode(1024, 768, 2 * EdidWriter::kLinkUpDelayNs).ok());
  source->HandleEvents(3 * EdidWriter::kLinkUpDelayNs);
  EXPECT_EQ(device.guest().link_state(), abi::kEdidLinkUp);
  EXPECT_EQ(source->info().degraded_reason, "");
}

TEST_P(EdidProfileTest, ADetachWhileAModeIsUnderWayBringsTheLinkUp) {
  TestSource test(GetParam());
  ASSERT_TRUE(test.source().SetMode(800, 600, test.clock().NowNs()).ok());
  ASSERT_EQ(test.guest().link_state(), abi::kEdidLinkDown);
  test.Destroy();
  EXPECT_EQ(test.guest().link_state(), abi::kEdidLinkUp);
}

TEST_P(EdidProfileTest, RefusesModesBeyondTheLimits) {
  TestSource test(GetParam());
  const int64_t now_ns = test.clock().NowNs();
  EXPECT_EQ(test.source().SetMode(8000, 600, now_ns).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(test.source().SetMode(1, 1, now_ns).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(test.device().counters().edid_writes, 0u);
}

TEST_P(EdidProfileTest, ABorrowerMayWriteWhatNobodyWroteAndWhatItWroteItself) {
  ManualClock clock;
  FakeDevice device({.profile = GetParam()}, clock);
  Fd owner(device, device.OpenDevice());
  const auto borrow = [&] {
    OpenedDevice opened;
    opened.device = Fd(device, device.Dup(owner.get()));
    opened.borrowed = true;
    return *MakeVfioSource(std::move(opened), {}, clock);
  };
  auto first = borrow();
  EXPECT_TRUE(first->info().mode_settable);
  ASSERT_TRUE(first->SetMode(800, 600, 0).ok());
  first->HandleEvents(EdidWriter::kLinkUpDelayNs);
  first.reset();
  auto second = borrow();
  EXPECT_TRUE(second->info().mode_settable);
  EXPECT_TRUE(second->SetMode(1024, 768, 0).ok());
}

TEST_P(EdidProfileTest, ABorrowerLeavesTheEdidOfAVmmAlone) {
  ManualClock clock;
  FakeDevice device({.profile = GetParam()}, clock);
  Fd owner(device, device.OpenDevice());
  // The VMM has a display of its own, and says so before its guest runs.
  GfxDevice vmm(device, owner.get(), AbiDialect::kFinal);
  const uint64_t link_offset =
      TraitsOf(GetParam()).edid_region_offset_bytes + offsetof(abi::EdidRegs, link_state);
  vmm.AllowEdidWrites(link_offset, 4);
  ASSERT_TRUE(vmm.WriteRegister(link_offset, abi::kEdidLinkDown).ok());
  const uint64_t writes = device.counters().edid_writes;

  OpenedDevice opened;
  opened.device = Fd(device, device.Dup(owner.get()));
  opened.borrowed = true;
  auto source = MakeVfioSource(std::move(opened), {}, clock);
  ASSERT_TRUE(source.ok());
  EXPECT_FALSE((*source)->info().mode_settable);
  EXPECT_EQ((*source)->SetMode(800, 600, 0).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(device.counters().edid_writes, writes);
}

INSTANTIATE_TEST_SUITE_P(Profiles, EdidProfileTest,
                         testing::Values(FakeProfile::kIdeal, FakeProfile::kGvt,
                                         FakeProfile::kMbochs),
                         FakeProfileParamName);

TEST(EdidWriterTest, ADeviceWithoutEdidSaysSo) {
  TestSource test(FakeProfile::kMdpy);
  EXPECT_EQ(test.source().SetMode(800, 600, 0).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(test.source().NextTimedWorkNs(), INT64_MAX);
}

TEST(GfxDeviceTest, WritesNothingOutsideOfTheEdidRegion) {
  ManualClock clock;
  FakeDevice device({.profile = FakeProfile::kMbochs}, clock);
  Fd fd(device, device.OpenDevice());
  GfxDevice gfx(device, fd.get(), AbiDialect::kFinal);
  EXPECT_EQ(gfx.WriteRegister(0, 1).code(), absl::StatusCode::kPermissionDenied);
  gfx.AllowEdidWrites(4096, 8);
  EXPECT_EQ(gfx.WriteRegister(4092, 1).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(gfx.WriteRegister(4104, 1).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(gfx.WriteRegister(4098, 1).code(), absl::StatusCode::kInvalidArgument);
}

TEST(GfxDeviceTest, TouchesNoPciInterrupt) {
  ManualClock clock;
  FakeDevice device({.profile = FakeProfile::kGvt}, clock);
  Fd fd(device, device.OpenDevice());
  GfxDevice gfx(device, fd.get(), AbiDialect::kFinal);
  for (uint32_t index = 0; index < abi::kPciNumIrqs; ++index) {
    EXPECT_EQ(
        gfx.SetIrq(index, abi::kIrqSetDataNone | abi::kIrqSetActionTrigger, 0, std::nullopt).code(),
        absl::StatusCode::kPermissionDenied);
  }
}

}  // namespace
}  // namespace planecast
