#include "vfio/fake/fake_profile.h"

#include <drm_fourcc.h>
#include <errno.h>

#include <algorithm>
#include <array>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "vfio/frame.h"

namespace planecast {
namespace {

constexpr uint32_t kFlagReset = 1;
constexpr uint32_t kFlagPci = 2;
/// vfio-pci's way to spread regions over the device's offsets.
constexpr uint64_t kRegionSpanBytes = uint64_t{1} << 40;
constexpr uint32_t kEdidRegion = 9;

/// Sample drivers and GVT-g as in Linux 6.1; nvidia as far as lists and users tell.
constexpr std::array<FakeProfileTraits, 5> kTraits = {{
    {.name = "ideal",
     .cursor_plane = true,
     .edid = true,
     .device_flags = kFlagPci | kFlagReset,
     .num_regions = 10,
     .edid_region_offset_bytes = kEdidRegion * kRegionSpanBytes,
     .edid_region_size_bytes = 4096,
     .edid_max_size_bytes = 512,
     .unknown_id_errno = EINVAL,
     .default_flip_dialect = FakeFlipDialect::kIrqV6},
    {.name = "gvt",
     .cursor_plane = true,
     .edid = true,
     .needs_kvm = true,
     .device_flags = kFlagPci | kFlagReset,
     .num_regions = 10,
     .edid_region_offset_bytes = kEdidRegion * kRegionSpanBytes,
     .edid_region_size_bytes = 128,
     .edid_max_size_bytes = 128,
     .unknown_id_errno = EINVAL,
     .default_modifier = I915_FORMAT_MOD_X_TILED},
    {.name = "mbochs",
     .edid = true,
     .device_flags = kFlagPci,
     .num_regions = 10,
     .edid_region_offset_bytes = 8192,
     .edid_region_size_bytes = 4096,
     .edid_max_size_bytes = 1024,
     .unknown_id_errno = ENOENT},
    {.name = "mdpy",
     .region_plane = true,
     .device_flags = kFlagPci,
     .num_regions = 9,
     .plane_region = 16,
     .plane_region_offset_bytes = 4096,
     .unknown_id_errno = ENOTTY},
    {.name = "nvidia",
     .region_plane = true,
     .device_flags = kFlagPci | kFlagReset,
     .num_regions = 9,
     .plane_region = 9,
     .plane_region_offset_bytes = 9 * kRegionSpanBytes,
     .unknown_id_errno = ENOTTY},
}};

}  // namespace

const FakeProfileTraits& TraitsOf(FakeProfile profile) {
  return kTraits.at(static_cast<size_t>(profile));
}

std::string_view FakeProfileName(FakeProfile profile) {
  return TraitsOf(profile).name;
}

absl::StatusOr<FakeProfile> ParseFakeProfile(std::string_view name) {
  std::string known;
  for (const FakeProfile profile : kFakeProfiles) {
    if (FakeProfileName(profile) == name) return profile;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(FakeProfileName(profile)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no fake profile is called \"", std::string(name), "\"; there are ", known));
}

bool FakeSupportsFormat(FakeProfile profile, uint32_t fourcc, uint64_t modifier) {
  const bool linear = modifier == DRM_FORMAT_MOD_LINEAR;
  switch (profile) {
    case FakeProfile::kIdeal:
      return linear && BytesPerPixel(fourcc) != 0;
    case FakeProfile::kGvt:
      return BytesPerPixel(fourcc) != 0 &&
             (linear || modifier == I915_FORMAT_MOD_X_TILED || modifier == I915_FORMAT_MOD_Y_TILED);
    case FakeProfile::kMbochs:
    case FakeProfile::kMdpy:
    case FakeProfile::kNvidia:
      return linear && fourcc == DRM_FORMAT_XRGB8888;
  }
  return false;
}

FakeTile TileOf(uint64_t modifier) {
  switch (modifier) {
    case I915_FORMAT_MOD_X_TILED:
      return {.width_bytes = 512, .height_lines = 8};
    case I915_FORMAT_MOD_Y_TILED:
      return {.width_bytes = 128, .height_lines = 32};
    default:
      return {};
  }
}

uint32_t FakeStrideBytes(FakeProfile profile, uint32_t width_px, uint32_t fourcc,
                         uint64_t modifier) {
  const uint32_t line_bytes = width_px * BytesPerPixel(fourcc);
  uint32_t unit_bytes = TileOf(modifier).width_bytes;
  if (unit_bytes == 1) {
    const bool sample = profile == FakeProfile::kMbochs || profile == FakeProfile::kMdpy;
    unit_bytes = sample ? 4 : 64;
  }
  return (line_bytes + unit_bytes - 1) / unit_bytes * unit_bytes;
}

}  // namespace planecast
