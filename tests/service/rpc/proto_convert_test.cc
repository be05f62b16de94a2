#include "service/rpc/proto_convert.h"

#include <gtest/gtest.h>

#include <variant>
#include <vector>

namespace planecast {
namespace {

TEST(ProtoConvertTest, EverySpecSurvivesTheWayToTheWireAndBack) {
  std::vector<DisplaySpec> specs(4);
  specs[0].device = FakeSpec{"ideal", "video", 640, 480, 30};
  specs[0].dialect = AbiDialect::kV15;
  specs[1].device = GroupSpec{12, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"};
  specs[1].flip_events = FlipEventChoice::kNone;
  specs[2].device = CdevSpec{"/dev/vfio/devices/vfio3"};
  specs[2].dialect = AbiDialect::kV1;
  specs[3].device = VmmSpec{4711, "0000:00:02.0", 123456};
  specs[3].flip_events = FlipEventChoice::kEventfdIoctl;
  for (const DisplaySpec& spec : specs) {
    auto back = ToSpec(ToProto(spec));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_TRUE(*back == spec) << ToProto(spec).DebugString();
  }
}

TEST(ProtoConvertTest, ATokenIsTakenButNeverTold) {
  v1::DisplaySource source;
  source.mutable_handed_over()->set_token("0123456789abcdef0123456789abcdef");
  auto spec = ToSpec(source);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(std::get<HandedOverSpec>(spec->device).token, source.handed_over().token());
  EXPECT_TRUE(ToProto(*spec).has_handed_over());
  EXPECT_EQ(ToProto(*spec).handed_over().token(), "");
}

TEST(ProtoConvertTest, EveryStateHasItsOwnName) {
  for (int i = 0; i <= static_cast<int>(DisplayState::kDetaching); ++i) {
    const auto state = static_cast<DisplayState>(i);
    EXPECT_EQ(v1::Display::State_Name(ToProto(state)),
              "STATE_" + std::string(DisplayStateName(state)));
  }
}

TEST(ProtoConvertTest, TimesAreOnTheWallAndAlwaysTheSame) {
  ManualClock clock;
  const WallClock wall(clock);
  DisplaySnapshot snapshot;
  snapshot.id = "a";
  snapshot.spec.device = FakeSpec{"ideal", "", 0, 0, 0};
  snapshot.attach_time_ns = clock.NowNs();
  const auto first = ToProto(snapshot, wall, true);
  clock.Advance(5'000'000'000);
  const auto second = ToProto(snapshot, wall, true);
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
  EXPECT_FALSE(first.has_state_start_time());
  EXPECT_FALSE(first.has_primary_plane());
  // After the year 2020: it is no monotonic time.
  EXPECT_GT(first.attach_time().seconds(), 1'577'836'800);
}

TEST(ProtoConvertTest, LimitsOutOfRangeAreRefused) {
  v1::ViewerLimits limits;
  EXPECT_TRUE(ToLimits(limits, {}).ok());
  limits.set_frame_rate_max_hz(240);
  limits.set_bitrate_max_bps(1'000'000);
  ASSERT_TRUE(ToLimits(limits, {}).ok());
  EXPECT_EQ(ToLimits(limits, {})->bitrate_max_bps, 1'000'000);
  limits.clear_frame_rate_max_hz();
  EXPECT_EQ(ToLimits(limits, {0, 30})->frame_rate_max_hz, 30) << "absent stays as it was";
  limits.set_frame_rate_max_hz(0);
  EXPECT_EQ(ToLimits(limits, {0, 30})->frame_rate_max_hz, 0);
  limits.set_frame_rate_max_hz(241);
  EXPECT_FALSE(ToLimits(limits, {}).ok());
}

TEST(ProtoConvertTest, WhereThePixelsComeFromIsForWhoManagesTheDisplay) {
  const WallClock wall(MonotonicClock());
  DisplaySnapshot snapshot;
  snapshot.id = "vm1";
  snapshot.spec.device = VmmSpec{4711, ""};
  snapshot.device_description = "borrowed from process 4711";
  EXPECT_EQ(ToProto(snapshot, wall, true).source().vmm().pid(), 4711);
  EXPECT_EQ(ToProto(snapshot, wall, true).device_description(), "borrowed from process 4711");
  EXPECT_FALSE(ToProto(snapshot, wall, false).has_source());
  EXPECT_EQ(ToProto(snapshot, wall, false).device_description(), "");
  EXPECT_EQ(ToProto(snapshot, wall, false).name(), "displays/vm1");
}

}  // namespace
}  // namespace planecast
