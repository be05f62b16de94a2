#include "clients/cli/annexb.h"

namespace planecast::cli {
namespace {

constexpr std::string_view kShortStartCode("\0\0\1", 3);
constexpr std::string_view kStartCode("\0\0\0\1", 4);
constexpr int kNalTypeMask = 0x1f;

}  // namespace

std::vector<std::string_view> SplitNals(std::string_view annexb) {
  std::vector<std::string_view> nals;
  size_t begin = annexb.find(kShortStartCode);
  while (begin != std::string_view::npos) {
    begin += kShortStartCode.size();
    const size_t next = annexb.find(kShortStartCode, begin);
    std::string_view nal =
        annexb.substr(begin, next == std::string_view::npos ? next : next - begin);
    // A NAL unit never ends in a zero byte: those belong to the next start code or are padding.
    const size_t last = nal.find_last_not_of('\0');
    nal = nal.substr(0, last == std::string_view::npos ? 0 : last + 1);
    if (!nal.empty()) nals.push_back(nal);
    begin = next;
  }
  return nals;
}

int NalType(std::string_view nal) {
  return nal.empty() ? -1 : static_cast<unsigned char>(nal[0]) & kNalTypeMask;
}

SplitUnit SplitParameterSets(std::string_view annexb) {
  SplitUnit split;
  split.picture.reserve(annexb.size());
  for (const std::string_view nal : SplitNals(annexb)) {
    const int type = NalType(nal);
    if (type == kNalDelimiter) continue;
    const bool is_parameter_set = type == kNalSps || type == kNalPps;
    (is_parameter_set ? split.parameter_sets : split.picture).append(kStartCode).append(nal);
  }
  return split;
}

}  // namespace planecast::cli
