#include "tests/vfio/device_contract.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/vfio/source_testing.h"

namespace planecast {
namespace {

// The fake's guest in the role.
class FakeRole : public GuestRole {
 public:
  FakeRole(FakeDevice& device, bool pans) : guest_(device.guest()), pans_(pans) {}

  absl::Status SetMode(uint32_t width_px, uint32_t height_px) override {
    FakeMode mode{.width_px = width_px, .height_px = height_px};
    mode.buffer_count = pans_ ? 2 : 1;
    return guest_.SetMode(mode);
  }
  absl::Status Paint(uint8_t value) override {
    guest_.PaintInPlace([value](std::span<uint8_t> bytes, const PlaneLayout&) {
      std::memset(bytes.data(), value, bytes.size());
    });
    return absl::OkStatus();
  }
  absl::Status Pan(int buffer) override {
    if (!pans_) return absl::UnimplementedError("a region plane has one place");
    guest_.Flip(buffer);
    return absl::OkStatus();
  }
  absl::Status Disable() override {
    guest_.Disable();
    return absl::OkStatus();
  }
  absl::Status Reset() override {
    guest_.Reset();
    return absl::OkStatus();
  }

 private:
  FakeGuest& guest_;
  bool pans_;
};

class DeviceContractTest : public testing::TestWithParam<FakeProfile> {};

TEST_P(DeviceContractTest, HoldsOnTheFakeDevice) {
  ManualClock clock;
  FakeDevice device({.profile = GetParam()}, clock);
  const bool is_region = TraitsOf(GetParam()).region_plane;
  FakeRole guest(device, !is_region);
  const std::vector<ContractResult> results = RunDeviceContract(
      {.open = [&device]() -> absl::StatusOr<OpenedDevice> {
         OpenedDevice opened;
         opened.device = Fd(device, device.OpenDevice());
         return opened;
       },
       .guest = &guest,
       .clock = &clock,
       .is_readable = GetParam() != FakeProfile::kGvt && GetParam() != FakeProfile::kMbochs,
       .modes = {{640, 480}, {800, 600}, {1024, 768}}});
  EXPECT_EQ(results.size(), 10u);
  int left_out = 0;
  for (const ContractResult& result : results) {
    EXPECT_NE(result.outcome, ContractResult::Outcome::kFailed) << ContractReport(results);
    if (result.outcome == ContractResult::Outcome::kLeftOut) ++left_out;
  }
  EXPECT_EQ(left_out, is_region ? 2 : 1) << ContractReport(results);
  EXPECT_EQ(device.counters().consumer_errors, 0) << device.last_consumer_error();
  EXPECT_EQ(device.counters().open_device_fds, 0);
  EXPECT_EQ(device.counters().open_dmabuf_fds, 0);
  EXPECT_EQ(device.counters().live_mappings, 0);
}

INSTANTIATE_TEST_SUITE_P(Profiles, DeviceContractTest, testing::ValuesIn(kFakeProfiles),
                         FakeProfileParamName);

// A guest that does not do what it says: the contract must notice.
class LazyRole : public FakeRole {
 public:
  using FakeRole::FakeRole;
  absl::Status Paint(uint8_t) override { return absl::OkStatus(); }
  absl::Status Disable() override { return absl::OkStatus(); }
};

TEST(DeviceContractSelfTest, NoticesWhatDoesNotHold) {
  ManualClock clock;
  FakeDevice device({.profile = FakeProfile::kIdeal}, clock);
  LazyRole guest(device, true);
  const std::vector<ContractResult> results =
      RunDeviceContract({.open = [&device]() -> absl::StatusOr<OpenedDevice> {
                           OpenedDevice opened;
                           opened.device = Fd(device, device.OpenDevice());
                           return opened;
                         },
                         .guest = &guest,
                         .clock = &clock,
                         .modes = {{640, 480}, {800, 600}}});
  int failed = 0;
  for (const ContractResult& result : results) {
    if (result.outcome == ContractResult::Outcome::kFailed) ++failed;
  }
  EXPECT_EQ(failed, 2) << ContractReport(results);
}

TEST(DeviceContractSelfTest, ADeviceThatDoesNotOpenFails) {
  ManualClock clock;
  FakeDevice device({}, clock);
  FakeRole guest(device, true);
  const auto results = RunDeviceContract(
      {.open = []() -> absl::StatusOr<OpenedDevice> { return absl::NotFoundError("none"); },
       .guest = &guest,
       .clock = &clock,
       .modes = {{640, 480}}});
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].outcome, ContractResult::Outcome::kFailed);
}

}  // namespace
}  // namespace planecast
