// What the driver can do, and the choice of it: profiles, entrypoints, attributes, configs.
#include <cstdlib>

#include "encoder/testing/va_driver/counters.h"
#include "encoder/testing/va_driver/driver.h"

namespace planecast::sw_va {
namespace {

const char* Environment(const char* name) {
  // Read while a display is opened; tests change it only between displays.
  return std::getenv(name);
}

bool IsH264(VAProfile profile) {
  return profile == VAProfileH264ConstrainedBaseline || profile == VAProfileH264Main ||
         profile == VAProfileH264High;
}

bool Offers(const Persona& persona, VAProfile profile, VAEntrypoint entrypoint) {
  if (profile == VAProfileNone) return entrypoint == VAEntrypointVideoProc;
  if (!IsH264(profile) || (profile == VAProfileH264High && !persona.high_profile)) return false;
  if (entrypoint == VAEntrypointEncSlice) return persona.full_entrypoint;
  return entrypoint == VAEntrypointEncSliceLP && persona.low_power_entrypoint;
}

uint32_t AttributeOf(const Persona& persona, VAEntrypoint entrypoint, VAConfigAttribType type) {
  if (type == VAConfigAttribRTFormat) {
    return entrypoint == VAEntrypointVideoProc ? VA_RT_FORMAT_YUV420 | VA_RT_FORMAT_RGB32 |
                                                     VA_RT_FORMAT_RGB16 | VA_RT_FORMAT_RGB32_10
                                               : VA_RT_FORMAT_YUV420;
  }
  if (entrypoint == VAEntrypointVideoProc) return VA_ATTRIB_NOT_SUPPORTED;
  const auto or_none = [](uint32_t value) { return value != 0 ? value : VA_ATTRIB_NOT_SUPPORTED; };
  switch (type) {
    case VAConfigAttribRateControl:
      return or_none(persona.rate_controls);
    case VAConfigAttribEncPackedHeaders:
      return or_none(persona.packed_headers);
    case VAConfigAttribEncMaxRefFrames:
      return persona.references_max;
    case VAConfigAttribEncMaxSlices:
      return persona.slices_max;
    case VAConfigAttribEncSliceStructure:
      return VA_ENC_SLICE_STRUCTURE_ARBITRARY_MACROBLOCKS;
    case VAConfigAttribMaxPictureWidth:
      return persona.width_max_px;
    case VAConfigAttribMaxPictureHeight:
      return persona.height_max_px;
    case VAConfigAttribEncROI: {
      VAConfigAttribValEncROI roi{};
      roi.bits.num_roi_regions = 8;
      roi.bits.roi_rc_qp_delta_support = 1;
      return roi.value;
    }
    default:
      return VA_ATTRIB_NOT_SUPPORTED;
  }
}

}  // namespace

Driver::Driver() {
  const char* persona = Environment("PLANECAST_SW_PERSONA");
  persona_ = FindPersona(persona != nullptr ? persona : "ihd");
  if (const char* fault = Environment("PLANECAST_SW_FAULT")) faults_ = Faults::Parse(fault);
  if (const char* delay = Environment("PLANECAST_SW_DELAY_MS")) delay_ms_ = std::atoi(delay);
  if (const char* dump = Environment("PLANECAST_SW_DUMP")) dump_path_ = dump;
  if (const char* log = Environment("PLANECAST_SW_LOG")) {
    log_ = std::string_view(log) == "stderr" ? stderr : std::fopen(log, "ae");
  }
  ++GlobalCounters().displays_alive;
}

Driver::~Driver() {
  Counters& counters = GlobalCounters();
  --counters.displays_alive;
  counters.configs_alive -= configs_.size();
  counters.contexts_alive -= contexts_.size();
  counters.surfaces_alive -= surfaces_.size();
  counters.buffers_alive -= buffers_.size();
  counters.images_alive -= images_.size();
  for (const auto& [id, surface] : surfaces_) counters.imports_alive -= surface->imported ? 1 : 0;
  if (log_ != nullptr && log_ != stderr) std::fclose(log_);
}

VAStatus Driver::Reject(VAStatus status, const std::string& why) {
  Counters& counters = GlobalCounters();
  ++counters.rejected_calls;
  {
    const std::lock_guard lock(counters.mutex);
    counters.last_rejection = why;
  }
  if (log_ != nullptr) {
    std::fprintf(log_, "planecast_sw (%s): %s\n", std::string(persona_->name).c_str(), why.c_str());
    std::fflush(log_);
  }
  return status;
}

VAStatus Driver::QueryProfiles(VAProfile* profiles, int* count) {
  *count = 0;
  profiles[(*count)++] = VAProfileNone;
  profiles[(*count)++] = VAProfileH264ConstrainedBaseline;
  profiles[(*count)++] = VAProfileH264Main;
  if (persona_->high_profile) profiles[(*count)++] = VAProfileH264High;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::QueryEntrypoints(VAProfile profile, VAEntrypoint* entrypoints, int* count) {
  *count = 0;
  for (const VAEntrypoint entrypoint :
       {VAEntrypointEncSlice, VAEntrypointEncSliceLP, VAEntrypointVideoProc}) {
    if (Offers(*persona_, profile, entrypoint)) entrypoints[(*count)++] = entrypoint;
  }
  return *count > 0 ? VA_STATUS_SUCCESS : VA_STATUS_ERROR_UNSUPPORTED_PROFILE;
}

VAStatus Driver::GetAttributes(VAProfile profile, VAEntrypoint entrypoint,
                               VAConfigAttrib* attributes, int count) {
  if (!Offers(*persona_, profile, entrypoint)) return VA_STATUS_ERROR_UNSUPPORTED_ENTRYPOINT;
  for (int i = 0; i < count; ++i) {
    attributes[i].value = AttributeOf(*persona_, entrypoint, attributes[i].type);
  }
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::CreateConfig(VAProfile profile, VAEntrypoint entrypoint,
                              VAConfigAttrib* attributes, int count, VAConfigID* id) {
  const std::lock_guard lock(mutex_);
  if (!Offers(*persona_, profile, entrypoint)) {
    return Reject(VA_STATUS_ERROR_UNSUPPORTED_ENTRYPOINT, "no such profile and entrypoint");
  }
  Config config{.profile = profile, .entrypoint = entrypoint};
  for (int i = 0; i < count; ++i) {
    const VAConfigAttribType type = attributes[i].type;
    const uint32_t value = attributes[i].value;
    const uint32_t offered = AttributeOf(*persona_, entrypoint, type);
    if (entrypoint == VAEntrypointVideoProc && persona_->processing_takes_rt_format_only &&
        type != VAConfigAttribRTFormat) {
      return Reject(VA_STATUS_ERROR_INVALID_VALUE, "a processing config takes RTFormat only");
    }
    if (type == VAConfigAttribRTFormat) {
      if ((value & offered) == 0) {
        return Reject(VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT, "RTFormat is not offered");
      }
    } else if (offered == VA_ATTRIB_NOT_SUPPORTED) {
      return Reject(VA_STATUS_ERROR_ATTR_NOT_SUPPORTED,
                    "config attribute " + std::to_string(type) + " is not offered");
    } else if (type == VAConfigAttribRateControl) {
      if (__builtin_popcount(value) != 1 || (value & offered) == 0) {
        return Reject(VA_STATUS_ERROR_INVALID_CONFIG, "RateControl must be one of those offered");
      }
      config.rate_control = value;
    } else if (type == VAConfigAttribEncPackedHeaders) {
      if ((value & ~offered) != 0) {
        return Reject(VA_STATUS_ERROR_INVALID_CONFIG, "packed headers beyond those offered");
      }
      config.packed_headers = value;
    } else if (persona_->attributes_exact && value != offered) {
      return Reject(VA_STATUS_ERROR_INVALID_CONFIG,
                    "config attribute " + std::to_string(type) + " must be as offered");
    }
  }
  *id = next_id_++;
  configs_[*id] = config;
  ++GlobalCounters().configs_alive;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::DestroyConfig(VAConfigID id) {
  const std::lock_guard lock(mutex_);
  if (configs_.erase(id) == 0) return Reject(VA_STATUS_ERROR_INVALID_CONFIG, "no such config");
  --GlobalCounters().configs_alive;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::QueryConfig(VAConfigID id, VAProfile* profile, VAEntrypoint* entrypoint,
                             VAConfigAttrib* attributes, int* count) {
  const std::lock_guard lock(mutex_);
  const auto found = configs_.find(id);
  if (found == configs_.end()) return VA_STATUS_ERROR_INVALID_CONFIG;
  *profile = found->second.profile;
  *entrypoint = found->second.entrypoint;
  *count = 0;
  if (attributes == nullptr) return VA_STATUS_SUCCESS;
  attributes[(*count)++] = {VAConfigAttribRTFormat,
                            AttributeOf(*persona_, *entrypoint, VAConfigAttribRTFormat)};
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::CreateContext(VAConfigID config, int width, int height, VAContextID* id) {
  const std::lock_guard lock(mutex_);
  if (lost_) return Lost();
  const auto found = configs_.find(config);
  if (found == configs_.end()) return Reject(VA_STATUS_ERROR_INVALID_CONFIG, "no such config");
  if (found->second.encodes() &&
      (width <= 0 || height <= 0 || static_cast<uint32_t>(width) > persona_->width_max_px ||
       static_cast<uint32_t>(height) > persona_->height_max_px)) {
    return Reject(VA_STATUS_ERROR_RESOLUTION_NOT_SUPPORTED, "picture size beyond the limits");
  }
  auto context = std::make_shared<Context>();
  context->id = *id = next_id_++;
  context->config = found->second;
  context->width_px = static_cast<uint32_t>(width);
  context->height_px = static_cast<uint32_t>(height);
  contexts_[*id] = std::move(context);
  ++GlobalCounters().contexts_alive;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::DestroyContext(VAContextID id) {
  const std::lock_guard lock(mutex_);
  if (contexts_.erase(id) == 0) return Reject(VA_STATUS_ERROR_INVALID_CONTEXT, "no such context");
  --GlobalCounters().contexts_alive;
  return VA_STATUS_SUCCESS;
}

VAStatus Driver::Lost() const {
  return VA_STATUS_ERROR_HW_BUSY;
}

}  // namespace planecast::sw_va
