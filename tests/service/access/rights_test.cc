// Permissions, patterns, grants and roles.
#include "service/access/rights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "service/access/permission.h"
#include "tests/service/access/access_testing.h"

namespace planecast {
namespace {

using ::planecast::testing::Pattern;
using ::testing::HasSubstr;

TEST(PermissionTest, EveryOneHasANameThatLeadsBack) {
  for (int i = 1; i <= kPermissionLast; ++i) {
    const auto permission = static_cast<Permission>(i);
    EXPECT_EQ(PermissionFromName(PermissionName(permission)), permission);
  }
  EXPECT_EQ(PermissionName(Permission::kClipboardRead), "CLIPBOARD_READ");
  EXPECT_EQ(PermissionFromName("watch"), std::nullopt);
  EXPECT_EQ(PermissionFromName(""), std::nullopt);
}

TEST(PermissionTest, EveryOneImpliesList) {
  for (int i = 1; i <= kPermissionLast; ++i) {
    EXPECT_TRUE(PermissionSet{static_cast<Permission>(i)}.Has(Permission::kList)) << i;
  }
  EXPECT_FALSE(PermissionSet().Has(Permission::kList));
  EXPECT_TRUE(PermissionSet().empty());
}

TEST(PermissionTest, OneImpliesNothingButList) {
  const PermissionSet manage = {Permission::kManage};
  EXPECT_EQ(manage.ToString(), "LIST, MANAGE");
  EXPECT_FALSE(manage.Has(Permission::kWatch));
}

TEST(PermissionTest, SetsAreComparedByWhatTheyHold) {
  const PermissionSet watch = {Permission::kWatch};
  const PermissionSet both = {Permission::kWatch, Permission::kControl};
  EXPECT_TRUE(both.Contains(watch));
  EXPECT_FALSE(watch.Contains(both));
  EXPECT_TRUE(watch.Contains(PermissionSet()));
  EXPECT_EQ(watch | PermissionSet{Permission::kControl}, both);
  EXPECT_EQ(both & watch, watch);
  EXPECT_TRUE(PermissionSet::All().Contains(both));
}

TEST(DisplayPatternTest, RefusesWhatNoIdHas) {
  for (const std::string& text :
       {std::string(), std::string("Desk"), std::string("desk?"), std::string("a/b"),
        std::string("a b"), std::string("a\nb"), std::string(64, 'a')}) {
    EXPECT_EQ(DisplayPattern::Parse(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_TRUE(DisplayPattern::Parse(std::string(63, 'a')).ok());
  EXPECT_THAT(DisplayPattern::Parse("a\x1b[2J").status().message(), HasSubstr("\\x1b"));
}

TEST(DisplayPatternTest, AStarStandsForAnyNumberOfCharacters) {
  struct Case {
    const char* pattern;
    const char* id;
    bool matches;
  };
  for (const Case& c :
       {Case{"desk", "desk", true},  {"desk", "desk2", false},      {"desk", "des", false},
        {"*", "desk", true},         {"**", "desk", true},          {"vm-*", "vm-", true},
        {"vm-*", "vm-12", true},     {"vm-*", "vm", false},         {"vm-*", "avm-1", false},
        {"*-head", "vm-head", true}, {"*-head", "vm-head2", false}, {"a*b*c", "abc", true},
        {"a*b*c", "axxbxxc", true},  {"a*b*c", "acb", false},       {"a*b*c", "abcb", false},
        {"*b*b*", "ab", false},      {"*b*b*", "abab", true},       {"a*a", "a", false},
        {"a*a", "aa", true},         {"*ab*ab", "abab", true},      {"*ab*ab", "ab", false},
        {"*aab*", "aaab", true},     {"a**b", "ab", true},          {"-*", "-", true}}) {
    EXPECT_EQ(Pattern(c.pattern).Matches(c.id), c.matches) << c.pattern << " on " << c.id;
  }
}

TEST(DisplayPatternTest, NoPatternIsSlow) {
  std::string text;
  while (text.size() < 60) text += "*a";
  text += "*b";
  const DisplayPattern pattern = Pattern(text);
  // With going back it would be years.
  const std::string id(100'000, 'a');
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(pattern.Matches(id));
  EXPECT_FALSE(pattern.Matches(std::string(63, 'a')));
  EXPECT_TRUE(pattern.Matches(id + "b"));
  EXPECT_FALSE(Pattern("*a*a*a*b").Matches(id));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(DisplayPatternTest, OnlyStarsAloneAreAll) {
  EXPECT_TRUE(DisplayPattern::All().all());
  EXPECT_TRUE(Pattern("**").all());
  EXPECT_FALSE(Pattern("*a").all());
  EXPECT_FALSE(Pattern("-*").all());
}

TEST(RightsTest, GrantsOnOneDisplayAddUp) {
  Rights rights;
  EXPECT_TRUE(rights.empty());
  rights.Add({{Permission::kWatch}, Pattern("vm-*")});
  rights.Add({{Permission::kControl}, Pattern("vm-1")});
  EXPECT_EQ(rights.On("vm-1"), (PermissionSet{Permission::kWatch, Permission::kControl}));
  EXPECT_EQ(rights.On("vm-2"), PermissionSet{Permission::kWatch});
  EXPECT_TRUE(rights.On("desk").empty());
  EXPECT_FALSE(rights.Allows(Permission::kControl, "vm-2"));
  EXPECT_TRUE(rights.Allows(Permission::kList, "vm-2"));
  EXPECT_FALSE(rights.Allows(Permission::kList, "desk"));
  EXPECT_FALSE(rights.empty());
}

TEST(RightsTest, SomewhereIsNotEverywhere) {
  Rights rights;
  rights.Add({{Permission::kManage}, Pattern("vm-*")});
  rights.Add({{Permission::kWatch}, DisplayPattern::All()});
  EXPECT_TRUE(rights.AllowsSomewhere(Permission::kManage));
  EXPECT_FALSE(rights.AllowsEverywhere(Permission::kManage));
  EXPECT_TRUE(rights.AllowsEverywhere(Permission::kWatch));
  EXPECT_FALSE(rights.AllowsSomewhere(Permission::kRecord));
}

TEST(RightsTest, AGrantOfNothingIsNothing) {
  const Rights rights({{PermissionSet(), DisplayPattern::All()}});
  EXPECT_TRUE(rights.empty());
  EXPECT_FALSE(rights.AllowsSomewhere(Permission::kList));
}

TEST(RoleSetTest, HasThreeWithoutConfiguration) {
  const RoleSet roles;
  EXPECT_EQ(roles.Find("viewer")->ToString(), "LIST, WATCH, SNAPSHOT");
  EXPECT_EQ(roles.Find("controller")->ToString(),
            "LIST, WATCH, CONTROL, CLIPBOARD_READ, CLIPBOARD_WRITE, SNAPSHOT");
  EXPECT_EQ(*roles.Find("operator"), PermissionSet::All());
}

TEST(RoleSetTest, RolesCanBeAddedAndReplaced) {
  RoleSet roles;
  EXPECT_TRUE(roles.Set("cam-1", {Permission::kSnapshot}).ok());
  EXPECT_TRUE(roles.Set("viewer", {Permission::kList}).ok());
  EXPECT_EQ(roles.Find("cam-1")->ToString(), "LIST, SNAPSHOT");
  EXPECT_EQ(roles.Find("viewer")->ToString(), "LIST");
}

TEST(RoleSetTest, SaysWhatIsWrong) {
  RoleSet roles;
  for (const std::string& name : {std::string(), std::string("A"), std::string("a*"),
                                  std::string("a_b"), std::string(64, 'a')}) {
    EXPECT_EQ(roles.Set(name, {}).code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_TRUE(roles.Set(std::string(63, 'a'), {}).ok());
  const absl::Status missing = RoleSet().Find("viever").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(missing.message(), "no role \"viever\"; there are controller, operator, viewer");
}

}  // namespace
}  // namespace planecast
