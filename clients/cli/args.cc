#include "clients/cli/args.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/format.h"

namespace planecast::cli {
namespace {

constexpr int64_t kSpanMaxSeconds = int64_t{30} * 24 * 3600;
constexpr double kDurationMaxMs = 24.0 * 3600 * 1000;
// What the proto allows for modes and fakes.
constexpr int kSideMinPx = 64;
constexpr int kWidthMaxPx = 7680;
constexpr int kHeightMaxPx = 4320;

template <typename Number>
bool ParseWhole(std::string_view text, Number& number) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end;
}

// A flag as it stands in one argument: with its value, if that is attached.
struct Written {
  std::string_view name;
  std::optional<std::string_view> value;
};

Written SplitLong(std::string_view arg) {
  const size_t equals = arg.find('=');
  if (equals == std::string_view::npos) return {arg.substr(2), std::nullopt};
  return {arg.substr(2, equals - 2), arg.substr(equals + 1)};
}

Written SplitShort(std::string_view arg) {
  const std::string_view name = arg.substr(1, 1);
  std::string_view value = arg.substr(2);
  if (value.empty()) return {name, std::nullopt};
  if (value.starts_with('=')) value.remove_prefix(1);
  return {name, value};
}

std::string FlagText(const Flag& flag) {
  std::string text = absl::StrCat(flag.letter != 0 ? std::string{'-', flag.letter, ',', ' '} : "",
                                  "--", View(flag.name));
  if (!flag.value.empty()) absl::StrAppend(&text, " ", View(flag.value));
  return text;
}

void AppendFlags(std::string_view title, const std::vector<Flag>& flags, std::string& help) {
  if (flags.empty()) return;
  std::vector<std::vector<std::string>> rows;
  rows.reserve(flags.size());
  for (const Flag& flag : flags) rows.push_back({"  " + FlagText(flag), std::string(flag.help)});
  absl::StrAppend(&help, "\n", View(title), ":\n", FormatTable(rows));
}

}  // namespace

bool Args::Has(std::string_view flag) const {
  return flags_.find(flag) != flags_.end();
}

std::string Args::Get(std::string_view flag, std::string_view fallback) const {
  const auto found = flags_.find(flag);
  return found == flags_.end() ? std::string(fallback) : found->second.back();
}

std::vector<std::string> Args::GetAll(std::string_view flag) const {
  const auto found = flags_.find(flag);
  return found == flags_.end() ? std::vector<std::string>() : found->second;
}

absl::StatusOr<std::optional<int64_t>> Args::GetNumber(std::string_view flag, int64_t min,
                                                       int64_t max) const {
  const auto found = flags_.find(flag);
  if (found == flags_.end()) return std::optional<int64_t>();
  const std::string& text = found->second.back();
  int64_t number = 0;
  if (!ParseWhole(text, number) || number < min || number > max) {
    return absl::InvalidArgumentError(absl::StrCat("--", View(flag), " takes a whole number from ",
                                                   min, " to ", max, ", not '", text, "'"));
  }
  return std::optional<int64_t>(number);
}

const Flag* ArgsParser::Find(std::string_view name) const {
  const auto found = std::find_if(flags_.begin(), flags_.end(),
                                  [name](const Flag& flag) { return flag.name == name; });
  return found == flags_.end() ? nullptr : &*found;
}

const Flag* ArgsParser::FindLetter(char letter) const {
  const auto found = std::find_if(flags_.begin(), flags_.end(),
                                  [letter](const Flag& flag) { return flag.letter == letter; });
  return found == flags_.end() ? nullptr : &*found;
}

absl::Status ArgsParser::Parse(const std::vector<std::string>& args, size_t& position,
                               bool stop_at_operand, Args& parsed) const {
  bool flags_over = false;
  for (; position < args.size(); ++position) {
    const std::string& arg = args[position];
    if (!flags_over && arg == "--") {
      flags_over = true;
      continue;
    }
    // A lone dash is an operand: standard output, by custom.
    if (flags_over || arg.size() < 2 || arg[0] != '-') {
      if (stop_at_operand) return absl::OkStatus();
      parsed.operands_.push_back(arg);
      continue;
    }
    const bool is_long = arg[1] == '-';
    const Written written = is_long ? SplitLong(arg) : SplitShort(arg);
    const Flag* flag = is_long ? Find(written.name) : FindLetter(written.name[0]);
    if (flag == nullptr) return absl::InvalidArgumentError(absl::StrCat("unknown flag ", arg));
    std::string value;
    if (flag->value.empty()) {
      if (written.value) {
        return absl::InvalidArgumentError(
            absl::StrCat("--", View(flag->name), " takes no value, but was given as ", arg));
      }
    } else if (written.value) {
      value = *written.value;
    } else if (position + 1 < args.size()) {
      value = args[++position];
    } else {
      return absl::InvalidArgumentError(absl::StrCat(arg, " needs a value: ", FlagText(*flag)));
    }
    parsed.flags_[std::string(flag->name)].push_back(std::move(value));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ParseDurationMs(std::string_view text) {
  std::string_view digits = text;
  double unit_ms = 1000;
  if (digits.ends_with("ms")) {
    unit_ms = 1;
    digits.remove_suffix(2);
  } else if (digits.ends_with('s')) {
    digits.remove_suffix(1);
  }
  double number = 0;
  const bool parsed = absl::SimpleAtod(View(digits), &number);
  const double duration_ms = number * unit_ms;
  if (!parsed || !(duration_ms >= 1) || duration_ms > kDurationMaxMs) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", View(text),
                     "' is no length of time: write 10, 2.5, 10s or 500ms, at "
                     "most a day"));
  }
  return static_cast<int64_t>(duration_ms);
}

