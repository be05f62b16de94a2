#include "service/rpc/call_limiter.h"

#include <gtest/gtest.h>

#include <string>

namespace planecast {
namespace {

using Verdict = CallLimiter::Verdict;

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kStartNs = 1000 * kSecondNs;
constexpr CallLimits kLimits{.connection_hz = 10,
                             .connection_burst = 5,
                             .viewer_hz = 3,
                             .address_factor = 2,
                             .refused_hz = 2,
                             .refused_burst = 3};

class CallLimiterTest : public ::testing::Test {
 protected:
  /// How many of many calls at once are let through.
  int Let(const std::string& connection, const std::string& address, int64_t now_ns) {
    int let = 0;
    for (int i = 0; i < 100; ++i) {
      if (limiter_.Count(connection, address, 1, now_ns) == Verdict::kFine) ++let;
    }
    return let;
  }
  CallLimiter limiter_{kLimits};
};

TEST_F(CallLimiterTest, AConnectionMakesItsBurstAndThenItsRate) {
  EXPECT_EQ(Let("1", "a", kStartNs), 5);
  EXPECT_EQ(Let("1", "a", kStartNs + kSecondNs / 5), 2);
}

TEST_F(CallLimiterTest, AnAddressMakesWhatAFewConnectionsMay) {
  EXPECT_EQ(Let("1", "a", kStartNs), 5);
  EXPECT_EQ(Let("2", "a", kStartNs) + Let("3", "a", kStartNs), 5);
  EXPECT_EQ(Let("4", "b", kStartNs), 5);
}

TEST_F(CallLimiterTest, WhoCallsLittleIsNotToBeCutOffForWhatOthersOfItsAddressDo) {
  EXPECT_EQ(Let("1", "a", kStartNs) + Let("2", "a", kStartNs), 10);
  EXPECT_EQ(limiter_.Count("1", "a", 1, kStartNs), Verdict::kTooMany);
  const auto count = [this](int64_t now_ns) { return limiter_.Count("3", "a", 1, now_ns); };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(count(kStartNs), Verdict::kRefused);
  EXPECT_EQ(count(kStartNs), Verdict::kTooMany) << "a flood in many connections";
  EXPECT_EQ(count(kStartNs + kSecondNs), Verdict::kFine);
}

TEST_F(CallLimiterTest, ViewersMayMakeMoreForAsLongAsTheyAreThere) {
  const std::string connection = "1";
  limiter_.AddViewers(&connection, "a", 10, kStartNs);
  EXPECT_EQ(Let("1", "a", kStartNs), 5);
  // 40 a second.
  EXPECT_EQ(Let("1", "a", kStartNs + kSecondNs / 10), 4);
  limiter_.AddViewers(&connection, "a", -10, kStartNs + kSecondNs / 10);
  EXPECT_EQ(Let("1", "a", kStartNs + 3 * kSecondNs / 10), 2);
}

TEST_F(CallLimiterTest, WhenAConnectionEndsItsViewersAreGoneAndTheNextOfItsNameHasWhatItHadLeft) {
  const std::string connection = "1";
  limiter_.AddViewers(&connection, "a", 10, kStartNs);
  EXPECT_EQ(Let("1", "a", kStartNs), 5);
  limiter_.EndConnection("1", kStartNs);
  limiter_.AddViewers(nullptr, "a", -10, kStartNs);
  EXPECT_EQ(Let("1", "a", kStartNs), 0);
  EXPECT_EQ(Let("1", "a", kStartNs + kSecondNs / 5), 2);
}

TEST_F(CallLimiterTest, AFactorMultipliesAll) {
  int let = 0;
  for (int i = 0; i < 100; ++i) {
    if (limiter_.CountAddress("u", 2, kStartNs)) ++let;
  }
  EXPECT_EQ(let, 20);
  EXPECT_TRUE(limiter_.CountAddress("other", 1, kStartNs));
}

TEST_F(CallLimiterTest, ForgettingTheIdleGivesNobodyMore) {
  EXPECT_EQ(Let("1", "a", kStartNs), 5);
  for (int i = 0; i < 10'000; ++i) {
    limiter_.Count("x" + std::to_string(i), "y" + std::to_string(i), 1, kStartNs);
  }
  EXPECT_EQ(Let("1", "a", kStartNs), 0);
}

}  // namespace
}  // namespace planecast
