// Capability chains of VFIO info structs. Pure: bytes in, facts out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace planecast {

/// One link of a chain; the whole header lies inside the buffer.
struct Capability {
  uint16_t id = 0;
  uint16_t version = 0;
  /// Of the header, from the start of the info struct.
  uint32_t offset_bytes = 0;
  friend bool operator==(const Capability&, const Capability&) = default;
};

/// Longest chain that is followed.
inline constexpr int kCapabilitiesMax = 32;

/// Walks the chain that starts at `cap_offset` in `info`, an info struct of which the first
/// `fixed_size_bytes` are no capabilities.
///
/// The kernel only ever appends, so a chain whose offsets don't rise is refused: this also rules
/// out loops. INVALID_ARGUMENT for a chain that leaves the buffer, goes back or is too long.
/// `cap_offset` 0 is an empty chain.
absl::StatusOr<std::vector<Capability>> ParseCapabilities(std::span<const uint8_t> info,
                                                          uint32_t fixed_size_bytes,
                                                          uint32_t cap_offset);

/// The TYPE capability of a region.
struct RegionType {
  uint32_t type = 0;
  uint32_t subtype = 0;
  friend bool operator==(const RegionType&, const RegionType&) = default;
};

/// The type of the region that `info` (what GET_REGION_INFO returned, all of it) describes, or
/// nothing if it has none or the chain is broken.
std::optional<RegionType> ParseRegionType(std::span<const uint8_t> info);

/// A device IRQ that the drafts of 2019 (RFC v2 to v6) define for display events.
struct DisplayIrqCaps {
  /// RFC v2: an IRQ per plane, this one for the cursor. Later drafts: false.
  bool cursor_only = false;
  /// RFC v2: an IRQ per plane, this one for the primary plane.
  bool primary_only = false;
  /// Drafts v5 and v6: what an event of each plane adds to the eventfd. Both 0 in the others.
  uint64_t cursor_event_value = 0;
  uint64_t primary_event_value = 0;
  uint32_t count = 0;
  /// The IRQ can be masked while it stays armed.
  bool maskable = false;
  friend bool operator==(const DisplayIrqCaps&, const DisplayIrqCaps&) = default;
};

/// What `info` (what GET_IRQ_INFO returned, all of it) says, or nothing if it is no display IRQ.
///
/// Tells RFC v2 (cap_offset at 12) from v3 and later (at 16) by which word can be an offset.
std::optional<DisplayIrqCaps> ParseDisplayIrq(std::span<const uint8_t> info);

}  // namespace planecast
