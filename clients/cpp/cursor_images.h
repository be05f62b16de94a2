// Internal to the client library: the cursor's images as a stream tells them, made whole.
#pragma once

#include <cstdint>
#include <list>
#include <memory>

#include "absl/status/statusor.h"
#include "planecast/v1/viewer_service.pb.h"

namespace planecast {

/// Images that a stream keeps. At the largest image that is 128 MiB, of a server that means harm.
inline constexpr int kCursorsKept = 32;
/// Largest image that is believed, in each direction.
inline constexpr int kCursorSideMaxPx = 1024;

/// Keeps the images of one call by their ids, as the stream contract has it, and decodes what is
/// compressed, so that a handler sees each image whole. What a server says is checked: nothing is
/// decoded, and no memory taken, beyond the image's size. Thread-compatible.
class CursorImages {
 public:
  using Image = std::shared_ptr<const v1::CursorShape>;

  /// What to tell the server.
  static void Describe(v1::ClientCapabilities& capabilities);

  /// The stream begins, anew or otherwise: no image is shown.
  void OnStarted() { shown_.reset(); }
  /// The image that comes, in `argb`. INTERNAL if it is none.
  absl::StatusOr<Image> OnShape(const v1::CursorShape& shape);
  /// The image that a handler was not told yet and that is shown from now on, or null if it knows.
  /// INTERNAL if the server names one that it never sent.
  absl::StatusOr<Image> OnMoved(const v1::CursorMoved& moved);

 private:
  void Keep(const Image& image);

  Image shown_;
  /// The most recent first.
  std::list<Image> kept_;
};

}  // namespace planecast
