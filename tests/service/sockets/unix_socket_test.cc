#include "service/sockets/unix_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/service/temp_dir.h"

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TempDir;

constexpr uid_t kOtherUid = 65534;

unsigned ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777U;
}

Fd Connect(const std::string& path) {
  Fd fd(KernelSys(), socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.Reset();
  return fd;
}

std::string MyGroup() {
  const group* entry = getgrgid(getegid());
  return entry == nullptr ? "" : entry->gr_name;
}

/// Sets the umask while it lives.
class Umask {
 public:
  explicit Umask(mode_t mask) : previous_(umask(mask)) {}
  ~Umask() { umask(previous_); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;

 private:
  mode_t previous_;
};

TEST(UnixSocketTest, TheModeSaysWhoMayConnectWhateverTheUmask) {
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  for (const mode_t mask : {0, 022, 077}) {
    const Umask umask(mask);
    const struct {
      UnixSocketAccess access;
      unsigned mode;
    } cases[] = {{UnixSocketAccess::Owner(), 0600},
                 {UnixSocketAccess::Group(""), 0600},
                 {UnixSocketAccess::Group(MyGroup()), 0660},
                 {UnixSocketAccess::Everybody(), 0666}};
    for (const auto& c : cases) {
      if (c.mode == 0660 && MyGroup().empty()) continue;
      ASSERT_TRUE(PrepareSocketPath(path).ok());
      const auto socket = ListenOnUnix(path, c.access);
      ASSERT_TRUE(socket.ok()) << socket.status();
      EXPECT_EQ(ModeOf(path), c.mode);
      EXPECT_TRUE(Connect(path).valid());
    }
  }
}

TEST(UnixSocketTest, ItNeitherBlocksNorOutlivesAnExec) {
  const TempDir dir;
  const auto socket = ListenOnUnix(dir.path() + "/s", UnixSocketAccess::Owner());
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_NE(fcntl(socket->get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(socket->get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(accept(socket->get(), nullptr, nullptr), -1);
}

TEST(UnixSocketTest, AGroupGetsTheFile) {
  if (getuid() != 0) GTEST_SKIP() << "only root may give a file to any group";
  const group* entry = getgrnam("daemon");
  if (entry == nullptr) GTEST_SKIP() << "no group daemon";
  const gid_t want = entry->gr_gid;
  const TempDir dir;
  const auto socket = ListenOnUnix(dir.path() + "/s", UnixSocketAccess::Group("daemon"));
  ASSERT_TRUE(socket.ok()) << socket.status();
  struct stat info {};
  ASSERT_EQ(lstat((dir.path() + "/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_gid, want);
  EXPECT_EQ(info.st_uid, getuid());
  EXPECT_EQ(info.st_mode & 07777U, 0660U);
}

TEST(UnixSocketTest, AnUnknownGroupLeavesNoFile) {
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  const auto socket = ListenOnUnix(path, UnixSocketAccess::Group("planecast-nobodys"));
  EXPECT_EQ(socket.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(socket.status().message()),
              AllOf(HasSubstr("no group planecast-nobodys"), HasSubstr("groupadd")));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(UnixSocketTest, AGroupOfOthersLeavesNoFileAndSaysWhatToDo) {
  if (getuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  if (getgrnam("daemon") == nullptr) GTEST_SKIP() << "no group daemon";
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  ASSERT_EQ(chown(dir.path().c_str(), kOtherUid, static_cast<gid_t>(-1)), 0);
  // The bare system call changes this one thread's user.
  std::thread([&path] {
    ASSERT_EQ(syscall(SYS_setresuid, -1, kOtherUid, -1), 0);
    const auto socket = ListenOnUnix(path, UnixSocketAccess::Group("daemon"));
    EXPECT_EQ(socket.status().code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(socket.status().message()), HasSubstr("SupplementaryGroups=daemon"));
  }).join();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(UnixSocketTest, APathThatIsTakenIsNotTakenAway) {
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  const auto first = ListenOnUnix(path, UnixSocketAccess::Owner());
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(ListenOnUnix(path, UnixSocketAccess::Everybody()).ok());
  EXPECT_EQ(ModeOf(path), 0600U);
  EXPECT_TRUE(Connect(path).valid());
  EXPECT_EQ(PrepareSocketPath(path).code(), absl::StatusCode::kAlreadyExists);
}

TEST(UnixSocketTest, AMissingFolderOrATooLongPathIsAnError) {
  const TempDir dir;
  EXPECT_THAT(
      std::string(ListenOnUnix(dir.path() + "/no/s", UnixSocketAccess::Owner()).status().message()),
      HasSubstr("is its directory writable?"));
  EXPECT_EQ(ListenOnUnix(dir.path() + "/" + std::string(200, 'a'), UnixSocketAccess::Owner())
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(UnixSocketTest, AFolderMadeForASocketCanBeEnteredWhateverTheUmask) {
  const TempDir dir;
  const Umask umask(077);
  ASSERT_TRUE(PrepareSocketPath(dir.path() + "/run/s").ok());
  EXPECT_EQ(ModeOf(dir.path() + "/run"), 0755U);
  // One that was there keeps its mode.
  ASSERT_EQ(chmod((dir.path() + "/run").c_str(), 0700), 0);
  ASSERT_TRUE(PrepareSocketPath(dir.path() + "/run/s").ok());
  EXPECT_EQ(ModeOf(dir.path() + "/run"), 0700U);
}

TEST(UnixSocketTest, ThePeerIsKnown) {
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  const auto socket = ListenOnUnix(path, UnixSocketAccess::Owner());
  ASSERT_TRUE(socket.ok());
  const Fd client = Connect(path);
  const Fd server(KernelSys(), accept(socket->get(), nullptr, nullptr));
  ASSERT_TRUE(server.valid());
  const auto peer = PeerCredentials(server);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->uid, geteuid());
  EXPECT_EQ(peer->gid, getegid());
  EXPECT_EQ(peer->pid, getpid());
}

TEST(UnixSocketTest, ThePeerIsWhoConnectedNotWhoHasTheSocket) {
  if (getuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  const auto socket = ListenOnUnix(path, UnixSocketAccess::Everybody());
  ASSERT_TRUE(socket.ok());
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  Fd client;
  std::thread([&] {
    ASSERT_EQ(syscall(SYS_setresuid, -1, kOtherUid, -1), 0);
    client = Connect(path);
  }).join();
  ASSERT_TRUE(client.valid());
  const Fd server(KernelSys(), accept(socket->get(), nullptr, nullptr));
  const auto peer = PeerCredentials(server);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->uid, kOtherUid);
}

TEST(UnixSocketTest, WithoutAPeerThereAreNoCredentials) {
  const Fd tcp(KernelSys(), socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_FALSE(PeerCredentials(tcp).ok());
  const Fd unconnected(KernelSys(), socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_FALSE(PeerCredentials(unconnected).ok());
  EXPECT_FALSE(PeerCredentials(Fd()).ok());
}

}  // namespace
}  // namespace planecast
