#include "encoder/va/va_policy.h"

namespace planecast {
namespace {

// From what streaming servers found in use: on Intel CBR pads idle screens and suffers from small
// buffers, VBR with a buffer of a frame or two does neither; on AMD it is the other way round.
// Before VCN 5 AMD's encoder has no 8x8 transform, whatever the PPS says.
constexpr VaPolicy kPolicies[] = {
    {.vendor = "Intel iHD", .rate_control = VA_RC_VBR, .hrd_frames = 2, .transform_8x8 = true},
    {.vendor = "Intel i965", .rate_control = VA_RC_CQP, .hrd_frames = 60, .transform_8x8 = false},
    {.vendor = "Mesa Gallium", .rate_control = VA_RC_CBR, .hrd_frames = 60, .transform_8x8 = false},
    {.vendor = "", .rate_control = VA_RC_CQP, .hrd_frames = 60, .transform_8x8 = false},
};

}  // namespace

const VaPolicy& PolicyFor(std::string_view vendor) {
  for (const VaPolicy& policy : kPolicies) {
    if (vendor.find(policy.vendor) != std::string_view::npos) return policy;
  }
  return kPolicies[std::size(kPolicies) - 1];
}

std::vector<VaRung> MakeLadder(const std::vector<VaEncodeCaps>& caps, VAProfile profile,
                               const VaPolicy& policy) {
  std::vector<VaRung> ladder;
  const auto add = [&](uint32_t rate_control) {
    for (const VAEntrypoint entrypoint : {VAEntrypointEncSliceLP, VAEntrypointEncSlice}) {
      for (const VaEncodeCaps& one : caps) {
        if (one.profile != profile || one.entrypoint != entrypoint) continue;
        if ((one.rate_controls & rate_control) != 0) ladder.push_back({one, rate_control});
      }
    }
  };
  if (policy.rate_control != VA_RC_CQP) add(policy.rate_control);
  add(VA_RC_CQP);
  return ladder;
}

uint32_t PackedHeadersToUse(uint32_t offered) {
  constexpr uint32_t kNeeded =
      VA_ENC_PACKED_HEADER_SEQUENCE | VA_ENC_PACKED_HEADER_PICTURE | VA_ENC_PACKED_HEADER_SLICE;
  return (offered & kNeeded) == kNeeded ? kNeeded : 0;
}

}  // namespace planecast
