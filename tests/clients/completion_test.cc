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

// What bash offers for the last of these words.
std::string CompleteInBash(const std::string& words) {
  const MockServer files;  // For its folder.
  const std::string script = files.folder() + "/complete.sh";
  std::ofstream(script) << RunCli({"completion", "bash"}).out << R"(
planecast() { [[ $* == "list -o names"* ]] && printf 'desk\ndoor\n'; }
COMP_WORDS=()" << words << R"()
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_planecast
echo "${COMPREPLY[*]}"
)";
  FILE* bash = popen(absl::StrCat("bash ", script).c_str(), "r");
  std::array<char, 4096> output{};
  const size_t length = fread(output.data(), 1, output.size() - 1, bash);
  EXPECT_EQ(pclose(bash), 0);
  return {output.data(), length};
}

TEST(CompletionTest, BashCompletesVerbsFlagsNamesAndFormats) {
  EXPECT_EQ(CompleteInBash("planecast sn"), "snapshot\n");
  EXPECT_EQ(CompleteInBash("planecast get d"), "desk door\n");
  EXPECT_EQ(CompleteInBash("planecast --server unix:/x get des"), "desk\n");
  EXPECT_EQ(CompleteInBash("planecast record desk --sec"), "--seconds\n");
  EXPECT_EQ(CompleteInBash("planecast list -o j"), "json\n");
  EXPECT_EQ(CompleteInBash("planecast completion z"), "zsh\n");
  EXPECT_EQ(CompleteInBash("planecast list ''"), "\n");
}

}  // namespace
}  // namespace planecast
