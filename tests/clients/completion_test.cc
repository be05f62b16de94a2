// The completion scripts, run by their shells where these are at hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "clients/cli/verbs.h"
#include "tests/clients/cli_runner.h"
#include "tests/clients/mock_server.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(CompletionTest, NamesEachVerbInEachShell) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const CliResult result = RunCli({"completion", shell});
    EXPECT_EQ(result.exit_code, 0);
    for (const cli::Verb* verb : cli::AllVerbs()) {
      EXPECT_THAT(result.out, HasSubstr(std::string(verb->syntax.name))) << shell;
    }
    EXPECT_THAT(result.out, AllOf(HasSubstr("list -o names"), Not(HasSubstr("@")))) << shell;
  }
}

// What bash offers for the last of these words, parted as bash parts them. `line` is what was
// typed.
std::string CompleteInBash(const std::string& line, const std::string& words,
                           const std::string& word_breaks = " :=") {
  const MockServer files;  // For its folder.
  std::ofstream(files.folder() + "/clip.mp4") << "clip";
  const std::string script = files.folder() + "/complete.sh";
  std::ofstream out(script);
  out << RunCli({"completion", "bash"}).out << "COMP_WORDBREAKS='" << word_breaks
      << "'\nCOMP_LINE='" << line << "'\nCOMP_WORDS=(" << words << R"sh()
planecast() { [[ $* == "list -o names"* ]] && printf 'desk\ndoor\n'; }
cd "$(dirname "$0")"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMPREPLY=(stale)
_planecast
echo "${COMPREPLY[*]}"
)sh";
  out.close();
  FILE* bash = popen(absl::StrCat("bash ", script, " 2>&1").c_str(), "r");
  std::array<char, 4096> output{};
  const size_t length = fread(output.data(), 1, output.size() - 1, bash);
  EXPECT_EQ(pclose(bash), 0);
  return {output.data(), length};
}

// For lines that bash parts at blanks only. A blank at the end begins another word.
std::string CompleteInBash(const std::string& line) {
  return CompleteInBash(line, line.ends_with(' ') ? line + "''" : line);
}

TEST(CompletionTest, BashCompletesVerbsFlagsNamesAndFormats) {
  EXPECT_EQ(CompleteInBash("planecast sn"), "snapshot\n");
  EXPECT_EQ(CompleteInBash("planecast --ser"), "--server\n");
  EXPECT_EQ(CompleteInBash("planecast get d"), "desk door\n");
  EXPECT_EQ(CompleteInBash("planecast record desk --sec"), "--seconds\n");
  EXPECT_EQ(CompleteInBash("planecast get desk -o "), "table json\n");
  EXPECT_EQ(CompleteInBash("planecast list -o "), "table wide json names\n");
  EXPECT_EQ(CompleteInBash("planecast -o j"), "json\n");
  EXPECT_EQ(CompleteInBash("planecast completion z"), "zsh\n");
  EXPECT_EQ(CompleteInBash("planecast help de"), "detach\n");
  EXPECT_EQ(CompleteInBash("planecast list "), "\n");
}

TEST(CompletionTest, BashOffersAFlagsValuesAndNothingElseAfterIt) {
  EXPECT_EQ(CompleteInBash("planecast attach x --dialect "), "final v15 v1\n");
  EXPECT_EQ(CompleteInBash("planecast attach x --flip-events "), "auto none eventfd-ioctl\n");
  EXPECT_EQ(CompleteInBash("planecast attach x --fake "), "ideal gvt mbochs mdpy nvidia\n");
  EXPECT_EQ(CompleteInBash("planecast record desk -f cl"), "clip.mp4\n");
  for (const char* flag : {"attach x --size", "attach x --vmm-pid", "--server", "get --timeout",
                           "record desk --seconds", "stats desk --count"}) {
    EXPECT_EQ(CompleteInBash(absl::StrCat("planecast ", flag, " ")), "\n") << flag;
  }
}

TEST(CompletionTest, BashOffersADisplayOnlyWhereOneIsWanted) {
  EXPECT_EQ(CompleteInBash("planecast mode "), "desk door\n");
  EXPECT_EQ(CompleteInBash("planecast mode desk "), "\n");
  EXPECT_EQ(CompleteInBash("planecast snapshot desk "), "\n");
  EXPECT_EQ(CompleteInBash("planecast snapshot -f a.png "), "desk door\n");
  EXPECT_EQ(CompleteInBash("planecast attach "), "\n");
}

TEST(CompletionTest, BashSeesWordsThatItPartsAtColonsAndEqualSigns) {
  const std::string fake = "planecast attach x --fake ";
  EXPECT_EQ(CompleteInBash(fake + "ideal:", fake + "ideal :"),
            "desktop video static modeset blank tearing\n");
  EXPECT_EQ(CompleteInBash(fake + "ideal:vi", fake + "ideal : vi"), "video\n");
  EXPECT_EQ(CompleteInBash(fake + "ideal:vi", fake + "ideal:vi", " "), "ideal:video\n");
  EXPECT_EQ(CompleteInBash("planecast attach x --fake=i", "planecast attach x --fake = i"),
            "ideal\n");
  EXPECT_EQ(CompleteInBash("planecast list --output=n", "planecast list --output=n", " "),
            "--output=names\n");
  EXPECT_EQ(
      CompleteInBash("planecast --server unix:/x get des", "planecast --server unix : /x get des"),
      "desk\n");
}

TEST(CompletionTest, BashFindsNoFlagTwiceInAPattern) {
  const std::string script = RunCli({"completion", "bash"}).out;
  const size_t begin = script.find("--file|");
  ASSERT_NE(begin, std::string::npos);
  const std::string pattern = script.substr(begin, script.find(')', begin) - begin);
  EXPECT_THAT(pattern.substr(1), Not(HasSubstr("--file|"))) << pattern;
}

}  // namespace
}  // namespace planecast
