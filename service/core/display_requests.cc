// What a display's steps do with requests that wait for an answer.
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/core/display_loop.h"

namespace planecast {
namespace {

/// Times that a plane is copied at most in search of a picture that the guest did not paint into.
constexpr int kPictureCopiesMax = 4;

// The guest may paint a buffer while it is read. A copy that still equals its source is no mixture
// of two frames; a guest that never pauses gets the last attempt.
std::vector<uint8_t> CopyUntorn(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> copy(bytes.begin(), bytes.end());
  for (int copies = 1; copies < kPictureCopiesMax; ++copies) {
    if (std::equal(bytes.begin(), bytes.end(), copy.begin())) break;
    std::copy(bytes.begin(), bytes.end(), copy.begin());
  }
  return copy;
}

}  // namespace

absl::StatusOr<Picture> DisplayLoop::TakePicture(bool exclude_cursor) const {
  const PlaneBuffer& buffer = *frame_->buffer;
  absl::StatusOr<CpuRead> read = buffer.ReadCpu();
  if (!read.ok()) {
    return absl::Status(read.status().code(),
                        absl::StrCat("a snapshot is read by the CPU: ", read.status().message(),
                                     "; a recording shows what the GPU sees"));
  }
  absl::StatusOr<RgbImage> image = PlaneToRgb(buffer.layout(), CopyUntorn(read->bytes()));
  if (!image.ok()) {
    // A missing path is a state of the display to who asks, not a missing feature of the API.
    return absl::FailedPreconditionError(image.status().message());
  }
  Picture picture;
  picture.image = std::move(*image);
  picture.capture_time_ns = frame_->capture_time_ns;
  picture.cursor_drawn =
      !exclude_cursor && cursor_separate() && cursor_.visible && cursor_.image != nullptr;
  if (picture.cursor_drawn) BlendCursor(picture.image, cursor_);
  return picture;
}

absl::Status DisplayLoop::NoPictureError() const {
  const StateReport& state = snapshot_.state;
  const std::string_view name = DisplayStateName(state.state);
  return absl::FailedPreconditionError(absl::StrCat("display ", snapshot_.id, " has no picture (",
                                                    absl::string_view(name.data(), name.size()),
                                                    "): ", state.reason, " ", state.remedy));
}

void DisplayLoop::AddRefresh(SnapshotCallback done) {
  refreshes_.push_back(std::move(done));
}

void DisplayLoop::AddPicture(PictureRequest request) {
  pictures_.push_back(std::move(request));
}

void DisplayLoop::AddMode(ModeRequest request) {
  modes_.push_back(std::move(request));
}

void DisplayLoop::ApplyModes(int64_t now_ns) {
  for (ModeRequest& request : std::exchange(modes_, {})) {
    request.done(source_ != nullptr
                     ? source_->SetMode(request.width_px, request.height_px, now_ns)
                     : absl::FailedPreconditionError("The device is gone; detach the display."));
  }
}

void DisplayLoop::AnswerRefreshes() {
  if (refreshes_.empty()) return;
  const bool trying =
      source_ != nullptr && transient_looks_ > 0 && transient_looks_ < kTransientRetriesMax;
  if (trying) return;
  for (const SnapshotCallback& done : std::exchange(refreshes_, {})) done(snapshot_);
}

void DisplayLoop::AnswerPicture(int64_t now_ns) {
  if (pictures_.empty()) return;
  PictureRequest& request = pictures_.front();
  if (source_ != nullptr && transient_looks_ > 0) {
    if (now_ns < request.deadline_ns) return;
    request.done(absl::DeadlineExceededError(
        "The device answered with passing errors only, as during a mode change; try again."));
  } else if (frame_.has_value()) {
    request.done(TakePicture(request.exclude_cursor));
  } else {
    request.done(NoPictureError());
  }
  pictures_.pop_front();
}

void DisplayLoop::RefuseRequests() {
  const absl::Status stopping =
      absl::UnavailableError(absl::StrCat("display ", snapshot_.id, " is being detached"));
  for (ModeRequest& request : std::exchange(modes_, {})) request.done(stopping);
  for (PictureRequest& request : std::exchange(pictures_, {})) request.done(stopping);
  for (const SnapshotCallback& done : std::exchange(refreshes_, {})) done(snapshot_);
}

}  // namespace planecast
