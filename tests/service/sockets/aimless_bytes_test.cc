// What a connection may send for nothing.
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "service/sockets/connection_watch.h"
#include "tests/service/sockets/connection_watch_testing.h"

namespace planecast {
namespace {

using testing::AwaitBytes;
using testing::Ends;
using testing::kBurst;
using testing::kIntroduction;
using testing::kSecondNs;
using testing::Read;
using testing::Send;
using testing::TcpPair;

constexpr int kAimlessRate = 100;
/// Far more of use than a burst hides.
constexpr int kManySeconds = 40;

class AimlessBytesTest : public testing::ConnectionWatchTest {
 protected:
  /// Only what is for nothing is limited.
  AimlessBytesTest() {
    options_.limits.bytes_per_s = 1e9;
    options_.limits.burst_bytes = 1e9;
    options_.limits.unknown_bytes_per_s = 1e9;
    options_.limits.unknown_burst_bytes = 1e9;
    options_.limits.all_unknown_bytes_per_s = 1e9;
    options_.limits.all_unknown_burst_bytes = 1e9;
    options_.limits.aimless_bytes_per_s = kAimlessRate;
    options_.limits.aimless_viewer_bytes_per_s = 3 * kAimlessRate;
    options_.limits.aimless_burst_bytes = kBurst;
    Make();
  }
  /// So many bytes come and are read, each second. The seconds until it is cut off, if that is so
  /// soon.
  int SecondsOf(const Ends& ends, size_t bytes) {
    for (int second = 0; second < kManySeconds; ++second) {
      Send(ends.client, bytes);
      AwaitBytes(ends.server, static_cast<int>(bytes));
      if (of_use_ != nullptr) of_use_();
      watch_->Turn(0);
      Read(ends.server, bytes);
      Look(kSecondNs);
      if (!ended_.empty()) return second;
    }
    return kManySeconds;
  }

