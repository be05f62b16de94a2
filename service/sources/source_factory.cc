#include "service/sources/source_factory.h"

#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "vfio/fake/fake_source.h"
#include "vfio/open_device.h"
#include "vfio/vfio_source.h"

namespace planecast {
namespace {

using SourceOr = absl::StatusOr<std::unique_ptr<PlaneSource>>;

absl::StatusOr<FakeDialect> ToFakeDialect(AbiDialect dialect) {
  switch (dialect) {
    case AbiDialect::kFinal:
      return FakeDialect::kFinal;
    case AbiDialect::kV15:
      return FakeDialect::kV15;
    case AbiDialect::kV1:
      return FakeDialect::kV1;
  }
  return absl::InvalidArgumentError("unknown dialect");
}

/// Claimed before anything is opened, so that nothing is opened that can't be kept.
absl::StatusOr<FdClaim> ClaimFds(FdBudget* budget, FdNeeds needs, AbiDialect dialect) {
  if (budget == nullptr) return FdClaim();
  if (dialect == AbiDialect::kV1) needs.fixed += kV1BuffersMax;
  return budget->Take(needs);
}

SourceOr OpenFake(const FakeSpec& spec, const DisplaySpec& display, Clock& clock,
                  FdBudget* budget) {
  FakeSourceOptions options;
  auto profile = ParseFakeProfile(spec.profile);
  if (!profile.ok()) return profile.status();
  options.profile = *profile;
  if (!spec.scene.empty()) {
    auto scene = ParseSceneKind(spec.scene);
    if (!scene.ok()) return scene.status();
    options.scene = *scene;
  }
  auto dialect = ToFakeDialect(display.dialect);
  if (!dialect.ok()) return dialect.status();
  options.dialect = *dialect;
  if (spec.width_px != 0) options.width_px = spec.width_px;
  if (spec.height_px != 0) options.height_px = spec.height_px;
  if (spec.frame_rate_hz != 0) options.frame_rate_hz = spec.frame_rate_hz;
  if (display.flip_events == FlipEventChoice::kNone) {
    options.flip_dialect = FakeFlipDialect::kNone;
  } else if (display.flip_events == FlipEventChoice::kEventfdIoctl) {
    options.flip_dialect = FakeFlipDialect::kFlipEventfd;
  }
  auto fds = ClaimFds(budget, FakeFdNeeds(options.profile), display.dialect);
  if (!fds.ok()) return fds.status();
  return MakeFakeSource(options, clock, *std::move(fds));
}

/// Opens the device of every kind of spec but a fake one.
class OpenSpec {
 public:
  OpenSpec(DeviceOpener& opener, HandOverServer* hand_over)
      : opener_(opener), hand_over_(hand_over) {}

  absl::StatusOr<OpenedDevice> operator()(const FakeSpec& /*spec*/) const {
    return absl::InternalError("a fake device is not opened");
  }
  absl::StatusOr<OpenedDevice> operator()(const GroupSpec& spec) const {
    return opener_.OpenGroup(spec.group, spec.device);
  }
  absl::StatusOr<OpenedDevice> operator()(const CdevSpec& spec) const {
    return opener_.OpenCdev(spec.path);
  }
  absl::StatusOr<OpenedDevice> operator()(const VmmSpec& spec) const {
    return opener_.Borrow({spec.pid, spec.start_time_ticks}, spec.device);
  }
  absl::StatusOr<OpenedDevice> operator()(const HandedOverSpec& spec) const {
    if (hand_over_ == nullptr) {
      return absl::NotFoundError(
          "this daemon takes no devices handed over; set hand_over_socket_path in its config");
    }
    auto handed_over = hand_over_->Redeem(spec.token);
    if (!handed_over.ok()) return handed_over.status();
    return AdoptDevice(std::move(handed_over->device), std::move(handed_over->vmm_pidfd));
  }

 private:
  DeviceOpener& opener_;
  HandOverServer* hand_over_;
};

}  // namespace

std::function<SourceOr(const DisplaySpec&)> MakeSourceFactory(DeviceOpener& opener, Clock& clock,
                                                              HandOverServer* hand_over,
                                                              FdBudget* budget) {
  return [&opener, &clock, hand_over, budget](const DisplaySpec& spec) -> SourceOr {
    if (const auto* fake = std::get_if<FakeSpec>(&spec.device)) {
      return OpenFake(*fake, spec, clock, budget);
    }
    auto fds = ClaimFds(budget, FdNeeds(), spec.dialect);
    if (!fds.ok()) return fds.status();
    auto device = std::visit(OpenSpec(opener, hand_over), spec.device);
    if (!device.ok()) return device.status();
    device->fds = *std::move(fds);
    return MakeVfioSource(*std::move(device), {spec.dialect, spec.flip_events}, clock);
  };
}

}  // namespace planecast
