// EDID: making a block for a mode, and offering it to the guest through the device's EDID region.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vfio/gfx_device.h"

namespace planecast {

inline constexpr size_t kEdidBlockBytes = 128;
using EdidBlock = std::array<uint8_t, kEdidBlockBytes>;

/// Modes that an EDID base block can describe: 12 bits in each direction, and not so small that
/// guests refuse them.
inline constexpr uint32_t kModeWidthMinPx = 320;
inline constexpr uint32_t kModeHeightMinPx = 200;
inline constexpr uint32_t kModeSizeMaxPx = 4095;

/// Makes an EDID 1.4 base block whose preferred mode is `width_px` x `height_px` at 60 Hz, timed by
/// CVT with reduced blanking, or at the highest rate whose pixel clock still fits. Pure.
/// INVALID_ARGUMENT for a mode that can't be described.
absl::StatusOr<EdidBlock> MakeEdid(uint32_t width_px, uint32_t height_px);

/// Whether `block` was made by MakeEdid: it carries its manufacturer and product.
bool IsOurEdid(std::span<const uint8_t> block);

/// Offers modes to the guest of one device.
///
/// The steps that every known driver accepts: link down, size, block, 100 ms, link up; all by
/// aligned 4-byte accesses, and read back, since drivers ignore bad writes without an error.
///
/// Etiquette: EDID has one owner. A VMM with its own display writes it, so on a borrowed device
/// this writes only if nobody ever has (the link state still reads 0), or if the block in place is
/// one of ours. Bound to the display's thread.
class EdidWriter {
 public:
  /// From the block to the link's rise, as QEMU has it.
  static constexpr int64_t kLinkUpDelayNs = 100'000'000;

  /// Finds the EDID region of `device`, which must outlive the result. NOT_FOUND if there is none.
  static absl::StatusOr<EdidWriter> Find(GfxDevice& device, bool borrowed);

  /// Whether this process may write. Asks the device each time.
  absl::Status MayWrite() const;

  /// Starts to offer a mode; a mode under way is dropped. INVALID_ARGUMENT beyond the device's
  /// limits, FAILED_PRECONDITION if the EDID is somebody else's. If the device fails half-way, the
  /// block that was there is put back as far as that goes, and the link comes up with it later.
  absl::Status SetMode(uint32_t width_px, uint32_t height_px, int64_t now_ns);

  /// When DoTimedWork has something to do; INT64_MAX if never.
  int64_t NextTimedWorkNs() const { return link_up_ns_; }
  /// The second half of SetMode, once its time has come.
  absl::Status DoTimedWork(int64_t now_ns);

 private:
  EdidWriter(GfxDevice& device, uint64_t region_offset_bytes, bool borrowed)
      : device_(&device), region_offset_bytes_(region_offset_bytes), borrowed_(borrowed) {}
  absl::StatusOr<uint32_t> Read(uint64_t offset_bytes) const;
  absl::Status Write(uint64_t offset_bytes, uint32_t value) const;
  /// What the guest was offered before.
  struct Offer {
    std::optional<uint32_t> size_bytes;
    std::optional<EdidBlock> block;
    /// The guest saw a display.
    bool is_connected = false;
  };
  Offer ReadOffer() const;
  void Restore(const Offer& offer) const;
  absl::StatusOr<EdidBlock> ReadBlock() const;
  absl::Status WriteBlock(const EdidBlock& block) const;
  absl::Status ReadLimits(uint64_t region_size_bytes);

  GfxDevice* device_;
  uint64_t region_offset_bytes_;
  bool borrowed_;
  uint32_t block_offset_bytes_ = 0;
  uint32_t block_max_bytes_ = 0;
  /// 0 is no limit.
  uint32_t width_max_px_ = 0;
  uint32_t height_max_px_ = 0;
  int64_t link_up_ns_ = std::numeric_limits<int64_t>::max();
};

}  // namespace planecast
