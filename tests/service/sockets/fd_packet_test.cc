#include "service/sockets/fd_packet.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

namespace planecast::testing {
namespace {

class FdPacketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours_ = Fd(KernelSys(), ends[0]);
    theirs_ = Fd(KernelSys(), ends[1]);
    ASSERT_TRUE(SetSocketTimeouts(ours_, 60'000).ok());
  }

  Fd ours_;
  Fd theirs_;
};

/// Whether this process has locked the file, as another one sees it.
bool IsLocked(const Fd& file) {
  const pid_t child = fork();
  if (child == 0) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    _exit(fcntl(file.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(FdPacketTest, BytesComeWhole) {
  ASSERT_TRUE(SendPacket(theirs_, "bytes", {}).ok());
  const auto bytes = ReceiveBytes(ours_, 5);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, "bytes");
  ASSERT_TRUE(SendPacket(theirs_, "longer", {}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ReceiveBytes(ours_, 5).status()));
  theirs_.Reset();
  EXPECT_TRUE(absl::IsUnavailable(ReceiveBytes(ours_, 5).status()));
}

// A process's lock goes when it closes any fd of the file, by which one is seen that was ours.
TEST_F(FdPacketTest, FdsThatAreNotTakenAreNeverThisProcesss) {
  const Fd file(KernelSys(), memfd_create("a file", MFD_CLOEXEC));
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  ASSERT_EQ(fcntl(file.get(), F_SETLK, &lock), 0);
  ASSERT_TRUE(SendPacket(theirs_, "bytes", {file.get()}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ReceiveBytes(ours_, 5).status()));
  EXPECT_TRUE(IsLocked(file));
  // As where they are taken.
  ASSERT_TRUE(SendPacket(theirs_, "bytes", {file.get()}).ok());
  EXPECT_TRUE(ReceivePacket(ours_, 5).ok());
  EXPECT_FALSE(IsLocked(file));
}

}  // namespace
}  // namespace planecast::testing
