// What a display is and how it fares: plain structs that mirror the Display message.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "encoder/access_unit.h"
#include "vfio/plane_source.h"
#include "vfio/vfio_source.h"

namespace planecast {

/// Whether there is a picture, and if not, why. Display.State without UNSPECIFIED.
enum class DisplayState {
  kAttaching,
  kActive,
  kWaitingForGuest,
  kBlanked,
  kUnsupportedFormat,
  kImportFailed,
  kEncoderFailed,
  kDeviceError,
  kDeviceGone,
  kDetaching,
};

/// The state's name as in the proto without its prefix, e.g. "WAITING_FOR_GUEST".
std::string_view DisplayStateName(DisplayState state);

/// A state with what a person needs to know about it.
struct StateReport {
  DisplayState state = DisplayState::kAttaching;
  /// One sentence: why. Empty in kActive.
  std::string reason;
  /// One sentence: what to do. Empty where nothing needs doing.
  std::string remedy;
  /// When the state was entered, on the monotonic clock.
  int64_t since_ns = 0;

  friend bool operator==(const StateReport&, const StateReport&) = default;
};

/// What a look at the planes says about the display's state; nothing for an answer that passes by
/// itself (kTransient). `since_ns` is left 0.
std::optional<StateReport> StateOfLook(const PlaneLook& look);

/// What a failed Encode, or a frame that could not be read, says about the display's state.
/// `since_ns` is left 0.
StateReport StateOfEncodeError(const absl::Status& error);

/// A fake device inside the daemon.
struct FakeSpec {
  std::string profile;
  /// Empty means the default scene.
  std::string scene;
  /// 0 means the default.
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  int frame_rate_hz = 0;
  friend bool operator==(const FakeSpec&, const FakeSpec&) = default;
};

/// A device of a legacy VFIO group.
struct GroupSpec {
  int group = 0;
  std::string device;
  friend bool operator==(const GroupSpec&, const GroupSpec&) = default;
};

/// A node under /dev/vfio/devices.
struct CdevSpec {
  std::string path;
  friend bool operator==(const CdevSpec&, const CdevSpec&) = default;
};

/// A device fd that a running VMM holds.
struct VmmSpec {
  pid_t pid = 0;
  /// May be empty.
  std::string device;
  /// When that process started; 0 in a config, which can't know.
  int64_t start_time_ticks = 0;
  friend bool operator==(const VmmSpec&, const VmmSpec&) = default;
};

/// A device fd that was handed over on a socket.
struct HandedOverSpec {
  std::string token;
  friend bool operator==(const HandedOverSpec&, const HandedOverSpec&) = default;
};

/// Where a display's pixels come from, as it was asked for. The core compares specs and otherwise
/// only passes them to the source factory, which validates them.
struct DisplaySpec {
  std::variant<FakeSpec, GroupSpec, CdevSpec, VmmSpec, HandedOverSpec> device;
  AbiDialect dialect = AbiDialect::kFinal;
  FlipEventChoice flip_events = FlipEventChoice::kAuto;
  /// The GPU to encode on; empty: the one that hosts the vGPU, if that is known, else any.
  std::string render_node = {};
  friend bool operator==(const DisplaySpec&, const DisplaySpec&) = default;
};

/// How the cursor reaches a viewer: beside the picture or in it, drawn there by the guest or by us.
enum class CursorPath { kUnknown, kSeparate, kInPicture };

/// Everything of a Display message. A value. Times are on the monotonic clock, 0 if not known;
/// adapters turn them into wall-clock times.
struct DisplaySnapshot {
  /// Without `displays/`.
  std::string id;
  /// Tells it from an earlier or later display of the same id. The registry fills in this and what
  /// its owner calls it.
  std::string uid;
  std::map<std::string, std::string> labels;
  /// Counts changes of the labels.
  uint64_t revision = 0;
  DisplaySpec spec;
  StateReport state;
  struct Plane {
    PlaneLayout layout;
    PlaneKind kind = PlaneKind::kDmabuf;
    friend bool operator==(const Plane&, const Plane&) = default;
  };
  /// The primary plane as it was last seen; absent while there is none.
  std::optional<Plane> primary_plane;
  CursorPath cursor_path = CursorPath::kUnknown;
  /// Absent until the device is open.
  std::optional<FlipRegime> flip_regime;
  /// "x264"; empty until it first encoded.
  std::string encoder;
  /// It is a GPU's.
  bool encoder_hardware = false;
  /// For a person: library and version, or driver, entrypoint and rate control.
  std::string encoder_detail;
  /// How the last unit's pixels travelled, and why not better.
  std::optional<PixelPath> pixel_path;
  std::string pixel_path_reason;
  int viewer_count = 0;
  bool configured = false;
  int64_t attach_time_ns = 0;
  bool mode_settable = false;
  std::string degraded_reason;
  /// What was opened, and by what it is known to be the right device; empty until it opened.
  std::string device_description;

  friend bool operator==(const DisplaySnapshot&, const DisplaySnapshot&) = default;
};

}  // namespace planecast
