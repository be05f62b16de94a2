#include "vfio/edid.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "vfio/abi.h"
#include "vfio/caps.h"

namespace planecast {
namespace {

// Regions that are asked about.
constexpr uint32_t kRegionsMax = 64;
// GVT-g's region claims 128 bytes although its block lies at 2048; both drivers use half a page.
constexpr uint64_t kRegionMinBytes = 4096;

// CVT 1.2, reduced blanking v1.
constexpr uint32_t kRefreshRatesHz[] = {60, 50, 40, 30, 24};
constexpr uint32_t kHorizontalBlankPx = 160;
constexpr uint32_t kHorizontalFrontPx = 48;
constexpr uint32_t kHorizontalSyncPx = 32;
constexpr uint32_t kVerticalFrontLines = 3;
constexpr uint32_t kVerticalBackMinLines = 6;
constexpr double kVerticalBlankMinUs = 460;
constexpr uint32_t kPixelClockStepHz = 250'000;
// A detailed timing has 16 bits of 10 kHz.
constexpr uint64_t kPixelClockMaxHz = uint64_t{0xffff} * 10'000;

// "PLC", five bits a letter, and our only product.
constexpr uint8_t kIdentity[] = {0x41, 0x83, 0x01, 0x00};
constexpr size_t kIdentityOffset = 8;
constexpr uint8_t kHeader[] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
// Chromaticity coordinates of sRGB.
constexpr uint8_t kSrgb[] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
constexpr char kMonitorName[] = "Planecast\n   ";

struct Timing {
  uint64_t pixel_clock_hz = 0;
  uint32_t vertical_blank_lines = 0;
  uint32_t vertical_sync_lines = 0;
};

// CVT tells the aspect ratio by the length of the vertical sync.
uint32_t VerticalSyncLines(uint32_t width_px, uint32_t height_px) {
  const auto is = [=](uint32_t x, uint32_t y) { return width_px * y == height_px * x; };
  if (is(4, 3)) return 4;
  if (is(16, 9)) return 5;
  if (is(16, 10)) return 6;
  if (is(5, 4) || is(15, 9)) return 7;
  return 10;
}

Timing ReducedBlanking(uint32_t width_px, uint32_t height_px, uint32_t refresh_hz) {
  const double line_us = (1e6 / refresh_hz - kVerticalBlankMinUs) / height_px;
  Timing timing;
  timing.vertical_sync_lines = VerticalSyncLines(width_px, height_px);
  timing.vertical_blank_lines =
      std::max(static_cast<uint32_t>(kVerticalBlankMinUs / line_us) + 1,
               kVerticalFrontLines + timing.vertical_sync_lines + kVerticalBackMinLines);
  const uint64_t clock_hz = uint64_t{refresh_hz} * (width_px + kHorizontalBlankPx) *
                            (height_px + timing.vertical_blank_lines);
  timing.pixel_clock_hz = clock_hz / kPixelClockStepHz * kPixelClockStepHz;
  return timing;
}

// 96 dots per inch, in mm.
uint32_t SizeMm(uint32_t size_px) {
  return size_px * 254 / 960;
}

uint8_t Low(uint32_t value) {
  return static_cast<uint8_t>(value);
}
// The upper nibbles of two 12-bit numbers.
uint8_t HighNibbles(uint32_t a, uint32_t b) {
  return static_cast<uint8_t>((a >> 8) << 4 | (b >> 8));
}

void PutDetailedTiming(uint32_t width_px, uint32_t height_px, const Timing& timing, uint8_t* out) {
  const auto clock = static_cast<uint32_t>(timing.pixel_clock_hz / 10'000);
  const uint32_t width_mm = SizeMm(width_px);
  const uint32_t height_mm = SizeMm(height_px);
  const uint8_t bytes[18] = {
      Low(clock),
      Low(clock >> 8),
      Low(width_px),
      Low(kHorizontalBlankPx),
      HighNibbles(width_px, kHorizontalBlankPx),
      Low(height_px),
      Low(timing.vertical_blank_lines),
      HighNibbles(height_px, timing.vertical_blank_lines),
      Low(kHorizontalFrontPx),
      Low(kHorizontalSyncPx),
      Low(kVerticalFrontLines << 4 | timing.vertical_sync_lines),
      0,
      Low(width_mm),
      Low(height_mm),
      HighNibbles(width_mm, height_mm),
      0,
      0,
      // Digital separate sync, horizontal positive, vertical negative: the mark of reduced
      // blanking.
      0x1a,
  };
  std::memcpy(out, bytes, sizeof(bytes));
}

void PutDescriptor(uint8_t tag, const char* text, uint8_t* out) {
  out[3] = tag;
  if (text != nullptr) std::memcpy(out + 5, text, 13);
}

// A base block with its checksum, whoever made it.
bool IsBlock(const EdidBlock& block) {
  uint8_t sum = 0;
  for (const uint8_t byte : block) sum = static_cast<uint8_t>(sum + byte);
  return sum == 0 && std::equal(std::begin(kHeader), std::end(kHeader), block.begin());
}

uint32_t Word(const EdidBlock& block, size_t offset) {
  uint32_t word;
  std::memcpy(&word, block.data() + offset, sizeof(word));
  return word;
}

}  // namespace

absl::StatusOr<EdidBlock> MakeEdid(uint32_t width_px, uint32_t height_px) {
  if (width_px < kModeWidthMinPx || height_px < kModeHeightMinPx || width_px > kModeSizeMaxPx ||
      height_px > kModeSizeMaxPx) {
    return absl::InvalidArgumentError(
        absl::StrCat("the mode ", width_px, "x", height_px, " is out of range: ", kModeWidthMinPx,
                     "x", kModeHeightMinPx, " to ", kModeSizeMaxPx, "x", kModeSizeMaxPx));
  }
  Timing timing;
  for (const uint32_t refresh_hz : kRefreshRatesHz) {
    timing = ReducedBlanking(width_px, height_px, refresh_hz);
    if (timing.pixel_clock_hz <= kPixelClockMaxHz) break;
  }
  EdidBlock block = {};
  std::copy(std::begin(kHeader), std::end(kHeader), block.begin());
  std::copy(std::begin(kIdentity), std::end(kIdentity), block.begin() + kIdentityOffset);
  block[16] = 1;   // Week
  block[17] = 34;  // and year of manufacture, from 1990.
  block[18] = 1;   // EDID 1.4.
  block[19] = 4;
  block[20] = 0xa5;  // Digital, 8 bits per colour, DisplayPort.
  block[21] = static_cast<uint8_t>(std::clamp(SizeMm(width_px) / 10, 1u, 255u));
  block[22] = static_cast<uint8_t>(std::clamp(SizeMm(height_px) / 10, 1u, 255u));
  block[23] = 120;   // Gamma 2.2.
  block[24] = 0x06;  // sRGB; the first timing is the native one.
  std::copy(std::begin(kSrgb), std::end(kSrgb), block.begin() + 25);
  std::fill(block.begin() + 38, block.begin() + 54, uint8_t{1});  // No standard timings.
  PutDetailedTiming(width_px, height_px, timing, block.data() + 54);
  PutDescriptor(0xfc, kMonitorName, block.data() + 72);
  PutDescriptor(0x10, nullptr, block.data() + 90);
  PutDescriptor(0x10, nullptr, block.data() + 108);
  uint8_t sum = 0;
  for (const uint8_t byte : block) sum = static_cast<uint8_t>(sum + byte);
  block[127] = static_cast<uint8_t>(-sum);
  return block;
}

bool IsOurEdid(std::span<const uint8_t> block) {
  return block.size() >= kEdidBlockBytes &&
         std::equal(std::begin(kHeader), std::end(kHeader), block.begin()) &&
         std::equal(std::begin(kIdentity), std::end(kIdentity), block.begin() + kIdentityOffset);
}

absl::StatusOr<EdidWriter> EdidWriter::Find(GfxDevice& device, bool borrowed) {
  const auto info = device.GetDeviceInfo();
  if (!info.ok()) return info.status();
  for (uint32_t index = abi::kPciNumRegions; index < std::min(info->num_regions, kRegionsMax);
       ++index) {
    const auto region = device.GetRegionInfo(index);
    if (!region.ok()) continue;
    if (ParseRegionType(region->bytes) !=
        RegionType{abi::kRegionTypeGfx, abi::kRegionSubtypeGfxEdid}) {
      continue;
    }
    EdidWriter writer(device, region->info.offset, borrowed);
    if (absl::Status read = writer.ReadLimits(region->info.size); !read.ok()) return read;
    device.AllowEdidWrites(region->info.offset,
                           uint64_t{writer.block_offset_bytes_} + kEdidBlockBytes);
    return writer;
  }
  return absl::NotFoundError("the device has no EDID region");
}

absl::StatusOr<uint32_t> EdidWriter::Read(uint64_t offset_bytes) const {
  return device_->ReadRegister(region_offset_bytes_ + offset_bytes);
}

absl::Status EdidWriter::Write(uint64_t offset_bytes, uint32_t value) const {
  return device_->WriteRegister(region_offset_bytes_ + offset_bytes, value);
}

absl::Status EdidWriter::ReadLimits(uint64_t region_size_bytes) {
  if (region_offset_bytes_ > INT64_MAX - kRegionMinBytes) {
    return absl::NotFoundError("the device's EDID region has an impossible offset");
  }
  const struct {
    size_t offset;
    uint32_t* value;
  } registers[] = {{offsetof(abi::EdidRegs, edid_offset), &block_offset_bytes_},
                   {offsetof(abi::EdidRegs, edid_max_size), &block_max_bytes_},
                   {offsetof(abi::EdidRegs, max_xres), &width_max_px_},
                   {offsetof(abi::EdidRegs, max_yres), &height_max_px_}};
  for (const auto& reg : registers) {
    const auto value = Read(reg.offset);
    if (!value.ok()) return value.status();
    *reg.value = *value;
  }
  const uint64_t end_bytes = uint64_t{block_offset_bytes_} + kEdidBlockBytes;
  if (block_offset_bytes_ < sizeof(abi::EdidRegs) || block_offset_bytes_ % 4 != 0 ||
      block_max_bytes_ < kEdidBlockBytes ||
      end_bytes > std::max(region_size_bytes, kRegionMinBytes)) {
    return absl::NotFoundError("the device's EDID region describes itself impossibly");
  }
  return absl::OkStatus();
}

absl::StatusOr<EdidBlock> EdidWriter::ReadBlock() const {
  EdidBlock block;
  for (size_t offset = 0; offset < block.size(); offset += sizeof(uint32_t)) {
    const auto word = Read(block_offset_bytes_ + offset);
    if (!word.ok()) return word.status();
    std::memcpy(block.data() + offset, &*word, sizeof(uint32_t));
  }
  return block;
}

absl::Status EdidWriter::WriteBlock(const EdidBlock& block) const {
  for (size_t offset = 0; offset < block.size(); offset += sizeof(uint32_t)) {
    absl::Status written = Write(block_offset_bytes_ + offset, Word(block, offset));
    if (!written.ok()) return written;
  }
  const auto read_back = ReadBlock();
  if (!read_back.ok()) return read_back.status();
  if (*read_back != block) return absl::InternalError("the device did not take the EDID block");
  return absl::OkStatus();
}

absl::Status EdidWriter::MayWrite() const {
  if (!borrowed_) return absl::OkStatus();
  const auto link = Read(offsetof(abi::EdidRegs, link_state));
  if (!link.ok()) return link.status();
  if (*link == 0) return absl::OkStatus();
  const auto block = ReadBlock();
  if (block.ok() && IsOurEdid(*block)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the VMM that owns the device also writes its EDID; start it without a display of its own "
      "(QEMU: display=off) or set the mode there");
}

absl::Status EdidWriter::SetMode(uint32_t width_px, uint32_t height_px, int64_t now_ns) {
  if ((width_max_px_ != 0 && width_px > width_max_px_) ||
      (height_max_px_ != 0 && height_px > height_max_px_)) {
    return absl::InvalidArgumentError(absl::StrCat("the mode ", width_px, "x", height_px,
                                                   " is more than the device can show, ",
                                                   width_max_px_, "x", height_max_px_));
  }
  const auto block = MakeEdid(width_px, height_px);
  if (!block.ok()) return block.status();
  if (absl::Status may = MayWrite(); !may.ok()) return may;

  const Offer before = ReadOffer();
  absl::Status done = Write(offsetof(abi::EdidRegs, link_state), abi::kEdidLinkDown);
  // A mode under way stays so.
  if (!done.ok()) return done;
  link_up_ns_ = std::numeric_limits<int64_t>::max();
  // The size first: GVT-g takes no more of the block than it was told of.
  done = Write(offsetof(abi::EdidRegs, edid_size), kEdidBlockBytes);
  if (done.ok()) done = WriteBlock(*block);
  if (!done.ok()) Restore(before);
  if (done.ok() || before.is_connected) link_up_ns_ = now_ns + kLinkUpDelayNs;
  return done;
}

EdidWriter::Offer EdidWriter::ReadOffer() const {
  Offer offer;
  const auto link = Read(offsetof(abi::EdidRegs, link_state));
  const auto size = Read(offsetof(abi::EdidRegs, edid_size));
  const auto block = ReadBlock();
  if (size.ok() && *size >= kEdidBlockBytes) offer.size_bytes = *size;
  if (block.ok() && IsBlock(*block)) offer.block = *block;
  const bool is_under_way = link_up_ns_ != std::numeric_limits<int64_t>::max();
  // Before the first write, GVT-g's guest sees the display of its block.
  const bool is_untouched = link.ok() && *link == 0 && offer.block.has_value();
  offer.is_connected = is_under_way || is_untouched || (link.ok() && *link == abi::kEdidLinkUp);
  return offer;
}

void EdidWriter::Restore(const Offer& offer) const {
  if (offer.size_bytes.has_value()) {
    Write(offsetof(abi::EdidRegs, edid_size), *offer.size_bytes).IgnoreError();
  }
  if (offer.block.has_value()) WriteBlock(*offer.block).IgnoreError();
}

absl::Status EdidWriter::DoTimedWork(int64_t now_ns) {
  if (now_ns < link_up_ns_) return absl::OkStatus();
  link_up_ns_ = std::numeric_limits<int64_t>::max();
  absl::Status done = Write(offsetof(abi::EdidRegs, link_state), abi::kEdidLinkUp);
  if (!done.ok()) return done;
  const auto link = Read(offsetof(abi::EdidRegs, link_state));
  if (!link.ok()) return link.status();
  if (*link != abi::kEdidLinkUp) {
    return absl::InternalError("the device did not connect its display after the EDID was written");
  }
  return absl::OkStatus();
}

}  // namespace planecast
