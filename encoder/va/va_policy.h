// What works best with whose driver: data, and the ladder of ways that follows from it. Pure.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "encoder/va/va_caps.h"

namespace planecast {

/// How to drive one vendor's GPUs.
struct VaPolicy {
  /// Part of vaQueryVendorString; empty matches all.
  std::string_view vendor;
  /// The driver's rate control to prefer, VA_RC_*; VA_RC_CQP means ours.
  uint32_t rate_control = VA_RC_CQP;
  /// Size of the HRD buffer in frames at the nominal rate. Small buffers keep every picture small,
  /// and so the latency low, where the driver keeps its quality then.
  double hrd_frames = 60;
  /// The driver's 8x8 transform can be relied on in High profile.
  bool transform_8x8 = false;
};

/// The policy for a driver; there is one for every string.
const VaPolicy& PolicyFor(std::string_view vendor);

/// One way to encode.
struct VaRung {
  VaEncodeCaps caps;
  uint32_t rate_control = VA_RC_CQP;
};

/// The ways to encode a profile, best first: low power before full, the vendor's rate control
/// before CQP on each. Empty if the driver does not encode the profile.
std::vector<VaRung> MakeLadder(const std::vector<VaEncodeCaps>& caps, VAProfile profile,
                               const VaPolicy& policy);

/// The packed headers to ask for: SPS, PPS and slice together or none at all, since a stream half
/// the driver's and half ours is nobody's.
uint32_t PackedHeadersToUse(uint32_t offered);

}  // namespace planecast
