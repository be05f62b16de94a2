// H.264 with start codes, taken apart as far as a file needs it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace planecast::cli {

/// NAL unit types of ITU-T H.264, table 7-1.
inline constexpr int kNalIdr = 5;
inline constexpr int kNalSps = 7;
inline constexpr int kNalPps = 8;
inline constexpr int kNalDelimiter = 9;

/// The NAL units of an access unit, without start codes, borrowed from it.
std::vector<std::string_view> SplitNals(std::string_view annexb);

/// The type of a NAL unit, or -1 if it is empty.
int NalType(std::string_view nal);

/// An access unit as a file wants it.
struct SplitUnit {
  /// Its parameter sets with start codes; empty if it carries none.
  std::string parameter_sets;
  /// The rest with start codes, without access-unit delimiters.
  std::string picture;
};

/// Parts the parameter sets from the picture.
SplitUnit SplitParameterSets(std::string_view annexb);

}  // namespace planecast::cli
