// What happens inside the virtual machine: the guest of a fake device.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "vfio/abi.h"
#include "vfio/frame.h"

namespace planecast {

struct FakeState;

/// A mode as the guest's driver programs it.
struct FakeMode {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  /// DRM_FORMAT_XRGB8888.
  uint32_t fourcc = 0x34325258;
  /// The profile's default if absent: X-tiled for gvt, else linear.
  std::optional<uint64_t> modifier = std::nullopt;
  /// 0 is what the profile's driver would choose.
  uint32_t stride_bytes = 0;
  /// 1 paints in place, 2 and 3 flip. Region planes always have 1.
  int buffer_count = 2;
};

/// The picture of a cursor plane. Width and height are equal in gvt: 64, 128 or 256.
struct FakeCursorImage {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  uint32_t x_hot_px = 0;
  uint32_t y_hot_px = 0;
  /// Premultiplied ARGB8888, row by row.
  std::vector<uint32_t> argb = {};
};

/// What a guest can program that no driver can show.
enum class FakeInvalidSurface { kBadFormat, kUnmapped, kMisaligned, kOutOfRange };

/// The guest of a FakeDevice. Obtained from it, lives as long.
///
/// Thread-safe: a guest thread may work here while the host queries. Paint callbacks run without
/// any lock on the guest's own mapping of the memory, so the host can see half-painted frames, as
/// in reality; two callbacks on one buffer at a time are the caller's error.
class FakeGuest {
 public:
  explicit FakeGuest(FakeState& state) : state_(state) {}
  FakeGuest(const FakeGuest&) = delete;
  FakeGuest& operator=(const FakeGuest&) = delete;

  // --- The primary plane.

  using PaintFunction = std::function<void(std::span<uint8_t> bytes, const PlaneLayout& layout)>;

  /// Allocates black buffers and shows number 0, in which `first_picture` may paint before anybody
  /// can see it. INVALID_ARGUMENT if the profile's device can't. One call at a time.
  absl::Status SetMode(const FakeMode& mode, const PaintFunction& first_picture = nullptr);
  /// What SetMode would say, without doing it.
  absl::Status CheckMode(const FakeMode& mode) const;
  /// The mode set last; zeros before the first.
  FakeMode mode() const;
  /// What a buffer of the current mode looks like; identical for all of them.
  PlaneLayout layout() const;
  int buffer_count() const;
  /// The buffer on screen.
  int shown_buffer() const;

  /// Lets `paint` write into a buffer, on screen or not. No event, no new id.
  void Paint(int buffer, const PaintFunction& paint);
  void PaintInPlace(const PaintFunction& paint) { Paint(shown_buffer(), paint); }
  /// Shows a buffer from now on and signals the flip.
  void Flip(int buffer);
  /// mbochs: shows the memory at this byte offset of the video memory, with the size of the mode.
  void Pan(uint64_t offset_bytes);
  /// A vertical blank without a flip.
  void Vblank();

  void Disable();
  void Enable();
  /// Programs something that the profile answers with an error or with zeros, until the next Flip,
  /// SetMode or Enable.
  void ShowInvalidSurface(FakeInvalidSurface what);
  /// What VFIO_DEVICE_RESET does: no framebuffer, no cursor, link state 0; exports stay.
  void Reset();

  // --- The cursor plane; INVALID_ARGUMENT, or nothing, in profiles without one.

  /// Shows this picture from now on, at the position set last. New memory, so a new id.
  absl::Status SetCursor(const FakeCursorImage& image);
  /// Redraws the picture in the same memory: no new id.
  void RepaintCursor(std::span<const uint32_t> argb);
  /// Top left corner of the picture; may be negative.
  void MoveCursor(int32_t x_px, int32_t y_px);
  void HideCursor();
  void ShowCursor();

  // --- EDID.

  /// What the guest's monitor driver reads now: all zeros while the link is not up.
  std::vector<uint8_t> VisibleEdid() const;
  uint32_t link_state() const;
  /// The preferred mode of the EDID that the host brought up, once the guest's reaction time is
  /// over; tells it once.
  struct Size {
    uint32_t width_px = 0;
    uint32_t height_px = 0;
    friend bool operator==(const Size&, const Size&) = default;
  };
  std::optional<Size> TakeEdidMode(int64_t now_ns);
  /// When TakeEdidMode will have something, or INT64_MAX.
  int64_t edid_due_ns() const;

  // --- What the guest's thread needs to know of the host.

  /// Called, on the host's thread and without locks, when the guest may have something to do: the
  /// device was opened or closed, an EDID came, somebody looked after a pause. Set it before the
  /// device is used.
  void SetWakeup(std::function<void()> wakeup);
  bool device_open() const;
  /// When the host last queried the primary plane, 0 before the first time; INT64_MAX while a flip
  /// event is armed and not masked.
  int64_t last_interest_ns() const;
  /// Events are armed, not masked, and of a draft that signals blanks without a flip.
  bool wants_vblanks() const;

  // --- Faults on request.

  /// The next `skip` queries of the primary plane work, then `count` fail with `error` (positive
  /// errno).
  void FailQueries(int error, int count, int skip = 0);
  void FailCursorQueries(int error, int count, int skip = 0);
  void FailGets(int error, int count, int skip = 0);
  void FailMmaps(int error, int count, int skip = 0);
  /// Changes what every query of a plane answers until replaced by null: hostile numbers, unknown
  /// formats, wrong sizes.
  void CorruptPlanes(std::function<void(abi::GfxPlaneInfo&)> corrupt);
  /// Runs once, after the next successful query of the primary plane was answered: a flip between
  /// QUERY and GET.
  void AfterNextQuery(std::function<void()> action);
  /// From now on every call on the device fd fails with ENODEV.
  void Unplug();

 private:
  FakeState& state_;
};

}  // namespace planecast
