#include "vfio/flip_events.h"

#include <errno.h>
#include <gtest/gtest.h>

#include "vfio/abi.h"
#include "vfio/clock.h"
#include "vfio/fake/fake_device.h"

namespace planecast {
namespace {

constexpr DisplayIrqCaps kV6{.cursor_event_value = abi::kCursorEventValue,
                             .primary_event_value = abi::kPrimaryEventValue,
                             .count = 1};

TEST(DecodeFlipCounterTest, NothingIsNothing) {
  EXPECT_EQ(DecodeFlipCounter(0, kV6), FlippedPlanes{});
}

TEST(DecodeFlipCounterTest, CursorEventsAloneLeaveThePrimaryAlone) {
  EXPECT_EQ(DecodeFlipCounter(abi::kCursorEventValue, kV6), (FlippedPlanes{.cursor = true}));
  EXPECT_EQ(DecodeFlipCounter(255 * abi::kCursorEventValue, kV6), (FlippedPlanes{.cursor = true}));
}

TEST(DecodeFlipCounterTest, APrimaryEventMayBeACarryOfTheCursorSoBothAreLookedAt) {
  const FlippedPlanes both{.primary = true, .cursor = true};
  EXPECT_EQ(DecodeFlipCounter(abi::kPrimaryEventValue, kV6), both);
  EXPECT_EQ(DecodeFlipCounter(256 * abi::kCursorEventValue, kV6), both);
  EXPECT_EQ(DecodeFlipCounter(UINT64_MAX - 1, kV6), both);
}

TEST(DecodeFlipCounterTest, UnknownValuesMeanBoth) {
  const FlippedPlanes both{.primary = true, .cursor = true};
  EXPECT_EQ(DecodeFlipCounter(1, DisplayIrqCaps{.count = 1}), both);
  EXPECT_EQ(DecodeFlipCounter(3, kV6), both);
}

TEST(DecodeFlipCounterTest, RfcV2HasAnIrqForEachPlane) {
  EXPECT_EQ(DecodeFlipCounter(2, DisplayIrqCaps{.primary_only = true}),
            (FlippedPlanes{.primary = true}));
  EXPECT_EQ(DecodeFlipCounter(2, DisplayIrqCaps{.cursor_only = true}),
            (FlippedPlanes{.cursor = true}));
}

// As the daemon's filter of system calls answers.
class Filtered : public FakeDevice {
 public:
  explicit Filtered(Clock& clock) : FakeDevice({.profile = FakeProfile::kIdeal}, clock) {}
  int Ioctl(int fd, unsigned long request, void* arg) override {
    return request == abi::kSetGfxFlipEventfd ? -EPERM : FakeDevice::Ioctl(fd, request, arg);
  }
};

TEST(ArmEventfdIoctlTest, ARefusedCallNamesWhatAllowsIt) {
  ManualClock clock;
  Filtered filtered(clock);
  const Fd fd(filtered, filtered.OpenDevice());
  GfxDevice device(filtered, fd.get(), AbiDialect::kFinal);
  const absl::Status status = FlipEvents::ArmEventfdIoctl(device).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(status.message().find("--no-seccomp"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace planecast
