#include "vfio/fd_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "vfio/fake/fake_source.h"

namespace planecast {
namespace {

constexpr size_t kUsualLimit = 1024;

/// As many claims as there is room for, at most `max`.
std::vector<FdClaim> TakeAll(FdBudget& budget, const FdNeeds& needs, size_t max) {
  std::vector<FdClaim> claims;
  while (claims.size() < max) {
    auto claim = budget.Take(needs);
    if (!claim.ok()) break;
    claims.push_back(*std::move(claim));
  }
  return claims;
}

TEST(FdBudgetTest, SixtyFourDisplaysFitTheUsualLimit) {
  constexpr size_t kDisplays = 64;
  std::vector<FdNeeds> all = {FdNeeds()};
  for (const FakeProfile profile : kFakeProfiles) all.push_back(FakeFdNeeds(profile));
  for (const FdNeeds& needs : all) {
    FdBudget budget(kUsualLimit);
    EXPECT_EQ(TakeAll(budget, needs, kDisplays).size(), kDisplays);
    EXPECT_GE(budget.connections_max(), kDisplays);
  }
}

TEST(FdBudgetTest, OverBudgetTheNextIsRefusedWithWhatToRaise) {
  FdBudget budget(kUsualLimit);
  std::vector<FdClaim> claims = TakeAll(budget, FdNeeds(), 1000);
  const FdBudget::Reading full = budget.Read();
  EXPECT_LE(full.claimed, full.displays_max);
  EXPECT_LT(full.displays_max, full.limit - kFdsReserveMin);
  const absl::Status refused = budget.Take(FdNeeds()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  for (const char* word : {"12 file descriptors", "1024", "LimitNOFILE"}) {
    EXPECT_NE(refused.message().find(word), absl::string_view::npos) << refused;
  }
  claims.pop_back();
  EXPECT_TRUE(budget.Take(FdNeeds()).ok());
  claims.clear();
  EXPECT_EQ(budget.Read().claimed, 0u);
}

TEST(FdBudgetTest, WhatIsLeftOverIsSharedEvenly) {
  FdBudget budget(kUsualLimit);
  std::vector<FdClaim> claims = TakeAll(budget, FdNeeds(), 1);
  EXPECT_EQ(claims[0].buffers_max(), kBuffersKeptMax);
  // 832 fds for displays, 12 of them each.
  while (claims.size() < 60) claims.push_back(*budget.Take(FdNeeds()));
  EXPECT_EQ(claims[0].buffers_max(), kBuffersKeptMin + (832 - 60 * 12) / 60);
  // What is no dma-buf takes no part in it.
  claims[1].ReleaseBuffers();
  claims[2].ReleaseBuffers();
  EXPECT_EQ(claims[0].buffers_max(), kBuffersKeptMin + (832 - 58 * 12 - 2 * 8) / 58);
  claims.resize(30);
  EXPECT_EQ(claims[0].buffers_max(), kBuffersKeptMin + (832 - 28 * 12 - 2 * 8) / 28);
}

TEST(FdBudgetTest, WhatCannotBeGivenBackIsClaimedOneByOne) {
  FdBudget budget(kUsualLimit);
  FdClaim mbochs = *budget.Take(FdNeeds());
  FdClaim other = *budget.Take(FdNeeds());
  size_t buffers = mbochs.buffers();
  while (mbochs.ClaimBuffers(buffers + 1).ok()) ++buffers;
  EXPECT_EQ(mbochs.buffers(), buffers);
  EXPECT_EQ(budget.Read().claimed, budget.Read().displays_max);
  EXPECT_EQ(other.buffers_max(), kBuffersKeptMin);
  EXPECT_FALSE(budget.Take(FdNeeds()).ok());
  mbochs = FdClaim();
  EXPECT_EQ(other.buffers_max(), kBuffersKeptMax);
}

TEST(FdBudgetTest, WithoutABudgetNothingIsShort) {
  FdClaim none;
  EXPECT_FALSE(none.valid());
  EXPECT_EQ(none.buffers_max(), kBuffersKeptMax);
  EXPECT_TRUE(none.ClaimBuffers(1000).ok());
  none.SetShort(true);
  none.ReleaseBuffers();
}

TEST(FdBudgetTest, ALimitThatLeavesNothingLeavesNoDisplay) {
  for (const size_t limit : {size_t{0}, size_t{20}, kFdsOwn + kFdsReserveMin}) {
    FdBudget budget(limit);
    EXPECT_EQ(budget.Read().displays_max, 0u);
    EXPECT_LE(budget.connections_max(), kFdsReserveMin / kFdsPerConnection);
    EXPECT_FALSE(budget.Take(FdNeeds()).ok());
  }
  // RLIM_INFINITY.
  EXPECT_TRUE(FdBudget(~size_t{0}).Take(FdNeeds()).ok());
}

TEST(FdBudgetTest, SaysWhatIsShort) {
  FdBudget budget(kUsualLimit);
  std::vector<FdClaim> claims = TakeAll(budget, FdNeeds(), 10);
  EXPECT_TRUE(budget.Shortages(100).empty());
  EXPECT_EQ(budget.Shortages(1000).size(), 1u);
  claims[3].SetShort(true);
  claims[4].SetShort(true);
  ASSERT_EQ(budget.Shortages(100).size(), 1u);
  EXPECT_NE(budget.Shortages(100)[0].find("2 displays keep fewer"), std::string::npos);
  claims.erase(claims.begin() + 3, claims.begin() + 5);
  EXPECT_TRUE(budget.Shortages(100).empty());
  for (FdClaim& more : TakeAll(budget, FdNeeds(), 1000)) claims.push_back(std::move(more));
  EXPECT_EQ(budget.Shortages(100).size(), 1u);
}

TEST(FdBudgetTest, ThreadsThatComeAndGoLeaveItAsItWas) {
  FdBudget budget(kUsualLimit);
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&budget] {
      for (int round = 0; round < 200; ++round) {
        std::vector<FdClaim> claims = TakeAll(budget, FdNeeds(), 40);
        for (FdClaim& claim : claims) {
          claim.SetShort(claim.buffers_max() < kBuffersKeptMax);
          claim.ClaimBuffers(claim.buffers() + 1).IgnoreError();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.Read().claimed, 0u);
  EXPECT_EQ(budget.Read().short_displays, 0u);
  EXPECT_EQ((*budget.Take(FdNeeds())).buffers_max(), kBuffersKeptMax);
}

}  // namespace
}  // namespace planecast
