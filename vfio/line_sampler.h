// Finds out cheaply that a guest painted in place.
#pragma once

#include <cstdint>
#include <vector>

#include "vfio/frame.h"

namespace planecast {

/// Watches the lines of the buffer on screen, some of them at a time.
///
/// Comparing a whole picture that stands still costs as much as reading it twice. This reads every
/// 32nd line, each time others, and keeps a hash of each: what is 32 lines high is seen at the
/// first look, a line of text within six, a single line within 32. Bound to the display's thread.
class LineSampler {
 public:
  static constexpr uint32_t kStep = 32;

  /// True if a line that is read now differs from when it was last read. Another buffer, one that
  /// can't be read, and lines that are read for the first time count as unchanged.
  bool HasChanged(const PlaneBuffer& buffer);

 private:
  uint64_t serial_ = 0;
  uint32_t turn_ = 0;
  /// By line; 0 if it was not read yet.
  std::vector<uint64_t> hashes_;
};

}  // namespace planecast
