// IRQ info, flip events and FEATURE of the fake device. Numbers are those of the list of
// behaviours that the kernel's drivers and the drafts show.
#include <errno.h>
#include <sys/eventfd.h>

#include "tests/vfio/fake_testing.h"

namespace planecast {
namespace {

/// Room for the largest answer; words as in the drafts.
struct IrqAnswer {
  uint32_t words[32];
};

int AskIrq(TestDevice& device, uint32_t index, uint32_t argsz, IrqAnswer& answer) {
  std::memset(&answer, 0xee, sizeof answer);
  answer.words[0] = argsz;
  answer.words[1] = 0;
  answer.words[2] = index;
  answer.words[3] = 0;
  return device.Ioctl(abi::kDeviceGetIrqInfo, &answer);
}

uint32_t NumIrqs(TestDevice& device) {
  abi::DeviceInfo info{.argsz = sizeof info, .flags = 0, .num_regions = 0, .num_irqs = 0};
  EXPECT_EQ(device.Ioctl(abi::kDeviceGetInfo, &info), 0);
  return info.num_irqs;
}

Fd Eventfd() {
  return Fd(KernelSys(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/// What came since the last call; 0 if nothing.
uint64_t Drain(const Fd& event) {
  eventfd_t value = 0;
  return eventfd_read(event.get(), &value) == 0 ? value : 0;
}

int SetIrq(TestDevice& device, uint32_t flags, uint32_t count, int32_t fd = -1,
           uint32_t index = 5) {
  struct {
    abi::IrqSet set;
    int32_t fd;
  } arg = {.set = {.argsz = sizeof arg, .flags = flags, .index = index, .start = 0, .count = count},
           .fd = fd};
  return device.Ioctl(abi::kDeviceSetIrqs, &arg);
}

constexpr uint32_t kArm = abi::kIrqSetDataEventfd | abi::kIrqSetActionTrigger;
constexpr uint32_t kDisarm = abi::kIrqSetDataNone | abi::kIrqSetActionTrigger;
constexpr uint32_t kMask = abi::kIrqSetDataNone | abi::kIrqSetActionMask;
constexpr uint32_t kUnmask = abi::kIrqSetDataNone | abi::kIrqSetActionUnmask;

TEST(FakeIrqs, B36_MdpyMustBeAskedForInfoFirst) {
  TestDevice device(FakeProfile::kMdpy);
  IrqAnswer answer;
  EXPECT_EQ(AskIrq(device, 0, 16, answer), -EINVAL);
  EXPECT_EQ(NumIrqs(device), 5U);
  EXPECT_EQ(AskIrq(device, 0, 16, answer), 0);
}

TEST_P(AnyProfile, B45_UnknownIoctlsAreRefused) {
  TestDevice device(GetParam());
  EXPECT_EQ(device.Ioctl(abi::kIoctlBase + 16, nullptr), -ENOTTY);
  EXPECT_EQ(device.Ioctl(0x1234, nullptr), -ENOTTY);
}

TEST_P(AnyProfile, B45_TheDraftsNumberIsFeatureToday) {
  TestDevice device(GetParam());
  uint32_t words[4] = {7, 1 << 16, 0, 0};
  EXPECT_EQ(device.Ioctl(abi::kDeviceFeature, words), -EINVAL) << "argsz";
  words[0] = 16;
  words[1] = 1 << 19;
  EXPECT_EQ(device.Ioctl(abi::kDeviceFeature, words), -EINVAL) << "unknown flags";
  words[1] = 1 << 16 | 1;
  EXPECT_EQ(device.Ioctl(abi::kDeviceFeature, words), -ENOTTY) << "no such feature";
  EXPECT_EQ(device.Ioctl(abi::kDeviceFeature, nullptr), -EFAULT);
}

TEST_P(AnyProfile, B46_FiveIrqsWithoutADraft) {
  TestDevice device(GetParam());
  EXPECT_EQ(NumIrqs(device), 5U);
  IrqAnswer answer;
  EXPECT_EQ(AskIrq(device, 5, 16, answer), -EINVAL);
  EXPECT_EQ(AskIrq(device, 0, 15, answer), -EINVAL);
  EXPECT_EQ(AskIrq(device, 0, 16, answer), 0);
}

TEST(FakeIrqs, GvtKnowsTwoPciIrqs) {
  TestDevice device(FakeProfile::kGvt);
  IrqAnswer answer;
  for (uint32_t index = 0; index < 5; ++index) {
    EXPECT_EQ(AskIrq(device, index, 16, answer), index < 2 ? 0 : -EINVAL);
  }
}

TEST_P(AnyProfile, PciIrqsBelongToTheVmm) {
  TestDevice device(GetParam());
  SetIrq(device, kArm, 1, 0, 0);
  EXPECT_EQ(device.device.counters().consumer_errors, 1);
}

TEST(FakeIrqs, B47_V6DescribesItsIrqByCapabilities) {
  TestDevice device(FakeProfile::kIdeal, FakeFlipDialect::kIrqV6);
  EXPECT_EQ(NumIrqs(device), 6U);
  IrqAnswer answer;
  ASSERT_EQ(AskIrq(device, 5, 16, answer), 0);
  EXPECT_EQ(answer.words[0], 60U);
  EXPECT_NE(answer.words[1] & abi::kIrqFlagCaps, 0U);
  EXPECT_EQ(answer.words[4], 0xeeeeeeeeU) << "no cap_offset in a buffer of 16 bytes";

  ASSERT_EQ(AskIrq(device, 5, 60, answer), 0);
  EXPECT_EQ(answer.words[1], abi::kIrqFlagEventfd | abi::kIrqFlagMaskable | abi::kIrqFlagCaps);
  EXPECT_EQ(answer.words[3], 1U);
  EXPECT_EQ(answer.words[4], 20U);
  abi::IrqCapType type;
  std::memcpy(&type, &answer.words[5], sizeof type);
  EXPECT_EQ(type.header.id, 1);
  EXPECT_EQ(type.header.next, 36U);
  EXPECT_EQ(type.type, 1U);
  EXPECT_EQ(type.subtype, 1U);
  abi::IrqCapDisplay display;
  std::memcpy(&display, &answer.words[9], sizeof display);
  EXPECT_EQ(display.header.id, 2);
  EXPECT_EQ(display.header.next, 0U);
  EXPECT_EQ(display.primary_event_value, uint64_t{1} << 56);
  EXPECT_EQ(display.cursor_event_value, uint64_t{1} << 48);
  EXPECT_EQ(answer.words[15], 0xeeeeeeeeU);
  EXPECT_EQ(AskIrq(device, 6, 60, answer), -EINVAL);
}

TEST(FakeIrqs, B47_V5AndV3HaveOtherIds) {
  IrqAnswer answer;
  TestDevice v5(FakeProfile::kIdeal, FakeFlipDialect::kIrqV5);
  ASSERT_EQ(AskIrq(v5, 5, 60, answer), 0);
  EXPECT_EQ(answer.words[5] & 0xffff, 3U);
  EXPECT_EQ(answer.words[9] & 0xffff, 4U);
  TestDevice v3(FakeProfile::kIdeal, FakeFlipDialect::kIrqV3);
  ASSERT_EQ(AskIrq(v3, 5, 20, answer), 0);
  EXPECT_EQ(answer.words[0], 36U);
  EXPECT_EQ(answer.words[4], 0U);
  ASSERT_EQ(AskIrq(v3, 5, 36, answer), 0);
  EXPECT_EQ(answer.words[5] & 0xffff, 3U);
  EXPECT_EQ(answer.words[6], 0U) << "one capability";
}

TEST(FakeIrqs, B47_V2HasCountAndOffsetTheOtherWayRound) {
  TestDevice device(FakeProfile::kIdeal, FakeFlipDialect::kIrqV2);
  EXPECT_EQ(NumIrqs(device), 7U);
  IrqAnswer answer;
  EXPECT_EQ(AskIrq(device, 5, 16, answer), -EINVAL);
  for (const uint32_t index : {5U, 6U}) {
    ASSERT_EQ(AskIrq(device, index, 36, answer), 0);
    EXPECT_EQ(answer.words[3], 20U) << "cap_offset";
    EXPECT_EQ(answer.words[4], 1U) << "count";
    abi::IrqCapType type;
    std::memcpy(&type, &answer.words[5], sizeof type);
    EXPECT_EQ(type.subtype, index - 4);
  }
}

class ValueDialect : public testing::TestWithParam<FakeFlipDialect> {};
INSTANTIATE_TEST_SUITE_P(, ValueDialect,
                         testing::Values(FakeFlipDialect::kIrqV5, FakeFlipDialect::kIrqV6));

TEST_P(ValueDialect, B48_TheValueTellsThePlane) {
  TestDevice device(FakeProfile::kIdeal, GetParam());
  device.SetMode(640, 480);
  const Fd event = Eventfd();
  ASSERT_EQ(SetIrq(device, kArm, 1, event.get()), 0);
  EXPECT_EQ(Drain(event), 0U);
  device.guest().Flip(1);
  EXPECT_EQ(Drain(event), uint64_t{1} << 56);
  ASSERT_TRUE(device.guest().SetCursor(PlainCursor(64)).ok());
  device.guest().MoveCursor(1, 2);
  EXPECT_EQ(Drain(event), uint64_t{2} << 48);

  ASSERT_EQ(SetIrq(device, kMask, 1), 0);
  device.guest().Flip(0);
  EXPECT_EQ(Drain(event), 0U) << "masked";
  ASSERT_EQ(SetIrq(device, kUnmask, 1), 0);
  device.guest().Flip(1);
  EXPECT_EQ(Drain(event), uint64_t{1} << 56);

  ASSERT_EQ(SetIrq(device, kDisarm, 0), 0);
  device.guest().Flip(0);
  EXPECT_EQ(Drain(event), 0U) << "disarmed";
  EXPECT_EQ(SetIrq(device, kDisarm, 1), -EINVAL);
}

TEST_P(ValueDialect, B48_ArmingWantsAnEventfd) {
  TestDevice device(FakeProfile::kIdeal, GetParam());
  EXPECT_EQ(SetIrq(device, kArm, 1, device.fd.get()), -EINVAL);
  EXPECT_EQ(SetIrq(device, kArm, 1, 100000), -EBADF);
  EXPECT_EQ(SetIrq(device, kArm, 1, -1), 0) << "disarms";
  EXPECT_EQ(SetIrq(device, kArm, 2, 0), -EINVAL);
  EXPECT_EQ(SetIrq(device, 0x3f, 1, 0), -EINVAL);
}

TEST_P(ValueDialect, B49_IdleVblanksSignalAfterTen) {
  TestDevice device(FakeProfile::kIdeal, GetParam());
  device.SetMode(640, 480);
  const Fd event = Eventfd();
  ASSERT_EQ(SetIrq(device, kArm, 1, event.get()), 0);
  for (int i = 0; i < 10; ++i) device.guest().Vblank();
  EXPECT_EQ(Drain(event), 0U);
  device.guest().Vblank();
  EXPECT_EQ(Drain(event), uint64_t{1} << 56);
  device.guest().Vblank();
  EXPECT_EQ(Drain(event), uint64_t{1} << 56);
  device.guest().Flip(1);
  Drain(event);
  device.guest().Vblank();
  EXPECT_EQ(Drain(event), 0U) << "a flip starts the count anew";
}

TEST(FakeIrqs, AnUnreadEventNeverBlocksTheGuest) {
  TestDevice device(FakeProfile::kIdeal, FakeFlipDialect::kIrqV6);
  device.SetMode(640, 480);
  for (const int flags : {int{EFD_CLOEXEC}, EFD_CLOEXEC | EFD_NONBLOCK}) {
    const Fd event(KernelSys(), eventfd(0, flags));
    ASSERT_EQ(SetIrq(device, kArm, 1, event.get()), 0);
    for (int i = 0; i < 600; ++i) device.guest().Flip(i % 2);
    EXPECT_GE(Drain(event) >> 56, 250U);
  }
}

TEST(FakeIrqs, V2HasAnEventPerPlane) {
  TestDevice device(FakeProfile::kIdeal, FakeFlipDialect::kIrqV2);
  device.SetMode(640, 480);
  const Fd primary = Eventfd();
  const Fd cursor = Eventfd();
  ASSERT_EQ(SetIrq(device, kArm, 1, primary.get(), 5), 0);
  ASSERT_EQ(SetIrq(device, kArm, 1, cursor.get(), 6), 0);
  device.guest().Flip(1);
  EXPECT_EQ(Drain(primary), 1U);
  EXPECT_EQ(Drain(cursor), 0U);
  ASSERT_TRUE(device.guest().SetCursor(PlainCursor(64)).ok());
  EXPECT_EQ(Drain(primary), 0U);
  EXPECT_EQ(Drain(cursor), 1U);
}

TEST(FakeIrqs, V3SignalsEveryVblank) {
  TestDevice device(FakeProfile::kIdeal, FakeFlipDialect::kIrqV3);
  device.SetMode(640, 480);
  const Fd event = Eventfd();
  ASSERT_EQ(SetIrq(device, kArm, 1, event.get()), 0);
  device.guest().Vblank();
  device.guest().Vblank();
  device.guest().Flip(1);
  EXPECT_EQ(Drain(event), 3U);
}

TEST(FakeIrqs, B50_TheDraftIoctlTakesAnEventfd) {
  TestDevice device(FakeProfile::kIdeal, FakeFlipDialect::kFlipEventfd);
  device.SetMode(640, 480);
  EXPECT_EQ(NumIrqs(device), 5U);
  const Fd event = Eventfd();
  int32_t fd = event.get();
  ASSERT_EQ(device.Ioctl(abi::kSetGfxFlipEventfd, &fd), 0);
  device.guest().Flip(1);
  device.guest().Flip(0);
  EXPECT_EQ(Drain(event), 2U);
  fd = -2;
  EXPECT_EQ(device.Ioctl(abi::kSetGfxFlipEventfd, &fd), -EINVAL);
  fd = device.fd.get();
  EXPECT_EQ(device.Ioctl(abi::kSetGfxFlipEventfd, &fd), -EINVAL);
  EXPECT_EQ(device.Ioctl(abi::kSetGfxFlipEventfd, nullptr), -EFAULT);
  device.guest().Flip(1);
  EXPECT_EQ(Drain(event), 1U) << "failures change nothing";
  fd = -1;
  EXPECT_EQ(device.Ioctl(abi::kSetGfxFlipEventfd, &fd), 0);
  device.guest().Flip(0);
  EXPECT_EQ(Drain(event), 0U);
}

TEST(FakeIrqs, TheLastCloseDisarms) {
  TestDevice device(FakeProfile::kIdeal, FakeFlipDialect::kIrqV6);
  device.SetMode(640, 480);
  const Fd event = Eventfd();
  ASSERT_EQ(SetIrq(device, kArm, 1, event.get()), 0);
  EXPECT_EQ(device.guest().last_interest_ns(), INT64_MAX);
  device.fd.Reset();
  device.guest().Flip(1);
  EXPECT_EQ(Drain(event), 0U);
}

}  // namespace
}  // namespace planecast
