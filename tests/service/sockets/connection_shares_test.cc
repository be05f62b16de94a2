#include "service/sockets/connection_shares.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>

#include "service/sockets/token_bucket.h"

namespace planecast {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kStartNs = 1000 * kSecondNs;
constexpr std::optional<ConnectionRefusal> kTaken;

std::string AddressOf(int number) {
  return "10.0.0." + std::to_string(number);
}

TEST(TokenBucketTest, GivesItsBurstAndThenItsRate) {
  TokenBucket bucket(10, 5);
  EXPECT_TRUE(bucket.Take(5, kStartNs));
  EXPECT_FALSE(bucket.Take(1, kStartNs));
  EXPECT_FALSE(bucket.Take(2, kStartNs + kSecondNs / 10));
  EXPECT_TRUE(bucket.Take(1, kStartNs + kSecondNs / 10));
  EXPECT_FALSE(bucket.IsFull(kStartNs + kSecondNs / 2));
  EXPECT_TRUE(bucket.IsFull(kStartNs + kSecondNs));
  EXPECT_FALSE(bucket.Take(6, kStartNs + 100 * kSecondNs)) << "never more than the burst";
}

TEST(TokenBucketTest, ANewRateChangesNothingOfWhatIsIn) {
  TokenBucket bucket(1, 10);
  EXPECT_TRUE(bucket.Take(10, kStartNs));
  bucket.Resize(4, 10, kStartNs + kSecondNs);
  EXPECT_TRUE(bucket.Take(1, kStartNs + kSecondNs));
  EXPECT_FALSE(bucket.Has(1, kStartNs + kSecondNs));
  EXPECT_TRUE(bucket.Take(4, kStartNs + 2 * kSecondNs));
}

TEST(TokenBucketTest, ALargerBurstIsThereAtOnce) {
  TokenBucket bucket(1, 10);
  EXPECT_TRUE(bucket.Take(10, kStartNs));
  bucket.Resize(1, 15, kStartNs);
  EXPECT_TRUE(bucket.Take(5, kStartNs));
  EXPECT_FALSE(bucket.Has(1, kStartNs));
  bucket.Resize(1, 2, kStartNs + 100 * kSecondNs);
  EXPECT_FALSE(bucket.Has(3, kStartNs + 200 * kSecondNs));
}

TEST(ConnectionSharesTest, AnAddressHasItsShareAndOthersHaveTheirs) {
  ConnectionShares shares({.all_max = 100, .address_max = 2});
  shares.NoteKnown(AddressOf(1), kStartNs);
  EXPECT_EQ(shares.Enter(AddressOf(1), kStartNs), kTaken);
  EXPECT_EQ(shares.Enter(AddressOf(1), kStartNs), kTaken);
  EXPECT_EQ(shares.Enter(AddressOf(1), kStartNs), ConnectionRefusal::kAddressShare);
  EXPECT_EQ(shares.Enter(AddressOf(2), kStartNs), kTaken);
  EXPECT_EQ(shares.open(), 3);
}

TEST(ConnectionSharesTest, WhoLeavesMakesRoom) {
  ConnectionShares shares({.all_max = 100, .address_max = 2});
  shares.NoteKnown(AddressOf(1), kStartNs);
  EXPECT_EQ(shares.Enter(AddressOf(1), kStartNs), kTaken);
  EXPECT_EQ(shares.Enter(AddressOf(1), kStartNs), kTaken);
  shares.Leave(AddressOf(1));
  EXPECT_EQ(shares.Enter(AddressOf(1), kStartNs + 10 * kSecondNs), kTaken);
  EXPECT_EQ(shares.open(), 2);
}

TEST(ConnectionSharesTest, InAllThereAreSoMany) {
  ConnectionShares shares({.all_max = 3, .address_max = 2});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(shares.Enter(AddressOf(i), kStartNs), kTaken);
  EXPECT_EQ(shares.Enter(AddressOf(9), kStartNs + 10 * kSecondNs), ConnectionRefusal::kAllTaken);
  shares.Leave(AddressOf(0));
  EXPECT_EQ(shares.Enter(AddressOf(9), kStartNs + 10 * kSecondNs), kTaken);
}

TEST(ConnectionSharesTest, WhoNeverCountedMakesNoRoom) {
  ConnectionShares shares({.all_max = 2, .address_max = 2});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(shares.Enter(AddressOf(i), kStartNs), kTaken);
  shares.Leave(AddressOf(9));
  EXPECT_EQ(shares.open(), 2);
  EXPECT_EQ(shares.Enter(AddressOf(3), kStartNs + 10 * kSecondNs), ConnectionRefusal::kAllTaken);
}

TEST(ConnectionSharesTest, WhoComesAndGoesAllTheTimeIsSlowedDown) {
  ConnectionShares shares({.all_max = 1000, .address_max = 16});
  const auto come_and_go = [&](int64_t now_ns) {
    int taken = 0;
    for (int i = 0; i < 100; ++i) {
      if (shares.Enter(AddressOf(1), now_ns).has_value()) continue;
      ++taken;
      shares.Leave(AddressOf(1));
    }
    return taken;
  };
  EXPECT_EQ(come_and_go(kStartNs), 8);
  EXPECT_EQ(shares.Enter(AddressOf(1), kStartNs), ConnectionRefusal::kTooFast);
  EXPECT_EQ(come_and_go(kStartNs + kSecondNs), 2);
  // From where somebody known came, a whole share comes at once.
  shares.NoteKnown(AddressOf(1), kStartNs + kSecondNs);
  EXPECT_EQ(come_and_go(kStartNs + kSecondNs), 8);
  EXPECT_EQ(come_and_go(kStartNs + 100 * kSecondNs), 16);
  EXPECT_EQ(shares.Enter(AddressOf(2), kStartNs + kSecondNs), kTaken);
}

TEST(ConnectionSharesTest, ManyAddressesTogetherAreSlowedDownToo) {
  ConnectionShares shares({.all_max = 16, .address_max = 16});
  int taken = 0;
  for (int i = 0; i < 100; ++i) {
    if (shares.Enter(AddressOf(i), kStartNs).has_value()) continue;
    ++taken;
    shares.Leave(AddressOf(i));
  }
  EXPECT_EQ(taken, 16);
  EXPECT_EQ(shares.Enter(AddressOf(200), kStartNs), ConnectionRefusal::kTooFast);
}

TEST(ConnectionSharesTest, AFloodBarsItsAddressForAWhileAndEachTimeForLonger) {
  ConnectionShares shares({.all_max = 100, .address_max = 10});
  int64_t now_ns = kStartNs;
  for (int64_t bar_ns = kFirstBarNs; bar_ns <= kLongestBarNs; bar_ns *= 2) {
    shares.Bar(AddressOf(1), now_ns);
    // What is cut off together counts once.
    shares.Bar(AddressOf(1), now_ns);
    EXPECT_EQ(shares.Enter(AddressOf(1), now_ns + bar_ns - 1), ConnectionRefusal::kAfterFlood);
    EXPECT_EQ(shares.Enter(AddressOf(2), now_ns + bar_ns - 1), kTaken);
    now_ns += bar_ns;
    EXPECT_EQ(shares.Enter(AddressOf(1), now_ns), kTaken);
    shares.Leave(AddressOf(1));
  }
  // Long after, he is as good as anybody.
  now_ns += 100 * kLongestBarNs;
  shares.Bar(AddressOf(1), now_ns);
  EXPECT_EQ(shares.Enter(AddressOf(1), now_ns + kFirstBarNs), kTaken);
}

TEST(ConnectionSharesTest, InASiegeTheUnknownComeInOneByOneAndTheKnownAsEver) {
  ConnectionShares shares({.all_max = 1000, .address_max = 400});
  shares.NoteKnown(AddressOf(1), kStartNs);
  for (int i = 0; i < 2; ++i) shares.Bar(AddressOf(100 + i), kStartNs + i * kSecondNs);
  // The same again is no siege.
  shares.Bar(AddressOf(101), kStartNs + kSecondNs);
  int64_t now_ns = kStartNs + 2 * kSecondNs;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(shares.Enter(AddressOf(2), now_ns), kTaken);
  shares.Bar(AddressOf(102), now_ns);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(shares.Enter(AddressOf(1), now_ns), kTaken);
  int taken = 0;
  for (int i = 0; i < 50; ++i) {
    if (!shares.Enter("x" + std::to_string(i), now_ns).has_value()) ++taken;
  }
  EXPECT_EQ(taken, static_cast<int>(kSiegeHz));
  EXPECT_EQ(shares.Enter("y", now_ns), ConnectionRefusal::kSiege);
  EXPECT_EQ(shares.Enter("y", now_ns + kSecondNs), kTaken);
  now_ns += kSiegeNs;
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(shares.Enter("z" + std::to_string(i), now_ns), kTaken) << "it is over";
  }
}