  /// What happens each second.
  std::function<void()> of_use_;
};

TEST_F(AimlessBytesTest, LittleMayBeForNothingForEverAndABurstAtOnce) {
  for (const bool known : {false, true}) {
    Make();
    ended_.clear();
    const Ends ends = TcpPair();
    WatchUnknown(ends, Tcp("c"));
    if (known) watch_->NoteKnown("c");
    EXPECT_EQ(SecondsOf(ends, kAimlessRate), kManySeconds);
    EXPECT_EQ(SecondsOf(ends, 10 * kAimlessRate), kBurst / (9 * kAimlessRate));
    EXPECT_EQ(ended_, (Ended{{"c", ConnectionRefusal::kBytes}})) << known;
  }
}

TEST_F(AimlessBytesTest, MessagesThatACallHasReadAreOfUse) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  const std::shared_ptr<UsefulBytes> useful = watch_->AddViewers("c", 1);
  ASSERT_NE(useful, nullptr);
  of_use_ = [&] {
    for (int i = 0; i < 10; ++i) useful->NoteMessage(50);
  };
  // In messages, frames and TLS records of their own, with the window given back.
  const size_t size = 10 * (50 + 9 + 5 + 29 + 2 * (9 + 4));
  EXPECT_EQ(SecondsOf(ends, size), kManySeconds);
  of_use_ = nullptr;
  EXPECT_LT(SecondsOf(ends, size), kManySeconds);
}

TEST_F(AimlessBytesTest, CallsAreOfUseWithTheirMetadataAndRequest) {
  const Ends ends = TcpPair();
  WatchUnknown(ends, Tcp("c"));
  of_use_ = [&] { watch_->NoteCall("c", 600, 3000); };
  EXPECT_EQ(SecondsOf(ends, 256 + 600 + 3000), kManySeconds);
  // Of very large metadata a part, as they may have come in a few bytes.
  of_use_ = [&] { watch_->NoteCall("c", 1 << 20, 0); };
  EXPECT_LT(SecondsOf(ends, 3000), kManySeconds);
}

TEST_F(AimlessBytesTest, TheWindowForWhatThePeerHasTakenIsOfUse) {
  constexpr size_t kPicture = 64 << 10;
  const Ends ends = TcpPair();
  WatchUnknown(ends, Tcp("c"));
  of_use_ = [&] {
    Send(ends.server, kPicture);
    size_t taken = 0;
    while (taken < kPicture) {
      AwaitBytes(ends.client, 1);
      taken += Read(ends.client, kPicture);
    }
    // Until our kernel knows of it.
    tcp_info info{};
    socklen_t size = sizeof(info);
    do {
      std::this_thread::yield();
      ASSERT_EQ(getsockopt(ends.server.get(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    } while (info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0);
  };
  // Each 8 KiB, of the stream and of the connection, in a TLS record.
  const size_t updates = 8 * (2 * (9 + 4) + 29);
  EXPECT_EQ(SecondsOf(ends, updates), kManySeconds);
  of_use_ = nullptr;
  EXPECT_LT(SecondsOf(ends, updates), kManySeconds);
}

TEST_F(AimlessBytesTest, EachViewerMaySendMorePings) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  const auto viewers = watch_->AddViewers("c", 2);
  EXPECT_EQ(SecondsOf(ends, 7 * kAimlessRate), kManySeconds);
  EXPECT_TRUE(watch_->RemoveViewers("c", viewers, 1));
  EXPECT_LT(SecondsOf(ends, 7 * kAimlessRate), kManySeconds);
}

TEST_F(AimlessBytesTest, WhoComesAgainAndAgainIsStillTheSameAddress) {
  // Each sends almost what a connection may send at once, and is gone.
  constexpr int kBytes = kBurst - 100;
  int came = 0;
  while (came < 100 && (came == 0 || ended_.back().second == std::nullopt)) {
    Ends ends = TcpPair();
    Watch(ends, Tcp(std::to_string(came++)));
    Send(ends.client, kBytes);
    AwaitBytes(ends.server, kBytes);
    Look();
    Read(ends.server, kBytes);
    ends.client.Reset();
    while (ended_.size() < static_cast<size_t>(came)) watch_->Turn(120'000);
  }
  EXPECT_EQ(ended_.back().second, ConnectionRefusal::kBytes);
  EXPECT_EQ(came, 5) << "four connections' worth, and of each its introduction besides";
  // What a client needs to become known is not counted so.
  for (int i = 0; i < 300; ++i) {
    const size_t before = ended_.size();
    Ends ends = TcpPair();
    Watch(ends, Tcp("c", "b"));
    Send(ends.client, kIntroduction);
    AwaitBytes(ends.server, kIntroduction);
    Look();
    ends.client.Reset();
    while (ended_.size() == before) watch_->Turn(120'000);
    ASSERT_EQ(ended_.back().second, std::nullopt) << i;
  }
}

TEST_F(AimlessBytesTest, OfAnAddressThatSendsTooMuchForNothingTheWorstGoes) {
  std::vector<Ends> all;
  for (int i = 0; i < 6; ++i) {
    all.push_back(TcpPair());
    Watch(all.back(), Tcp(std::to_string(i)));
    const int bytes = i == 3 ? kBurst : kBurst - 200;
    Send(all.back().client, static_cast<size_t>(bytes));
    AwaitBytes(all.back().server, bytes);
  }
  Look();
  EXPECT_EQ(ended_, (Ended{{"3", ConnectionRefusal::kBytes}}));
}

TEST_F(AimlessBytesTest, WhatNobodyHasReadYetMayStillBeOfUse) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  const std::shared_ptr<UsefulBytes> useful = watch_->AddViewers("c", 1);
  // The server's thread is late.
  Send(ends.client, 2 * kBurst);
  AwaitBytes(ends.server, 2 * kBurst);
  Look();
  Look(kSecondNs);
  EXPECT_TRUE(ended_.empty());
  Read(ends.server, 2 * kBurst);
  useful->NoteMessage(2 * kBurst);
  Look();
  EXPECT_TRUE(ended_.empty());
  // And where it was of none that is seen.
  Send(ends.client, 2 * kBurst);
  AwaitBytes(ends.server, 2 * kBurst);
  Look();
  EXPECT_TRUE(ended_.empty());
  Read(ends.server, 2 * kBurst);
  Look();
  EXPECT_EQ(ended_, (Ended{{"c", ConnectionRefusal::kBytes}}));
}

TEST_F(AimlessBytesTest, WhatIsOfUseFindsRoomWhereNothingWasSentForNothing) {
  const Ends ends = TcpPair();
  Watch(ends, Tcp("c"));
  watch_->NoteCall("c", 0, 3 * kBurst);
  Send(ends.client, 3 * kBurst);
  AwaitBytes(ends.server, 3 * kBurst);
  watch_->Turn(0);
  Read(ends.server, 3 * kBurst);
  Look();
  EXPECT_TRUE(ended_.empty());
}

}  // namespace
}  // namespace planecast
