#include "vfio/caps.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "vfio/abi.h"

namespace planecast {
namespace {

// Offsets in a chain are 4-byte aligned at best: always copy, never cast.
template <typename T>
std::optional<T> CopyAt(std::span<const uint8_t> bytes, uint64_t offset_bytes) {
  if (offset_bytes > bytes.size() || bytes.size() - offset_bytes < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset_bytes, sizeof(T));
  return value;
}

struct IrqCapWords {
  uint32_t cap_offset = 0;
  uint32_t count = 0;
  bool is_rfc_v2 = false;
};

std::optional<IrqCapWords> FindIrqCapOffset(const abi::IrqInfo& info, size_t size_bytes) {
  const auto can_be_offset = [size_bytes](uint32_t word) {
    return word >= sizeof(abi::IrqInfo) && word < size_bytes;
  };
  if (can_be_offset(info.cap_offset)) return IrqCapWords{info.cap_offset, info.count, false};
  if (can_be_offset(info.count)) return IrqCapWords{info.count, info.cap_offset, true};
  return std::nullopt;
}

void ReadDisplayValues(std::span<const uint8_t> bytes, const Capability& cap, DisplayIrqCaps& out) {
  const auto display = CopyAt<abi::IrqCapDisplay>(bytes, cap.offset_bytes);
  if (!display) return;
  out.cursor_event_value = display->cursor_event_value;
  out.primary_event_value = display->primary_event_value;
}

}  // namespace

absl::StatusOr<std::vector<Capability>> ParseCapabilities(std::span<const uint8_t> info,
                                                          uint32_t fixed_size_bytes,
                                                          uint32_t cap_offset) {
  std::vector<Capability> chain;
  uint32_t offset_bytes = cap_offset;
  uint32_t next_min_bytes = fixed_size_bytes;
  while (offset_bytes != 0) {
    if (chain.size() == kCapabilitiesMax) {
      return absl::InvalidArgumentError("capability chain is too long");
    }
    if (offset_bytes < next_min_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("capability chain goes back to offset ", offset_bytes));
    }
    const auto header = CopyAt<abi::CapHeader>(info, offset_bytes);
    if (!header) {
      return absl::InvalidArgumentError(absl::StrCat("capability at offset ", offset_bytes,
                                                     " is outside of ", info.size(), " bytes"));
    }
    chain.push_back({header->id, header->version, offset_bytes});
    next_min_bytes = offset_bytes + static_cast<uint32_t>(sizeof(abi::CapHeader));
    offset_bytes = header->next;
  }
  return chain;
}

std::optional<RegionType> ParseRegionType(std::span<const uint8_t> info) {
  const auto fixed = CopyAt<abi::RegionInfo>(info, 0);
  if (!fixed || (fixed->flags & abi::kRegionFlagCaps) == 0) return std::nullopt;
  const auto chain = ParseCapabilities(info, sizeof(abi::RegionInfo), fixed->cap_offset);
  if (!chain.ok()) return std::nullopt;
  for (const Capability& cap : *chain) {
    if (cap.id != abi::kRegionCapType || cap.version != 1) continue;
    const auto type = CopyAt<abi::RegionCapType>(info, cap.offset_bytes);
    if (!type) return std::nullopt;
    return RegionType{type->type, type->subtype};
  }
  return std::nullopt;
}

std::optional<DisplayIrqCaps> ParseDisplayIrq(std::span<const uint8_t> info) {
  const auto fixed = CopyAt<abi::IrqInfo>(info, 0);
  if (!fixed || (fixed->flags & abi::kIrqFlagCaps) == 0) return std::nullopt;
  const auto words = FindIrqCapOffset(*fixed, info.size());
  if (!words || words->count == 0) return std::nullopt;
  const auto chain = ParseCapabilities(info, sizeof(abi::IrqInfo), words->cap_offset);
  if (!chain.ok()) return std::nullopt;

  DisplayIrqCaps caps;
  caps.count = words->count;
  caps.maskable = (fixed->flags & abi::kIrqFlagMaskable) != 0;
  // Id 3 is TYPE in v2 to v5; id 1 in v6. A DISPLAY capability has no id in common with either.
  bool is_display = false;
  for (const Capability& cap : *chain) {
    if (cap.version != 1) continue;
    if (cap.id == abi::kIrqCapTypeV2ToV5 || cap.id == abi::kIrqCapTypeV6) {
      const auto type = CopyAt<abi::IrqCapType>(info, cap.offset_bytes);
      if (!type || type->type != abi::kIrqTypeGfx) return std::nullopt;
      const bool is_v2_cursor = words->is_rfc_v2 && type->subtype == abi::kIrqSubtypeV2Cursor;
      if (type->subtype != abi::kIrqSubtypeDisplay && !is_v2_cursor) return std::nullopt;
      caps.cursor_only = is_v2_cursor;
      caps.primary_only = words->is_rfc_v2 && !is_v2_cursor;
      is_display = true;
    } else if (cap.id == abi::kIrqCapDisplayV5 || cap.id == abi::kIrqCapDisplayV6) {
      ReadDisplayValues(info, cap, caps);
    }
  }
  if (!is_display) return std::nullopt;
  return caps;
}

}  // namespace planecast
