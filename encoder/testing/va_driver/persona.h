// Whose driver this one plays.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace planecast::sw_va {

/// How a driver differs from others, as far as clients notice. Masks are libva's.
struct Persona {
  std::string_view name;
  /// vaQueryVendorString.
  const char* vendor = nullptr;
  bool high_profile = true;
  bool full_entrypoint = true;
  bool low_power_entrypoint = false;
  /// VA_RC_*; 0 means that the attribute is not supported at all, which is CQP.
  uint32_t rate_controls = 0;
  /// VA_ENC_PACKED_HEADER_*; 0 means not supported.
  uint32_t packed_headers = 0;
  uint32_t references_max = 1;
  uint32_t slices_max = 32;
  uint32_t width_max_px = 4096;
  uint32_t height_max_px = 4096;
  bool sync_buffer = true;
  /// I915's X, Y and Yf tiling.
  bool tiled_imports = false;
  /// VASurfaceAttribMemoryType has to come before the descriptor.
  bool memory_type_first = false;
  /// Every config attribute is compared with what is advertised.
  bool attributes_exact = false;
  /// Only VAConfigAttribRTFormat may be given for video processing.
  bool processing_takes_rt_format_only = false;
  /// VAProcColorStandardExplicit.
  bool explicit_colour = true;
  /// VA_BLEND_*.
  uint32_t blend_flags = 0;
  /// PPS with transform_8x8_mode_flag gives undecodable streams on real ones.
  bool transform_8x8 = true;
  /// CBR is filled up to its rate unless told not to.
  bool fills_cbr = false;
  /// HRD parameters with a buffer of no size are an error.
  bool needs_hrd_size = false;
  /// Without the client's packed slice headers the stream would be unusable.
  bool needs_packed_slices = false;
  /// A coded buffer comes in two segments.
  bool two_segments = false;
};

/// Null for an unknown name.
const Persona* FindPersona(std::string_view name);

/// What is to go wrong, from PLANECAST_SW_FAULT: NAME or NAME:N, by commas. N counts the coded (for
/// vpp-fails the processed) pictures of a display from 1; without N it is every one.
class Faults {
 public:
  static Faults Parse(std::string_view text);
  /// The fault was asked for, at whatever picture.
  bool Has(std::string_view name) const;
  bool At(std::string_view name, uint64_t picture) const;
  /// At this picture or a later one.
  bool From(std::string_view name, uint64_t picture) const;

 private:
  struct Fault {
    std::string name;
    /// 0: every picture.
    uint64_t picture = 0;
  };
  std::vector<Fault> faults_;
};

}  // namespace planecast::sw_va
