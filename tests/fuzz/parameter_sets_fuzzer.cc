// H.264 parameter sets: what parses must write back to something that parses alike.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "encoder/h264/h264_headers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace planecast;
  const std::span<const uint8_t> nal(data, size);
  if (const auto sps = ParseSps(nal); sps.ok()) {
    CodecString(*sps);
    const auto again = ParseSps(WriteSps(*sps));
    if (!again.ok() || CodecString(*again) != CodecString(*sps)) abort();
    if (again->width_mbs != sps->width_mbs || again->height_mbs != sps->height_mbs) abort();
  }
  ParsePps(nal).IgnoreError();
  return 0;
}
