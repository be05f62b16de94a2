// The EDID region, as each driver has it.
#include <errno.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "vfio/fake/fake_state.h"

namespace planecast {
namespace {

constexpr uint32_t kEdidBlockBytes = 128;
constexpr uint8_t kEdidHeader[8] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
/// The first detailed timing, which is the preferred mode.
constexpr size_t kPreferredTimingOffset = 54;
constexpr uint32_t kSizeRegister = offsetof(abi::EdidRegs, edid_size);
constexpr uint32_t kLinkRegister = offsetof(abi::EdidRegs, link_state);

bool IsValidBlock(const uint8_t* block) {
  if (!std::equal(std::begin(kEdidHeader), std::end(kEdidHeader), block)) return false;
  return std::accumulate(block, block + kEdidBlockBytes, 0U) % 256 == 0;
}

FakeGuest::Size PreferredSize(const uint8_t* block) {
  const uint8_t* timing = block + kPreferredTimingOffset;
  const bool is_timing = timing[0] != 0 || timing[1] != 0;
  if (!is_timing) return {};
  return {.width_px = timing[2] | (timing[4] & 0xf0U) << 4,
          .height_px = timing[5] | (timing[7] & 0xf0U) << 4};
}

}  // namespace

int FakeState::ReadEdid(uint64_t offset_bytes, uint8_t* data, size_t size_bytes) const {
  std::memset(data, 0, size_bytes);
  if (offset_bytes + size_bytes <= sizeof edid) {
    const auto* registers = reinterpret_cast<const uint8_t*>(&edid);
    std::copy_n(registers + offset_bytes, size_bytes, data);
  } else if (offset_bytes >= edid.edid_offset &&
             offset_bytes + size_bytes <= edid.edid_offset + edid.edid_max_size) {
    std::copy_n(edid_blob.data() + (offset_bytes - edid.edid_offset), size_bytes, data);
  } else if (options.profile == FakeProfile::kGvt) {
    return -EFAULT;
  }
  return 0;
}

int FakeState::WriteEdid(uint64_t offset_bytes, const uint8_t* data, size_t size_bytes) {
  // mbochs drops what it doesn't like and reports it as written; GVT-g turns all errors into one.
  const bool mbochs = options.profile == FakeProfile::kMbochs;
  const int refused = mbochs ? 0 : (options.profile == FakeProfile::kGvt ? -EFAULT : -EINVAL);
  if (offset_bytes < edid.edid_offset) {
    uint32_t value = 0;
    if (size_bytes != sizeof value || offset_bytes >= sizeof edid) return refused;
    std::memcpy(&value, data, sizeof value);
    return WriteEdidRegister(static_cast<uint32_t>(offset_bytes), value) == 0 ? 0 : refused;
  }
  // mbochs knows only the maximum, the others go by the size written before.
  const uint32_t blob_bytes = mbochs ? edid.edid_max_size : edid.edid_size;
  const uint64_t blob_at = offset_bytes - edid.edid_offset;
  if (blob_at + size_bytes > blob_bytes) return refused;
  std::copy_n(data, size_bytes, edid_blob.data() + blob_at);
  return 0;
}

int FakeState::WriteEdidRegister(uint32_t offset_bytes, uint32_t value) {
  const bool mbochs = options.profile == FakeProfile::kMbochs;
  switch (offset_bytes) {
    case kSizeRegister:
      if (!mbochs && value > edid.edid_max_size) return -EINVAL;
      edid.edid_size = value;
      return 0;
    case kLinkRegister:
      return WriteLinkState(value);
    default:
      return -EPERM;
  }
}

int FakeState::WriteLinkState(uint32_t value) {
  if (options.profile == FakeProfile::kMbochs) {
    // Nothing tells the guest.
    edid.link_state = value;
    return 0;
  }
  if (value == abi::kEdidLinkUp) {
    if (edid.edid_size < kEdidBlockBytes || !IsValidBlock(edid_blob.data())) return -EINVAL;
    edid.link_state = value;
    ScheduleEdidReaction();
    return 0;
  }
  if (value != abi::kEdidLinkDown) return -EINVAL;
  edid.link_state = value;
  edid_due_ns = std::numeric_limits<int64_t>::max();
  return 0;
}

void FakeState::ScheduleEdidReaction() {
  const FakeGuest::Size size = PreferredSize(edid_blob.data());
  if (size.width_px == 0 || size.height_px == 0) return;
  edid_size = size;
  edid_due_ns = clock.NowNs() + options.edid_reaction_ns;
  WakeGuest();
}

// --- The guest's side.

std::vector<uint8_t> FakeGuest::VisibleEdid() const {
  const std::lock_guard lock(state_.mutex);
  std::vector<uint8_t> visible(state_.edid_blob.size(), 0);
  if (state_.edid.link_state != abi::kEdidLinkUp) return visible;
  const size_t size_bytes = std::min<size_t>(state_.edid.edid_size, visible.size());
  std::copy_n(state_.edid_blob.begin(), size_bytes, visible.begin());
  return visible;
}

uint32_t FakeGuest::link_state() const {
  const std::lock_guard lock(state_.mutex);
  return state_.edid.link_state;
}

std::optional<FakeGuest::Size> FakeGuest::TakeEdidMode(int64_t now_ns) {
  const std::lock_guard lock(state_.mutex);
  if (now_ns < state_.edid_due_ns) return std::nullopt;
  state_.edid_due_ns = std::numeric_limits<int64_t>::max();
  return state_.edid_size;
}

int64_t FakeGuest::edid_due_ns() const {
  const std::lock_guard lock(state_.mutex);
  return state_.edid_due_ns;
}

}  // namespace planecast
