// Catches what FFmpeg says on one thread; its log callback is global.
#pragma once

#include <string>

namespace planecast::testing {

/// While one lives, warnings and errors that FFmpeg logs on this thread are collected here; those
/// of other threads go to their own captures. Not nested. Bound to the thread that made it.
class AvLogCapture {
 public:
  AvLogCapture();
  ~AvLogCapture();
  AvLogCapture(const AvLogCapture&) = delete;
  AvLogCapture& operator=(const AvLogCapture&) = delete;

  /// One complaint a line.
  const std::string& complaints() const { return complaints_; }

 private:
  friend struct AvLogAccess;
  std::string complaints_;
};

}  // namespace planecast::testing
