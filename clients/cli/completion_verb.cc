// `planecast completion`: shell scripts, made from the same tables as help.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "clients/cli/format.h"
#include "clients/cli/verbs.h"

namespace planecast::cli {
namespace {

// Asks the server, which may be slow or absent while someone presses Tab.
constexpr std::string_view kNamesCommand = "planecast list -o names --timeout 2 2>/dev/null";

bool TakesFile(const Flag& flag) {
  return flag.value == "FILE" || flag.value == "PATH";
}

std::vector<Flag> FlagsOf(const Verb& verb) {
  std::vector<Flag> flags = verb.syntax.flags;
  const std::vector<Flag> global_flags = GlobalFlagsOf(verb);
  flags.insert(flags.end(), global_flags.begin(), global_flags.end());
  return flags;
}

std::string VerbNames(std::string_view separator, bool (*pick)(const Verb&)) {
  std::vector<std::string> names;
  for (const Verb* verb : AllVerbs()) {
    if (pick(*verb)) names.emplace_back(verb->syntax.name);
  }
  return absl::StrJoin(names, View(separator));
}

// `--server|--output|-o`: flags that satisfy `pick`, of all verbs, as shell patterns.
std::string FlagPatterns(bool (*pick)(const Flag&)) {
  std::vector<std::string> patterns;
  const auto add = [&patterns](std::string pattern) {
    if (std::find(patterns.begin(), patterns.end(), pattern) != patterns.end()) return;
    patterns.push_back(std::move(pattern));
  };
  for (const Verb* verb : AllVerbs()) {
    for (const Flag& flag : FlagsOf(*verb)) {
      if (!pick(flag)) continue;
      add(absl::StrCat("--", View(flag.name)));
      if (flag.letter != 0) add(std::string{'-', flag.letter});
    }
  }
  return absl::StrJoin(patterns, "|");
}

std::string FlagNames(const std::vector<Flag>& flags) {
  return absl::StrJoin(flags, " ", [](std::string* out, const Flag& flag) {
    absl::StrAppend(out, "--", View(flag.name));
  });
}

// One `verb) flags='--a --b' ;;` for each verb.
std::string FlagCases() {
  std::string cases = absl::StrCat("    '') flags='", FlagNames(GlobalFlags()), "' ;;\n");
  for (const Verb* verb : AllVerbs()) {
    absl::StrAppend(&cases, "    ", View(verb->syntax.name), ") flags='", FlagNames(FlagsOf(*verb)),
                    "' ;;\n");
  }
  return cases;
}

// One `'verb --flag'|'verb -f') choices='a b' ;;` for each flag with choices.
std::string ChoiceCases() {
  std::string cases;
  const auto add = [&cases](std::string_view verb, const std::vector<Flag>& flags) {
    for (const Flag& flag : flags) {
      if (flag.choices.empty()) continue;
      absl::StrAppend(&cases, "    '", View(verb), " --", View(flag.name), "'");
      if (flag.letter != 0) {
        absl::StrAppend(&cases, "|'", View(verb), " -", std::string(1, flag.letter), "'");
      }
      absl::StrAppend(&cases, ") choices='", View(flag.choices), "' ;;\n");
    }
  };
  add("", GlobalFlags());
  for (const Verb* verb : AllVerbs()) add(verb->syntax.name, FlagsOf(*verb));
  return cases;
}

// Words between @ are filled in. bash splits words at : and =, as COMP_WORDBREAKS says, and
// replaces only the last part by what is offered; the first loop puts together what no blank parts.
constexpr char kBashFunction[] = R"sh(_planecast() {
  local typed=() n=-1 i word rest line=$COMP_LINE
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    rest=${line#"${line%%[![:blank:]]*}"}
    if ((n < 0)) || [[ $rest != "$line" ]]; then
      ((n += 1))
      typed[n]=$word
    else
      typed[n]=${typed[n]}$word
    fi
    line=${rest#"$word"}
  done

  local cur=${typed[n]} verb= flag= operands=0
  for ((i = 1; i < n; i++)); do
    word=${typed[i]}
    if [[ -n $flag ]]; then flag=; continue; fi
    case $word in
    @VALUE_FLAGS@) flag=$word ;;
    -?*) ;;
    *) if [[ -z $verb ]]; then verb=$word; else ((operands += 1)); fi ;;
    esac
  done

