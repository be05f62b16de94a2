// What the daemon's process may do, for people.
#pragma once

#include <string>

namespace planecast {

/// As planecast.v1.Confinement tells it.
struct Confinement {
  /// E.g. "planecast (uid 998)".
  std::string user;
  /// Root's privileges were kept, or capabilities are left.
  bool privileged = false;
  /// Devices are opened by planecast-broker, not by this process.
  bool broker = false;
  /// Why devices can't be opened that need privileges; empty if they can.
  std::string opener_problem;
  bool system_calls_filtered = false;
  /// Why they are not; empty if they are.
  std::string system_call_filter_problem;
};

}  // namespace planecast