TEST(ConnectionSharesTest, FloodsNowAndThenAreNoSiege) {
  ConnectionShares shares({.all_max = 1000, .address_max = 400});
  for (int i = 0; i < 10; ++i) shares.Bar(AddressOf(i), kStartNs + i * kSiegeNs / 2);
  const int64_t now_ns = kStartNs + 9 * kSiegeNs / 2;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(shares.Enter("x", now_ns), kTaken);
}

TEST(ConnectionSharesTest, ABarOutlivesTheForgettingOfIdleAddresses) {
  ConnectionShares shares({.all_max = 10'000, .address_max = 10});
  shares.Bar(AddressOf(1), kStartNs);
  for (int i = 0; i < 1000; ++i) {
    const std::string address = "x" + std::to_string(i);
    EXPECT_EQ(shares.Enter(address, kStartNs + kFirstBarNs - 2), kTaken);
    shares.Leave(address);
  }
  EXPECT_EQ(shares.Enter(AddressOf(1), kStartNs + kFirstBarNs - 1), ConnectionRefusal::kAfterFlood);
}

TEST(ConnectionRefusalTest, EachHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kConnectionRefusalsSize; ++i) {
    names.insert(ConnectionRefusalName(static_cast<ConnectionRefusal>(i)));
  }
  EXPECT_EQ(names.size(), kConnectionRefusalsSize);
  EXPECT_FALSE(names.contains("unknown"));
}

}  // namespace
}  // namespace planecast