  local flags= choices= prefix=
  COMPREPLY=()
  if [[ -z $flag && $cur == --*=* ]]; then
    flag=${cur%%=*} prefix=${cur%%=*}= cur=${cur#*=}
    if [[ $COMP_WORDBREAKS == *=* ]]; then prefix=; fi
  fi
  case $flag in
  @FILE_FLAGS@)
    local IFS=$'\n'
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -P "$prefix" -f -- "$cur")); return ;;
  --fake)
    if [[ $cur == *:* ]]; then
      prefix=$prefix${cur%%:*}: cur=${cur#*:}
      if [[ $COMP_WORDBREAKS == *:* ]]; then prefix=; fi
      COMPREPLY=($(compgen -P "$prefix" -W '@SCENES@' -- "$cur")); return
    fi ;;
  esac
  if [[ -n $flag ]]; then
    case "$verb $flag" in
@CHOICE_CASES@    esac
    COMPREPLY=($(compgen -P "$prefix" -W "$choices" -- "$cur")); return
  fi
  if [[ $cur == -* ]]; then
    case $verb in
@FLAG_CASES@    esac
    COMPREPLY=($(compgen -W "$flags" -- "$cur")); return
  fi
  if [[ -z $verb ]]; then
    COMPREPLY=($(compgen -W '@VERBS@ help' -- "$cur")); return
  fi
  if ((operands > 0)); then return; fi
  case $verb in
    @DISPLAY_VERBS@) COMPREPLY=($(compgen -W "$(@NAMES_COMMAND@)" -- "$cur")) ;;
    completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$cur")) ;;
    help) COMPREPLY=($(compgen -W '@VERBS@' -- "$cur")) ;;
  esac
}
)sh";

std::string BashFunction() {
  const auto any = [](const Verb&) { return true; };
  const auto takes_display = [](const Verb& verb) { return verb.syntax.takes_display; };
  const auto takes_value = [](const Flag& flag) { return !flag.value.empty(); };
  return absl::StrReplaceAll(kBashFunction, {{"@VALUE_FLAGS@", FlagPatterns(takes_value)},
                                             {"@FILE_FLAGS@", FlagPatterns(TakesFile)},
                                             {"@SCENES@", View(kFakeScenes)},
                                             {"@CHOICE_CASES@", ChoiceCases()},
                                             {"@VERBS@", VerbNames(" ", any)},
                                             {"@FLAG_CASES@", FlagCases()},
                                             {"@DISPLAY_VERBS@", VerbNames("|", takes_display)},
                                             {"@NAMES_COMMAND@", View(kNamesCommand)}});
}

std::string BashScript() {
  return absl::StrCat("# For bash: source <(planecast completion bash)\n", BashFunction(),
                      "complete -F _planecast planecast\n");
}

std::string ZshScript() {
  return absl::StrCat(
      "#compdef planecast\n# For zsh: source <(planecast completion zsh)\n"
      "autoload -U +X bashcompinit && bashcompinit\n",
      BashFunction(), "complete -F _planecast planecast\n");
}

// Inside single quotes of fish.
std::string FishQuoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

std::string FishFlag(std::string_view condition, const Flag& flag) {
  return absl::StrCat("complete -c planecast", View(condition), " -l ", View(flag.name),
                      flag.letter != 0 ? std::string{' ', '-', 's', ' ', flag.letter} : "",
                      flag.value.empty() ? ""
                      : TakesFile(flag)  ? " -r -F"
                                         : " -x",
                      flag.choices.empty() ? "" : absl::StrCat(" -a '", View(flag.choices), "'"),
                      " -d ", FishQuoted(flag.help), "\n");
}

std::string FishScript() {
  std::string script = "# For fish: planecast completion fish | source\ncomplete -c planecast -f\n";
  for (const Flag& flag : GlobalFlags()) script += FishFlag("", flag);
  for (const Verb* verb : AllVerbs()) {
    const Syntax& syntax = verb->syntax;
    const std::string condition =
        absl::StrCat(" -n '__fish_seen_subcommand_from ", View(syntax.name), "'");
    absl::StrAppend(&script, "complete -c planecast -n __fish_use_subcommand -a ",
                    View(syntax.name), " -d ", FishQuoted(syntax.summary), "\n");
    for (const Flag& flag : syntax.flags) script += FishFlag(condition, flag);
    if (syntax.takes_display) {
      absl::StrAppend(&script, "complete -c planecast", condition, " -a '(", View(kNamesCommand),
                      ")'\n");
    }
  }
  script +=
      "complete -c planecast -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n";
  return script;
}

int RunCompletion(const Context& context) {
  const std::string& shell = context.args.operands().front();
  if (shell == "bash") {
    context.out() << BashScript();
  } else if (shell == "zsh") {
    context.out() << ZshScript();
  } else if (shell == "fish") {
    context.out() << FishScript();
  } else {
    return WrongUsage(context,
                      absl::InvalidArgumentError(absl::StrCat(
                          "there is completion for bash, zsh and fish, not for '", shell, "'")));
  }
  return kDone;
}

}  // namespace

const Verb& CompletionVerb() {
  static const Verb verb = {
      .syntax = {.name = "completion",
                 .synopsis = "bash|zsh|fish",
                 .summary = "Print a script that completes verbs, flags and display names",
                 .operands_min = 1,
                 .operands_max = 1,
                 .examples = {{"source <(planecast completion bash)", "for this shell"},
                              {"planecast completion bash > /etc/bash_completion.d/planecast",
                               "for all of them"}}},
      .run = RunCompletion,
      .takes_output = false};
  return verb;
}

}  // namespace planecast::cli
