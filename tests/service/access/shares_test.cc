#include "service/access/shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace planecast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Shared kWatches = Shared::kWatches;

ShareTable TableOf(const ShareLimits& watches) {
  ShareTable table;
  table[static_cast<size_t>(kWatches)] = watches;
  return table;
}

ShareHolder Somebody(std::string_view address, std::string_view principal = "") {
  return {address, principal, false};
}
constexpr ShareHolder kOperator = {"unix uid 0", "uid:0", true};

/// As many as are granted, up to 100.
std::vector<ShareHold> TakeAll(const ShareKeeper& keeper, const ShareHolder& who) {
  std::vector<ShareHold> holds;
  for (int i = 0; i < 100; ++i) {
    auto hold = keeper.Take(kWatches, who);
    if (!hold.ok()) break;
    holds.push_back(*std::move(hold));
  }
  return holds;
}

std::string Refusal(const ShareKeeper& keeper, const ShareHolder& who) {
  const auto hold = keeper.Take(kWatches, who);
  EXPECT_EQ(hold.status().code(), absl::StatusCode::kResourceExhausted);
  return std::string(hold.status().message());
}

TEST(SharesTest, AnAddressHasItsShareAndLeavesTheRestToOthers) {
  const ShareKeeper keeper(TableOf({.all = 10, .per_address = 4}));
  const auto first = TakeAll(keeper, Somebody("192.0.2.1", "ticket:a"));
  EXPECT_EQ(first.size(), 4U);
  // Whoever he says he is.
  EXPECT_THAT(Refusal(keeper, Somebody("192.0.2.1", "ticket:b")),
              AllOf(HasSubstr("192.0.2.1 has its share of 4 watches"),
                    HasSubstr("raise limits.per_address.watches_max")));
  EXPECT_EQ(TakeAll(keeper, Somebody("192.0.2.2")).size(), 4U);
}

TEST(SharesTest, APrincipalHasHisShareWhereverHeComesFrom) {
  const ShareKeeper keeper(TableOf({.all = 10, .per_principal = 2}));
  const auto one = keeper.Take(kWatches, Somebody("192.0.2.1", "ticket:a"));
  const auto two = keeper.Take(kWatches, Somebody("2001:db8::/64", "ticket:a"));
  EXPECT_TRUE(one.ok() && two.ok());
  EXPECT_THAT(Refusal(keeper, Somebody("192.0.2.3", "ticket:a")),
              AllOf(HasSubstr("ticket:a has its share of 2 watches"),
                    HasSubstr("raise limits.per_principal.watches_max")));
  EXPECT_TRUE(keeper.Take(kWatches, Somebody("192.0.2.3", "ticket:b")).ok());
  // An address of the same text is somebody else.
  EXPECT_TRUE(keeper.Take(kWatches, Somebody("ticket:a")).ok());
}

TEST(SharesTest, EachThingIsSharedByItself) {
  const ShareKeeper keeper(TableOf({.per_address = 1}));
  const auto watches = TakeAll(keeper, Somebody("192.0.2.1"));
  EXPECT_EQ(watches.size(), 1U);
  EXPECT_TRUE(keeper.Take(Shared::kViewers, Somebody("192.0.2.1")).ok());
}

TEST(SharesTest, OperatorsHaveNoShareAndWhatIsKeptForThem) {
  const ShareKeeper keeper(
      TableOf({.all = 10, .reserved = 3, .per_address = 100, .per_principal = 1}));
  std::vector<ShareHold> others;
  for (int i = 0; i < 100; ++i) {
    const std::string name = "ticket:" + std::to_string(i);
    auto hold = keeper.Take(kWatches, Somebody("192.0.2.1", name));
    if (hold.ok()) others.push_back(*std::move(hold));
  }
  EXPECT_EQ(others.size(), 7U);
  EXPECT_THAT(Refusal(keeper, Somebody("192.0.2.1", "ticket:new")),
              AllOf(HasSubstr("limit of 7 watches"), Not(HasSubstr("raise"))));
  const auto operators = TakeAll(keeper, kOperator);
  EXPECT_EQ(operators.size(), 3U);
  EXPECT_THAT(Refusal(keeper, kOperator), HasSubstr("limit of 10 watches"));
}

