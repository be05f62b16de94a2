// What a VA driver says that it can do, asked before it is relied on.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <string>
#include <vector>

#include "encoder/encoder.h"
#include "encoder/va/va_display.h"

namespace planecast {

/// One profile and entrypoint for H.264. Masks are libva's; 0 where the driver supports none.
struct VaEncodeCaps {
  VAProfile profile = VAProfileNone;
  VAEntrypoint entrypoint = VAEntrypointEncSlice;
  /// VA_RC_*; a driver without the attribute has CQP only.
  uint32_t rate_controls = VA_RC_CQP;
  /// The driver takes VAConfigAttribRateControl at all.
  bool names_rate_control = false;
  /// VA_ENC_PACKED_HEADER_*.
  uint32_t packed_headers = 0;
  uint32_t references_max = 0;
  uint32_t slices_max = 0;
  uint32_t width_max_px = 0;
  uint32_t height_max_px = 0;
};

/// All of H.264 that the driver encodes, in the order of profiles and entrypoints that it gives.
std::vector<VaEncodeCaps> QueryEncodeCaps(const VaDisplay& display);

/// The driver converts pictures (VAEntrypointVideoProc).
bool HasVideoProcessing(const VaDisplay& display);

GpuEntrypoint Describe(const VaEncodeCaps& caps);
/// "EncSliceLP", "EncSlice".
const char* EntrypointName(VAEntrypoint entrypoint);
/// "CQP", "CBR", "VBR" of a single VA_RC_*.
const char* RateControlName(uint32_t rate_control);

}  // namespace planecast
