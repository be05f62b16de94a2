#include "service/process/given_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/service/program.h"
#include "tests/service/temp_dir.h"

namespace planecast::testing {
namespace {

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
  bool operator==(const Owner&) const = default;
};

Owner OwnerOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return {info.st_uid, info.st_gid};
}

class GivenFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
    user_.uid = FreeUid();
    user_.gid = user_.uid;
  }
  Owner User() const { return {user_.uid, user_.gid}; }
  void MakeFolder(const std::string& path, Owner owner, mode_t mode = 0755) {
    ASSERT_EQ(mkdir(path.c_str(), mode), 0);
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    ASSERT_EQ(chown(path.c_str(), owner.uid, owner.gid), 0);
  }

  const TempDir dir_;
  const std::string folder_ = dir_.path() + "/run";
  const std::string socket_ = folder_ + "/s.sock";
  DaemonUser user_;
};

TEST_F(GivenFilesTest, AFolderThatTheStartMadeIsGiven) {
  GivenFiles files(user_);
  ASSERT_TRUE(files.TakeFolderOf(socket_).ok());
  MakeFolder(folder_, {});
  EXPECT_TRUE(files.Give().ok());
  EXPECT_EQ(OwnerOf(folder_), User());
}

TEST_F(GivenFilesTest, TheUsersFolderIsRootsUntilItIsGivenBack) {
  MakeFolder(folder_, {user_.uid, 77});
  {
    GivenFiles files(user_);
    ASSERT_TRUE(files.TakeFolderOf(socket_).ok());
    EXPECT_EQ(OwnerOf(folder_), Owner{});
    // A start that fails gives it back too.
  }
  EXPECT_EQ(OwnerOf(folder_), (Owner{user_.uid, 77}));
}

TEST_F(GivenFilesTest, WhatIsSomebodyElsesIsLeftAlone) {
  const Owner other{user_.uid + 1, 77};
  MakeFolder(folder_, other);
  GivenFiles files(user_);
  ASSERT_TRUE(files.TakeFolderOf(socket_).ok());
  EXPECT_TRUE(files.Give().ok());
  EXPECT_EQ(OwnerOf(folder_), other);
}

TEST_F(GivenFilesTest, AFileThatTheStartMadeIsGivenAndOneThatWasThereIsNot) {
  MakeFolder(folder_, {});
  const std::string before = folder_ + "/before";
  std::ofstream(before) << "x";
  GivenFiles files(user_);
  files.WillGive(before);
  files.WillGive(socket_);
  files.WillGive(folder_ + "/never");
  std::ofstream(socket_) << "x";
  EXPECT_TRUE(files.Give().ok());
  EXPECT_EQ(OwnerOf(before), Owner{});
  EXPECT_EQ(OwnerOf(socket_), User());
}

TEST_F(GivenFilesTest, NoFileIsGivenThatSomebodyElseCouldHavePutThere) {
  MakeFolder(folder_, {}, 01777);
  GivenFiles files(user_);
  files.WillGive(socket_);
  std::ofstream(socket_) << "x";
  EXPECT_TRUE(files.Give().ok());
  EXPECT_EQ(OwnerOf(socket_), Owner{});
}

TEST_F(GivenFilesTest, ALinkIsNotFollowed) {
  MakeFolder(folder_, {});
  const std::string precious = dir_.path() + "/precious";
  std::ofstream(precious) << "x";
  GivenFiles files(user_);
  files.WillGive(socket_);
  std::filesystem::create_symlink(precious, socket_);
  EXPECT_TRUE(files.Give().ok());
  EXPECT_EQ(OwnerOf(precious), Owner{});
}

TEST_F(GivenFilesTest, TheAuditLogsFolderIsMade) {
  GivenFiles files(user_);
  ASSERT_TRUE(files.MakeFolderOf(folder_ + "/audit.jsonl", 0750).ok());
  EXPECT_EQ(OwnerOf(folder_), Owner{});
  EXPECT_TRUE(files.Give().ok());
  EXPECT_EQ(OwnerOf(folder_), User());
}

}  // namespace
}  // namespace planecast::testing
