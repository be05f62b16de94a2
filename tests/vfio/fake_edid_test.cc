// The EDID region of the fake device. Numbers are those of the list of behaviours that the
// kernel's drivers show.
#include <errno.h>

#include <numeric>

#include "tests/vfio/fake_testing.h"

namespace planecast {
namespace {

class EdidProfile : public testing::TestWithParam<FakeProfile> {};
INSTANTIATE_TEST_SUITE_P(, EdidProfile,
                         testing::Values(FakeProfile::kIdeal, FakeProfile::kGvt,
                                         FakeProfile::kMbochs),
                         ProfileParamName);

struct RegionAnswer {
  abi::RegionInfo info{};
  abi::RegionCapType type{};
  uint64_t room = 0;
};

int AskRegion(TestDevice& device, uint32_t index, uint32_t argsz, RegionAnswer& answer) {
  answer = {};
  answer.info.argsz = argsz;
  answer.info.index = index;
  return device.Ioctl(abi::kDeviceGetRegionInfo, &answer);
}

int64_t EdidOffset(TestDevice& device) {
  RegionAnswer answer;
  EXPECT_EQ(AskRegion(device, 9, sizeof answer.info, answer), 0);
  return static_cast<int64_t>(answer.info.offset);
}

uint32_t ReadRegister(TestDevice& device, size_t offset) {
  uint32_t value = 0xffffffff;
  EXPECT_EQ(device.device.Pread(device.fd.get(), &value, 4,
                                EdidOffset(device) + static_cast<int64_t>(offset)),
            4);
  return value;
}

int64_t WriteRegister(TestDevice& device, size_t offset, uint32_t value) {
  return device.device.Pwrite(device.fd.get(), &value, 4,
                              EdidOffset(device) + static_cast<int64_t>(offset));
}

int64_t WriteBlob(TestDevice& device, const std::vector<uint8_t>& blob) {
  const uint32_t at = ReadRegister(device, offsetof(abi::EdidRegs, edid_offset));
  return device.device.Pwrite(device.fd.get(), blob.data(), blob.size(), EdidOffset(device) + at);
}

constexpr size_t kSize = offsetof(abi::EdidRegs, edid_size);
constexpr size_t kLink = offsetof(abi::EdidRegs, link_state);

/// A base block whose preferred timing has this size.
std::vector<uint8_t> Block(uint32_t width_px, uint32_t height_px) {
  std::vector<uint8_t> block(128, 0);
  std::fill(block.begin() + 1, block.begin() + 7, 0xff);
  uint8_t* timing = &block[54];
  timing[0] = 1;
  timing[2] = static_cast<uint8_t>(width_px);
  timing[4] = static_cast<uint8_t>(width_px >> 4 & 0xf0);
  timing[5] = static_cast<uint8_t>(height_px);
  timing[7] = static_cast<uint8_t>(height_px >> 4 & 0xf0);
  block[127] = static_cast<uint8_t>(-std::accumulate(block.begin(), block.end(), 0));
  return block;
}

TEST(FakeEdid, B37_MbochsWantsAModestBuffer) {
  TestDevice device(FakeProfile::kMbochs);
  RegionAnswer answer;
  EXPECT_EQ(AskRegion(device, 9, 49, answer), -EINVAL);
  EXPECT_EQ(AskRegion(device, 9, 31, answer), -EINVAL);
  EXPECT_EQ(AskRegion(device, 9, 32, answer), 0);
  EXPECT_EQ(answer.info.argsz, 48U);
  EXPECT_EQ(answer.info.cap_offset, 32U);
  EXPECT_EQ(answer.type.header.id, 0) << "nothing beyond the buffer is written";
  EXPECT_EQ(AskRegion(device, 10, 32, answer), -EINVAL);
}

TEST(FakeEdid, B38_GvtSaysHowMuchItNeeds) {
  TestDevice device(FakeProfile::kGvt);
  RegionAnswer answer;
  EXPECT_EQ(AskRegion(device, 9, 32, answer), 0);
  EXPECT_EQ(answer.info.argsz, 48U);
  EXPECT_EQ(answer.info.cap_offset, 0U);
  EXPECT_NE(answer.info.flags & abi::kRegionFlagCaps, 0U);
  EXPECT_EQ(AskRegion(device, 9, sizeof answer, answer), 0) << "large buffers are fine";
}

TEST_P(EdidProfile, TheRegionIsFoundByItsType) {
  TestDevice device(GetParam());
  abi::DeviceInfo info{.argsz = sizeof info, .flags = 0, .num_regions = 0, .num_irqs = 0};
  ASSERT_EQ(device.Ioctl(abi::kDeviceGetInfo, &info), 0);
  EXPECT_EQ(info.num_regions, 10U);
  RegionAnswer answer;
  EXPECT_EQ(AskRegion(device, 9, 48, answer), 0);
  EXPECT_EQ(answer.info.cap_offset, 32U);
  EXPECT_EQ(answer.type.header.id, abi::kRegionCapType);
  EXPECT_EQ(answer.type.header.next, 0U);
  EXPECT_EQ(answer.type.type, abi::kRegionTypeGfx);
  EXPECT_EQ(answer.type.subtype, abi::kRegionSubtypeGfxEdid);
}

TEST(FakeEdid, B39_GvtAnnouncesLessThanItHas) {
  TestDevice device(FakeProfile::kGvt);
  RegionAnswer answer;
  ASSERT_EQ(AskRegion(device, 9, 48, answer), 0);
  EXPECT_EQ(answer.info.size, 128U);
  EXPECT_EQ(ReadRegister(device, offsetof(abi::EdidRegs, edid_offset)), 2048U);
  EXPECT_EQ(WriteRegister(device, kSize, 128), 4);
  EXPECT_EQ(WriteBlob(device, Block(1024, 768)), 128);
  EXPECT_EQ(WriteRegister(device, kLink, 1), 4);
}

TEST(FakeEdid, B40_MbochsSwallowsBadWrites) {
  TestDevice device(FakeProfile::kMbochs);
  EXPECT_EQ(WriteRegister(device, offsetof(abi::EdidRegs, max_xres), 1), 4);
  EXPECT_EQ(ReadRegister(device, offsetof(abi::EdidRegs, max_xres)), 1920U);
  const std::vector<uint8_t> blob(1024 + 64, 0x42);
  EXPECT_EQ(WriteBlob(device, blob), 1024 + 64);
  uint16_t half = 7;
  EXPECT_EQ(device.device.Pwrite(device.fd.get(), &half, 2, EdidOffset(device) + 8), 2);
  EXPECT_EQ(ReadRegister(device, kSize), 0U);
  EXPECT_EQ(WriteRegister(device, kSize, 100000), 4);
  EXPECT_EQ(ReadRegister(device, kSize), 100000U);
  EXPECT_EQ(WriteRegister(device, kLink, 99), 4);
  EXPECT_EQ(ReadRegister(device, kLink), 99U);
}

TEST(FakeEdid, B41_GvtFaultsOnBadWrites) {
  TestDevice device(FakeProfile::kGvt);
  EXPECT_EQ(WriteRegister(device, offsetof(abi::EdidRegs, max_xres), 1), -EFAULT);
  EXPECT_EQ(WriteRegister(device, kLink, 3), -EFAULT);
  EXPECT_EQ(WriteRegister(device, kSize, 129), -EFAULT);
  EXPECT_EQ(WriteBlob(device, Block(1024, 768)), -EFAULT) << "no size was written yet";
  EXPECT_EQ(WriteRegister(device, kSize, 64), 4);
  EXPECT_EQ(WriteBlob(device, Block(1024, 768)), -EFAULT);
}

TEST(FakeEdid, B42_GvtChecksTheBlockWhenTheLinkComesUp) {
  TestDevice device(FakeProfile::kGvt);
  auto block = Block(1024, 768);
  ASSERT_EQ(WriteRegister(device, kSize, 128), 4);
  block[127] ^= 1;
  ASSERT_EQ(WriteBlob(device, block), 128);
  ASSERT_EQ(WriteRegister(device, kLink, 2), 4);
  EXPECT_EQ(WriteRegister(device, kLink, 1), -EFAULT);
  EXPECT_EQ(ReadRegister(device, kLink), 2U);

  block[127] ^= 1;
  ASSERT_EQ(WriteBlob(device, block), 128);
  EXPECT_EQ(WriteRegister(device, kLink, 1), 4);
  EXPECT_EQ(device.guest().TakeEdidMode(device.clock.NowNs()), std::nullopt) << "it takes a while";
  device.clock.Advance(device.device.options().edid_reaction_ns);
  const auto size = device.guest().TakeEdidMode(device.clock.NowNs());
  ASSERT_TRUE(size.has_value());
  EXPECT_EQ(*size, (FakeGuest::Size{.width_px = 1024, .height_px = 768}));
  EXPECT_EQ(device.guest().TakeEdidMode(device.clock.NowNs()), std::nullopt) << "once";
}

TEST(FakeEdid, B42_ALinkThatGoesDownIsNoReasonToChange) {
  TestDevice device(FakeProfile::kIdeal);
  ASSERT_EQ(WriteRegister(device, kSize, 128), 4);
  ASSERT_EQ(WriteBlob(device, Block(1920, 1080)), 128);
  ASSERT_EQ(WriteRegister(device, kLink, 1), 4);
  ASSERT_EQ(WriteRegister(device, kLink, 2), 4);
  device.clock.Advance(device.device.options().edid_reaction_ns);
  EXPECT_EQ(device.guest().TakeEdidMode(device.clock.NowNs()), std::nullopt);
}

TEST_P(EdidProfile, B43_LinkStateBeginsAtZero) {
  TestDevice device(GetParam());
  EXPECT_EQ(ReadRegister(device, kLink), 0U);
}

TEST_P(EdidProfile, B44_TheGuestSeesTheBlockWhileTheLinkIsUp) {
  TestDevice device(GetParam());
  const auto block = Block(1024, 768);
  const std::vector<uint8_t> zeros(1024, 0);
  ASSERT_EQ(WriteRegister(device, kSize, 128), 4);
  ASSERT_EQ(WriteBlob(device, block), 128);
  EXPECT_EQ(device.guest().VisibleEdid(), zeros);
  ASSERT_EQ(WriteRegister(device, kLink, 1), 4);
  auto expected = zeros;
  std::copy(block.begin(), block.end(), expected.begin());
  EXPECT_EQ(device.guest().VisibleEdid(), expected);
  ASSERT_EQ(WriteRegister(device, kLink, 2), 4);
  EXPECT_EQ(device.guest().VisibleEdid(), zeros);
}

TEST_P(EdidProfile, TheBlockReadsBack) {
  TestDevice device(GetParam());
  const auto block = Block(1024, 768);
  ASSERT_EQ(WriteRegister(device, kSize, 128), 4);
  ASSERT_EQ(WriteBlob(device, block), 128);
  std::vector<uint8_t> read(128);
  EXPECT_EQ(
      device.device.Pread(device.fd.get(), read.data(), read.size(), EdidOffset(device) + 2048),
      128);
  EXPECT_EQ(read, block);
}

TEST_P(EdidProfile, WritesElsewhereAreTheConsumersError) {
  TestDevice device(GetParam());
  const uint32_t value = 0;
  device.device.Pwrite(device.fd.get(), &value, 4, EdidOffset(device) + 4096);
  EXPECT_EQ(device.device.counters().consumer_errors, 1);
}

}  // namespace
}  // namespace planecast
