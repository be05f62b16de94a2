#include "vfio/flip_events.h"

#include <gtest/gtest.h>

#include "vfio/abi.h"

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

}  // namespace
}  // namespace planecast
