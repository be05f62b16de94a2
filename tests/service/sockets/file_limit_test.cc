#include "service/sockets/file_limit.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "vfio/fd.h"

namespace planecast {
namespace {

TEST(FileLimitTest, TheSoftLimitIsRaisedToTheHardOne) {
  constexpr rlim_t kSoft = 100;
  constexpr rlim_t kHard = 200;
  const pid_t child = fork();
  if (child == 0) {
    const rlimit lowered = {kSoft, kHard};
    bool right = setrlimit(RLIMIT_NOFILE, &lowered) == 0 && FileLimit() == kSoft;
    right = right && RaiseFileLimit().ok() && FileLimit() == kHard;
    right = right && RaiseFileLimit().ok() && FileLimit() == kHard;
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(FileLimitTest, OpenFilesAreCounted) {
  const size_t before = CountOpenFiles();
  EXPECT_GE(before, 3u);
  const Fd one(KernelSys(), KernelSys().Dup(0));
  const Fd two(KernelSys(), KernelSys().Dup(0));
  EXPECT_EQ(CountOpenFiles(), before + 2);
}

}  // namespace
}  // namespace planecast
