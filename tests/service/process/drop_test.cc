#include "service/process/drop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <thread>

#include "tests/service/program.h"
#include "tests/service/temp_dir.h"

namespace planecast::testing {
namespace {

using ::testing::ElementsAre;

DaemonUser Somebody() {
  DaemonUser user;
  user.uid = FreeUid();
  user.gid = user.uid;
  user.groups = {user.uid + 1};
  user.text = "somebody";
  return user;
}

/// A line of /proc/self/status, its words behind the name.
std::string StatusLine(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(name + ":")) continue;
    std::istringstream words(line.substr(name.size() + 1));
    std::string joined;
    for (std::string word; words >> word;) joined += joined.empty() ? word : " " + word;
    return joined;
  }
  return "";
}

/// In a process that will not be used any more: ends with 0 if nothing is left.
void DropAndLook() {
  const DaemonUser user = Somebody();
  const absl::Status status = DropPrivileges(user, {user.uid + 2});
  if (!status.ok()) {
    std::cerr << status << "\n";
    _exit(1);
  }
  const std::string uid = std::to_string(user.uid);
  const std::string four = uid + " " + uid + " " + uid + " " + uid;
  const std::map<std::string, std::string> wanted = {
      {"Uid", four},
      {"Gid", four},
      {"Groups", std::to_string(user.uid + 1) + " " + std::to_string(user.uid + 2)},
      {"CapInh", "0000000000000000"},
      {"CapPrm", "0000000000000000"},
      {"CapEff", "0000000000000000"},
      {"CapBnd", "0000000000000000"},
      {"CapAmb", "0000000000000000"},
      {"NoNewPrivs", "1"}};
  for (const auto& [name, value] : wanted) {
    if (StatusLine(name) == value) continue;
    std::cerr << name << " is " << StatusLine(name) << "\n";
    _exit(2);
  }
  // Root's file again, if the process could not be dumped.
  if (!std::ifstream("/proc/self/environ") || HasPrivileges()) _exit(3);
  _exit(0);
}

TEST(DropDeathTest, NothingIsLeftAndProcSelfStaysReadable) {
  if (geteuid() != 0) GTEST_SKIP() << "only root has privileges to drop";
  EXPECT_EXIT(DropAndLook(), ::testing::ExitedWithCode(0), "");
}

TEST(DropDeathTest, ASecondThreadIsAnError) {
  if (geteuid() != 0) GTEST_SKIP() << "only root has privileges to drop";
  EXPECT_EXIT(
      {
        std::thread second([] { pause(); });
        const absl::Status status = DropPrivileges(Somebody(), {});
        std::cerr << status << "\n";
        _exit(absl::IsFailedPrecondition(status) && geteuid() == 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "a thread was started before");
}

TEST(DropTest, RenderNodesGroupsAreFoundAndRootsIsNot) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files to groups";
  const TempDir dir;
  for (const auto& [name, group] : std::map<std::string, gid_t>{
           {"renderD128", 71}, {"renderD129", 71}, {"renderD130", 0}, {"card0", 72}}) {
    const std::string path = dir.path() + "/" + name;
    std::ofstream(path) << "x";
    ASSERT_EQ(chown(path.c_str(), 0, group), 0);
  }
  EXPECT_THAT(RenderNodeGroups(dir.path()), ElementsAre(71));
  EXPECT_THAT(RenderNodeGroups(dir.path() + "/nothing"), ElementsAre());
}

}  // namespace
}  // namespace planecast::testing
