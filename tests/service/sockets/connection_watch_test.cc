#include "service/sockets/connection_watch.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/service/sockets/connection_watch_testing.h"

namespace planecast {
namespace {

using testing::AwaitBytes;
using testing::ConnectionWatchTest;
using testing::Ends;
using testing::HasEnded;
using testing::IsOpen;
using testing::kBurst;
using testing::kIntroduction;
using testing::kRate;
using testing::kSecondNs;
using testing::kUnknownBurst;
using testing::Read;
using testing::Send;
using testing::TcpPair;
using testing::UnixPair;

TEST_F(ConnectionWatchTest, WhoSendsNoMoreThanHeMayIsLeftAlone) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  for (int i = 0; i < 10; ++i) {
    Send(ends.client, kRate);
    AwaitBytes(ends.server, kRate);
    Look(kSecondNs);
    EXPECT_EQ(Read(ends.server, kRate), static_cast<size_t>(kRate));
  }
  EXPECT_TRUE(ended_.empty());
  EXPECT_TRUE(IsOpen(ends.client));
}

TEST_F(ConnectionWatchTest, WhoSendsMoreIsCutOffAndWhatWaitsIsThrownAway) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  Send(ends.client, kBurst - 100);
  AwaitBytes(ends.server, kBurst - 100);
  Look();
  EXPECT_TRUE(ended_.empty());
  Send(ends.client, 1000);
  AwaitBytes(ends.server, kBurst + 900);
  Look();
  EXPECT_EQ(ended_, (Ended{{"c", ConnectionRefusal::kBytes}}));
  EXPECT_TRUE(HasEnded(ends.client));
  EXPECT_EQ(Read(ends.server, kBurst), 0u) << "gRPC would have had to read it all";
}

TEST_F(ConnectionWatchTest, UntilSomebodyIsKnownLittleIsEnough) {
  const Ends ends = TcpPair();
  WatchUnknown(ends, Tcp("c"));
  Send(ends.client, kUnknownBurst);
  AwaitBytes(ends.server, kUnknownBurst);
  watch_->Turn(0);
  EXPECT_EQ(watch_->WaitMs(), 10) << "and it is looked at more often";
  Look();
  EXPECT_TRUE(ended_.empty());
  watch_->NoteKnown("c");
  Send(ends.client, kBurst - kUnknownBurst);
  AwaitBytes(ends.server, kBurst);
  Look();
  EXPECT_TRUE(ended_.empty());
  EXPECT_EQ(watch_->WaitMs(), 50);
  const Ends other = TcpPair();
  WatchUnknown(other, Tcp("o"));
  Send(other.client, kUnknownBurst + 1);
  AwaitBytes(other.server, kUnknownBurst + 1);
  Look();
  EXPECT_EQ(ended_, (Ended{{"o", ConnectionRefusal::kBytes}}));
}

TEST_F(ConnectionWatchTest, AViewerIsKnown) {
  const Ends ends = TcpPair();
  WatchUnknown(ends, Tcp("c"));
  watch_->AddViewers("c", 1);
  Send(ends.client, kBurst);
  AwaitBytes(ends.server, kBurst);
  Look();
  EXPECT_TRUE(ended_.empty());
}

TEST_F(ConnectionWatchTest, WhatWasReadCountsToo) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  for (int i = 0; i < 5 && ended_.empty(); ++i) {
    Send(ends.client, 1000);
    AwaitBytes(ends.server, 1000);
    watch_->Turn(0);
    Read(ends.server, 1000);
    Look();
  }
  EXPECT_EQ(ended_, (Ended{{"c", ConnectionRefusal::kBytes}}));
}

