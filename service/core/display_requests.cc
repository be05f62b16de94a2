#include "service/core/display_requests.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "encoder/pixels/pixels.h"

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

absl::StatusOr<Picture> TakePicture(const Frame& frame, const Cursor* cursor) {
  const PlaneBuffer& buffer = *frame.buffer;
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
  picture.capture_time_ns = frame.capture_time_ns;
  picture.cursor_drawn = cursor != nullptr && cursor->visible && cursor->image != nullptr;
  if (picture.cursor_drawn) BlendCursor(picture.image, *cursor);
  return picture;
}

absl::Status NoPictureError(const DisplaySnapshot& snapshot) {
  const StateReport& state = snapshot.state;
  const std::string_view name = DisplayStateName(state.state);
  return absl::FailedPreconditionError(absl::StrCat("display ", snapshot.id, " has no picture (",
                                                    absl::string_view(name.data(), name.size()),
                                                    "): ", state.reason, " ", state.remedy));
}

}  // namespace

void DisplayRequests::AddRefresh(SnapshotCallback done) {
  refreshes_.push_back(std::move(done));
}

void DisplayRequests::AddPicture(PictureRequest request) {
  pictures_.push_back(std::move(request));
}

void DisplayRequests::AddMode(ModeRequest request) {
  modes_.push_back(std::move(request));
}

void DisplayRequests::ApplyModes(PlaneSource* source, int64_t now_ns) {
  for (ModeRequest& request : std::exchange(modes_, {})) {
    request.done(source != nullptr
                     ? source->SetMode(request.width_px, request.height_px, now_ns)
                     : absl::FailedPreconditionError("The device is gone; detach the display."));
  }
}

void DisplayRequests::AnswerRefreshes(const DisplaySnapshot& snapshot) {
  for (const SnapshotCallback& done : std::exchange(refreshes_, {})) done(snapshot);
}

void DisplayRequests::AnswerPicture(const Frame* frame, const Cursor* cursor,
                                    const DisplaySnapshot& snapshot) {
  if (pictures_.empty()) return;
  PictureRequest& request = pictures_.front();
  if (frame != nullptr) {
    request.done(TakePicture(*frame, request.exclude_cursor ? nullptr : cursor));
  } else {
    request.done(NoPictureError(snapshot));
  }
  pictures_.pop_front();
}

void DisplayRequests::ExpirePicture(int64_t now_ns) {
  if (pictures_.empty() || now_ns < pictures_.front().deadline_ns) return;
  pictures_.front().done(absl::DeadlineExceededError(
      "The device answered with passing errors only, as during a mode change; try again."));
  pictures_.pop_front();
}

void DisplayRequests::Refuse(const DisplaySnapshot& snapshot) {
  const absl::Status stopping =
      absl::UnavailableError(absl::StrCat("display ", snapshot.id, " is being detached"));
  for (ModeRequest& request : std::exchange(modes_, {})) request.done(stopping);
  for (PictureRequest& request : std::exchange(pictures_, {})) request.done(stopping);
  for (const SnapshotCallback& done : std::exchange(refreshes_, {})) done(snapshot);
}

}  // namespace planecast
