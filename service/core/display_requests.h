// Requests to a display that wait for its steps.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/core/display_options.h"
#include "service/core/display_state.h"
#include "vfio/frame.h"
#include "vfio/plane_source.h"

namespace planecast {

/// A picture that somebody waits for.
struct PictureRequest {
  bool exclude_cursor = false;
  int64_t deadline_ns = 0;
  std::function<void(absl::StatusOr<Picture>)> done;
};

/// A mode that somebody asked for.
struct ModeRequest {
  uint32_t width_px = 0;
  uint32_t height_px = 0;
  std::function<void(absl::Status)> done;
};

/// What others asked of a display and wait for: its state, pictures, modes. The display's loop owns
/// it, asks it what to look for, and has it answer.
///
/// Bound to the display's thread. Each callback is called exactly once, if Refuse is called at the
/// end, and never by Add.
class DisplayRequests {
 public:
  using SnapshotCallback = std::function<void(const DisplaySnapshot&)>;

  void AddRefresh(SnapshotCallback done);
  void AddPicture(PictureRequest request);
  void AddMode(ModeRequest request);

  /// Somebody waits for the state, or for a picture.
  bool awaits_state() const { return !refreshes_.empty(); }
  bool awaits_picture() const { return !pictures_.empty(); }

  /// Passes the modes to the source and answers what it says; null: the device is gone.
  void ApplyModes(PlaneSource* source, int64_t now_ns);
  /// Answers all who wait for the state.
  void AnswerRefreshes(const DisplaySnapshot& snapshot);
  /// Answers who waits longest for a picture, and only that one: a copy may take milliseconds.
  /// `frame` is null if there is none; then the answer is why, from the snapshot. `cursor` is drawn
  /// for who wants it; null if it is no plane of its own.
  void AnswerPicture(const Frame* frame, const Cursor* cursor, const DisplaySnapshot& snapshot);
  /// No look succeeds at present: refuses the same one once its deadline has passed.
  void ExpirePicture(int64_t now_ns);
  /// Answers all: the display ends.
  void Refuse(const DisplaySnapshot& snapshot);

 private:
  std::vector<SnapshotCallback> refreshes_;
  std::deque<PictureRequest> pictures_;
  std::vector<ModeRequest> modes_;
};

}  // namespace planecast
