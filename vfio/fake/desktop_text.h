// The program that is being typed in the desktop scene, and how it looks.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "vfio/fake/paint.h"

namespace planecast {

/// A coloured text that grows by typing, most of it there from the start. Immutable.
class DesktopText {
 public:
  DesktopText();

  static constexpr int kAllColumns = std::numeric_limits<int>::max();

  /// Where the typist is: before this column of this line.
  struct Place {
    int line = 0;
    int column = 0;
    friend bool operator==(const Place&, const Place&) = default;
  };
  /// After the last letter comes a pause, then typing starts over.
  Place PlaceAt(double seconds) const;

  int column_px() const { return column_px_; }

  /// Draws the first `columns` letters of a line.
  void DrawLine(int line, int columns, int x_px, int baseline_px, Painter& painter) const;

 private:
  struct Run {
    std::string text;
    int column = 0;
    uint32_t color = 0;
  };
  struct Line {
    std::string text;
    std::vector<Run> runs;
  };

  std::vector<Line> lines_;
  int column_px_ = 0;
  /// Letters and line ends that are there from the start, and in all.
  int typed_before_ = 0;
  int letters_ = 0;
};

}  // namespace planecast
