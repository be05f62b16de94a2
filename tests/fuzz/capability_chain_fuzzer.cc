// Capability chains of region and IRQ info structs, as a hostile or broken driver could return
// them.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "vfio/caps.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace planecast;
  const std::span<const uint8_t> info(data, size);
  ParseRegionType(info);
  ParseDisplayIrq(info);
  if (size < 8) return 0;
  uint32_t cap_offset = 0;
  for (int i = 0; i < 4; ++i) cap_offset |= uint32_t{data[i]} << (8 * i);
  const auto chain = ParseCapabilities(info, 4u + data[4], cap_offset);
  if (!chain.ok()) return 0;
  if (chain->size() > static_cast<size_t>(kCapabilitiesMax)) abort();
  uint32_t previous = 0;
  for (const Capability& capability : *chain) {
    if (capability.offset_bytes <= previous || capability.offset_bytes + 8 > size) abort();
    previous = capability.offset_bytes;
  }
  return 0;
}
