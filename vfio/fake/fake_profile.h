// Which driver the fake device behaves like, and in which numbers the drivers differ.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace planecast {

/// The driver that a fake device imitates.
enum class FakeProfile {
  /// The driver one would wish for: linear dma-bufs that can be mapped, a cursor plane with
  /// hot-spot, an EDID region, a flip event.
  kIdeal,
  /// Intel GVT-g (i915 kvmgt): tiled dma-bufs without a CPU path, a cursor plane, recycled ids.
  kGvt,
  /// The kernel's sample mbochs: dma-bufs that can't be mapped, ENOMEM on a new mode.
  kMbochs,
  /// The kernel's sample mdpy: a region plane with index 16.
  kMdpy,
  /// NVIDIA vGPU as far as it is known: a region plane whose index is num_regions.
  kNvidia,
};

/// Revision of the plane ioctls that the fake device speaks.
enum class FakeDialect { kFinal, kV15, kV1 };

/// How the fake device tells of flips; the drafts of 2019.
enum class FakeFlipDialect { kNone, kFlipEventfd, kIrqV2, kIrqV3, kIrqV5, kIrqV6 };

inline constexpr FakeProfile kFakeProfiles[] = {FakeProfile::kIdeal, FakeProfile::kGvt,
                                                FakeProfile::kMbochs, FakeProfile::kMdpy,
                                                FakeProfile::kNvidia};

/// "ideal", "gvt", "mbochs", "mdpy", "nvidia".
std::string_view FakeProfileName(FakeProfile profile);
/// INVALID_ARGUMENT for any other name; the message lists the valid ones.
absl::StatusOr<FakeProfile> ParseFakeProfile(std::string_view name);

/// What differs between the drivers and can be said in numbers. What takes code is in the fake
/// device itself, where it asks for the profile.
struct FakeProfileTraits {
  std::string_view name = {};
  /// The plane is a region of the device, not a dma-buf.
  bool region_plane = false;
  bool cursor_plane = false;
  bool edid = false;
  /// Opening takes a KVM VM of the caller's process.
  bool needs_kvm = false;
  uint32_t device_flags = 0;
  uint32_t num_regions = 0;
  /// Index of the plane's region, if the plane is one.
  uint32_t plane_region = 0;
  /// Regions lie at these device offsets, in bytes.
  uint64_t plane_region_offset_bytes = 0;
  uint64_t edid_region_offset_bytes = 0;
  /// What GET_REGION_INFO says of the EDID region; GVT-g announces less than it has.
  uint64_t edid_region_size_bytes = 0;
  uint32_t edid_max_size_bytes = 0;
  /// GET of an id that the driver doesn't know gives this errno.
  int unknown_id_errno = 0;
  uint64_t default_modifier = 0;
  FakeFlipDialect default_flip_dialect = FakeFlipDialect::kNone;
};

const FakeProfileTraits& TraitsOf(FakeProfile profile);

/// What a primary plane can be in; empty modifiers beyond linear are spelt out per profile.
bool FakeSupportsFormat(FakeProfile profile, uint32_t fourcc, uint64_t modifier);

/// Size of a tile of an i915 modifier: 1 line for linear.
struct FakeTile {
  uint32_t width_bytes = 1;
  uint32_t height_lines = 1;
};
FakeTile TileOf(uint64_t modifier);

/// Bytes per line that the profile's guest driver chooses.
uint32_t FakeStrideBytes(FakeProfile profile, uint32_t width_px, uint32_t fourcc,
                         uint64_t modifier);

}  // namespace planecast
