#include "vfio/line_sampler.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace planecast {
namespace {

constexpr int kStepBits = 5;
static_assert(1 << kStepBits == LineSampler::kStep);

// Numbers below kStep in an order that halves the largest gap each time: 0, 16, 8, 24, 4, ...
uint32_t FirstLine(uint32_t turn) {
  uint32_t line = 0;
  for (int bit = 0; bit < kStepBits; ++bit) line = line << 1 | (turn >> bit & 1);
  return line;
}

// Never 0.
uint64_t HashOfLine(const uint8_t* line, size_t length) {
  const uint64_t hash =
      absl::HashOf(absl::string_view(reinterpret_cast<const char*>(line), length));
  return std::max<uint64_t>(hash, 1);
}

}  // namespace

bool LineSampler::HasChanged(const PlaneBuffer& buffer) {
  const PlaneLayout& layout = buffer.layout();
  if (buffer.serial() != serial_) {
    serial_ = buffer.serial();
    turn_ = 0;
    hashes_.assign(layout.height_px, 0);
  }
  const uint32_t first = FirstLine(turn_);
  turn_ = (turn_ + 1) % kStep;
  auto read = buffer.ReadCpu();
  if (!read.ok()) return false;
  const uint64_t line_bytes = uint64_t{layout.width_px} * BytesPerPixel(layout.fourcc);
  bool has_changed = false;
  for (uint32_t y = first; y < layout.height_px; y += kStep) {
    const uint64_t offset = uint64_t{y} * layout.stride_bytes;
    if (offset + line_bytes > read->bytes().size()) break;
    const uint64_t hash = HashOfLine(read->bytes().data() + offset, line_bytes);
    has_changed = has_changed || (hashes_[y] != 0 && hashes_[y] != hash);
    hashes_[y] = hash;
  }
  return has_changed;
}

}  // namespace planecast
