// Recordings as files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planecast/v1/viewer_service.pb.h"

namespace planecast::cli {

/// Of the visible picture.
struct PictureSize {
  int width_px = 0;
  int height_px = 0;
};

/// Writes coded pictures to a file or several. Nothing is coded anew. Thread-compatible.
class ClipWriter {
 public:
  virtual ~ClipWriter() = default;
  /// The size of the pictures that follow.
  virtual void SetPictureSize(PictureSize size) = 0;
  /// Adds a picture that is shown from `time_ns` on, counted from the recording's begin; later than
  /// the one before. The first is a key frame.
  virtual absl::Status Write(const v1::AccessUnit& unit, int64_t time_ns) = 0;
  /// Ends the recording: the last picture is shown until `end_ns`. The files are whole after this
  /// and appear under their names.
  virtual absl::Status Finish(int64_t end_ns) = 0;
  /// The files, those begun included.
  virtual std::vector<std::string> files() const = 0;
  /// Bytes of pictures so far.
  virtual uint64_t size_bytes() const = 0;
};

/// An MP4 file with a variable frame rate. A change of size or other parameters begins another
/// file, `out-2.mp4` after `out.mp4`: few players follow a change within a file.
std::unique_ptr<ClipWriter> MakeMp4Writer(const std::string& path);

/// The bytes as they come, H.264 with start codes; it knows no times.
std::unique_ptr<ClipWriter> MakeRawWriter(const std::string& path);

/// The writer that the path's extension asks for: `.mp4`, or `.h264` or `.264`.
///
/// Errors: INVALID_ARGUMENT for another extension.
absl::StatusOr<std::unique_ptr<ClipWriter>> MakeClipWriter(const std::string& path);

}  // namespace planecast::cli
