#include "service/process/broker_child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "service/sockets/unix_socket.h"
#include "tests/service/program.h"
#include "tests/service/temp_dir.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

/// A broker that is a script: it says in a file how it was started, and that it ended.
class BrokerChildTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root starts a broker of its own";
    user_.uid = FreeUid();
    user_.gid = user_.uid;
    std::ofstream script(program_);
    ASSERT_EQ(mkfifo(told_.c_str(), 0600), 0);
    // For both, so that neither end waits for the other.
    told_file_.open(told_, std::ios::in | std::ios::out);
    script << "#!/bin/bash\nexec > " << told_ << "\n"
           << "echo \"arguments $*\"; echo \"sockets $LISTEN_FDS\"\n"
           << "[ \"$LISTEN_PID\" = $$ ] && echo 'for this process'\n"
           << "[ -S /proc/self/fd/3 ] && echo 'fd 3 is a socket'\n"
           << "echo started\nread -u 4 line\necho ended\n";
    script.close();
    ASSERT_EQ(chmod(program_.c_str(), 0755), 0);
  }
  /// What the script says up to this line.
  std::string ReadUntil(const std::string& last) {
    std::string text;
    for (std::string line; line != last && std::getline(told_file_, line);) text += line + "\n";
    return text;
  }

  const TempDir dir_;
  const std::string program_ = dir_.path() + "/broker";
  const std::string told_ = dir_.path() + "/told";
  const std::string socket_ = dir_.path() + "/s.broker/sock";
  std::fstream told_file_;
  DaemonUser user_;
};

TEST_F(BrokerChildTest, IsStartedAsSystemdWouldAndEndsWithItsParent) {
  auto broker = std::make_unique<BrokerChild>();
  const absl::Status status = broker->Start(program_, socket_, user_);
  ASSERT_TRUE(status.ok()) << status;
  const pid_t pid = broker->pid();
  const std::string text = ReadUntil("started");
  EXPECT_THAT(text, HasSubstr("arguments --lifeline 4 --user " + std::to_string(user_.uid) + "\n"));
  EXPECT_THAT(text, HasSubstr("sockets 1\nfor this process\nfd 3 is a socket\nstarted"));
  broker.reset();
  EXPECT_EQ(ReadUntil("ended"), "ended\n");
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
}

TEST_F(BrokerChildTest, ItsSocketIsTheUsersAlone) {
  BrokerChild broker;
  ASSERT_TRUE(broker.Start(program_, socket_, user_).ok());
  struct stat info {};
  ASSERT_EQ(stat(socket_.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, user_.uid);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  const std::string folder = std::filesystem::path(socket_).parent_path();
  ASSERT_EQ(stat(folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
  EXPECT_EQ(info.st_gid, user_.gid);
  EXPECT_EQ(info.st_mode & 0777, 0710U);
}

TEST_F(BrokerChildTest, AProgramThatCannotStartIsNamed) {
  BrokerChild broker;
  const absl::Status status = broker.Start(dir_.path() + "/none", socket_, user_);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(dir_.path() + "/none"));
}

TEST_F(BrokerChildTest, AFolderOfSomebodyElsesIsRefused) {
  const std::string folder = std::filesystem::path(socket_).parent_path();
  ASSERT_EQ(mkdir(folder.c_str(), 0755), 0);
  ASSERT_EQ(chown(folder.c_str(), user_.uid, user_.gid), 0);
  BrokerChild broker;
  EXPECT_EQ(broker.Start(program_, socket_, user_).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(BrokerChildTest, ABrokerThatServesThereIsLeftAsItIs) {
  const std::string folder = std::filesystem::path(socket_).parent_path();
  ASSERT_EQ(mkdir(folder.c_str(), 0711), 0);
  ASSERT_EQ(chmod(folder.c_str(), 0711), 0);
  const auto other = ListenOnUnix(socket_, UnixSocketAccess::Owner(), SOCK_SEQPACKET);
  ASSERT_TRUE(other.ok()) << other.status();
  BrokerChild broker;
  const absl::Status status = broker.Start(program_, socket_, user_);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("systemctl stop planecast-broker.socket"));
  struct stat info {};
  ASSERT_EQ(stat(folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_gid, 0U);
  EXPECT_EQ(info.st_mode & 0777, 0711U);
}

TEST_F(BrokerChildTest, ItsEndIsToldOnce) {
  std::ofstream(program_) << "#!/bin/sh\nexit 0\n";
  BrokerChild broker;
  ASSERT_TRUE(broker.Start(program_, socket_, user_).ok());
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(broker.pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(broker.has_ended());
  EXPECT_TRUE(broker.Reap());
  EXPECT_TRUE(broker.has_ended());
  EXPECT_FALSE(broker.Reap());
}

}  // namespace
}  // namespace planecast::testing
