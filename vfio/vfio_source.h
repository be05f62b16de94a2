// The PlaneSource on a VFIO device.
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "vfio/clock.h"
#include "vfio/opened_device.h"
#include "vfio/plane_source.h"

namespace planecast {

/// Which layout of the plane ioctls the device speaks. Two of them can share an ioctl number and
/// the kernel can't tell them apart, so this can't be probed.
enum class AbiDialect {
  /// Linux since 4.16.
  kFinal,
  /// The draft of 2017-10: 56-byte query, GET with a struct.
  kV15,
  /// The draft of 2017-07: one ioctl gives plane and fd.
  kV1,
};

/// Buffers that the v1 dialect keeps open beside those that are wanted. Guests flip among two or
/// three.
inline constexpr size_t kV1BuffersMax = 32;

/// How to learn of flips.
enum class FlipEventChoice {
  /// By a display IRQ if the device announces one, else by polling.
  kAuto,
  /// By polling only.
  kNone,
  /// By the draft ioctl of 2019-05. Its number now means VFIO_DEVICE_FEATURE, hence never
  /// automatic.
  kEventfdIoctl,
};

struct VfioSourceOptions {
  AbiDialect dialect = AbiDialect::kFinal;
  FlipEventChoice flip_events = FlipEventChoice::kAuto;
};

/// Makes the source of frames of `device`.
///
/// `device.device.sys()` and `clock` must outlive the source and every buffer it handed out.
/// Never blocks for longer than the driver's ioctls take. The source starts unwatched.
///
/// FAILED_PRECONDITION if the device has no gfx plane; any other error is the device's, with what
/// failed.
absl::StatusOr<std::unique_ptr<PlaneSource>> MakeVfioSource(OpenedDevice device,
                                                            const VfioSourceOptions& options,
                                                            Clock& clock);

}  // namespace planecast
