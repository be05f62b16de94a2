#include "service/process/user.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "tests/service/program.h"

namespace planecast::testing {
namespace {

using ::testing::HasSubstr;

TEST(DaemonUserTest, ANameIsLookedUp) {
  const auto root = FindDaemonUser("root");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_TRUE(root->is_root());
  EXPECT_EQ(root->text, "root (uid 0)");
}

TEST(DaemonUserTest, AMissingNameNamesTheRemedy) {
  const auto user = FindDaemonUser("planecast-nobody-has");
  EXPECT_EQ(user.status().code(), absl::StatusCode::kNotFound);
  const std::string message(user.status().message());
  EXPECT_THAT(message, HasSubstr("useradd --system planecast-nobody-has"));
  EXPECT_THAT(message, HasSubstr("--user"));
}

TEST(DaemonUserTest, ANumberNeedNotBeInPasswd) {
  const uid_t uid = FreeUid();
  const std::string text = std::to_string(uid);
  const auto alone = FindDaemonUser(text);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(alone->uid, uid);
  EXPECT_EQ(alone->gid, uid);
  EXPECT_TRUE(alone->groups.empty());
  EXPECT_EQ(alone->text, "uid " + text);
  const auto with_group = FindDaemonUser(text + ":77");
  ASSERT_TRUE(with_group.ok()) << with_group.status();
  EXPECT_EQ(with_group->gid, 77U);
}

TEST(DaemonUserTest, RootIsRootByNumberToo) {
  const auto root = FindDaemonUser("0");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_TRUE(root->is_root());
}

TEST(DaemonUserTest, RootsGroupIsNobodyElses) {
  const auto user = FindDaemonUser("61234:0");
  EXPECT_EQ(user.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(DaemonUserTest, WhatIsNoIdIsRefused) {
  // The last is what the kernel takes for "leave it as it is".
  for (const char* text :
       {"12x", "12:", "12:x", "-1", "4294967296", "4294967295", "12:4294967295"}) {
    EXPECT_FALSE(FindDaemonUser(text).ok()) << text;
  }
}

}  // namespace
}  // namespace planecast::testing
