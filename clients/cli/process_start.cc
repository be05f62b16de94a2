#include "clients/cli/process_start.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace planecast::cli {
namespace {

// Counted from 0 behind the program's name, which is the second field.
constexpr size_t kStartTimeField = 22 - 3;

}  // namespace

absl::StatusOr<int64_t> ProcessStartTicks(int64_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  // The name stands in parentheses and may hold any character, these included.
  const size_t name_end = text.rfind(')');
  int64_t ticks = 0;
  if (name_end != std::string::npos) {
    const std::vector<std::string> fields =
        absl::StrSplit(text.substr(name_end + 1), absl::ByAnyChar(" \n"), absl::SkipEmpty());
    if (fields.size() > kStartTimeField && absl::SimpleAtoi(fields[kStartTimeField], &ticks)) {
      return ticks;
    }
  }
  return absl::NotFoundError(absl::StrCat("there is no process ", pid, " on this machine"));
}

}  // namespace planecast::cli
