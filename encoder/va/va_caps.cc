#include "encoder/va/va_caps.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

struct NamedMask {
  uint32_t mask;
  const char* name;
};
constexpr NamedMask kRateControls[] = {
    {VA_RC_CQP, "CQP"},   {VA_RC_CBR, "CBR"},   {VA_RC_VBR, "VBR"}, {VA_RC_ICQ, "ICQ"},
    {VA_RC_QVBR, "QVBR"}, {VA_RC_AVBR, "AVBR"}, {VA_RC_VCM, "VCM"}};
constexpr NamedMask kPackedHeaders[] = {{VA_ENC_PACKED_HEADER_SEQUENCE, "SPS"},
                                        {VA_ENC_PACKED_HEADER_PICTURE, "PPS"},
                                        {VA_ENC_PACKED_HEADER_SLICE, "slice"},
                                        {VA_ENC_PACKED_HEADER_MISC, "misc"},
                                        {VA_ENC_PACKED_HEADER_RAW_DATA, "raw"}};

std::vector<VAEntrypoint> Entrypoints(const VaDisplay& display, VAProfile profile) {
  std::vector<VAEntrypoint> list(
      static_cast<size_t>(std::max(vaMaxNumEntrypoints(display.get()), 0)));
  int count = 0;
  if (list.empty() ||
      vaQueryConfigEntrypoints(display.get(), profile, list.data(), &count) != VA_STATUS_SUCCESS) {
    return {};
  }
  list.resize(std::min(list.size(), static_cast<size_t>(std::max(count, 0))));
  return list;
}

VaEncodeCaps QueryOne(const VaDisplay& display, VAProfile profile, VAEntrypoint entrypoint) {
  std::array<VAConfigAttrib, 6> attributes{{{VAConfigAttribRateControl, 0},
                                            {VAConfigAttribEncPackedHeaders, 0},
                                            {VAConfigAttribEncMaxRefFrames, 0},
                                            {VAConfigAttribEncMaxSlices, 0},
                                            {VAConfigAttribMaxPictureWidth, 0},
                                            {VAConfigAttribMaxPictureHeight, 0}}};
  VaEncodeCaps caps{.profile = profile, .entrypoint = entrypoint};
  if (vaGetConfigAttributes(display.get(), profile, entrypoint, attributes.data(),
                            static_cast<int>(attributes.size())) != VA_STATUS_SUCCESS) {
    return caps;
  }
  // NOT_SUPPORTED is a bit of the value: asked first, before any masking.
  const auto value = [&](size_t i) {
    return attributes[i].value == VA_ATTRIB_NOT_SUPPORTED ? 0 : attributes[i].value;
  };
  caps.names_rate_control = value(0) != 0;
  if (caps.names_rate_control) caps.rate_controls = value(0);
  caps.packed_headers = value(1);
  caps.references_max = value(2) & 0xffff;
  caps.slices_max = value(3);
  caps.width_max_px = value(4);
  caps.height_max_px = value(5);
  return caps;
}

const char* ProfileName(VAProfile profile) {
  switch (profile) {
    case VAProfileH264ConstrainedBaseline:
      return "ConstrainedBaseline";
    case VAProfileH264Main:
      return "Main";
    default:
      return "High";
  }
}

}  // namespace

std::vector<VaEncodeCaps> QueryEncodeCaps(const VaDisplay& display) {
  std::vector<VaEncodeCaps> all;
  for (const VAProfile profile :
       {VAProfileH264ConstrainedBaseline, VAProfileH264Main, VAProfileH264High}) {
    for (const VAEntrypoint entrypoint : Entrypoints(display, profile)) {
      if (entrypoint != VAEntrypointEncSlice && entrypoint != VAEntrypointEncSliceLP) continue;
      all.push_back(QueryOne(display, profile, entrypoint));
    }
  }
  return all;
}

bool HasVideoProcessing(const VaDisplay& display) {
  const std::vector<VAEntrypoint> list = Entrypoints(display, VAProfileNone);
  return std::find(list.begin(), list.end(), VAEntrypointVideoProc) != list.end();
}

const char* EntrypointName(VAEntrypoint entrypoint) {
  return entrypoint == VAEntrypointEncSliceLP ? "EncSliceLP" : "EncSlice";
}

const char* RateControlName(uint32_t rate_control) {
  for (const NamedMask& mode : kRateControls) {
    if (mode.mask == rate_control) return mode.name;
  }
  return "unknown";
}

GpuEntrypoint Describe(const VaEncodeCaps& caps) {
  GpuEntrypoint out;
  out.profile = ProfileName(caps.profile);
  out.name = EntrypointName(caps.entrypoint);
  for (const NamedMask& mode : kRateControls) {
    if ((caps.rate_controls & mode.mask) != 0) out.rate_controls.emplace_back(mode.name);
  }
  for (const NamedMask& header : kPackedHeaders) {
    if ((caps.packed_headers & header.mask) != 0) out.packed_headers.emplace_back(header.name);
  }
  out.width_max_px = caps.width_max_px;
  out.height_max_px = caps.height_max_px;
  out.references_max = caps.references_max;
  out.slices_max = caps.slices_max;
  return out;
}

}  // namespace planecast
