// Real H.264 for tests: made with libx264 through libavcodec, read back with libavformat.
#pragma once

#include <string>
#include <vector>

namespace planecast {

/// An access unit with start codes.
struct ClipUnit {
  std::string data;
  bool key_frame = false;
};

/// Pictures of one grey each, brighter by 8 from one to the next beginning at 32; the first is a
/// key frame with parameter sets. At most 20.
std::vector<ClipUnit> EncodeClip(int width_px, int height_px, int count);

/// What a file holds.
struct ProbedClip {
  /// Empty if the file could be read and decoded without a complaint.
  std::string error;
  int width_px = 0;
  int height_px = 0;
  double duration_s = 0;
  /// When each picture is shown, in seconds.
  std::vector<double> times_s;
  /// The luma of each decoded picture's middle.
  std::vector<int> lumas;
  /// The file's header says the pictures' lengths instead of having start codes.
  bool has_avcc = false;
};

/// Reads and decodes a file.
ProbedClip ProbeClip(const std::string& path);

}  // namespace planecast