TEST_F(ConnectionWatchTest, AnAddressMaySendWhatAFewConnectionsMay) {
  std::vector<Ends> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(TcpPair());
    Watch(all.back(), Tcp(std::to_string(i), i == 7 ? "b" : "a"));
  }
  // Each within its own limit; together no more than they may.
  for (const Ends& ends : all) Send(ends.client, kBurst / 2);
  for (const Ends& ends : all) AwaitBytes(ends.server, kBurst / 2);
  Look();
  EXPECT_TRUE(ended_.empty());
  for (const Ends& ends : all) Send(ends.client, kBurst / 2 - 200);
  for (const Ends& ends : all) AwaitBytes(ends.server, kBurst - 200);
  Look();
  EXPECT_GE(ended_.size(), 6u);
  for (const auto& [name, why] : ended_) {
    EXPECT_NE(name, "7") << "another address";
    EXPECT_EQ(why, ConnectionRefusal::kBytes);
  }
}

TEST_F(ConnectionWatchTest, AnAddressThatNobodyKnownCameFromMaySendLittle) {
  std::vector<Ends> all;
  for (int i = 0; i < 6; ++i) {
    all.push_back(TcpPair());
    WatchUnknown(all.back(), Tcp(std::to_string(i)));
    Send(all.back().client, kUnknownBurst - 10);
    AwaitBytes(all.back().server, kUnknownBurst - 10);
  }
  Look();
  EXPECT_GE(ended_.size(), 5u);
}

TEST_F(ConnectionWatchTest, TheUnknownOfManyAddressesMaySendLittleTogether) {
  std::vector<Ends> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(TcpPair());
    WatchUnknown(all.back(), Tcp(std::to_string(i), std::to_string(i)));
    // Half of them no more than whoever becomes known.
    const int size = i < 10 ? kIntroduction : kUnknownBurst;
    Send(all.back().client, static_cast<size_t>(size));
    AwaitBytes(all.back().server, size);
  }
  Look();
  EXPECT_GE(ended_.size(), 9u);
  for (const auto& [name, why] : ended_) EXPECT_GE(std::stoi(name), 10);
}

