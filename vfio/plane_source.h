// Where frames come from: the interface between vfio/ and service/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "vfio/frame.h"

namespace planecast {

/// How a source learns of flips.
enum class FlipRegime { kPolling, kIrq, kEventfd };

/// Whether a plane is a dma-buf or a region of the device.
enum class PlaneKind { kDmabuf, kRegion };

/// What a source is, constant after it was opened unless noted.
struct PlaneSourceInfo {
  PlaneKind plane_kind = PlaneKind::kDmabuf;
  /// The device has a cursor plane of its own, so the primary plane has no cursor in it. Starts
  /// false where that can only be learned by seeing one; may turn true later.
  bool cursor_separate = false;
  FlipRegime flip_regime = FlipRegime::kPolling;
  /// The device has an EDID region that this process may write.
  bool mode_settable = false;
  /// One sentence if something works less well than it could, e.g. a flip IRQ that failed to arm.
  std::string degraded_reason;
  /// What the device is, and by what it is known to be the right one, for a person.
  std::string description;
};

/// What one look at the planes found.
struct PlaneLook {
  enum class Primary {
    /// `frame` is what the guest shows now.
    kFrame,
    /// The guest never set up a framebuffer.
    kNoFramebuffer,
    /// The guest had a framebuffer and switched it off.
    kBlanked,
    /// The device answered with an error that passes by itself, as during a mode change. Keep what
    /// was shown; look again soon.
    kTransient,
    /// The plane can't be used: `problem` says why. INVALID_ARGUMENT for numbers that contradict
    /// each other, UNIMPLEMENTED for an unknown format, FAILED_PRECONDITION for memory that can't
    /// be reached, UNAVAILABLE for errors that lasted too long. It may recover.
    kFailed,
    /// The device or its VMM is gone for good. Nothing but destruction is left.
    kGone,
  };
  Primary primary = Primary::kNoFramebuffer;
  /// Set exactly with kFrame. `frame->buffer` is the same object as in the last look for as long as
  /// the guest shows the same buffer; that does not mean that its pixels are the same.
  std::optional<Frame> frame;
  /// For a person: what failed and what to do. OK with kFrame, kNoFramebuffer, kBlanked.
  absl::Status problem;
  Cursor cursor;
};

/// A source of frames: one VFIO device, real or fake.
///
/// Bound to the display's thread. The caller's loop: poll(2) the wait_fds() until NextWakeNs(),
/// call HandleEvents(), and if that or the time asks for it, Look(). Destruction closes every fd
/// and mapping of the device at once, except buffers that others still hold.
class PlaneSource {
 public:
  virtual ~PlaneSource() = default;

  virtual const PlaneSourceInfo& info() const = 0;

  /// Borrowed fds that become readable when HandleEvents should be called: flip events, the VMM's
  /// exit. May change after any other call.
  virtual std::vector<int> wait_fds() const = 0;

  /// What woke the caller.
  struct Events {
    /// A flip was signalled: look now.
    bool flipped = false;
    /// The cursor moved or changed, and maybe nothing else did: LookAtCursor() tells.
    bool cursor_changed = false;
    /// The device is gone; Look() will say so.
    bool gone = false;
  };
  /// Drains events that are ready, and does timed work that is due (the second half of an EDID
  /// write). Never blocks.
  virtual Events HandleEvents(int64_t now_ns) = 0;

  /// When to look next although no event came (polling, safety poll), given that someone watches.
  virtual int64_t NextLookNs() const = 0;
  /// When HandleEvents has timed work to do, or INT64_MAX. Matters also while nobody watches.
  virtual int64_t NextTimedWorkNs() const = 0;

  /// Looks at the planes. Never blocks for longer than the driver's ioctls take.
  virtual PlaneLook Look(int64_t now_ns) = 0;

  /// Looks at the cursor's plane alone. A whole look costs its reader a pass over the picture, and
  /// a guest's mouse moves sixty times a second.
  virtual Cursor LookAtCursor(int64_t now_ns) = 0;

  /// Tells the source what came of the last look with a frame: did the pixels differ from those
  /// before? Paces polling.
  virtual void ReportContent(bool changed, int64_t now_ns) = 0;

  /// Somebody watches now, or nobody: polling starts afresh or stops, flip events are armed or
  /// masked.
  virtual void SetWatched(bool watched, int64_t now_ns) = 0;

  /// Offers the guest a mode. FAILED_PRECONDITION without EDID, INVALID_ARGUMENT beyond limits.
  virtual absl::Status SetMode(uint32_t width_px, uint32_t height_px, int64_t now_ns) = 0;
};

}  // namespace planecast
