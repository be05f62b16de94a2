#include "encoder/testing/va_driver/persona.h"

#include <va/va.h>
#include <va/va_vpp.h>

#include <algorithm>
#include <cstdlib>

namespace planecast::sw_va {
namespace {

constexpr uint32_t kAllPacked = VA_ENC_PACKED_HEADER_SEQUENCE | VA_ENC_PACKED_HEADER_PICTURE |
                                VA_ENC_PACKED_HEADER_SLICE | VA_ENC_PACKED_HEADER_MISC |
                                VA_ENC_PACKED_HEADER_RAW_DATA;
constexpr uint32_t kAllRates = VA_RC_CQP | VA_RC_CBR | VA_RC_VBR;

const Persona kPersonas[] = {
    {.name = "ihd",
     .vendor = "Intel iHD driver for Intel(R) Gen Graphics - planecast software driver",
     .low_power_entrypoint = true,
     .rate_controls = kAllRates,
     .packed_headers = kAllPacked,
     .references_max = 8,
     .tiled_imports = true,
     .memory_type_first = true,
     .attributes_exact = true,
     .blend_flags = VA_BLEND_GLOBAL_ALPHA | VA_BLEND_PREMULTIPLIED_ALPHA},
    {.name = "ihd-lp",
     .vendor = "Intel iHD driver for Intel(R) Gen Graphics - planecast software driver (low power)",
     .full_entrypoint = false,
     .low_power_entrypoint = true,
     .rate_controls = kAllRates,
     .packed_headers = kAllPacked,
     .references_max = 3,
     .tiled_imports = true,
     .memory_type_first = true,
     .attributes_exact = true,
     .blend_flags = VA_BLEND_GLOBAL_ALPHA | VA_BLEND_PREMULTIPLIED_ALPHA,
     .two_segments = true},
    {.name = "radeonsi",
     .vendor = "Mesa Gallium driver - planecast software driver for AMD Radeon Graphics",
     .rate_controls = kAllRates,
     .packed_headers = kAllPacked,
     .processing_takes_rt_format_only = true,
     .blend_flags = VA_BLEND_GLOBAL_ALPHA,
     .transform_8x8 = false,
     .fills_cbr = true,
     .needs_hrd_size = true,
     .needs_packed_slices = true},
    {.name = "radeonsi-old",
     .vendor = "Mesa Gallium driver - planecast software driver for AMD Radeon Graphics (old)",
     .rate_controls = kAllRates,
     .sync_buffer = false,
     .processing_takes_rt_format_only = true,
     .blend_flags = VA_BLEND_GLOBAL_ALPHA,
     .transform_8x8 = false,
     .fills_cbr = true,
     .needs_hrd_size = true},
    {.name = "minimal",
     .vendor = "planecast software driver (minimal)",
     .high_profile = false,
     .slices_max = 1,
     .sync_buffer = false,
     .explicit_colour = false,
     .two_segments = true},
};

}  // namespace

const Persona* FindPersona(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kPersonas), std::end(kPersonas),
                                         [&](const Persona& p) { return p.name == name; });
  return found != std::end(kPersonas) ? found : nullptr;
}

Faults Faults::Parse(std::string_view text) {
  Faults faults;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const size_t colon = std::min(item.find(':'), item.size());
    Fault fault{.name = std::string(item.substr(0, colon))};
    if (colon < item.size()) {
      fault.picture = std::strtoull(std::string(item.substr(colon + 1)).c_str(), nullptr, 10);
    }
    if (!fault.name.empty()) faults.faults_.push_back(fault);
  }
  return faults;
}

bool Faults::Has(std::string_view name) const {
  return std::any_of(faults_.begin(), faults_.end(),
                     [&](const Fault& f) { return f.name == name; });
}

bool Faults::At(std::string_view name, uint64_t picture) const {
  return std::any_of(faults_.begin(), faults_.end(), [&](const Fault& f) {
    return f.name == name && (f.picture == 0 || f.picture == picture);
  });
}

bool Faults::From(std::string_view name, uint64_t picture) const {
  return std::any_of(faults_.begin(), faults_.end(),
                     [&](const Fault& f) { return f.name == name && picture >= f.picture; });
}

}  // namespace planecast::sw_va