absl::StatusOr<int64_t> ParseSpanSeconds(std::string_view text) {
  int64_t unit_s = 0;
  if (text.ends_with('s')) unit_s = 1;
  if (text.ends_with('m')) unit_s = 60;
  if (text.ends_with('h')) unit_s = 3600;
  if (text.ends_with('d')) unit_s = 24 * 3600;
  int32_t number = 0;
  const bool parsed = unit_s != 0 && ParseWhole(text.substr(0, text.size() - 1), number);
  const int64_t span_s = number * unit_s;
  if (!parsed || span_s < 1 || span_s > kSpanMaxSeconds) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", View(text), "' is no length of time: write 60s, 5m, 12h or 30d, which is the most"));
  }
  return span_s;
}

absl::StatusOr<Label> ParseLabel(std::string_view text, bool may_remove) {
  const size_t equals = text.find('=');
  if (equals != std::string_view::npos && equals > 0) {
    return Label{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
  }
  if (may_remove && equals == std::string_view::npos && text.size() > 1 && text.ends_with('-')) {
    return Label{std::string(text.substr(0, text.size() - 1))};
  }
  return absl::InvalidArgumentError(absl::StrCat("'", View(text), "' is no label: write key=value",
                                                 may_remove ? ", or key- to remove one" : ""));
}

absl::StatusOr<Size> ParseSize(std::string_view text) {
  const size_t cross = text.find('x');
  Size size;
  const bool parsed = cross != std::string_view::npos &&
                      ParseWhole(text.substr(0, cross), size.width_px) &&
                      ParseWhole(text.substr(cross + 1), size.height_px);
  if (!parsed) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", View(text), "' is no size: write WIDTHxHEIGHT, e.g. 1920x1080"));
  }
  if (size.width_px < kSideMinPx || size.width_px > kWidthMaxPx || size.height_px < kSideMinPx ||
      size.height_px > kHeightMaxPx) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", View(text), "' is out of range: a display is from ", kSideMinPx, "x",
                     kSideMinPx, " to ", kWidthMaxPx, "x", kHeightMaxPx, " pixels"));
  }
  return size;
}

std::string FormatVerbHelp(const Syntax& syntax, const std::vector<Flag>& global_flags) {
  std::string help = absl::StrCat(View(syntax.summary), "\n\nUsage: planecast ", View(syntax.name),
                                  syntax.synopsis.empty() ? "" : " ", View(syntax.synopsis), "\n");
  if (!syntax.details.empty()) absl::StrAppend(&help, "\n", View(syntax.details), "\n");
  AppendFlags("Flags", syntax.flags, help);
  AppendFlags("Flags of all verbs", global_flags, help);
  if (syntax.examples.empty()) return help;
  absl::StrAppend(&help, "\nExamples:\n");
  for (const Example& example : syntax.examples) {
    absl::StrAppend(&help, "  # ", View(example.what), "\n  ", View(example.command), "\n");
  }
  return help;
}

std::string FormatProgramHelp(const std::vector<const Syntax*>& verbs,
                              const std::vector<Flag>& global_flags) {
  std::string help =
      "Looks at and controls the displays of a planecast server.\n\n"
      "Usage: planecast VERB [ARGUMENTS]\n\nVerbs:\n";
  std::vector<std::vector<std::string>> rows;
  rows.reserve(verbs.size());
  for (const Syntax* verb : verbs) {
    rows.push_back({absl::StrCat("  ", View(verb->name)), std::string(verb->summary)});
  }
  absl::StrAppend(&help, FormatTable(rows));
  AppendFlags("Flags of all verbs", global_flags, help);
  absl::StrAppend(&help,
                  "\nExit codes: 0 done, 1 failed, 2 wrong usage.\n"
                  "'planecast VERB --help' tells more, with examples.\n");
  return help;
}

}  // namespace planecast::cli
