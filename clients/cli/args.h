// The command line: which flags a verb takes, what was given, and the help made from the same
// table.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace planecast::cli {

/// One flag of a verb, or one of all verbs.
struct Flag {
  /// Without the dashes.
  std::string_view name;
  /// What stands for the value in help, e.g. `FILE`. Empty: the flag takes none.
  std::string_view value;
  /// One line.
  std::string_view help;
  /// A one-letter form, or 0.
  char letter = 0;
  /// The values that completion offers, separated by blanks.
  std::string_view choices = "";
};

/// An example for help.
struct Example {
  std::string_view command;
  std::string_view what;
};

/// What a verb looks like on the command line.
struct Syntax {
  std::string_view name;
  /// What follows the name, e.g. `NAME -f FILE`.
  std::string_view synopsis = "";
  /// One line.
  std::string_view summary;
  /// A few lines for `--help`, or empty.
  std::string_view details = "";
  int operands_min = 0;
  int operands_max = 0;
  /// The first operand is the name of an attached display.
  bool takes_display = false;
  /// The first operand is a name for a display that is not attached yet.
  bool names_display = false;
  std::vector<Flag> flags = {};
  std::vector<Example> examples = {};
};

/// What was given. Thread-compatible.
class Args {
 public:
  /// Whether the flag was given.
  bool Has(std::string_view flag) const;
  /// The flag's last value, or `fallback`.
  std::string Get(std::string_view flag, std::string_view fallback = "") const;
  /// The flag's values, in order, for a flag that may be given more than once.
  std::vector<std::string> GetAll(std::string_view flag) const;
  /// The flag's value as a whole number, if it was given.
  ///
  /// Errors: INVALID_ARGUMENT naming flag and range.
  absl::StatusOr<std::optional<int64_t>> GetNumber(std::string_view flag, int64_t min,
                                                   int64_t max) const;
  /// What is no flag, in order.
  const std::vector<std::string>& operands() const { return operands_; }

 private:
  friend class ArgsParser;
  std::map<std::string, std::vector<std::string>, std::less<>> flags_;
  std::vector<std::string> operands_;
};

/// Reads `--flag value`, `--flag=value`, `-f value`, `-fvalue`, `-f=value`; `--` ends the flags.
class ArgsParser {
 public:
  explicit ArgsParser(std::vector<Flag> flags) : flags_(std::move(flags)) {}

  /// Reads arguments from `position` on, which is left at the first that was not read: the end, or,
  /// with `stop_at_operand`, the first operand.
  ///
  /// Errors: INVALID_ARGUMENT for an unknown flag, a missing or a surplus value.
  absl::Status Parse(const std::vector<std::string>& args, size_t& position, bool stop_at_operand,
                     Args& parsed) const;

 private:
  const Flag* Find(std::string_view name) const;
  const Flag* FindLetter(char letter) const;

  std::vector<Flag> flags_;
};

/// A length of time: `10`, `2.5` (seconds), `10s`, `500ms`.
///
/// Errors: INVALID_ARGUMENT unless it is from 1 ms to a day.
absl::StatusOr<int64_t> ParseDurationMs(std::string_view text);

/// A length of time in whole seconds, with its unit: `60s`, `5m`, `12h`, `30d`.
///
/// Errors: INVALID_ARGUMENT for other text, and unless it is from 1 second to 30 days.
absl::StatusOr<int64_t> ParseSpanSeconds(std::string_view text);

/// A label, `key=value`.
struct Label {
  std::string key;
  /// Absent: the label is to be removed.
  std::optional<std::string> value = {};
};

/// Reads `key=value`, and, with `may_remove`, `key-`. The server knows which keys are good.
///
/// Errors: INVALID_ARGUMENT for other text.
absl::StatusOr<Label> ParseLabel(std::string_view text, bool may_remove);

/// `1920x1080`.
struct Size {
  int width_px = 0;
  int height_px = 0;
};

/// Reads `WIDTHxHEIGHT`, from 64x64 to 7680x4320 as SetDisplayMode and FakeDevice take it; a device
/// may have limits of its own.
///
/// Errors: INVALID_ARGUMENT for other text and sizes out of range.
absl::StatusOr<Size> ParseSize(std::string_view text);

/// The help of one verb.
std::string FormatVerbHelp(const Syntax& syntax, const std::vector<Flag>& global_flags);

/// The help of the program.
std::string FormatProgramHelp(const std::vector<const Syntax*>& verbs,
                              const std::vector<Flag>& global_flags);

}  // namespace planecast::cli