TEST(SharesTest, WhatIsGivenBackCanBeTakenAgainAndNobodyIsRemembered) {
  const ShareKeeper keeper(TableOf({.all = 2, .per_address = 2, .per_principal = 2}));
  const ShareHolder who = Somebody("192.0.2.1", "ticket:a");
  {
    auto holds = TakeAll(keeper, who);
    EXPECT_EQ(holds.size(), 2U);
    EXPECT_EQ(keeper.peers(), 2U);
    // Moving gives nothing back, nor twice.
    ShareHold moved = std::move(holds[0]);
    holds[0] = std::move(moved);
    EXPECT_FALSE(keeper.Take(kWatches, who).ok());
    holds[1].Release();
    holds[1].Release();
    EXPECT_FALSE(holds[1]);
    holds[1] = *keeper.Take(kWatches, who);
    EXPECT_FALSE(keeper.Take(kWatches, who).ok());
  }
  EXPECT_EQ(keeper.peers(), 0U);
  EXPECT_EQ(TakeAll(keeper, who).size(), 2U);
}

TEST(SharesTest, OneThingIsChangedForAnotherWithoutBothCounting) {
  const ShareKeeper keeper(TableOf({.all = 1, .per_address = 1}));
  auto before = keeper.Take(kWatches, Somebody("192.0.2.1"));
  ASSERT_TRUE(before.ok());
  // Who comes back from another address brings his place along.
  auto after = keeper.Take(kWatches, Somebody("192.0.2.2"), &*before);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_FALSE(*before);
  EXPECT_EQ(keeper.peers(), 1U);
  before->Release();
  EXPECT_FALSE(keeper.Take(kWatches, Somebody("192.0.2.1")).ok());
}

TEST(SharesTest, WhatIsNotGrantedCostsNotWhatOneHas) {
  const ShareKeeper keeper(TableOf({.all = 10, .per_address = 1}));
  auto first = keeper.Take(kWatches, Somebody("192.0.2.1"));
  auto second = keeper.Take(kWatches, Somebody("192.0.2.2"));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_FALSE(keeper.Take(kWatches, Somebody("192.0.2.2"), &*first).ok());
  EXPECT_TRUE(*first);
  EXPECT_FALSE(keeper.Take(kWatches, Somebody("192.0.2.1")).ok());
  first->Release();
  EXPECT_TRUE(keeper.Take(kWatches, Somebody("192.0.2.1")).ok());
}

TEST(SharesTest, AHoldMayOutliveItsKeeper) {
  ShareHold hold;
  EXPECT_FALSE(hold);
  {
    const ShareKeeper keeper(TableOf({.all = 1}));
    hold = *keeper.Take(kWatches, Somebody("192.0.2.1"));
  }
  EXPECT_TRUE(hold);
}

TEST(SharesTest, ThreadsTakeNoMoreThanThereIs) {
  const ShareKeeper keeper(TableOf({.all = 8, .per_address = 8}));
  std::vector<std::vector<ShareHold>> holds(4);
  {
    std::vector<std::thread> threads;
    for (auto& own : holds) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) static_cast<void>(TakeAll(keeper, Somebody("192.0.2.1")));
        own = TakeAll(keeper, Somebody("192.0.2.1"));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  size_t taken = 0;
  for (const auto& own : holds) taken += own.size();
  EXPECT_LE(taken, 8U);
  holds.clear();
  EXPECT_EQ(TakeAll(keeper, Somebody("192.0.2.1")).size(), 8U);
}

TEST(SharesTest, WhoIsNobodyInParticularHasNoShareOfHisOwn) {
  Peer peer;
  peer.limit_key = "192.0.2.1";
  Principal principal{Principal::Kind::kAnonymous, "anonymous"};
  EXPECT_EQ(HolderOf(peer, principal).principal, "");
  EXPECT_EQ(HolderOf(peer, principal).address, "192.0.2.1");
  EXPECT_FALSE(HolderOf(peer, principal).by_operator_socket);
  principal = {Principal::Kind::kTicket, "ticket:a"};
  EXPECT_EQ(HolderOf(peer, principal).principal, "ticket:a");
  peer.door = Door::kOperatorSocket;
  EXPECT_TRUE(HolderOf(peer, principal).by_operator_socket);
}

}  // namespace
}  // namespace planecast