TEST_F(ConnectionWatchTest, WhoComesSendsAndLeavesUnknownIsCountedWithAllOthersWhoDo) {
  for (int i = 0; i < 20; ++i) {
    Ends ends = TcpPair();
    WatchUnknown(ends, Tcp(std::to_string(i), std::to_string(i)));
    Send(ends.client, kIntroduction);
    AwaitBytes(ends.server, kIntroduction);
    ends.client.Reset();
    while (ended_.size() == static_cast<size_t>(i)) watch_->Turn(120'000);
  }
  EXPECT_EQ(ended_[10].second, std::nullopt);
  EXPECT_EQ(ended_[12].second, ConnectionRefusal::kBytes);
}

TEST_F(ConnectionWatchTest, WhereSomebodyKnownCameFromNobodyPaysForAFloodOfOthers) {
  const Ends known = TcpPair();
  Watch(known, Tcp("known", "balancer"));
  const auto come_and_go = [this](const std::string& name, const std::string& address) {
    Ends ends = TcpPair();
    WatchUnknown(ends, Tcp(name, address));
    Send(ends.client, kIntroduction);
    AwaitBytes(ends.server, kIntroduction);
    ends.client.Reset();
    const size_t before = ended_.size();
    while (ended_.size() == before) watch_->Turn(120'000);
    return ended_.back().second;
  };
  int others = 0;
  while (come_and_go("o", std::to_string(others)) == std::nullopt && others < 1000) ++others;
  EXPECT_LT(others, 1000);
  EXPECT_EQ(come_and_go("b", "balancer"), std::nullopt);
}

TEST_F(ConnectionWatchTest, OfAnAddressThoseGoThatSendMost) {
  std::vector<Ends> all;
  for (int i = 0; i < 6; ++i) {
    all.push_back(TcpPair());
    Watch(all.back(), Tcp(std::to_string(i)));
  }
  for (size_t i = 0; i < all.size(); ++i) {
    const int size = i == 0 ? 10 : kBurst - 10;
    Send(all[i].client, static_cast<size_t>(size));
    AwaitBytes(all[i].server, size);
  }
  Look();
  EXPECT_EQ(ended_.size(), 5u);
  EXPECT_TRUE(IsOpen(all[0].client));
}

TEST_F(ConnectionWatchTest, EachViewerOnAConnectionMaySendMore) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  const auto viewers = watch_->AddViewers("c", 5);
  Send(ends.client, kBurst);
  AwaitBytes(ends.server, kBurst);
  Look();
  // Five times the rate: what one would have needed five seconds for.
  for (int i = 0; i < 5; ++i) {
    Read(ends.server, kBurst);
    clock_.Advance(kSecondNs / 5);
    Send(ends.client, kRate - 100);
    AwaitBytes(ends.server, kRate - 100);
    Look();
  }
  EXPECT_TRUE(ended_.empty());
  EXPECT_TRUE(watch_->RemoveViewers("c", viewers, 5));
  for (int i = 0; i < 5; ++i) {
    Read(ends.server, kBurst);
    clock_.Advance(kSecondNs / 5);
    Send(ends.client, kRate - 100);
    AwaitBytes(ends.server, kRate - 100);
    Look();
    if (!ended_.empty()) break;
  }
  EXPECT_EQ(ended_, (Ended{{"c", ConnectionRefusal::kBytes}}));
}

TEST_F(ConnectionWatchTest, WhoLeavesIsGivenBackAtOnce) {
  Ends tcp = TcpPair();
  Ends local = UnixPair();
  Watch(tcp, Tcp("c"));
  Watch(local, Unix("u"));
  // Ends alone, while the server's side is still open.
  shutdown(tcp.client.get(), SHUT_WR);
  watch_->Turn(120'000);
  EXPECT_EQ(ended_, (Ended{{"c", std::nullopt}}));
  EXPECT_TRUE(HasEnded(tcp.client)) << "nobody waits for half a connection";
  local.client.Reset();
  watch_->Turn(120'000);
  EXPECT_EQ(ended_, (Ended{{"c", std::nullopt}, {"u", std::nullopt}}));
}

TEST_F(ConnectionWatchTest, WhatCameBeforeSomebodyLeftIsStillThereToRead) {
  Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  Send(ends.client, 100);
  ends.client.Reset();
  while (ended_.empty()) watch_->Turn(120'000);
  EXPECT_EQ(ended_, (Ended{{"c", std::nullopt}}));
  EXPECT_EQ(Read(ends.server, 200), 100u);
}

TEST_F(ConnectionWatchTest, WhoSendsAFloodAndLeavesWasStillAFlood) {
  Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  Send(ends.client, 2 * kBurst);
  AwaitBytes(ends.server, 2 * kBurst);
  ends.client.Reset();
  while (ended_.empty()) watch_->Turn(120'000);
  EXPECT_EQ(ended_, (Ended{{"c", ConnectionRefusal::kBytes}}));
}

TEST_F(ConnectionWatchTest, WhoCallsNothingIsCutOffInTime) {
  const Ends silent = TcpPair();
  const Ends talks = TcpPair();
  Watch(silent, Tcp("silent", "a", true));
  Watch(talks, Tcp("talks", "a", true));
  watch_->NoteCall("talks", 0, 0);
  watch_->NoteCall("nobody", 0, 0);
  // Bytes are not calls: a handshake that never ends has many.
  Send(silent.client, 10);
  AwaitBytes(silent.server, 10);
  Look(WatchLimits().first_call_max_ns - kSecondNs);
  EXPECT_TRUE(ended_.empty());
  Look(kSecondNs);
  EXPECT_EQ(ended_, (Ended{{"silent", ConnectionRefusal::kSilent}}));
  EXPECT_TRUE(HasEnded(silent.client));
  EXPECT_TRUE(IsOpen(talks.client));
}

TEST_F(ConnectionWatchTest, TheThreadWaitsForTheNextDeadlineAndWithoutOneForAsLongAsItTakes) {
  EXPECT_EQ(watch_->WaitMs(), -1);
  const Ends first = TcpPair();
  Watch(first, Tcp("first", "a", true));
  clock_.Advance(kSecondNs);
  const Ends second = TcpPair();
  Watch(second, Tcp("second", "a", true));
  EXPECT_EQ(watch_->WaitMs(), 9000);
  watch_->NoteCall("first", 0, 0);
  EXPECT_EQ(watch_->WaitMs(), 10'000);
  watch_->NoteCall("second", 0, 0);
  EXPECT_EQ(watch_->WaitMs(), -1);
}

TEST_F(ConnectionWatchTest, SilentConnectionsAreNotLookedAt) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  watch_->Turn(0);
  EXPECT_EQ(watch_->WaitMs(), -1);
  Send(ends.client, 10);
  AwaitBytes(ends.server, 10);
  watch_->Turn(0);
  EXPECT_EQ(watch_->WaitMs(), 50);
  Read(ends.server, 10);
  for (int i = 0; i < 30; ++i) Look();
  EXPECT_EQ(watch_->WaitMs(), -1);
  // And are heard of when they send again.
  Send(ends.client, 2 * kBurst);
  AwaitBytes(ends.server, 2 * kBurst);
  Look();
  EXPECT_EQ(ended_, (Ended{{"c", ConnectionRefusal::kBytes}}));
}

TEST_F(ConnectionWatchTest, AUnixSocketThatHoldsTheServersThreadIsCutOff) {
  const Ends ends = UnixPair();
  Watch(ends, Unix("u"));
  Send(ends.client, 1000);
  // The thread reads and reads, and never comes back.
  for (int i = 0; i < 10; ++i) {
    Look();
    if (!ended_.empty()) break;
    Read(ends.server, 600);
    Send(ends.client, 500);
  }
  EXPECT_EQ(ended_, (Ended{{"u", ConnectionRefusal::kBytes}}));
  EXPECT_TRUE(HasEnded(ends.client));
  EXPECT_EQ(Read(ends.server, 1000), 0u);
}

TEST_F(ConnectionWatchTest, AUnixSocketIsLeftAloneWhileTheServersThreadComesBack) {
  const Ends ends = UnixPair();
  Watch(ends, Unix("u"));
  Send(ends.client, 1000);
  for (int i = 0; i < 20; ++i) {
    Look();
    ++turn_;
    Read(ends.server, 600);
    Send(ends.client, 500);
  }
  EXPECT_TRUE(ended_.empty());
}

TEST_F(ConnectionWatchTest, AUnixSocketThatIsNeverReadEmptyIsCutOffTheFullestFirst) {
  // As far as bytes can be seen to come, that is.
  options_.limits.bytes_per_s = 1e9;
  options_.limits.burst_bytes = 1e9;
  Make();
  const Ends flood = UnixPair();
  const Ends more = UnixPair();
  const Ends quick = UnixPair();
  for (auto* ends : {&flood, &more, &quick}) {
    Watch(*ends, Unix(ends == &flood ? "flood" : ends == &more ? "more" : "quick"));
  }
  Send(flood.client, 60'000);
  Send(more.client, 20'000);
  for (int i = 0; i < 30; ++i) {
    Send(quick.client, 4000);
    Look();
    ++turn_;
    Read(quick.server, 4000);
    if (!ended_.empty()) break;
    Send(flood.client, 1000);
    Read(flood.server, 1000);
    // It is read, now and then.
    if (i == 5) Read(more.server, 20'000);
    if (i == 6) Send(more.client, 20'000);
  }
  EXPECT_EQ(ended_, (Ended{{"flood", ConnectionRefusal::kBytes}}));
  // Those that had to wait because of it are read again.
  for (int i = 0; i < 10; ++i) {
    Look();
    ++turn_;
  }
  Read(more.server, 20'000);
  for (int i = 0; i < 30; ++i) {
    Look();
    ++turn_;
  }
  EXPECT_EQ(ended_, (Ended{{"flood", ConnectionRefusal::kBytes}}));
}

TEST_F(ConnectionWatchTest, OfAUnixSocketWhatIsSeenToComeCounts) {
  const Ends ends = UnixPair();
  Watch(ends, Unix("u"));
  Send(ends.client, 500);
  watch_->Turn(0);
  Look();
  EXPECT_EQ(watch_->WaitMs(), 2) << "bytes wait: it is looked at often";
  int looks = 0;
  while (looks < 100 && ended_.empty()) {
    ++looks;
    // It is read empty each time, and the thread comes back.
    Read(ends.server, 500);
    ++turn_;
    clock_.Advance(WatchLimits().quick_look_interval_ns);
    watch_->Turn(0);
    Send(ends.client, 500);
    ++turn_;
    clock_.Advance(WatchLimits().quick_look_interval_ns);
    watch_->Turn(0);
  }
  EXPECT_EQ(ended_, (Ended{{"u", ConnectionRefusal::kBytes}}));
  EXPECT_GE(looks, kBurst / 500 - 1);
}

TEST_F(ConnectionWatchTest, WhoWaitsForAThreadThatOthersHoldIsLeftAlone) {
  const Ends ends = UnixPair();
  Watch(ends, Unix("u"));
  for (int i = 0; i < 20; ++i) {
    Send(ends.client, 40);
    Look();
  }
  EXPECT_TRUE(ended_.empty());
}

TEST_F(ConnectionWatchTest, AnAddressesConnectionsThatSendAreCutOffAndNoOthers) {
  const Ends sends = UnixPair();
  const Ends silent = UnixPair();
  const Ends other = UnixPair();
  Watch(sends, Unix("u"));
  Watch(silent, Unix("u"));
  Watch(other, Unix("o"));
  Send(sends.client, 10);
  Send(other.client, 10);
  watch_->CutOffAddress("u", ConnectionRefusal::kCalls);
  EXPECT_EQ(ended_, (Ended{{"u", ConnectionRefusal::kCalls}}));
  EXPECT_TRUE(HasEnded(sends.client));
  EXPECT_TRUE(IsOpen(silent.client));
  EXPECT_TRUE(IsOpen(other.client));
}

TEST_F(ConnectionWatchTest, OneIsCutOffByItsName) {
  const Ends one = TcpPair();
  const Ends two = TcpPair();
  Watch(one, Tcp("1"));
  Watch(two, Tcp("2"));
  watch_->CutOff("1", ConnectionRefusal::kCalls);
  watch_->CutOff("nobody", ConnectionRefusal::kCalls);
  EXPECT_EQ(ended_, (Ended{{"1", ConnectionRefusal::kCalls}}));
  EXPECT_TRUE(HasEnded(one.client));
  EXPECT_TRUE(IsOpen(two.client));
}

TEST_F(ConnectionWatchTest, ANameIsTheNewestConnections) {
  const Ends old = TcpPair();
  const Ends fresh = TcpPair();
  Watch(old, Tcp("c"));
  Watch(fresh, Tcp("c"));
  shutdown(old.client.get(), SHUT_WR);
  watch_->Turn(120'000);
  watch_->CutOff("c", ConnectionRefusal::kCalls);
  EXPECT_EQ(ended_, (Ended{{"c", std::nullopt}, {"c", ConnectionRefusal::kCalls}}));
  EXPECT_TRUE(HasEnded(fresh.client));
}

TEST_F(ConnectionWatchTest, TheThreadStopsWhateverItWaitsFor) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c", "a", true));
  watch_->Start();
  watch_->LookNow();
  watch_->Stop();
  watch_->Stop();
  EXPECT_TRUE(IsOpen(ends.client));
}

}  // namespace
}  // namespace planecast
