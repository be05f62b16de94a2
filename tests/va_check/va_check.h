// The checks of planecast-va-check and their report.
#pragma once

#include <ostream>
#include <string>

namespace planecast::vacheck {

struct Options {
  /// Empty: every node of /dev/dri.
  std::string node;
  int pictures = 120;
  int width_px = 1920;
  int height_px = 1080;
};

/// Runs everything and writes the report. Returns the exit code: 0, planecast works on at least one
/// node and nothing that it codes is wrong; 1, otherwise.
int Run(const Options& options, std::ostream& out);

}  // namespace planecast::vacheck
